"""What the filter is told: envoy.extensions.filters.http.grpc_stats.v3.FilterConfig, frozen."""

from __future__ import annotations

import attrs

NAME = "envoy.filters.http.grpc_stats"


@attrs.frozen
class GrpcStatsSettings:
    """FilterConfig; ``allowlist`` has pairs of a service and one of its methods, None where there is no such list."""

    emit_filter_state: bool = False
    allowlist: frozenset[tuple[str, str]] | None = None
    all_methods: bool = False
    upstream_stats: bool = False
    replace_dots: bool = False
