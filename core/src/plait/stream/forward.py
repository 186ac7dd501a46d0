"""The end of every router: a request, once its route is found, goes on to a cluster.

``ForwardOptions`` say how; what happens on the way is in ``plait.stream.onward``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from plait.api.config import RetryPolicy
from plait.api.stream import Stream, Verdict
from plait.stream.mirror import Mirror, chosen
from plait.stream.onward import OnwardStream
from plait.stream.retries import RetryRule
from plait.upstream.cluster import Cluster


class ForwardOptions:
    """How to forward the requests of one route; made when the route table is compiled."""

    def __init__(
        self,
        timeout_s: float = 15.0,
        idle_timeout_s: float | None = None,
        retry: RetryPolicy | None = None,
        auto_host_rewrite: bool = False,
        buffer_limit_bytes: int = 1 << 20,
        attempt_header: bool = False,
        mirrors: Sequence[tuple[str, int]] = (),
    ) -> None:
        """``mirrors`` are clusters that get a copy of some of the requests, each with its share in millionths."""
        self.timeout_s = timeout_s
        self.limit_s = timeout_s or math.inf
        self.idle_timeout_s = idle_timeout_s
        self.retry = RetryRule(retry) if retry is not None and retry.retry_on else None
        self.auto_host_rewrite = auto_host_rewrite
        self.buffer_limit_bytes = buffer_limit_bytes
        self.attempt_header = attempt_header
        self.mirrors = tuple(mirrors)
        # the request depends on the host or the attempt, or is watched by a clock of its own
        self.shapes = auto_host_rewrite or attempt_header or bool(idle_timeout_s)

    def mirror(self, stream: OnwardStream) -> list[Mirror]:
        """Send copies of the request to the clusters that the route names for that, where they exist."""
        context = stream.owner.proxy.context
        mirrors = []
        for name, fraction in self.mirrors:
            cluster = context.cluster(name)
            if cluster is None or not chosen(fraction):
                continue
            mirror = Mirror(stream)
            mirrors.append(mirror)
            mirror.go_onward(cluster, ForwardOptions(self.timeout_s))
        return mirrors


forward: Callable[[Stream, Cluster, ForwardOptions], Verdict] = OnwardStream.go_onward  # type: ignore[assignment]
"""Send the stream's request to a cluster and its response back; returns STOP."""
