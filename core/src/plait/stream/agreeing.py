"""Connections whose protocol is known only once TLS has agreed on it (Envoy's ``auto_config``).

There is a pool for each protocol that may come of it. Requests go to the pool of the latest connection, because that is
how its host speaks now; before there was one, to that of the protocol that we like best. A connection that turns out to
speak another protocol goes to the pool of that one, and all who wait for a connection go there with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from plait.api.context import Context
from plait.api.protocol import ProtocolType
from plait.stream.client import ClientConnection
from plait.stream.pool import Pool
from plait.upstream.cluster import BY_ALPN, ConnectionPool, Host
from plait.upstream.connect import ConnectFailed, connect

if TYPE_CHECKING:
    from plait.stream.onward import OnwardStream


def agreed_pool(host: Host, protocols: Sequence[ProtocolType], context: Context) -> AgreedPools:
    """The host's pools for ``protocols``, best one first, made on first use."""
    pools = host.pools[BY_ALPN] = AgreedPools(host, protocols, context)
    if host.gone:  # a retry on a cluster that was replaced: nothing stays behind it
        pools.drain()
    return pools


class AgreedPools(ConnectionPool):
    """See the module."""

    def __init__(self, host: Host, protocols: Sequence[ProtocolType], context: Context) -> None:
        self._pools = {protocol.alpn: _AgreedPool(self, host, protocol, context) for protocol in protocols}
        self.current: _AgreedPool = self._pools[protocols[0].alpn]
        self._unnamed = self._pools[protocols[-1].alpn]  # what is spoken by who agrees on nothing

    def take(self, stream: OnwardStream) -> ClientConnection | None:
        """As ``Pool.take``."""
        return self.current.take(stream)

    def done(self, connection: ClientConnection) -> None:
        """As ``Pool.done``."""
        connection.pool.done(connection)

    def speaking(self, alpn: str) -> _AgreedPool:
        """The pool of those that agreed on ``alpn``."""
        return self._pools.get(alpn, self._unnamed)

    def drain(self) -> None:
        for pool in self._pools.values():
            pool.drain()


class _AgreedPool(Pool):
    """A pool that finds out of which protocol its connections are."""

    def __init__(self, owner: AgreedPools, host: Host, protocol: ProtocolType, context: Context) -> None:
        super().__init__(host, protocol, context)
        self._owner = owner

    async def _connect(self) -> None:
        self.cluster.opening -= 1  # ``connect`` counts it from here on
        try:
            _, agreeing = await connect(self.host, lambda: _Agreeing(self._owner))
        except ConnectFailed as error:
            self.connecting -= 1
            self._fail_waiting(error)
            return
        self.connecting -= 1
        connection = agreeing.connection
        pool = self._owner.current = cast("_AgreedPool", connection.pool)
        if pool is not self:
            pool.take_over(self)
        pool.receive(connection)

    def take_over(self, other: _AgreedPool) -> None:
        """All who wait there wait here."""
        while other.waiting:
            stream = other.waiting.popleft()
            stream.queued = self
            self.waiting.append(stream)

    def receive(self, connection: ClientConnection) -> None:
        """A connection of ours is there."""
        self._cx_protocol.value += 1
        if self.multiplexed:
            self._connections.append(connection)
        self._serve(connection)
        opened = -1
        while self.waiting and opened != self.connecting:  # each call opens one at most
            opened = self.connecting
            self._open_more()


class _Agreeing(asyncio.Protocol):
    """Stands in for a connection until TLS has agreed on a protocol, which is so when it is made."""

    transport: asyncio.Transport
    connection: ClientConnection

    def __init__(self, owner: AgreedPools) -> None:
        self._owner = owner

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        tls = transport.get_extra_info("ssl_object")
        pool = self._owner.speaking(tls.selected_alpn_protocol() or "" if tls is not None else "")
        self.connection = ClientConnection(pool, pool.new_codec())
        self.transport.set_protocol(self.connection)
        self.connection.connection_made(transport)
