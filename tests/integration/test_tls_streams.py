"""TLS on real sockets: bytes arrive whole, in order and within limits, until the one who sends them ends."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
from typing import Any

from plait.testing import on_every_loop, until
from plait.testing.peers import Server
from tests.integration.tls import (
    HTTP,
    PATTERN,
    SERVER,
    Files,
    TlsServer,
    call,
    client_context,
    cluster,
    downstream,
    hang_up,
    listener,
    mesh,
    upstream,
)

# limits


async def _digest(reader: asyncio.StreamReader, size: int) -> str:
    digest = hashlib.sha256()
    while size:
        data = await reader.read(min(size, 1 << 16))
        assert data, f"{size} bytes are missing"
        digest.update(data)
        size -= len(data)
    return digest.hexdigest()


async def _pour(writer: asyncio.StreamWriter, times: int) -> None:
    for _ in range(times):
        writer.write(PATTERN)
        await writer.drain()


@on_every_loop
async def test_much_goes_both_ways_at_once_through_small_buffers(files: Files) -> None:
    times = 120  # of 100 kB
    expected = hashlib.sha256(PATTERN * times).hexdigest()

    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(_pour(writer, times))
            digest = group.create_task(_digest(reader, len(PATTERN) * times))
        assert digest.result() == expected

    seen: list[str] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await exchange(reader, writer)
        seen.append("whole")
        await reader.read()

    small = "per_connection_buffer_limit_bytes: 32768"
    chain = downstream(f"tls_certificates: [{files.pair(SERVER, 'server')}]")
    trust = f"validation_context: {{trusted_ca: {files.trust()}}}"
    async with (
        TlsServer(handler) as server,
        mesh(listener(chain, more=small), cluster(server.port, f"{upstream(trust)}, {small}")) as running,
    ):
        reader, writer = await call(running, client_context())
        await exchange(reader, writer)
        await until(lambda: seen, "the server")
        await hang_up(writer)
        assert running.counter("cluster.up.upstream_cx_rx_bytes_total") == len(PATTERN) * times


@on_every_loop
async def test_a_reader_that_stands_still_stops_the_writer(files: Files) -> None:
    poured = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal poured
        while True:
            writer.write(PATTERN)
            await writer.drain()
            await asyncio.sleep(0)  # asyncio's own TLS may go on for ever on a connection that was lost
            poured += len(PATTERN)

    small = "per_connection_buffer_limit_bytes: 65536"
    chain = downstream(f"tls_certificates: [{files.pair(SERVER, 'server')}]")
    async with (
        TlsServer(pour) as server,
        mesh(listener(chain, more=small), cluster(server.port, f"{upstream()}, {small}")) as running,
    ):
        reader, writer = await call(running, client_context())
        transport: Any = writer.transport
        transport.pause_reading()
        before = -1
        while poured != before:
            before = poured
            await asyncio.sleep(0.2)
        transport.resume_reading()
        size = poured + 20 * len(PATTERN)
        times = -(-size // len(PATTERN))
        expected = hashlib.sha256((PATTERN * times)[:size]).hexdigest()
        assert await _digest(reader, size) == expected
        writer.transport.abort()


# the end of a stream


@on_every_loop
async def test_the_end_of_one_direction_is_passed_on_and_the_other_goes_on(files: Files) -> None:
    """The client half closes: close_notify goes through both sidecars' TLS, and the answer comes back."""

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"%d bytes" % len(await reader.read()))

    chain = downstream(f"tls_certificates: [{files.pair(SERVER, 'server')}]")
    async with Server(count) as server, mesh(listener(chain), cluster(server.port)) as terminates:
        port = terminates.address("l")[1]
        async with mesh(listener(""), cluster(port, upstream())) as originates:
            reader, writer = await asyncio.open_connection(*originates.address("l"))
            writer.write(PATTERN)
            writer.write_eof()
            assert await reader.read() == b"%d bytes" % len(PATTERN)
            writer.close()


@on_every_loop
async def test_what_tls_did_not_end_is_no_whole_answer(files: Files) -> None:
    """A body that lasts until the end of the connection, whose connection is cut."""

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await writer.drain()
        if cutting:
            with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as raw:
                raw.shutdown(socket.SHUT_WR)
            await reader.read()
        else:
            writer.close()

    for cutting in (False, True):
        async with (
            TlsServer(cut) as server,
            mesh(listener("", filters=HTTP), cluster(server.port, upstream())) as running,
        ):
            reader, writer = await asyncio.open_connection(*running.address("l"))
            writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            answer = (
                await reader.readuntil(b"half") + await reader.read(100)
                if cutting
                else await reader.readuntil(b"0\r\n\r\n")
            )
            assert answer.startswith(b"HTTP/1.1 200")
            assert answer.endswith(b"0\r\n\r\n") is not cutting
            writer.close()
