"""The filter: who is to suffer, how long to wait, and what to answer.

A request that the settings are about is first delayed and then aborted, each with its own chance; both count as one
active fault until the stream ends. Settings of a route replace those of the chain. This module reads no configuration
beyond the frozen settings, and what it needs of them for traffic it compiles once.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable

from plait import CONTINUE, Context, ForwardAction, Request, Stream, StreamFilter, Verdict
from plait.stream import compile_request_headers
from plait_filter_fault.settings import NAME, FaultSettings, Share

BODY = b"fault filter abort"
_MILLION = 1_000_000
_LONGEST_MS = 86_400_000
_COMPILED_LIMIT = 1024
_ACTIVE = "envoy.fault.active"


class _Fault:
    """Settings made ready for traffic."""

    def __init__(self, settings: FaultSettings) -> None:
        delay, abort = settings.delay, settings.abort
        self.settings = settings  # kept, so that no other object gets its id
        self.matches = compile_request_headers(settings.headers)
        self.cluster = settings.upstream_cluster
        self.nodes = frozenset(node.encode() for node in settings.downstream_nodes)
        self.limit = settings.max_active_faults
        self.counts_callers = not settings.disable_downstream_cluster_stats
        self.delays = delay is not None
        self.delay_share = delay.share if delay else Share()
        self.delay_s = delay.fixed_s if delay else None
        self.aborts = abort is not None
        self.abort_share = abort.share if abort else Share()
        self.status = abort.status if abort else None

    def concerns(self, stream: Stream) -> bool:
        """Whether the request is one of those that may suffer."""
        request = stream.request
        if self.cluster and _cluster(stream) != self.cluster:
            return False
        if self.nodes and (request.headers.find(b"x-envoy-downstream-service-node") or b"") not in self.nodes:
            return False
        return self.matches(request)

    def delay_for(self, request: Request) -> float:
        """Seconds to wait; 0 for none."""
        if not self.delays:
            return 0.0
        length = self.delay_s
        if length is None:
            asked = _number(request, b"x-envoy-fault-delay-request")
            if not asked:
                return 0.0
            length = min(asked, _LONGEST_MS) / 1000
            share = _asked_share(request, b"x-envoy-fault-delay-request-percentage", self.delay_share)
        else:
            share = self.delay_share.millionths
        return length if _chosen(share) else 0.0

    def abort_with(self, request: Request) -> int:
        """The status to answer with; 0 for none."""
        if not self.aborts:
            return 0
        status = self.status
        if status is None:
            status = _number(request, b"x-envoy-fault-abort-request")
            if status is None or not 200 <= status < 600:
                return 0
            share = _asked_share(request, b"x-envoy-fault-abort-request-percentage", self.abort_share)
        else:
            share = self.abort_share.millionths
        return status if _chosen(share) else 0


class FaultFilter(StreamFilter):
    """envoy.filters.http.fault."""

    def __init__(self, settings: FaultSettings, context: Context) -> None:
        prefix = str(getattr(context, "stat_prefix", ""))
        self._prefix = f"{prefix}fault." if not prefix or prefix.endswith(".") else f"{prefix}.fault."
        self._stats = context.stats
        self._delays_injected = context.stats.counter(f"{self._prefix}delays_injected")
        self._aborts_injected = context.stats.counter(f"{self._prefix}aborts_injected")
        self._faults_overflow = context.stats.counter(f"{self._prefix}faults_overflow")
        self._active_faults = context.stats.gauge(f"{self._prefix}active_faults")
        self._active = 0  # of this filter: the gauge is shared by all of the same prefix
        self._key = f"{_ACTIVE}.{id(self):x}"
        self._fault = _Fault(settings)
        self._of_routes: dict[int, _Fault] = {}

    def on_request(self, stream: Stream) -> Verdict | Awaitable[Verdict]:
        own = stream.route_settings(NAME)
        fault = self._fault if own is None else self._of_route(own)
        if not (fault.delays or fault.aborts) or not fault.concerns(stream):
            return CONTINUE
        delay_s = fault.delay_for(stream.request)
        if delay_s and self._begin(stream, fault):
            self._delays_injected.value += 1
            self._count_caller(stream, fault, "delays_injected")
            stream.flags = (*stream.flags, "DI")
            return self._delayed(stream, fault, delay_s)
        return self._abort(stream, fault)

    def on_end(self, stream: Stream) -> None:
        if self._active and stream.attributes.pop(self._key, False):
            self._active -= 1
            self._active_faults.value -= 1

    async def _delayed(self, stream: Stream, fault: _Fault, delay_s: float) -> Verdict:
        await asyncio.sleep(delay_s)
        return self._abort(stream, fault)

    def _abort(self, stream: Stream, fault: _Fault) -> Verdict:
        status = fault.abort_with(stream.request)
        if not status or not self._begin(stream, fault):
            return CONTINUE
        self._aborts_injected.value += 1
        self._count_caller(stream, fault, "aborts_injected")
        return stream.reply(status, BODY, flag="FI", details="fault_filter_abort")

    def _begin(self, stream: Stream, fault: _Fault) -> bool:
        """Make the stream's fault an active one; False when there are too many."""
        if self._key in stream.attributes:
            return True
        if fault.limit is not None and self._active >= fault.limit:
            self._faults_overflow.value += 1
            return False
        stream.attributes[self._key] = True
        self._active += 1
        self._active_faults.value += 1
        return True

    def _count_caller(self, stream: Stream, fault: _Fault, what: str) -> None:
        caller = stream.request.headers.get("x-envoy-downstream-service-cluster") if fault.counts_callers else None
        if caller:
            self._stats.counter(f"{self._prefix}{caller}.{what}").value += 1

    def _of_route(self, settings: object) -> _Fault:
        fault = self._of_routes.get(id(settings))
        if fault is None:
            if not isinstance(settings, FaultSettings):
                raise TypeError(f"the route has settings of type {type(settings).__name__}, expected FaultSettings")
            if len(self._of_routes) >= _COMPILED_LIMIT:  # routes come and go
                self._of_routes.clear()
            fault = self._of_routes[id(settings)] = _Fault(settings)
        return fault


def _cluster(stream: Stream) -> str:
    if stream.upstream_cluster:
        return stream.upstream_cluster
    route = stream.route
    return route.action.cluster if route is not None and isinstance(route.action, ForwardAction) else ""


def _chosen(millionths: int) -> bool:
    return millionths >= _MILLION or (millionths > 0 and random.randrange(_MILLION) < millionths)


def _asked_share(request: Request, name: bytes, configured: Share) -> int:
    """A caller may ask for less than what is configured, in the configured unit."""
    asked = _number(request, name)
    return configured.millionths if asked is None else min(asked * configured.step, configured.millionths)


def _number(request: Request, name: bytes) -> int | None:
    value = request.headers.find(name)
    return int(value) if value is not None and value.isdigit() and len(value) < 10 else None
