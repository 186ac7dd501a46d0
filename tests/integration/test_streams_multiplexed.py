"""Many streams on each connection, downstream and upstream, carried by a small protocol of the tests' own."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Any

import attrs
import pytest

from plait import CONTINUE, STOP, Stream, StreamFilter
from plait.api.config import RetryPolicy, Thresholds
from plait.stream import ForwardOptions, Limits
from tests.integration.framed import (
    GOAWAY,
    MORE,
    RESET,
    ROOM,
    FramedMesh,
    ToUp,
    frame,
    read_frame,
    up,
)
from tests.integration.harness import Peer, Upstream, live, until


@attrs.frozen
class Call:
    """A frame that arrived upstream, and how to answer it."""

    peer: Peer
    connection: int
    id: int
    flags: int
    payload: bytes

    async def answer(self, payload: bytes = b"", flags: int = 0) -> None:
        """Send a frame of the same stream."""
        await self.peer.send(frame(self.id, payload, flags))


class Calls:
    """An upstream that notes what arrives and lets the test answer."""

    def __init__(self) -> None:
        self.all: list[Call] = []

    async def __call__(self, peer: Peer, number: int) -> None:
        while True:
            self.all.append(Call(peer, number, *await read_frame(peer)))

    async def arrived(self, count: int) -> list[Call]:
        """All frames, once there are ``count``."""
        await until(lambda: len(self.all) >= count, f"{count} frames upstream, {len(self.all)} came")
        assert len(self.all) == count
        return self.all


async def echo(peer: Peer, number: int) -> None:
    """Answers every request with its body."""
    while True:
        id, _, payload = await read_frame(peer)
        await peer.send(frame(id, b"200 " + payload.partition(b" ")[2]))


def retrying(*words: str) -> ToUp:
    return ToUp(ForwardOptions(retry=RetryPolicy(retry_on=words, base_interval_s=0.001)))


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


@live
async def test_lost_upstream_connection_fails_only_its_own_streams() -> None:
    calls = Calls()
    async with Upstream(calls) as upstream, FramedMesh(up(upstream.port, protocol_options=2)) as mesh:
        clients = [await mesh.connect() for _ in range(2)]
        for client in clients:
            await client.send(frame(1, b"m 1"))
        await calls.arrived(2)
        for client in clients:
            await client.send(frame(2, b"m 2"))
        got = await calls.arrived(4)
        assert [call.connection for call in got] == [0, 0, 1, 1]
        got[0].peer.reset()
        for client in clients:
            id, _, payload = await read_frame(client)
            assert (id, payload) == (1, b"503 upstream_reset_before_response_started{connection_termination}")
        for call in got[2:]:
            await call.answer(b"200 fine")
        for client in clients:
            assert await read_frame(client) == (2, 0, b"200 fine")
        assert sorted(mesh.log.flags) == ["", "", "UC", "UC"]
        await clients[0].send(frame(3, b"m 3"))  # the one that is left takes it
        last = (await calls.arrived(5))[4]
        assert last.connection == 1
        await last.answer(b"200 again")
        assert await read_frame(clients[0]) == (3, 0, b"200 again")


@live
async def test_streams_of_a_lost_connection_are_retried_on_another() -> None:
    calls = Calls()
    async with Upstream(calls) as upstream, FramedMesh(up(upstream.port), router=retrying("reset")) as mesh:
        client = await mesh.connect()
        await client.send(frame(1, b"m 1") + frame(2, b"m 2"))
        (await calls.arrived(2))[0].peer.reset()
        for call in (await calls.arrived(4))[2:]:
            assert call.connection == 1
            await call.answer(b"200 " + call.payload)
        assert {await read_frame(client), await read_frame(client)} == {(1, 0, b"200 m 1"), (2, 0, b"200 m 2")}
        assert mesh.counter("cluster.up.upstream_rq_retry") == 2


@live
async def test_upstream_that_cannot_be_reached_fails_all_that_wait() -> None:
    async with Upstream(echo) as upstream:
        port = upstream.port
    async with FramedMesh(up(port)) as mesh:
        client = await mesh.connect()
        await client.send(frame(1, b"m 1") + frame(2, b"m 2"))
        assert {(await read_frame(client))[0], (await read_frame(client))[0]} == {1, 2}
        assert mesh.log.flags == ["UF", "UF"]


@live
async def test_protocol_error_upstream_fails_the_streams_of_that_connection() -> None:
    calls = Calls()
    async with Upstream(calls) as upstream, FramedMesh(up(upstream.port)) as mesh:
        client = await mesh.connect()
        await client.send(frame(1, b"m 1") + frame(2, b"m 2"))
        one, _ = await calls.arrived(2)
        await one.peer.send(frame(one.id, b"200 whole") + b"\0\0\0\1\7\xff\xff\xff")
        assert await read_frame(client) == (1, 0, b"200 whole")
        assert await read_frame(client) == (2, 0, b"502 upstream_reset_before_response_started{protocol_error}")
        assert mesh.counter("cluster.up.upstream_cx_protocol_error") == 1


@live
async def test_answer_to_an_unknown_id_is_ignored() -> None:
    calls = Calls()
    async with Upstream(calls) as upstream, FramedMesh(up(upstream.port)) as mesh:
        client = await mesh.connect()
        await client.send(frame(1, b"m 1"))
        (one,) = await calls.arrived(1)
        await one.peer.send(frame(77, b"200 stray") + frame(one.id, b"200 mine") + frame(one.id, b"200 twice"))
        assert await read_frame(client) == (1, 0, b"200 mine")
        await client.send(frame(2, b"m 2"))
        await (await calls.arrived(2))[1].answer(b"200 next")
        assert await read_frame(client) == (2, 0, b"200 next")


@live
async def test_stream_given_up_by_its_caller_is_reset_upstream_alone() -> None:
    calls = Calls()
    async with Upstream(calls) as upstream, FramedMesh(up(upstream.port)) as mesh:
        client = await mesh.connect()
        await client.send(frame(1, b"m 1") + frame(2, b"m 2"))
        one, two = await calls.arrived(2)
        await client.send(frame(1, b"", RESET))
        reset = (await calls.arrived(3))[2]
        assert (reset.id, reset.flags) == (one.id, RESET)
        await one.answer(b"200 too late")
        await two.answer(b"200 fine")
        assert await read_frame(client) == (2, 0, b"200 fine")
        assert mesh.log.flags == ["DC", ""]
        assert mesh.counter("http.test.downstream_rq_rx_reset") == 1


@live
async def test_caller_that_leaves_resets_its_streams_and_no_others() -> None:
    calls = Calls()
    async with Upstream(calls) as upstream, FramedMesh(up(upstream.port)) as mesh:
        leaver, stayer = await mesh.connect(), await mesh.connect()
        await leaver.send(frame(1, b"m 1") + frame(2, b"m 2"))
        await calls.arrived(2)
        await stayer.send(frame(1, b"m 3"))
        await calls.arrived(3)
        leaver.reset()
        got = await calls.arrived(5)
        assert {(call.id, call.flags) for call in got[3:]} == {(call.id, RESET) for call in got[:2]}
        await got[2].answer(b"200 fine")
        assert await read_frame(stayer) == (1, 0, b"200 fine")
        assert upstream.connections == 1


@live
@pytest.mark.parametrize("word", ["", "refused-stream"])
async def test_stream_that_the_upstream_resets_fails_or_is_retried_alone(word: str) -> None:
    calls = Calls()
    router = retrying(word) if word else ToUp()
    async with Upstream(calls) as upstream, FramedMesh(up(upstream.port), router=router) as mesh:
        client = await mesh.connect()
        await client.send(frame(1, b"m 1") + frame(2, b"m 2"))
        one, two = await calls.arrived(2)
        await one.answer(b"refused", RESET)
        if word:
            again = (await calls.arrived(3))[2]
            assert (again.connection, again.payload) == (0, b"m 1")
            await again.answer(b"200 now")
        id, _, payload = await read_frame(client)
        assert (id, payload) == (1, b"200 now" if word else b"503 upstream_reset_before_response_started{remote_reset}")
        await two.answer(b"200 fine")
        assert await read_frame(client) == (2, 0, b"200 fine")


@live
async def test_timeout_of_a_stream_leaves_the_others_alone() -> None:
    calls = Calls()
    router = ToUp(ForwardOptions(timeout_s=0.1))
    async with Upstream(calls) as upstream, FramedMesh(up(upstream.port), router=router) as mesh:
        client = await mesh.connect()
        await client.send(frame(1, b"m 1"))
        (one,) = await calls.arrived(1)
        assert await read_frame(client) == (1, 0, b"504 response_timeout")
        reset = (await calls.arrived(2))[1]
        assert (reset.id, reset.flags) == (one.id, RESET)
        await client.send(frame(2, b"m 2"))
        await (await calls.arrived(3))[2].answer(b"200 fine")
        assert await read_frame(client) == (2, 0, b"200 fine")
        assert upstream.connections == 1


@live
async def test_goaway_lets_streams_finish_and_takes_no_new_ones() -> None:
    calls = Calls()
    async with Upstream(calls) as upstream, FramedMesh(up(upstream.port)) as mesh:
        client = await mesh.connect()
        await client.send(frame(1, b"m 1"))
        (one,) = await calls.arrived(1)
        await one.peer.send(frame(one.id, b"", GOAWAY))
        await until(lambda: not mesh.connections()[0].codec.reusable, "the goaway")
        await client.send(frame(2, b"m 2"))
        two = (await calls.arrived(2))[1]
        assert two.connection == 1
        await one.answer(b"200 old")
        assert await read_frame(client) == (1, 0, b"200 old")
        await two.answer(b"200 new")
        assert await read_frame(client) == (2, 0, b"200 new")
        await until(lambda: mesh.counter("cluster.up.upstream_cx_active") == 1, "the old connection to close")


@live
async def test_streams_that_a_goaway_leaves_out_are_refused() -> None:
    calls = Calls()
    router = retrying("refused-stream")
    async with Upstream(calls) as upstream, FramedMesh(up(upstream.port), router=router) as mesh:
        client = await mesh.connect()
        await client.send(frame(1, b"m 1") + frame(2, b"m 2"))
        one, _ = await calls.arrived(2)
        await one.peer.send(frame(one.id, b"", GOAWAY))
        again = (await calls.arrived(3))[2]
        assert (again.connection, again.payload) == (1, b"m 2")
        await again.answer(b"200 two")
        assert await read_frame(client) == (2, 0, b"200 two")
        await one.answer(b"200 one")
        assert await read_frame(client) == (1, 0, b"200 one")


@live
async def test_connection_takes_no_more_requests_than_configured() -> None:
    calls = Calls()
    async with Upstream(calls) as upstream, FramedMesh(up(upstream.port, max_requests_per_connection=2)) as mesh:
        client = await mesh.connect()
        await client.send(b"".join(frame(n, b"m x") for n in range(1, 6)))
        got = await calls.arrived(5)
        assert sorted(call.connection for call in got) == [0, 0, 1, 1, 2]
        for call in got:
            await call.answer(b"200 ok")
            await read_frame(client)
        await until(lambda: mesh.counter("cluster.up.upstream_cx_active") == 1, "those that are used up to close")
        assert mesh.counter("cluster.up.upstream_cx_max_requests") == 2


@live
async def test_host_that_goes_finishes_its_streams() -> None:
    calls, other = Calls(), Calls()
    async with Upstream(calls) as upstream, Upstream(other) as second, FramedMesh(up(upstream.port)) as mesh:
        client = await mesh.connect()
        await client.send(frame(1, b"m 1"))
        (one,) = await calls.arrived(1)
        await mesh.reconfigure(endpoints=up(second.port).endpoints)
        await client.send(frame(2, b"m 2"))
        (two,) = await other.arrived(1)
        await one.answer(b"200 old")
        assert await read_frame(client) == (1, 0, b"200 old")
        await two.answer(b"200 new")
        assert await read_frame(client) == (2, 0, b"200 new")
        await until(lambda: mesh.counter("cluster.up.upstream_cx_active") == 1, "the old connection to close")


@live
async def test_idle_shared_connection_is_closed() -> None:
    async with Upstream(echo) as upstream, FramedMesh(up(upstream.port, idle_timeout_s=0.1)) as mesh:
        client = await mesh.connect()
        await client.send(frame(1, b"m 1"))
        assert await read_frame(client) == (1, 0, b"200 1")
        await until(lambda: mesh.counter("cluster.up.upstream_cx_idle_timeout") == 1, "the idle timeout")
        await client.send(frame(2, b"m 2"))
        assert await read_frame(client) == (2, 0, b"200 2")
        assert upstream.connections == 2


# what callers may do wrong, and how connections end


@live
async def test_id_in_use_is_refused_and_its_stream_goes_on() -> None:
    calls = Calls()
    async with Upstream(calls) as upstream, FramedMesh(up(upstream.port)) as mesh:
        client = await mesh.connect()
        await client.send(frame(1, b"m a") + frame(1, b"m b") + frame(2, b"m c"))
        assert await read_frame(client) == (1, 0, b"400 duplicate_request_id")
        for call in await calls.arrived(2):
            await call.answer(b"200 " + call.payload)
        assert {await read_frame(client), await read_frame(client)} == {(1, 0, b"200 m a"), (2, 0, b"200 m c")}
        assert mesh.counter("http.test.duplicate_request_id") == 1
        await client.send(frame(1, b"m d"))
        await (await calls.arrived(3))[2].answer(b"200 d")
        assert await read_frame(client) == (1, 0, b"200 d")


@live
async def test_fault_of_one_stream_leaves_the_others_alone() -> None:
    calls = Calls()
    async with Upstream(calls) as upstream, FramedMesh(up(upstream.port)) as mesh:
        client = await mesh.connect()
        await client.send(frame(1, b"m a"))
        (one,) = await calls.arrived(1)
        await client.send(frame(2, b" no method"))
        assert await read_frame(client) == (2, 0, b"400 no_method")
        await client.send(frame(3, b"m c"))
        for call in ((await calls.arrived(2))[1], one):
            await call.answer(b"200 ok")
            assert (await read_frame(client))[2] == b"200 ok"
        assert mesh.log.flags == ["DPE", "", ""]


@live
async def test_lost_framing_blames_no_stream_that_came_whole() -> None:
    calls = Calls()
    async with Upstream(calls) as upstream, FramedMesh(up(upstream.port)) as mesh:
        client, other = await mesh.connect(), await mesh.connect()
        await other.send(frame(1, b"m other"))
        await calls.arrived(1)
        await client.send(frame(1, b"m a") + frame(2, b"m b", MORE))
        await calls.arrived(3)
        await client.send(b"\0\0\0\3\7\xff\xff\xff" + frame(4, b"m never read"))
        assert await read_frame(client) == (0, 0, b"413 frame_too_long")
        assert await read_frame(client) == (2, RESET, b"")
        got = await calls.arrived(4)
        assert (got[3].flags, got[3].id) == (RESET, got[2].id)
        await got[1].answer(b"200 whole")
        assert await read_frame(client) == (1, 0, b"200 whole")
        assert await client.closed()
        await got[0].answer(b"200 undisturbed")
        assert await read_frame(other) == (1, 0, b"200 undisturbed")


@live
async def test_connection_cut_inside_a_frame_still_gets_what_it_asked_for() -> None:
    calls = Calls()
    async with Upstream(calls) as upstream, FramedMesh(up(upstream.port)) as mesh:
        client = await mesh.connect()
        await client.send(frame(1, b"m a") + b"\0\0")
        (one,) = await calls.arrived(1)
        client.half_close()
        assert await read_frame(client) == (0, 0, b"400 protocol_error")
        await one.answer(b"200 a")
        assert await read_frame(client) == (1, 0, b"200 a")
        assert await client.closed()


@live
async def test_half_closed_connection_gets_all_its_answers() -> None:
    calls = Calls()
    async with Upstream(calls) as upstream, FramedMesh(up(upstream.port)) as mesh:
        client = await mesh.connect()
        await client.send(frame(1, b"m a") + frame(2, b"m b"))
        client.half_close()
        for call in reversed(await calls.arrived(2)):
            await call.answer(b"200 " + call.payload)
        assert [await read_frame(client), await read_frame(client)] == [(2, 0, b"200 m b"), (1, 0, b"200 m a")]
        assert await client.closed()


@live
async def test_drained_connection_ends_with_its_last_stream() -> None:
    calls = Calls()
    async with Upstream(calls) as upstream, FramedMesh(up(upstream.port)) as mesh:
        client, idle = await mesh.connect(), await mesh.connect()
        await client.send(frame(1, b"m a") + frame(2, b"m b", MORE))
        one, two = await calls.arrived(2)
        await until(lambda: len(mesh.plane.proxy.connections) == 2, "both connections")
        mesh.plane.proxy.drain()
        assert await idle.closed()
        await one.answer(b"200 a")
        assert await read_frame(client) == (1, 0, b"200 a")
        await client.send(frame(2, b"rest"))
        await calls.arrived(3)
        await two.answer(b"200 b")
        assert await read_frame(client) == (2, 0, b"200 b")
        assert await client.closed()


# requests without a response


@live
async def test_oneway_request_ends_when_it_is_sent() -> None:
    calls = Calls()
    async with Upstream(calls) as upstream, FramedMesh(up(upstream.port)) as mesh:
        client = await mesh.connect()
        await client.send(frame(1, b"oneway a") + frame(2, b"oneway b", MORE) + frame(3, b"m c"))
        got = await calls.arrived(3)
        await until(lambda: len(mesh.log.entries) == 1, "the first to end")
        await client.send(frame(2, b"B"))
        await calls.arrived(4)
        await until(lambda: len(mesh.log.entries) == 2, "the second to end")
        await got[0].answer(b"200 stray")
        (three,) = [call for call in got if call.payload == b"m c"]
        await three.answer(b"200 c")
        assert await read_frame(client) == (3, 0, b"200 c")
        assert mesh.log.flags == ["", "", ""]
        assert mesh.counter("http.test.downstream_rq_unanswered") == 2


@live
async def test_oneway_requests_hold_no_place_on_a_connection() -> None:
    calls = Calls()
    limits = Thresholds(max_connections=1, max_requests=1)
    async with (
        Upstream(calls) as upstream,
        FramedMesh(up(upstream.port, protocol_options=1, thresholds=limits)) as mesh,
    ):
        client = await mesh.connect()
        for number in range(1, 6):
            await client.send(frame(number, b"oneway"))
            await calls.arrived(number)
        assert upstream.connections == 1


@live
async def test_oneway_request_that_cannot_be_sent_is_not_answered() -> None:
    async with Upstream(echo) as upstream:
        port = upstream.port
    async with FramedMesh(up(port)) as mesh:
        client = await mesh.connect()
        await client.send(frame(1, b"oneway a"))
        await until(lambda: mesh.log.flags == ["UF"], "the stream to end")
        await client.send(frame(2, b"m a"))
        assert (await read_frame(client))[0] == 2


# back-pressure


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


# anything at all


@live
@pytest.mark.parametrize("seed", range(6))
async def test_whatever_both_sides_do_nothing_is_left_behind(seed: int) -> None:
    dice = random.Random(seed)

    async def whim(peer: Peer, number: int) -> None:
        while True:
            id, flags, payload = await read_frame(peer)
            if flags & RESET:
                continue
            what = dice.randrange(40)
            if what == 0:
                peer.reset()
                return
            if what == 1:
                return
            if what == 2:
                await peer.send(frame(id, b"", GOAWAY))
            if what == 3:
                await peer.send(b"\0\0\0\1\7\xff\xff\xff")
            elif what < 8:
                await peer.send(frame(id, b"refused" if what % 2 else b"", RESET))
            elif what < 12:
                await peer.send(frame(id, b"200 begun", MORE))
            elif what < 20:
                await peer.send(frame(id, b"200 begun", MORE) + frame(id, b"x" * dice.randrange(100_000)))
            elif what < 36:
                await peer.send(frame(id, b"200 " + payload))

    async def caller(mesh: FramedMesh, number: int) -> None:
        client = await mesh.connect()
        try:
            for id in range(1, 60):
                what = dice.randrange(40)
                if what == 0:
                    client.reset()
                    return
                if what == 1:
                    client.half_close()
                    await client.rest()
                    return
                if what == 2:
                    await client.send(b"\0\0\0\1\7\xff\xff\xff")
                elif what < 5:
                    await client.send(frame(dice.randrange(1, id + 1), b"", RESET))
                elif what < 10:
                    await client.send(frame(id, b"m begun", MORE))
                elif what < 15:
                    await client.send(frame(id, b"m begun", MORE) + frame(id, b"y" * dice.randrange(100_000)))
                elif what < 17:
                    await client.send(frame(id, b"oneway"))
                else:
                    await client.send(frame(id, b"m %d" % id))
                if dice.random() < 0.3:
                    with contextlib.suppress(TimeoutError):  # what was asked may be worth no answer
                        async with asyncio.timeout(0.02):
                            await client.reader.read(dice.randrange(1, 1 << 16))
        except (ConnectionError, TimeoutError):
            pass
        finally:
            client.reset()

    router = ToUp(
        ForwardOptions(timeout_s=0.2, retry=RetryPolicy(retry_on=("reset", "refused-stream"), base_interval_s=0.001))
    )
    waits = Waits(dice)
    async with (
        Upstream(whim) as upstream,
        FramedMesh(
            up(
                upstream.port,
                protocol_options=5,
                max_requests_per_connection=50,
                thresholds=Thresholds(max_connections=4, max_pending_requests=20, max_requests=60, max_retries=5),
            ),
            [waits],
            router=router,
            limits=Limits(buffer_limit_bytes=50_000, stream_idle_timeout_s=0.5),
        ) as mesh,
        asyncio.TaskGroup() as group,
    ):
        for number in range(12):
            group.create_task(caller(mesh, number))


class Waits(StreamFilter):
    """Waits, resumes, replies, resets and fails as the dice fall."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice

    def on_request(self, stream: Stream) -> Any:
        what = self.dice.randrange(12)
        if what == 0:
            return stream.reply(403)
        if what == 1:
            stream.reset("whim")
            return STOP
        if what == 2:
            asyncio.get_running_loop().call_later(0.005, stream.resume)
            return STOP
        return self._later(stream, CONTINUE) if what < 6 else CONTINUE

    def on_request_data(self, stream: Stream, data: bytes, end: bool) -> Any:
        return self._later(stream, data) if self.dice.random() < 0.3 else data

    def on_response(self, stream: Stream) -> Any:
        return self._later(stream, CONTINUE) if self.dice.random() < 0.3 else CONTINUE

    def on_response_data(self, stream: Stream, data: bytes, end: bool) -> Any:
        return self._later(stream, data) if self.dice.random() < 0.3 else data

    async def _later(self, stream: Stream, answer: object) -> object:
        await asyncio.sleep(self.dice.random() / 200)
        what = self.dice.randrange(20)
        if what == 0:
            return stream.reply(403)
        if what == 1:
            stream.reset("whim")
        if what == 2:
            raise RuntimeError("whim")
        return answer
