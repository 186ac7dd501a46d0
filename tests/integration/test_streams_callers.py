"""What callers may do wrong, how their connections end, and requests that want no response."""

from __future__ import annotations

from plait.api.config import Thresholds
from tests.integration.framed import (
    MORE,
    RESET,
    FramedMesh,
    frame,
    read_frame,
    up,
)
from tests.integration.framed_calls import Calls, echo
from tests.integration.harness import Upstream, live, until

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
