"""What becomes of streams when the upstream connection that they share is lost, refuses, says goodbye or is closed."""

from __future__ import annotations

import pytest

from plait.api.config import RetryPolicy
from plait.stream import ForwardOptions
from tests.integration.framed import (
    GOAWAY,
    RESET,
    FramedMesh,
    ToUp,
    frame,
    read_frame,
    up,
)
from tests.integration.framed_calls import Calls, echo
from tests.integration.harness import Upstream, live, until


def retrying(*words: str) -> ToUp:
    return ToUp(ForwardOptions(retry=RetryPolicy(retry_on=words, base_interval_s=0.001)))


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
