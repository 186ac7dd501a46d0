"""Many streams on each connection, downstream and upstream, carried by a small protocol of the tests' own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import attrs

from plait.api import Event, Request, Response
from plait.api.config import Thresholds
from tests.integration.framed import (
    FRAMED,
    MORE,
    ROOM,
    FramedMesh,
    FramedServer,
    frame,
    read_frame,
    up,
)
from tests.integration.framed_calls import Calls
from tests.integration.harness import Peer, Upstream, live, until


@live
async def test_connections_share_one_upstream_connection_with_ids_of_its_own() -> None:
    calls = Calls()
    async with Upstream(calls) as upstream, FramedMesh(up(upstream.port)) as mesh:
        clients = [await mesh.connect() for _ in range(5)]
        for number, client in enumerate(clients):
            await client.send(frame(1, b"m a%d" % number) + frame(2, b"m b%d" % number))
        got = await calls.arrived(10)
        assert upstream.connections == 1
        assert len({call.id for call in got}) == 10
        shuffled = list(got)
        random.Random(7).shuffle(shuffled)
        for call in shuffled:
            await call.answer(b"200 to-" + call.payload)
        for number, client in enumerate(clients):
            answers = {await read_frame(client), await read_frame(client)}
            assert answers == {(1, 0, b"200 to-m a%d" % number), (2, 0, b"200 to-m b%d" % number)}
        assert mesh.counter("http.test.downstream_cx_total") == 5
        assert mesh.counter("cluster.up.upstream_cx_total") == 1
        assert mesh.counter("cluster.up.upstream_rq_200") == 10
        assert mesh.counter("cluster.up.upstream_cx_tx_bytes_total") == 10 * len(frame(1, b"m a1"))
        assert mesh.counter("http.test.downstream_cx_tx_bytes_total") == 10 * len(frame(1, b"200 to-m a1"))


class _OneByOne(FramedServer):
    """Begins a request when the one before is answered, as HTTP/1.1 does."""

    def __init__(self, options: object = None) -> None:
        super().__init__(options)
        self._read = b""
        self._busy = False

    def feed(self, data: bytes) -> Sequence[Event]:
        self._read += data
        first = b""
        if not self._busy and len(self._read) >= 8:
            size = 8 + int.from_bytes(self._read[4:8], "big")
            first, self._read = self._read[:size], self._read[size:]
            self._busy = True
        self.held = bool(self._read)
        return super().feed(first) if first else ()

    def encode_response(self, request: Request, response: Response) -> bytes:
        self._busy = False
        return super().encode_response(request, response)


@live
async def test_who_waits_for_a_place_is_not_overtaken() -> None:
    calls = Calls()
    one_by_one = attrs.evolve(FRAMED, server_codec=_OneByOne)
    async with Upstream(calls) as upstream:
        crowded = up(upstream.port, protocol_options=1, thresholds=Thresholds(max_connections=1))
        async with FramedMesh(crowded, protocols=[one_by_one]) as mesh:
            many, one = await mesh.connect(), await mesh.connect()
            await many.send(b"".join(frame(number, b"m a") for number in range(1, 11)))
            await calls.arrived(1)
            await one.send(frame(1, b"m b"))
            await until(lambda: mesh.counter("cluster.up.upstream_rq_pending_active") == 1, "the second to wait")
            for number in range(11):
                await (await calls.arrived(number + 1))[number].answer(b"200 ok")
            assert [call.payload for call in calls.all].index(b"m b") == 1


@live
async def test_responses_in_pieces_are_told_apart() -> None:
    calls = Calls()
    async with Upstream(calls) as upstream, FramedMesh(up(upstream.port)) as mesh:
        client = await mesh.connect()
        await client.send(frame(1, b"m a") + frame(2, b"m b"))
        one, two = await calls.arrived(2)
        await one.answer(b"200 a", MORE)
        await two.answer(b"200 b", MORE)
        await two.answer(b"b", MORE)
        await one.answer(b"a", MORE)
        await two.answer(b"B")
        await one.answer(b"A")
        got = [await read_frame(client) for _ in range(6)]
        for id, letter in ((1, b"a"), (2, b"b")):
            assert b"".join(payload for of, _, payload in got if of == id) == b"200 " + letter * 2 + letter.upper()
            assert [flags for of, flags, _ in got if of == id] == [MORE, MORE, 0]


@live
async def test_requests_in_pieces_are_told_apart() -> None:
    calls = Calls()
    async with Upstream(calls) as upstream, FramedMesh(up(upstream.port)) as mesh:
        client = await mesh.connect()
        await client.send(frame(1, b"m a", MORE), frame(2, b"m b", MORE), frame(2, b"B"), frame(1, b"A"))
        got = await calls.arrived(4)
        assert {call.payload[-1:].lower(): call.id for call in got} == {
            call.payload[-1:]: call.id for call in got if call.flags
        }
        for call in got:
            if not call.flags:
                await call.answer(b"200 " + call.payload)
        assert {await read_frame(client), await read_frame(client)} == {(1, 0, b"200 A"), (2, 0, b"200 B")}


@live
async def test_load_of_many_streams_and_connections() -> None:
    async def handler(peer: Peer, number: int) -> None:
        order, unread = random.Random(number), b""
        while piece := await peer.reader.read(1 << 14):
            unread += piece
            answers = []
            while len(unread) >= 8 and len(unread) >= (end := 8 + int.from_bytes(unread[4:8], "big")):
                answers.append(frame(int.from_bytes(unread[:4], "big"), b"200 " + unread[8:end]))
                unread = unread[end:]
            order.shuffle(answers)
            await peer.send(b"".join(answers))

    async def caller(client: Peer, number: int) -> None:
        left = {n: b"m %d/%d" % (number, n) for n in range(200)}
        await client.send(b"".join(frame(n, body) for n, body in left.items()))
        while left:
            id, flags, payload = await read_frame(client)
            assert (flags, payload) == (0, b"200 " + left.pop(id))

    limits = Thresholds(max_requests=5000, max_pending_requests=5000)
    async with (
        Upstream(handler) as upstream,
        FramedMesh(up(upstream.port, protocol_options=100, thresholds=limits)) as mesh,
    ):
        clients = [await mesh.connect() for _ in range(10)]
        async with asyncio.TaskGroup() as group:
            for number, client in enumerate(clients):
                group.create_task(caller(client, number))
        assert upstream.connections <= 20
        assert mesh.counter("cluster.up.upstream_rq_200") == 2000


@live
async def test_max_streams_of_a_connection_is_respected() -> None:
    calls = Calls()
    async with Upstream(calls) as upstream, FramedMesh(up(upstream.port, protocol_options=2)) as mesh:
        client = await mesh.connect()
        await client.send(b"".join(frame(n, b"m %d" % n) for n in range(1, 6)))
        got = await calls.arrived(5)
        assert sorted(call.connection for call in got) == [0, 0, 1, 1, 2]
        for call in got:
            await call.answer(b"200 " + call.payload)
        assert {await read_frame(client) for _ in range(5)} == {(n, 0, b"200 m %d" % n) for n in range(1, 6)}


@live
async def test_requests_wait_for_room_when_no_connection_may_be_added() -> None:
    calls = Calls()
    limits = Thresholds(max_connections=1)
    async with (
        Upstream(calls) as upstream,
        FramedMesh(up(upstream.port, protocol_options=2, thresholds=limits)) as mesh,
    ):
        client = await mesh.connect()
        await client.send(b"".join(frame(n, b"m %d" % n) for n in range(1, 6)))
        await calls.arrived(2)
        await until(lambda: mesh.counter("cluster.up.upstream_rq_pending_active") == 3, "three requests to wait")
        for done in range(5):
            await calls.all[done].answer(b"200 ok")
            await read_frame(client)
            await calls.arrived(min(5, done + 3))
        assert upstream.connections == 1
        assert mesh.counter("cluster.up.upstream_cx_overflow") > 0


@live
async def test_room_that_a_server_grants_later_is_used() -> None:
    calls = Calls()
    limits = Thresholds(max_connections=1)
    async with (
        Upstream(calls) as upstream,
        FramedMesh(up(upstream.port, protocol_options=1, thresholds=limits)) as mesh,
    ):
        client = await mesh.connect()
        await client.send(b"".join(frame(n, b"m %d" % n) for n in range(1, 4)))
        (first,) = await calls.arrived(1)
        await first.peer.send(frame(3, b"", ROOM))
        await calls.arrived(3)
        for call in calls.all:
            await call.answer(b"200 ok")
            await read_frame(client)


@live
async def test_server_that_grants_no_room_is_not_asked_for_connections_without_end() -> None:
    async with Upstream(Calls()) as upstream, FramedMesh(up(upstream.port, protocol_options=0)) as mesh:
        client = await mesh.connect()
        await client.send(frame(1, b"m a"))
        await until(lambda: upstream.connections, "a connection")
        await asyncio.sleep(0.05)
        assert upstream.connections == 1
        client.reset()


@live
async def test_requests_beyond_the_pending_limit_are_refused() -> None:
    calls = Calls()
    limits = Thresholds(max_connections=1, max_pending_requests=1)
    async with (
        Upstream(calls) as upstream,
        FramedMesh(up(upstream.port, protocol_options=1, thresholds=limits)) as mesh,
    ):
        client = await mesh.connect()
        await client.send(frame(1, b"m a"))
        await calls.arrived(1)
        await client.send(frame(2, b"m b") + frame(3, b"m c"))
        id, _, payload = await read_frame(client)
        assert (id, payload[:4]) == (3, b"503 ")
        for n in range(2):
            await (await calls.arrived(n + 1))[n].answer(b"200 ok")
            assert (await read_frame(client))[2] == b"200 ok"
        assert mesh.counter("cluster.up.upstream_rq_pending_overflow") == 1
        assert [flag for flag in mesh.log.flags if flag] == ["UO"]


@live
async def test_requests_beyond_the_request_limit_are_refused() -> None:
    calls = Calls()
    async with (
        Upstream(calls) as upstream,
        FramedMesh(up(upstream.port, thresholds=Thresholds(max_requests=2))) as mesh,
    ):
        client = await mesh.connect()
        await client.send(b"".join(frame(n, b"m x") for n in (1, 2, 3)))
        assert await read_frame(client) == (3, 0, b"503 overflow")
        for call in await calls.arrived(2):
            await call.answer(b"200 ok")
            await read_frame(client)
