"""Both ends of a proxied connection, and an access log, for tests of filters that work on connections."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Self

from plait.api.connection import Connection
from plait.api.stream import Stream
from plait.api.telemetry import AccessLog
from plait.testing.plane import until

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

LINGER_NOT = b"\x01\0\0\0\0\0\0\0"


class RecordingLog(AccessLog):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.streams: list[Stream] = []
        self.connections: list[Connection] = []

    def record(self, stream: Stream) -> None:
        self.streams.append(stream)

    def record_connection(self, connection: Connection) -> None:
        self.connections.append(connection)


class Server:
    """A TCP upstream, or one at a unix socket's ``path``; each connection is closed when ``handler`` is done with it.

    ``async with Server(echo) as server:`` listens at ``server.port`` of 127.0.0.1.
    """

    def __init__(self, handler: Handler, path: str = "") -> None:
        self.handler = handler
        self.path = path
        self.port = 0
        self.accepted = 0
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        if self.path:
            sock = socket.socket(socket.AF_UNIX)
            sock.bind(self.path.replace("@", "\0"))
            self._server = await asyncio.start_unix_server(self._serve, sock=sock)
        else:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        await until(lambda: not self._writers, "connections to end")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self._writers.add(writer)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await self.handler(reader, writer)
        finally:
            writer.close()
            self._writers.discard(writer)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A handler that sends back what it gets."""
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()


async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A handler that reads to the end and says nothing."""
    while await reader.read(1 << 16):
        pass


def saying(data: bytes) -> Handler:
    """A handler that sends ``data`` and closes."""

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)

    return say


class Client:
    """A caller; ``address`` is host and port, or the path of a unix socket."""

    def __init__(self, address: Any) -> None:
        self._address = address

    async def __aenter__(self) -> Self:
        if isinstance(self._address, str | bytes):
            sock = socket.socket(socket.AF_UNIX)
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, self._address)
            self.reader, self.writer = await asyncio.open_unix_connection(sock=sock)
        else:
            self.reader, self.writer = await asyncio.open_connection(*self._address)
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self.writer.is_closing():
            self.writer.transport.abort()

    @property
    def name(self) -> str:
        """Its own address, as a proxy calls it."""
        return "{}:{}".format(*self.writer.get_extra_info("sockname"))

    def send(self, data: bytes) -> None:
        """Write."""
        self.writer.write(data)

    async def exactly(self, size: int) -> bytes:
        """That many bytes."""
        return await self.reader.readexactly(size)

    async def rest(self) -> bytes:
        """All until the end, of which a reset is one as well."""
        pieces = []
        with contextlib.suppress(ConnectionError):
            while piece := await self.reader.read(1 << 16):
                pieces.append(piece)
        return b"".join(pieces)

    def half_close(self) -> None:
        """Send no more."""
        self.writer.write_eof()

    def close(self) -> None:
        """Send no more and read no more."""
        self.writer.close()

    def reset(self) -> None:
        """End with a RST."""
        reset(self.writer)

    def stop_reading(self) -> None:
        """Let what comes wait in the kernel."""
        stop_reading(self.writer)


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with a RST."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
    writer.transport.abort()


def stop_reading(writer: asyncio.StreamWriter) -> None:
    """Let what comes wait in the kernel."""
    transport: Any = writer.transport
    transport.pause_reading()
