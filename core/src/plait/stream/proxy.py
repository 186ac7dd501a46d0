"""The stream proxy: the terminal network filter behind http_connection_manager, generic_proxy and dubbo_proxy.

It holds what the connections of one filter chain share: the chain of stream filters, the protocols it speaks, limits
and clocks, statistics and access logs. The protocols bring their codecs; their edge rules are filters in the chain.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, cast

from plait.api.connection import Connection, TerminalFilter
from plait.api.context import Context, Counter, Stats
from plait.api.errors import ProtocolError
from plait.api.protocol import ProtocolType, ServerCodec
from plait.api.telemetry import AccessLog
from plait.net.wheel import TimerWheel, ticks
from plait.stream.chain import FilterChain
from plait.stream.exchange import ServerStream
from plait.stream.server import ServerConnection
from plait.stream.sniffing import Sniffing
from plait.upstream.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import Mapping

_log = logging.getLogger("plait.stream")
_now = time.monotonic


def sum_of(counters: Iterable[Counter]) -> Callable[[], int]:
    """A function that adds counters up."""
    counters = tuple(counters)
    return lambda: sum([counter.value for counter in counters])


class Sum:
    """What counters come to, as if it were a counter that is only read."""

    def __init__(self, counters: Iterable[Counter]) -> None:
        self._read = sum_of(counters)

    @property
    def value(self) -> int:
        """The sum now."""
        return self._read()


class _Codes(dict[int, Counter]):
    """Counters of responses by the code of their protocol, or HTTP's where that has none; made at the first of each."""

    def __init__(self, stats: ProxyStats) -> None:
        super().__init__()
        self._stats = stats

    def __missing__(self, code: int) -> Counter:
        counter = self[code] = self._stats.named(f"downstream_rq_code.{code}")
        return counter


class _Statuses(dict[int, Counter]):
    """The counter of its class for every status."""

    def __init__(self, classes: Mapping[int, Counter], unusual: Counter) -> None:
        super().__init__()
        self._classes = classes
        self._unusual = unusual

    def __missing__(self, status: int) -> Counter:
        counter = self[status] = self._classes.get(status // 100, self._unusual)
        return counter


class ProxyStats:
    """Envoy's ``http.<prefix>.downstream_…`` statistics (other protocols: their own first word), as attributes.

    Requests are counted by protocol; their total is the sum. With ``rpc`` responses are counted by their code, too, and
    by response flag, and those of our own.
    """

    def __init__(self, stats: Stats, prefix: str, protocols: Iterable[str], rpc: bool = False) -> None:
        prefix += "."
        self._stats = stats
        self._prefix = prefix
        counter, gauge = stats.counter, stats.gauge
        self.cx_total = counter(prefix + "downstream_cx_total")
        self.cx_active = gauge(prefix + "downstream_cx_active")
        self.cx_destroy = counter(prefix + "downstream_cx_destroy")
        self.cx_destroy_remote_active = counter(prefix + "downstream_cx_destroy_remote_active_rq")
        self.cx_rx_bytes = counter(prefix + "downstream_cx_rx_bytes_total")
        self.cx_tx_bytes = counter(prefix + "downstream_cx_tx_bytes_total")
        self.cx_idle_timeout = counter(prefix + "downstream_cx_idle_timeout")
        self.cx_max_duration = counter(prefix + "downstream_cx_max_duration_reached")
        self.cx_max_requests = counter(prefix + "downstream_cx_max_requests_reached")
        self.cx_protocol_error = counter(prefix + "downstream_cx_protocol_error")
        self.cx_drain_close = counter(prefix + "downstream_cx_drain_close")
        self.cx_length = stats.histogram(prefix + "downstream_cx_length_ms")
        self.flow_paused = counter(prefix + "downstream_flow_control_paused_reading_total")
        self.flow_resumed = counter(prefix + "downstream_flow_control_resumed_reading_total")
        self.requests = {name: counter(f"{prefix}downstream_rq_{name}_total") for name in protocols}
        self.rq_total = Sum(self.requests.values())
        self.rq_unanswered = counter(prefix + "downstream_rq_unanswered")
        self.rq_rx_reset = counter(prefix + "downstream_rq_rx_reset")
        self.rq_tx_reset = counter(prefix + "downstream_rq_tx_reset")
        self.rq_timeout = counter(prefix + "downstream_rq_timeout")
        self.rq_header_timeout = counter(prefix + "downstream_rq_header_timeout")
        self.rq_idle_timeout = counter(prefix + "downstream_rq_idle_timeout")
        self.took = stats.histogram(prefix + "downstream_rq_time").values.append
        self.filter_error = counter(prefix + "filter_error")
        self.codes = _Codes(self) if rpc else None
        self.rq_local = counter(prefix + "downstream_rq_local") if rpc else Counter("")
        unusual = counter(prefix + "downstream_rq_unusual")  # a status that is in no class
        self.classes = {n: counter(f"{prefix}downstream_rq_{n}xx") for n in range(1, 6)}
        self.statuses: dict[int, Counter] = _Statuses(self.classes, unusual)
        self.cx_protocol = {name: counter(f"{prefix}downstream_cx_{name}_total") for name in self.requests}
        total, unanswered, classes = self.rq_total, self.rq_unanswered, (*self.classes.values(), unusual)
        completed = sum_of(classes)
        stats.observe(prefix + "downstream_rq_total", lambda: total.value, grows=True)
        stats.observe(prefix + "downstream_rq_completed", completed, grows=True)
        stats.observe(
            prefix + "downstream_rq_active", lambda: total.value - completed() - unanswered.value, grows=False
        )

    def count_flags(self, flags: Sequence[str]) -> None:
        """Count a stream that ended with response flags."""
        if self.codes is not None:
            for flag in flags:
                self.named(f"downstream_rq_flag.{flag}").value += 1

    def named(self, name: str) -> Counter:
        """A counter of this proxy that is seldom needed."""
        return self._stats.counter(self._prefix + name)


def look_every(limit_s: float) -> float:
    """How often, in seconds, to look at a clock: a quarter of its limit, 50 ms to a minute; never for no limit."""
    return min(max(limit_s / 4, 0.05), 60.0) if limit_s else math.inf


class Limits:
    """Clocks and limits of a proxy's connections; seconds, 0 for none.

    A connection is idle while no request is under way on it; with ``heartbeats``, only while nothing comes at all.
    """

    def __init__(
        self,
        *,
        idle_timeout_s: float = 3600.0,
        heartbeats: bool = False,
        request_timeout_s: float = 0.0,
        request_headers_timeout_s: float = 0.0,
        stream_idle_timeout_s: float = 300.0,
        max_connection_duration_s: float = 0.0,
        max_requests_per_connection: int = 0,
        buffer_limit_bytes: int = 1 << 20,
    ) -> None:
        self.idle_timeout_s = idle_timeout_s
        self.heartbeats = heartbeats
        self.request_timeout_s = request_timeout_s
        self.request_headers_timeout_s = request_headers_timeout_s
        self.stream_idle_timeout_s = stream_idle_timeout_s
        self.max_connection_duration_s = max_connection_duration_s
        self.max_requests_per_connection = max_requests_per_connection
        self.buffer_limit_bytes = buffer_limit_bytes

    def shortest_s(self) -> float:
        """The shortest of the clocks; 0 when there is none."""
        clocks = [
            self.idle_timeout_s,
            self.request_timeout_s,
            self.request_headers_timeout_s,
            self.stream_idle_timeout_s,
            self.max_connection_duration_s,
        ]
        return min([clock for clock in clocks if clock], default=0.0)


class StreamProxy(TerminalFilter):
    """Serves streams on connections. ``protocols`` has one entry, or several among which the first bytes decide."""

    def __init__(
        self,
        chain: FilterChain,
        protocols: Sequence[ProtocolType],
        context: Context,
        *,
        stat_prefix: str,
        limits: Limits | None = None,
        codec_options: Mapping[str, object] | None = None,
        upstream: ProtocolType | None = None,
        access_logs: Sequence[AccessLog] = (),
        rpc: bool = False,
    ) -> None:
        """``rpc`` asks for the statistics that Envoy keeps of RPC protocols beyond those of HTTP."""
        limits = limits or Limits()
        self.chain = chain
        self.protocols = tuple(protocols)
        self.context = context
        self.wheel: TimerWheel = context.wheel
        self.limits = limits
        self.buffer_limit_bytes = limits.buffer_limit_bytes
        self.max_requests = limits.max_requests_per_connection
        self.stats = ProxyStats(context.stats, stat_prefix, [protocol.name for protocol in protocols], rpc)
        self.access_logs = tuple(access_logs)
        self.connections: set[ServerConnection] = set()
        self._sniffing: set[Sniffing] = set()
        self._options = dict(codec_options or {})
        self._upstream = upstream or protocols[0]
        self.upstream_name = self._upstream.name
        self._look_s = look_every(limits.shortest_s())
        self.draining = False

    def protocol(self, connection: Connection) -> asyncio.Protocol:
        if len(self.protocols) == 1:
            return self.serve(connection, self.protocols[0])
        if connection.alpn:
            for protocol in self.protocols:
                if protocol.alpn == connection.alpn:  # agreed on in the TLS handshake
                    return self.serve(connection, protocol)
        return Sniffing(self, connection, self._sniffing)

    def serve(self, connection: Connection, protocol: ProtocolType) -> ServerConnection:
        """A connection that speaks ``protocol``."""
        codec = protocol.server_codec(self._options.get(protocol.name))
        return ServerConnection(self, connection, protocol, codec)

    def offered(self, connection: Connection, name: bytes) -> tuple[ProtocolType, ServerCodec] | None:
        """The protocol that a request of ``connection`` offers to go on in, and its codec, where that is spoken here.

        Not with TLS, which has its own way to agree on a protocol (RFC 7540, 3.3).
        """
        if connection.tls is None and connection.transport_protocol != "tls":
            for protocol in self.protocols:
                if protocol.upgrade == name:
                    return protocol, protocol.server_codec(self._options.get(protocol.name))
        return None

    def upstream_protocol(self, cluster: Cluster) -> ProtocolType:
        """What to speak to ``cluster``."""
        name = cluster.config.protocol
        return self._upstream if not name else cast("ProtocolType", self.context.protocol(name))

    # what connections tell

    def opened(self, connection: ServerConnection) -> None:
        """A connection begins."""
        self.connections.add(connection)
        self.stats.cx_total.value += 1
        self.stats.cx_active.value += 1
        self.look_by(connection, _now() + self._look_s)
        if self.draining:
            connection.drain()

    def closed(self, connection: ServerConnection, error: Exception | None) -> None:
        """A connection is gone."""
        self.connections.discard(connection)
        self.wheel.remove(connection)
        stats = self.stats
        stats.cx_active.value -= 1
        stats.cx_destroy.value += 1
        stats.cx_length.values.append((_now() - connection.connection.started) * 1000)

    def record(self, stream: ServerStream) -> None:
        """Tell the access logs of a stream that is over."""
        for log in self.access_logs:
            try:
                log.record(stream)
            except Exception:
                _log.exception("access log %s failed", type(log).__name__)

    def protocol_error(self, error: ProtocolError) -> None:
        """Count what a peer did wrong."""
        self.stats.cx_protocol_error.value += 1
        self.stats.named(error.counter).value += 1

    def check_timeouts(self, connection: ServerConnection) -> None:
        """Read a connection's clocks and let it wait for the next look."""
        connection.look_at = math.inf
        now, limits, stats = _now(), self.limits, self.stats
        info = connection.connection
        if limits.heartbeats and info.bytes_received != connection.heard_bytes:
            connection.heard_bytes = info.bytes_received
            connection.last_active = now
        if (
            limits.max_connection_duration_s
            and now - info.started >= limits.max_connection_duration_s
            and not connection.draining
        ):
            stats.cx_max_duration.value += 1
            connection.drain()
        if not connection.streams:
            partial = connection.partial_for(now)
            if partial and limits.request_headers_timeout_s and partial >= limits.request_headers_timeout_s:
                stats.rq_header_timeout.value += 1
                connection.refuse_slow(408, "request_header_timeout")
            elif partial and limits.request_timeout_s and partial >= limits.request_timeout_s:
                stats.rq_timeout.value += 1
                connection.refuse_slow(408, "request_overall_timeout")
            elif (
                limits.idle_timeout_s
                and now - max(connection.last_active, info.started) >= limits.idle_timeout_s
                and not connection.draining
            ):
                stats.cx_idle_timeout.value += 1
                info.details = "connection_idle_timeout"
                connection.drain()
        look_s, due = self._look_s, math.inf
        for stream in tuple(connection.streams.values()):
            idle_s = limits.stream_idle_timeout_s
            if stream.forwarded:
                if stream.deadline <= now:
                    stream.expire()
                    continue
                due = min(due, stream.deadline)
                idle_s = stream.upstream_idle_timeout_s(idle_s)
                look_s = min(look_s, look_every(idle_s))
            if (
                not stream.request_done
                and not stream.replied
                and limits.request_timeout_s
                and now - stream.started >= limits.request_timeout_s
            ):
                stats.rq_timeout.value += 1
                stream.reply(408, "request timeout", details="request_overall_timeout")
            elif idle_s and stream.idle_for(now) >= idle_s:
                stats.rq_idle_timeout.value += 1
                status = 408 if not stream.request_done else 504
                stream.reply(status, "stream timeout", details="stream_idle_timeout", flag="SI")
        if not info.transport.is_closing():
            self.look_by(connection, min(now + look_s, due))

    def look_within(self, connection: ServerConnection, limit_s: float) -> None:
        """A stream of ``connection`` has a clock of its own: look in time for that."""
        self.look_by(connection, _now() + look_every(limit_s))

    def look_by(self, connection: ServerConnection, when: float) -> None:
        """Look at the clocks of ``connection`` when that moment is over, if not before."""
        if when < connection.look_at:
            connection.look_at = when
            self.wheel.remove(connection)
            self.wheel.add(connection, ticks(max(0.0, when - _now())))

    # the end

    def drain(self) -> None:
        self.draining = True
        for unknown in tuple(self._sniffing):
            self.stats.cx_drain_close.value += 1
            unknown.drain()
        for connection in tuple(self.connections):
            self.stats.cx_drain_close.value += 1
            connection.drain()

    def close(self) -> None:
        self.chain.close()
        for log in self.access_logs:
            log.close()
