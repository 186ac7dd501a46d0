"""tcp_proxy at work: for each downstream connection one upstream, and bytes from either to the other.

The two sides pause each other's reading at the write buffer's high-water mark, pass a half close on, and end together.
What an idle connection did is read off its byte counts by a slow clock, so that traffic pays nothing for the timeout.
"""

from __future__ import annotations

import asyncio
import functools
import random
import time
from itertools import accumulate
from typing import TYPE_CHECKING, cast

from plait import Connection, Context, TerminalFilter
from plait.upstream import Cluster, ConnectFailed, Host, closed, connect

if TYPE_CHECKING:
    from plait import Timer
    from plait_protocol_tcp.settings import TcpProxySettings


class _Stats:
    def __init__(self, context: Context, prefix: str) -> None:
        prefix = f"tcp.{prefix}."
        counter, gauge = context.stats.counter, context.stats.gauge
        self.cx_total = counter(prefix + "downstream_cx_total")
        self.cx_no_route = counter(prefix + "downstream_cx_no_route")
        self.cx_rx_bytes = counter(prefix + "downstream_cx_rx_bytes_total")
        self.cx_tx_bytes = counter(prefix + "downstream_cx_tx_bytes_total")
        self.flow_paused = counter(prefix + "downstream_flow_control_paused_reading_total")
        self.flow_resumed = counter(prefix + "downstream_flow_control_resumed_reading_total")
        self.idle_timeout = counter(prefix + "idle_timeout")
        self.max_duration = counter(prefix + "max_downstream_connection_duration")
        self.flush_total = counter(prefix + "upstream_flush_total")
        self.flush_active = gauge(prefix + "upstream_flush_active")


class TcpProxy(TerminalFilter):
    """The terminal filter; connections are ``_Downstream``."""

    def __init__(self, settings: TcpProxySettings, context: Context) -> None:
        self.settings = settings
        self.context = context
        self.stats = _Stats(context, settings.stat_prefix)
        self.access_logs = tuple(context.build("telemetry", extension) for extension in settings.access_log)
        self._names = [name for name, _ in settings.clusters]
        self._sums = list(accumulate(weight for _, weight in settings.clusters))

    def protocol(self, connection: Connection) -> asyncio.Protocol:
        return _Downstream(self, connection)

    def cluster(self) -> Cluster | None:
        """The cluster of a new connection, by weight."""
        name = self._names[0] if len(self._names) == 1 else random.choices(self._names, cum_weights=self._sums)[0]
        return self.context.cluster(name)

    def close(self) -> None:
        for log in self.access_logs:
            log.close()


class _Downstream(asyncio.Protocol):
    transport: asyncio.Transport
    upstream: _Upstream | None = None
    held: list[bytes] | None = None
    ended: bool = False  # downstream sent its last byte
    lost: bool = False
    _timer: Timer | None = None
    _moved: int = 0  # bytes both ways at the last look of the idle clock
    _idle_since: float = 0.0

    def __init__(self, proxy: TcpProxy, connection: Connection) -> None:
        self.proxy = proxy
        self.connection = connection
        self._received = proxy.stats.cx_rx_bytes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        proxy = self.proxy
        proxy.stats.cx_total.value += 1
        self.transport.pause_reading()
        cluster = proxy.cluster()
        if cluster is None:
            proxy.stats.cx_no_route.value += 1
            self.fail("NC", "cluster_not_found")
            return
        self.connection.upstream_cluster = cluster.name
        self._watch()
        proxy.context.spawn(self._connect(cluster), "tcp_proxy connect")

    async def _connect(self, cluster: Cluster) -> None:
        failure = ConnectFailed("no attempt was made", timed_out=False)
        for _ in range(self.proxy.settings.max_connect_attempts):
            if self.lost:
                return
            host = cluster.pick()
            if host is None:
                self.fail("UH", "no_healthy_upstream")
                return
            if cluster.connections >= cluster.max_connections:
                cluster.stats.cx_overflow.value += 1
                self.fail("UO", "upstream_overflow")
                return
            self.connection.upstream_host = host.name
            try:
                await connect(host, functools.partial(_Upstream, self, host))
            except ConnectFailed as error:
                failure = error
                continue
            return
        self.connection.upstream_failure = str(failure)
        name = cluster.config.alt_stat_name or cluster.name
        self.proxy.context.stats.counter(f"cluster.{name}.upstream_cx_connect_attempts_exceeded").value += 1
        self.connection.flags = (*self.connection.flags, "UF")
        self.fail("URX", "upstream_connection_failure")

    def connected(self, upstream: _Upstream) -> None:
        """The upstream is there: let the bytes flow."""
        if self.lost or self.transport.is_closing():
            upstream.transport.abort()
            return
        self.upstream = upstream
        self.connection.upstream_local = upstream.local
        if self.held:
            held, self.held = self.held, None
            upstream.write(b"".join(held))
        if self.ended:
            upstream.end()
        self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        size = len(data)
        self._received.value += size
        self.connection.bytes_received += size
        upstream = self.upstream
        if upstream is None:  # what was read before we could pause
            self.held = [*(self.held or ()), data]
        else:
            upstream.write(data)

    def eof_received(self) -> bool:
        self.ended = True
        if self.upstream is None:
            return True
        if self.upstream.ended:
            return False
        self.upstream.end()
        return True

    def pause_writing(self) -> None:
        if self.upstream is not None and not self.upstream.transport.is_closing():
            self.upstream.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.upstream is not None and not self.upstream.transport.is_closing():
            self.upstream.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if self._timer is not None:
            self._timer.cancel()
        upstream = self.upstream
        if upstream is not None and not upstream.transport.is_closing():
            if exc is None:
                upstream.flush()
            else:
                upstream.transport.abort()
        for log in self.proxy.access_logs:
            log.record_connection(self.connection)
        self.connection.ended()

    def fail(self, flag: str, details: str) -> None:
        """Nothing can be done for this connection."""
        self.connection.flags = (*self.connection.flags, flag)
        self.connection.close(details)

    def _give_up(self, flag: str, details: str) -> None:
        """End the connection now: what is still to be written may be just what nobody takes."""
        self.connection.flags = (*self.connection.flags, flag)
        self.connection.details = details
        self.transport.abort()
        if self.upstream is not None and not self.upstream.lost:
            self.upstream.transport.abort()

    # clocks

    def _watch(self) -> None:
        settings = self.proxy.settings
        clocks = [c for c in (settings.idle_timeout_s, settings.max_downstream_connection_duration_s) if c]
        if clocks:
            self._idle_since = time.monotonic()
            self._look_s = min(max(min(clocks) / 4, 0.05), 60.0)
            self._timer = self.proxy.context.call_later(self._look_s, self._look)

    def _look(self) -> None:
        settings, now = self.proxy.settings, time.monotonic()
        moved = self.connection.bytes_received + self.connection.bytes_sent
        moved -= self.transport.get_write_buffer_size()  # what a slow peer takes is movement as well
        if self.upstream is not None and not self.upstream.lost:
            moved -= self.upstream.transport.get_write_buffer_size()
        if moved != self._moved:
            self._moved, self._idle_since = moved, now
        longest = settings.max_downstream_connection_duration_s
        if settings.idle_timeout_s and now - self._idle_since >= settings.idle_timeout_s:
            self.proxy.stats.idle_timeout.value += 1
            self._give_up("SI", "idle_timeout")
        elif longest and now - self.connection.started >= longest:
            self.proxy.stats.max_duration.value += 1
            self._give_up("DT", "max_connection_duration_reached")
        else:
            self._timer = self.proxy.context.call_later(self._look_s, self._look)


class _Upstream(asyncio.Protocol):
    transport: asyncio.Transport
    local: str = ""
    ended: bool = False  # upstream sent its last byte
    lost: bool = False
    _flush_timer: Timer | None = None
    _flushing: bool = False
    _unsent: int = 0  # at the last look of the flush clock

    def __init__(self, downstream: _Downstream, host: Host) -> None:
        self.downstream = downstream
        self.host = host
        stats = host.cluster.stats
        self._rx = stats.cx_rx_bytes
        self._tx = stats.cx_tx_bytes
        self._sent = downstream.proxy.stats.cx_tx_bytes
        self._connection = downstream.connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.host.active += 1
        self.host.requests += 1
        name = transport.get_extra_info("sockname")
        self.local = f"{name[0]}:{name[1]}" if isinstance(name, tuple) else "unix"
        self._write_down = self.downstream.transport.write
        self.downstream.connected(self)

    def write(self, data: bytes) -> None:
        self._tx.value += len(data)
        self.transport.write(data)

    def end(self) -> None:
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def data_received(self, data: bytes) -> None:
        size = len(data)
        self._rx.value += size
        self._sent.value += size
        self._connection.bytes_sent += size
        self._write_down(data)

    def eof_received(self) -> bool:
        self.ended = True
        downstream = self.downstream
        if downstream.ended or downstream.lost:
            return False
        if downstream.transport.can_write_eof():
            downstream.transport.write_eof()
        return True

    def pause_writing(self) -> None:
        if not self.downstream.transport.is_closing():
            self.downstream.proxy.stats.flow_paused.value += 1
            self.downstream.transport.pause_reading()

    def resume_writing(self) -> None:
        if not self.downstream.transport.is_closing():
            self.downstream.proxy.stats.flow_resumed.value += 1
            self.downstream.transport.resume_reading()

    def flush(self) -> None:
        """Downstream is gone: close once what it sent is written, unless that stands still for the idle timeout."""
        self.transport.close()
        self._unsent = self.transport.get_write_buffer_size()
        if self._unsent:
            proxy = self.downstream.proxy
            proxy.stats.flush_total.value += 1
            proxy.stats.flush_active.value += 1
            self._flushing = True
            if proxy.settings.idle_timeout_s:
                self._flush_timer = proxy.context.call_later(proxy.settings.idle_timeout_s, self._look)

    def _look(self) -> None:
        proxy, unsent = self.downstream.proxy, self.transport.get_write_buffer_size()
        if unsent == self._unsent:
            proxy.stats.idle_timeout.value += 1
            self.transport.abort()
        else:
            self._unsent = unsent
            self._flush_timer = proxy.context.call_later(proxy.settings.idle_timeout_s, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if self._flush_timer is not None:
            self._flush_timer.cancel()
        if self._flushing:
            self.downstream.proxy.stats.flush_active.value -= 1
        self.host.active -= 1
        closed(self.host)
        downstream = self.downstream
        if downstream.lost:
            self.host.cluster.stats.cx_destroy_local.value += 1
            return
        self.host.cluster.stats.cx_destroy_remote.value += 1
        if exc is None:
            downstream.transport.close()
        else:
            downstream.connection.flags = (*downstream.connection.flags, "UC")
            downstream.transport.abort()
