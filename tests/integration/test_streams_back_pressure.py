"""Who is stopped by whom where streams share connections, and that reading goes on afterwards."""

from __future__ import annotations

import asyncio

import pytest

from plait import Stream, StreamFilter
from plait.stream import Limits
from tests.integration.framed import (
    MORE,
    RESET,
    FramedMesh,
    frame,
    read_frame,
    up,
)
from tests.integration.framed_calls import Calls
from tests.integration.harness import Peer, Upstream, live, until


class Holds(StreamFilter):
    """Keeps every piece of the bodies of the method ``held`` until the test lets it go."""

    def __init__(self) -> None:
        self.held: list[asyncio.Future[None]] = []
        self.streams: list[Stream] = []
        self.open = False

    async def on_request_data(self, stream: Stream, data: bytes, end: bool) -> bytes:
        if stream.request.path == "held" and not self.open:
            self.streams.append(stream)
            self.held.append(asyncio.get_running_loop().create_future())
            await self.held[-1]
        return data


LIMITS = Limits(buffer_limit_bytes=1000)


def too_much(id: int) -> bytes:
    """A request that has too much to keep while a filter holds its first piece."""
    return frame(id, b"held a", MORE) + b"".join(frame(id, b"x" * 600, MORE) for _ in range(3))


@live
@pytest.mark.parametrize("way", ["reply", "reset"])
async def test_reading_goes_on_when_the_stream_that_stopped_it_ends(way: str) -> None:
    calls, holds = Calls(), Holds()
    async with Upstream(calls) as upstream, FramedMesh(up(upstream.port), [holds], limits=LIMITS) as mesh:
        client = await mesh.connect()
        await client.send(frame(1, b"m open"))
        (one,) = await calls.arrived(1)
        await client.send(too_much(2))
        await until(mesh.paused, "reading to stop")
        if way == "reply":
            holds.streams[0].reply(403, details="denied")
            assert await read_frame(client) == (2, 0, b"403 denied")
        else:
            holds.streams[0].reset("denied")
        assert await read_frame(client) == (2, RESET, b"")
        await client.send(frame(3, b"m next"))
        three = (await calls.arrived(2))[1]
        for call in (three, one):
            await call.answer(b"200 ok")
            assert (await read_frame(client))[2] == b"200 ok"


@live
@pytest.mark.parametrize("beside", [False, True])
async def test_reading_goes_on_when_the_caller_gives_the_stream_up_at_once(beside: bool) -> None:
    calls, holds = Calls(), Holds()
    async with Upstream(calls) as upstream, FramedMesh(up(upstream.port), [holds], limits=LIMITS) as mesh:
        client = await mesh.connect()
        if beside:
            await client.send(frame(1, b"m open"))
            await calls.arrived(1)
        await client.send(too_much(2) + frame(2, b"", RESET))
        await until(lambda: mesh.log.flags == ["DC"], "the stream to end")
        await client.send(frame(3, b"m next"))
        for call in await calls.arrived(1 + beside):
            await call.answer(b"200 ok")
            assert (await read_frame(client))[1:] == (0, b"200 ok")


@live
async def test_reading_stays_stopped_while_another_stream_wants_it() -> None:
    calls, holds = Calls(), Holds()
    async with Upstream(calls) as upstream, FramedMesh(up(upstream.port), [holds], limits=LIMITS) as mesh:
        client = await mesh.connect()
        await client.send(too_much(1) + too_much(2))
        await until(lambda: len(holds.held) == 2, "both streams to wait")
        assert mesh.paused()
        first, second = holds.streams
        first.reply(403, details="denied")
        assert await read_frame(client) == (1, 0, b"403 denied")
        assert mesh.paused()
        holds.open = True
        holds.held[1].set_result(None)
        await until(lambda: not mesh.paused(), "reading to go on")
        second.reply(403, details="denied")


@live
async def test_slow_upstream_stops_only_the_streams_that_it_serves() -> None:
    go = asyncio.Event()

    async def slow(peer: Peer, number: int) -> None:
        await go.wait()
        while True:
            id, flags, _ = await read_frame(peer)
            if not flags:
                await peer.send(frame(id, b"200 read"))

    piece = b"x" * (1 << 16)
    sent = 0

    async def push(client: Peer) -> None:
        nonlocal sent
        await client.send(frame(1, b"m ", MORE))
        while not go.is_set():
            await client.send(frame(1, piece, MORE))
            sent += len(piece)
            await asyncio.sleep(0)
        await client.send(frame(1, b""))

    async with Upstream(slow) as upstream, FramedMesh(up(upstream.port)) as mesh:
        first, second = await mesh.connect(), await mesh.connect()
        async with asyncio.TaskGroup() as group:
            group.create_task(push(first))
            await until(mesh.paused, "the first caller to be stopped")
            # one that comes while the shared connection is full is stopped before it adds to it
            await second.send(frame(1, b"m ", MORE) + frame(1, b"y" * 100, MORE))
            await until(lambda: mesh.counter("http.test.downstream_flow_control_paused_reading_total") == 2, "a pause")
            go.set()
            await second.send(frame(1, b""))
        for client in (first, second):
            assert await read_frame(client) == (1, 0, b"200 read")


@live
async def test_slow_caller_stops_the_shared_connection_until_it_reads() -> None:
    async def flood(peer: Peer, number: int) -> None:
        while True:
            id, _, payload = await read_frame(peer)
            count = int(payload.partition(b" ")[2])
            await peer.send(frame(id, b"200 ", MORE))
            for _ in range(count):
                await peer.send(frame(id, b"x" * (1 << 16), MORE))
            await peer.send(frame(id))

    async def drink(client: Peer) -> int:
        size = 0
        while True:
            _, flags, payload = await read_frame(client)
            size += len(payload)
            if not flags & MORE:
                return size

    async with Upstream(flood) as upstream, FramedMesh(up(upstream.port)) as mesh:
        slow, other = await mesh.connect(), await mesh.connect()
        slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await slow.send(frame(1, b"m 300"))
        await until(lambda: mesh.connections() and mesh.connections()[0].paused, "the upstream to be stopped")
        await other.send(frame(1, b"m 3"))
        slow.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert await drink(slow) == 4 + (300 << 16)
        assert await drink(other) == 4 + (3 << 16)


@live
async def test_slow_caller_that_leaves_lets_the_others_go_on() -> None:
    async def flood(peer: Peer, number: int) -> None:
        while True:
            id, flags, payload = await read_frame(peer)
            if not flags & RESET:
                pieces = [frame(id, b"x" * (1 << 16), MORE)] * int(payload.partition(b" ")[2])
                peer.writer.write(b"".join([frame(id, b"200 ", MORE), *pieces, frame(id)]))

    async with Upstream(flood) as upstream, FramedMesh(up(upstream.port)) as mesh:
        slow, other = await mesh.connect(), await mesh.connect()
        slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await slow.send(frame(1, b"m 300"))
        await until(lambda: mesh.connections() and mesh.connections()[0].paused, "the upstream to be stopped")
        await other.send(frame(1, b"m 0"))
        slow.reset()
        assert await read_frame(other) == (1, MORE, b"200 ")
        assert await read_frame(other) == (1, 0, b"")
