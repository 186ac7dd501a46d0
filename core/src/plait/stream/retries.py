"""Whether a request is tried again, and what its tries have to remember.

A ``RetryRule`` is a route's policy, made once; ``Tries`` belongs to one request and keeps the cluster's limits on
retries. Sending the request again is ``plait.stream.forward``'s.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from plait.api.config import RetryPolicy
from plait.api.message import Response
from plait.api.stream import Stream
from plait.stream import grpc
from plait.upstream.cluster import Cluster, Host

if TYPE_CHECKING:
    from plait.api.context import Timer

_GATEWAY = frozenset((502, 503, 504))
_RETRIABLE_4XX = frozenset((409,))
_GRPC = {
    "cancelled": grpc.CANCELLED,
    "deadline-exceeded": grpc.DEADLINE_EXCEEDED,
    "internal": grpc.INTERNAL,
    "resource-exhausted": grpc.RESOURCE_EXHAUSTED,
    "unavailable": grpc.UNAVAILABLE,
}


class RetryRule:
    """A retry policy with its words turned into flags."""

    def __init__(self, policy: RetryPolicy) -> None:
        words = frozenset(policy.retry_on)
        self.count = policy.num_retries
        self.per_try_timeout_s = policy.per_try_timeout_s
        self.base_s = policy.base_interval_s
        self.max_s = policy.max_interval_s
        self.avoid_previous = policy.previous_hosts
        self.on_5xx = "5xx" in words
        self.on_reset = bool(words & {"reset", "5xx", "gateway-error"})
        self.on_connect = self.on_reset or bool(words & {"connect-failure", "reset-before-request"})
        self.on_refused = self.on_reset or "refused-stream" in words
        statuses: set[int] = set()
        if "gateway-error" in words:
            statuses |= _GATEWAY
        if "retriable-4xx" in words:
            statuses |= _RETRIABLE_4XX
        if "retriable-status-codes" in words:
            statuses |= set(policy.retriable_status_codes)
        self.statuses = frozenset(statuses)
        self.grpc = frozenset(code for word, code in _GRPC.items() if word in words)

    def on_response(self, response: Response) -> bool:
        """Whether a response with this head is tried again; a gRPC status that comes in trailers is too late."""
        status = response.status
        if status in self.statuses or (self.on_5xx and 500 <= status < 600):
            return True
        return bool(self.grpc) and grpc.status_in(response.headers) in self.grpc

    def on_failure(self, flag: str, refused: bool) -> bool:
        """Whether a failure before the response (``UF`` connecting, ``UT`` per try, else a reset) is tried again."""
        if flag == "UO" or flag == "LR":
            return False  # our own limit or fault: another try meets it again
        if flag == "UF":
            return self.on_connect
        if refused:
            return self.on_refused
        if flag == "UT":
            return self.on_reset or 504 in self.statuses
        return self.on_reset

    def back_off_s(self, attempt: int) -> float:
        """Envoy's jittered exponential back-off: anything below ``base * 2^attempt``, at most the longest interval."""
        return random.random() * min(self.base_s * float(1 << attempt), self.max_s)


class Tries:
    """The tries of a request that a retry policy applies to, in one cluster."""

    __slots__ = ("_cluster", "_counted", "back_off", "count", "per_try", "rule", "tried")

    def __init__(self, rule: RetryRule, cluster: Cluster) -> None:
        self.rule = rule
        self._cluster = cluster
        self._counted = False  # among the cluster's retries under way
        self.count = 0  # of retries: the first try is none
        self.tried: list[Host] = []  # hosts that the next try avoids
        self.per_try: Timer | None = None
        self.back_off: Timer | None = None

    def allowed(self, stream: Stream) -> bool:
        """Whether the limits leave room for another try; where they do not, counters and the stream's flags say so."""
        cluster = self._cluster
        if self.count >= self.rule.count:
            cluster.stats.rq_retry_limit_exceeded.value += 1
            stream.flags = (*stream.flags, "URX")
            return False
        if cluster.retries >= cluster.max_retries:
            cluster.stats.rq_retry_overflow.value += 1
            stream.flags = (*stream.flags, "UO")
            return False
        return True

    def add(self, host: Host | None) -> None:
        """Count another try, after the one at ``host``."""
        self._cluster.stats.rq_retry.value += 1
        if not self._counted:
            self._counted = True
            self._cluster.retries += 1
        self.count += 1
        if self.rule.avoid_previous and host is not None:
            self.tried.append(host)

    def end(self) -> None:
        """The request is over."""
        if self._counted:
            self._cluster.retries -= 1
        if self.back_off is not None:
            self.back_off.cancel()
