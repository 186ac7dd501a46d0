"""Connection pools: connections of one protocol to one host, and who waits for one.

One at a time: a connection carries one stream, then waits idle (last in, first out) for the next. Multiplexed: streams
share the connections, a new one is opened when all are full. Limits are the cluster's circuit breakers: beyond
``max_connections`` requests wait, beyond ``max_pending_requests`` they are refused at once.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from plait.api.context import Context
from plait.api.protocol import ClientCodec, PoolMode, ProtocolType
from plait.net.wheel import Timed, TimerWheel, ticks
from plait.stream.client import ClientConnection
from plait.upstream.cluster import ConnectionPool, Host
from plait.upstream.connect import ConnectFailed, connect

if TYPE_CHECKING:
    from plait.stream.onward import OnwardStream

_now = time.monotonic

_STALLED_S = 0.1
"""How long a shared connection may wait for a caller that is too slow for its answer, before it gets no new streams."""

_UF = "upstream connect error or disconnect/reset before headers. reset reason: "
_OVERFLOW = _UF + "overflow"


def pool_of(host: Host, protocol: ProtocolType, context: Context) -> Pool:
    """The host's pool for a protocol, made on first use."""
    pool = host.pools.get(protocol.name)
    if pool is None:
        pool = host.pools[protocol.name] = Pool(host, protocol, context)
        pool.drained = host.gone  # a retry on a cluster that was replaced: nothing stays behind it
    return pool  # type: ignore[return-value]  # only this module fills ``Host.pools``


class Pool(ConnectionPool, Timed):
    """See the module."""

    def __init__(self, host: Host, protocol: ProtocolType, context: Context) -> None:
        self.slot = None
        self.connecting = 0
        self.drained = False
        self.host = host
        self.cluster = host.cluster
        self.protocol = protocol
        self.context = context
        self.wheel: TimerWheel = context.wheel
        self.multiplexed = protocol.pool_mode is PoolMode.MULTIPLEXED
        config = host.cluster.config
        choices = config.protocol_choices
        self._options = choices.get(protocol.name) if choices else config.protocol_options
        self._max_requests = config.max_requests_per_connection
        self._idle_s = config.idle_timeout_s
        self._idle: list[ClientConnection] = []  # one at a time: those without a stream
        self._connections: list[ClientConnection] = []  # multiplexed: those that take streams
        self.waiting: deque[OnwardStream] = deque()  # for a connection
        self._cx_protocol = host.cluster.stats.cx_protocol(protocol.name)

    def take(self, stream: OnwardStream) -> ClientConnection | None:
        """A connection for ``stream`` now; else it is queued (or refused) and hears from us later."""
        if self.multiplexed:
            stalled = None
            for connection in self._connections:  # as in _has_room, without the call
                codec = connection.codec
                if (
                    codec.reusable
                    and len(connection.streams) < codec.max_streams
                    and (not self._max_requests or connection.requests < self._max_requests)
                    and not connection.transport.is_closing()
                ):
                    if connection.paused and _now() - connection.paused_at > _STALLED_S:
                        stalled = connection
                        continue
                    return connection
            if stalled is not None and not self._may_open():
                return stalled
        else:
            idle = self._idle
            while idle:
                connection = idle.pop()
                if connection.codec.reusable and not connection.transport.is_closing():
                    return connection
        self._queue(stream)
        return None

    def _has_room(self, connection: ClientConnection) -> bool:
        """Whether ``connection`` takes another stream now."""
        codec, under_way = connection.codec, len(connection.streams)
        if not codec.reusable or connection.transport.is_closing():
            return False
        if not self.multiplexed:
            return not under_way
        return under_way < codec.max_streams and not 0 < self._max_requests <= connection.requests

    def _queue(self, stream: OnwardStream) -> None:
        cluster, stats = self.cluster, self.cluster.stats
        if cluster.pending >= cluster.max_pending:
            stats.rq_pending_overflow.value += 1
            stream.on_failure(_OVERFLOW, "UO", "upstream_reset_before_response_started{overflow}")
            return
        cluster.pending += 1
        stats.rq_pending_total.value += 1
        stats.rq_pending_active.value += 1
        stream.queued = self
        self.waiting.append(stream)
        self._open_more()

    def _may_open(self) -> bool:
        """Whether the cluster's limit allows another connection."""
        cluster = self.cluster
        return cluster.connections + cluster.opening < cluster.max_connections

    def _open_more(self) -> None:
        """Open a connection for who waits, within the limits; a pool without any may always have one."""
        if self.connecting >= (1 if self.multiplexed else len(self.waiting)):
            return
        cluster = self.cluster
        alone = not self.host.connections and not self.connecting
        if not alone and not self._may_open():
            cluster.stats.cx_overflow.value += 1
            return
        self.connecting += 1
        cluster.opening += 1
        self.context.spawn(self._connect(), f"connect to {self.host.name}")

    async def _connect(self) -> None:
        self.cluster.opening -= 1  # ``connect`` counts it from here on
        codec = self.new_codec()
        try:
            _, connection = await connect(self.host, lambda: ClientConnection(self, codec), self.protocol.name)
        except ConnectFailed as error:
            self.connecting -= 1
            self._fail_waiting(error)
            return
        self.connecting -= 1
        self._cx_protocol.value += 1
        if self.multiplexed:
            self._connections.append(connection)
        self._serve(connection)

    def new_codec(self) -> ClientCodec:
        """For a connection to be opened."""
        codec = self.protocol.client_codec(self._options)
        if self._connections:  # what the host allows there, it will allow here; until it says more
            codec.max_streams = min(codec.max_streams, max(1, self._connections[-1].codec.max_streams))
        return codec

    def _fail_waiting(self, error: ConnectFailed) -> None:
        """A connection could not be had. Those that no other attempt will serve hear of it."""
        reason = _UF + ("connection timeout" if error.timed_out else "remote connection failure")
        details = "upstream_reset_before_response_started{" + (
            "connection_timeout}" if error.timed_out else "remote_connection_failure}"
        )
        while len(self.waiting) > self.connecting:
            if self.multiplexed and self.connecting:
                break
            stream = self._next_waiting()
            self.cluster.stats.rq_pending_failure_eject.value += 1
            stream.on_failure(reason, "UF", details, failure=str(error))

    def _next_waiting(self) -> OnwardStream:
        stream = self.waiting.popleft()
        self._left(stream)
        return stream

    def _left(self, stream: OnwardStream) -> None:
        stream.queued = None
        self.cluster.pending -= 1
        self.cluster.stats.rq_pending_active.value -= 1

    def forget(self, stream: OnwardStream) -> None:
        """``stream`` waits no more."""
        self.waiting.remove(stream)
        self._left(stream)

    def _serve(self, connection: ClientConnection) -> None:
        """Give a connection with room to who waits; keep it for later when nobody does."""
        served = False
        while self.waiting and self._has_room(connection):
            served = True
            self._next_waiting().connected(connection, _now())
        if self.waiting and (served or not connection.codec.reusable):  # one without any room may be followed by more
            self._open_more()
        if not connection.streams:
            self._rest(connection)

    def widened(self, connection: ClientConnection) -> None:
        """The peer of ``connection`` may take more streams than before."""
        if self.waiting and self.multiplexed:
            self._serve(connection)

    def done(self, connection: ClientConnection) -> None:
        """A stream of ``connection`` is over."""
        codec = connection.codec
        if self._max_requests and connection.requests >= self._max_requests and codec.reusable:
            codec.reusable = False
            self.cluster.stats.cx_max_requests.value += 1
        if not codec.reusable or self.drained:
            if not connection.streams:
                connection.close(local=True)
        elif self.waiting:
            self._serve(connection)
        elif self.slot is not None and not self.multiplexed:  # the common case of _rest
            connection.idle_since = 0.0
            self._idle.append(connection)
        elif not connection.streams:
            self._rest(connection)

    def _rest(self, connection: ClientConnection) -> None:
        if self.drained or not connection.codec.reusable:
            connection.close(local=True)
            return
        connection.idle_since = 0.0  # the clock is read when somebody looks, not for every request
        if not self.multiplexed:
            self._idle.append(connection)
        if self.slot is None and self._idle_s:
            self.wheel.add(self, ticks(self._idle_s / 4))

    def lost(self, connection: ClientConnection) -> None:
        """``connection`` is closed or closing; called once or twice."""
        if self.multiplexed:
            if connection in self._connections:
                self._connections.remove(connection)
        elif not connection.streams and connection in self._idle:
            self._idle.remove(connection)
        if self.waiting:
            self._open_more()

    def expire(self) -> None:
        """Close what has been idle for too long, and look again later while anything is."""
        now = _now()
        resting = self._idle if not self.multiplexed else [c for c in self._connections if not c.streams]
        for connection in tuple(resting):
            if not connection.idle_since:
                connection.idle_since = now
            elif now - connection.idle_since >= self._idle_s:
                self.cluster.stats.cx_idle_timeout.value += 1
                connection.close(local=True)
        if resting:
            self.wheel.add(self, ticks(self._idle_s / 4))

    def drain(self) -> None:
        self.drained = True
        for connection in [*self._idle, *(c for c in self._connections if not c.streams)]:
            connection.close(local=True)
        self._idle.clear()
        self.wheel.remove(self)
