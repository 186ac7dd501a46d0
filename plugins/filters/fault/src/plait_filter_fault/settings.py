"""What the fault filter is told: envoy.extensions.filters.http.fault.v3.HTTPFault, frozen."""

from __future__ import annotations

import attrs

from plait import HeaderMatcher

NAME = "envoy.filters.http.fault"


@attrs.frozen
class Share:
    """envoy.type.v3.FractionalPercent: ``millionths`` of the requests, in steps of ``step`` (10,000 is a percent)."""

    millionths: int = 0
    step: int = 10_000


@attrs.frozen
class Delay:
    """``fixed_s``, or None to take what the header ``x-envoy-fault-delay-request`` asks for."""

    share: Share = Share()
    fixed_s: float | None = None


@attrs.frozen
class Abort:
    """``status``, or None to take what the header ``x-envoy-fault-abort-request`` asks for."""

    share: Share = Share()
    status: int | None = None


@attrs.frozen
class FaultSettings:
    """HTTPFault; ``max_active_faults`` None is no limit, and counts the faults of one worker."""

    delay: Delay | None = None
    abort: Abort | None = None
    upstream_cluster: str = ""
    headers: tuple[HeaderMatcher, ...] = ()
    downstream_nodes: frozenset[str] = frozenset()
    max_active_faults: int | None = None
    disable_downstream_cluster_stats: bool = False
