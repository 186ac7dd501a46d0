"""One session: the datagrams of one downstream address, and a connected socket to one host for them.

asyncio-dgram keeps the errors of a socket (an ICMP message, a datagram that is too long) until the next call on it.
What says that the host is not there ends the session; the datagram that met the error goes to the next session.
Receiving never waits for sending: what is to be sent waits in a queue with a limit, beyond which it is dropped.
"""

from __future__ import annotations

import asyncio
import errno
import time
from typing import TYPE_CHECKING, Any

import asyncio_dgram

from plait import Connection
from plait.upstream import Host
from plait_protocol_udp.stats import UpstreamStats

if TYPE_CHECKING:
    from plait_protocol_udp.proxy import UdpProxy

QUEUE_LIMIT_DATAGRAMS = 256

_OF_ONE_DATAGRAM = frozenset(
    (errno.EMSGSIZE, errno.EPERM, errno.EACCES, errno.ENOBUFS, errno.ENOMEM, errno.EINVAL, errno.EAGAIN)
)
"""Errors that one datagram could not be sent with; the next one may. Others say that the host cannot be reached."""


def errors_of(stream: asyncio_dgram.DatagramStream) -> list[OSError]:
    """The errors that the socket had since somebody asked."""
    found: list[OSError] = []
    while True:
        try:
            _ = stream.exception  # raises the oldest
        except OSError as error:
            found.append(error)
        else:
            return found


def address_text(address: Any) -> str:
    """``host:port`` of a socket's address, ``unix:PATH`` of a path."""
    if isinstance(address, tuple):
        host, port = address[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return f"unix:{address or ''}"


class _Handle(asyncio.Transport):
    """What an access log's ``Connection`` has for a transport: closing it ends the session."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session

    def close(self) -> None:
        self._session.end()

    def abort(self) -> None:
        self._session.end()

    def is_closing(self) -> bool:
        return self._session.ended


class Session:
    """Started by ``start``; ``end`` may be called at any time and any number of times."""

    ended: bool = False
    _stream: asyncio_dgram.DatagramClient | None = None
    _reader: asyncio.Task[None] | None = None
    _writer: asyncio.Task[None] | None = None

    def __init__(self, owner: UdpProxy, key: Any, peer: Any, host: Host, stats: UpstreamStats) -> None:
        self.owner = owner
        self.key = key
        self.peer = peer
        self.host = host
        self.hosts = host.cluster.hosts  # those that ``host`` is known to be one of
        self.seen = time.monotonic()
        self._stats = stats
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(QUEUE_LIMIT_DATAGRAMS)
        connection = self.connection = Connection(_Handle(self))
        connection.started = self.seen
        connection.peer, connection.local = address_text(peer), address_text(owner.local)
        if isinstance(peer, tuple):
            connection.peer_ip, connection.peer_port = peer[:2]
        if isinstance(owner.local, tuple):
            connection.local_ip, connection.local_port = owner.local[:2]
        connection.upstream_cluster = host.cluster.name
        connection.upstream_host = host.name

    def start(self) -> None:
        """Count the session and open its socket."""
        host = self.host
        host.cluster.connections += 1
        host.connections += 1
        host.active += 1
        host.requests += 1
        self._reader = self.owner.context.spawn(self._run(), f"udp session of {self.connection.peer}")

    def send(self, data: bytes) -> None:
        """A datagram from downstream."""
        self.seen = time.monotonic()
        self.connection.bytes_received += len(data)
        try:
            self._queue.put_nowait(data)
        except asyncio.QueueFull:
            self._stats.tx_errors.value += 1

    def look(self, now: float) -> None:
        """End the session if its host refused a datagram or nothing came for too long."""
        if self._stream is not None and not self._survives(errors_of(self._stream)):
            self._unreachable()
        elif now - self.seen >= self.owner.settings.idle_timeout_s:
            self.owner.stats.idle_timeout.value += 1
            self.end("idle_timeout")

    def end(self, details: str = "") -> None:
        """Close the socket and write the access log."""
        if self.ended:
            return
        self.ended = True
        host = self.host
        host.cluster.connections -= 1
        host.connections -= 1
        host.active -= 1
        if self._stream is not None:
            self._stream.close()
        for task in (self._reader, self._writer):
            if task is not None and task is not asyncio.current_task():
                task.cancel()
        self.connection.details = self.connection.details or details
        self.owner.ended(self)

    # the socket

    async def _run(self) -> None:
        """Connect, then pass on what the host sends until the session ends."""
        try:
            stream = await asyncio_dgram.connect(self.host.address)
        except OSError as error:
            self._survives([error])
            self._unreachable()
            return
        self._stream = stream
        self.connection.upstream_local = address_text(stream.sockname)
        self._writer = self.owner.context.spawn(self._write(stream), f"udp session of {self.connection.peer}, sending")
        while True:
            try:
                data, _ = await stream.recv()
            except asyncio_dgram.TransportClosed:
                self.end()
                return
            except OSError as error:
                if self._survives([error]):
                    continue
                self._unreachable()
                return
            self.seen = time.monotonic()
            size = len(data)
            self._stats.rx_datagrams.value += 1
            self.host.cluster.stats.cx_rx_bytes.value += size
            self.connection.bytes_sent += size
            self.owner.reply(data, self.peer)

    async def _write(self, stream: asyncio_dgram.DatagramClient) -> None:
        while True:
            data = await self._queue.get()
            if not data:  # asyncio sends no empty datagrams
                self._stats.tx_errors.value += 1
                continue
            if not self._survives(errors_of(stream)):
                self._unreachable()
                self._pass_on(data)
                return
            try:
                await stream.send(data)
            except asyncio_dgram.TransportClosed:
                self.end()
                return
            failed = errors_of(stream)
            if not failed:
                self._stats.tx_datagrams.value += 1
                self.host.cluster.stats.cx_tx_bytes.value += len(data)
            elif not self._survives(failed):
                self._unreachable()
                return

    def _survives(self, errors: list[OSError]) -> bool:
        """Count errors; whether the session can go on after them."""
        fatal = [error for error in errors if error.errno not in _OF_ONE_DATAGRAM]
        self._stats.tx_errors.value += len(errors) - len(fatal)
        self._stats.rx_errors.value += len(fatal)
        if fatal:
            self.connection.upstream_failure = fatal[0].strerror or str(fatal[0])
        return not fatal

    def _unreachable(self) -> None:
        self.host.failures += 1
        if not self.ended:
            self.connection.flags = (*self.connection.flags, "UF")
        self.end("upstream_unreachable")

    def _pass_on(self, data: bytes) -> None:
        """Give what was not sent to a new session, perhaps to another host."""
        left = [data]
        while not self._queue.empty():
            left.append(self._queue.get_nowait())
        for one in left:
            self.owner.forward(one, self.peer)
