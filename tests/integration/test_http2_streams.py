"""Streams of HTTP/2 on shared connections: limits, resets, connections that go away, heartbeats."""

from __future__ import annotations

import asyncio

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from tests.integration.harness import LISTENER, Json, Peer, get, live, status_of, until
from tests.integration.http2 import Http2Upstream, Message, Session, between, dial, echo, http2_options, stay

LARGEST_ID = (1 << 31) - 1


def at_most(streams: int) -> dict[SettingCodes, int]:
    return {SettingCodes.MAX_CONCURRENT_STREAMS: streams}


def retrying(words: str) -> list[Json]:
    policy = {"retry_on": words, "num_retries": 3, "retry_back_off": {"base_interval": "0.001s"}}
    return [{"match": {"prefix": "/"}, "route": {"cluster": "up", "retry_policy": policy}}]


def one_connection(**options: int) -> Json:
    """A cluster with a single connection."""
    return {**http2_options(**options), "circuit_breakers": {"thresholds": [{"max_connections": 1}]}}


# many


@live
async def test_a_thousand_streams_at_once_share_one_connection_on_either_side() -> None:
    upstream_http2 = Http2Upstream(stay, settings=at_most(1000))
    async with between(upstream_http2, up=http2_options(max_concurrent_streams=1000)) as (mesh, upstream):
        session = await dial(mesh)
        warm = await session.ask()
        await until(lambda: upstream_http2.asked, "the first request")
        await upstream_http2.sessions[0].answer(upstream_http2.asked.pop())
        await session.done(warm)
        messages = [await session.ask(b"GET", b"/%d" % number) for number in range(1000)]
        await session.until(lambda: len(upstream_http2.asked) == 1000, "all of them upstream")
        assert mesh.gauges()["cluster.up.upstream_rq_active"] == 1000
        assert upstream.connections == 1
        (far,) = upstream_http2.sessions
        for message in reversed(upstream_http2.asked):
            await far.answer(message, 200, b"to " + (message.field(b":path") or b""))
        await session.done(*messages)
        assert [bytes(one.body) for one in messages] == [b"to /%d" % number for number in range(1000)]


@live
async def test_streams_beyond_our_own_limit_are_refused_and_the_others_go_on() -> None:
    upstream = Http2Upstream(stay)
    async with between(upstream, http2_protocol_options={"max_concurrent_streams": 2}) as (mesh, _):
        session = await dial(mesh)  # and it does not wait for our settings
        messages = [await session.ask(b"GET", b"/%d" % number) for number in range(3)]
        await session.done(messages[2])
        assert messages[2].reset == ErrorCodes.REFUSED_STREAM
        await until(lambda: len(upstream.asked) == 2, "the others")
        for one in upstream.asked:
            await upstream.sessions[0].answer(one, 200, b"fine")
        await session.done(*messages)
        assert [bytes(one.body) for one in messages[:2]] == [b"fine"] * 2


# the upstream's limits


@live
async def test_upstream_that_takes_one_stream_at_a_time_gets_more_connections() -> None:
    upstream_http2 = Http2Upstream(stay, settings=at_most(1))
    async with between(upstream_http2) as (mesh, upstream):
        session = await dial(mesh)
        first = await session.ask()
        await until(lambda: upstream_http2.asked and upstream_http2.sessions[0].acknowledged, "the first request")
        others = [await session.ask() for _ in range(2)]
        await until(lambda: len(upstream_http2.asked) == 3, "the others")
        assert upstream.connections == 3
        for far in upstream_http2.sessions:
            for message in [one for one in far.messages.values() if one.fields]:
                await far.answer(message, 200, b"done")
        await session.done(first, *others)
        assert [one.status for one in (first, *others)] == [200] * 3


@live
async def test_requests_wait_for_an_upstream_that_takes_one_stream_at_a_time() -> None:
    upstream_http2 = Http2Upstream(stay, settings=at_most(1))
    async with between(upstream_http2, up=one_connection()) as (mesh, upstream):
        session = await dial(mesh)
        messages = [await session.ask(b"GET", b"/0")]
        await until(lambda: upstream_http2.asked and upstream_http2.sessions[0].acknowledged, "the first request")
        messages += [await session.ask(b"GET", b"/%d" % number) for number in (1, 2, 3)]
        await until(lambda: mesh.counter("cluster.up.upstream_rq_pending_active") == 3, "the others to wait")
        (far,) = upstream_http2.sessions
        for served in range(4):
            await until(lambda: len(upstream_http2.asked) > served, "the next one")  # noqa: B023
            assert len(upstream_http2.asked) == served + 1
            await far.answer(upstream_http2.asked[served], 200, b"%d" % served)
            await session.done(messages[served])
        assert [bytes(one.body) for one in messages] == [b"0", b"1", b"2", b"3"]
        assert upstream.connections == 1


@live
async def test_limit_that_an_upstream_raises_later_is_used() -> None:
    upstream_http2 = Http2Upstream(stay, settings=at_most(1))
    async with between(upstream_http2, up=one_connection()) as (mesh, _):
        session = await dial(mesh)
        messages = [await session.ask()]
        await until(lambda: upstream_http2.asked and upstream_http2.sessions[0].acknowledged, "the first request")
        messages += [await session.ask(), await session.ask()]
        await until(lambda: mesh.counter("cluster.up.upstream_rq_pending_active") == 2, "the others to wait")
        (far,) = upstream_http2.sessions
        far.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 3})
        await far.flush()
        await until(lambda: len(upstream_http2.asked) == 3, "all of them")
        for message in upstream_http2.asked:
            await far.answer(message)
        await session.done(*messages)


@live
async def test_limit_of_the_cluster_holds_below_that_of_the_upstream() -> None:
    upstream_http2 = Http2Upstream(stay, settings=at_most(100))
    async with between(upstream_http2, up=http2_options(max_concurrent_streams=2)) as (mesh, upstream):
        session = await dial(mesh)
        messages = [await session.ask() for _ in range(5)]
        await until(lambda: len(upstream_http2.asked) == 5, "all of them")
        assert sorted(sum(bool(one.fields) for one in far.messages.values()) for far in upstream_http2.sessions) == [
            1,
            2,
            2,
        ]
        assert upstream.connections == 3
        for far in upstream_http2.sessions:
            for message in [one for one in far.messages.values() if one.fields]:
                await far.answer(message)
        await session.done(*messages)


# resets


@live
async def test_reset_of_a_caller_reaches_the_upstream_and_no_other_stream() -> None:
    upstream = Http2Upstream(stay)
    async with between(upstream) as (mesh, _):
        session = await dial(mesh)
        one, two = await session.ask(b"GET", b"/1"), await session.ask(b"GET", b"/2")
        await until(lambda: len(upstream.asked) == 2, "both")
        await session.reset(one)
        (far,) = upstream.sessions
        gone, stays = upstream.asked
        await until(lambda: gone.reset is not None, "the reset upstream")
        assert gone.reset == ErrorCodes.CANCEL
        await far.answer(stays, 200, b"fine")
        await session.done(two)
        assert bytes(two.body) == b"fine"
        assert mesh.log.flags == ["DC", ""]


@live
async def test_reset_of_a_caller_reaches_an_upstream_of_http1_that_has_nothing_to_say() -> None:
    asked, ended = asyncio.Event(), list[str]()

    async def serve(peer: Peer, number: int) -> None:
        await peer.message()
        asked.set()
        try:
            ended.append("end" if not await peer.reader.read(1) else "more")
        except ConnectionResetError:
            ended.append("reset")

    async with between(serve, up={}) as (mesh, _):
        session = await dial(mesh)
        message = await session.ask(b"GET", b"/slow")
        await asked.wait()
        await session.reset(message)
        await until(lambda: ended, "the end upstream")
        assert ended == ["reset"]


@live
async def test_caller_that_closes_gives_up_its_streams_upstream_alone() -> None:
    upstream = Http2Upstream(stay)
    async with between(upstream) as (mesh, upstream_server):
        leaver, stayer = await dial(mesh), await dial(mesh)
        await leaver.ask(b"GET", b"/leaves")
        await until(lambda: len(upstream.asked) == 1, "one")
        message = await stayer.ask(b"GET", b"/stays")
        await until(lambda: len(upstream.asked) == 2, "both")
        leaver.peer.reset()
        await until(lambda: upstream.asked[0].reset is not None, "the reset upstream")
        await upstream.sessions[0].answer(upstream.asked[1], 200, b"fine")
        await stayer.done(message)
        assert bytes(message.body) == b"fine"
        assert upstream_server.connections == 1


@live
@pytest.mark.parametrize("code", [ErrorCodes.INTERNAL_ERROR, ErrorCodes.CANCEL, ErrorCodes.REFUSED_STREAM])
async def test_reset_of_the_upstream_is_answered_and_hurts_no_other_stream(code: ErrorCodes) -> None:
    async def serve(session: Session, message: Message) -> None:
        if message.field(b":path") == b"/bad":
            await session.reset(message, code)
        else:
            await echo(session, message)

    async with between(Http2Upstream(serve)) as (mesh, upstream):
        session = await dial(mesh)
        bad, good = await session.ask(b"GET", b"/bad"), await session.ask(b"GET", b"/good")
        await session.done(bad, good)
        assert bad.status == 503
        assert b"remote reset" in bytes(bad.body)
        assert bytes(good.body) == b"/good"
        assert upstream.connections == 1
        assert sorted(mesh.log.flags) == ["", "UR"]
        head, _ = await mesh.ask(get(b"/bad"))
        assert status_of(head) == 503


@live
@pytest.mark.parametrize("down", [1, 2])
async def test_reset_inside_a_response_cuts_it_off(down: int) -> None:
    async def serve(session: Session, message: Message) -> None:
        session.h2.send_headers(message.id, [(b":status", b"200"), (b"content-length", b"1000")])
        await session.send(message, b"part", end=False)
        await session.reset(message, ErrorCodes.INTERNAL_ERROR)

    async with between(Http2Upstream(serve)) as (mesh, _):
        if down == 2:
            session = await dial(mesh)
            message = await session.ask()
            await session.done(message)
            assert message.reset is not None
            assert not message.ended
        else:
            client = await mesh.connect()
            await client.send(get())
            assert status_of(await client.head()) == 200
            assert len(await client.rest()) < 1000


@live
async def test_refused_streams_are_retried() -> None:
    refused: list[Message] = []

    async def serve(session: Session, message: Message) -> None:
        if len(refused) < 2:
            refused.append(message)
            await session.reset(message, ErrorCodes.REFUSED_STREAM)
        else:
            await echo(session, message)

    async with between(Http2Upstream(serve), routes=retrying("refused-stream")) as (mesh, _):
        session = await dial(mesh)
        message = await session.ask(b"POST", b"/again", end=False)
        await session.send(message, b"body")
        await session.done(message)
        assert (message.status, bytes(message.body)) == (200, b"body")
        assert len(refused) == 2
        assert mesh.counter("cluster.up.upstream_rq_retry") == 2


@live
async def test_other_resets_are_not_retried_as_refused() -> None:
    async def serve(session: Session, message: Message) -> None:
        await session.reset(message, ErrorCodes.INTERNAL_ERROR)

    async with between(Http2Upstream(serve), routes=retrying("refused-stream")) as (mesh, _):
        session = await dial(mesh)
        message = await session.ask()
        await session.done(message)
        assert message.status == 503
        assert mesh.counter("cluster.up.upstream_rq_retry") == 0


# connections that go away


@live
async def test_goaway_of_the_upstream_lets_its_streams_finish_and_retries_those_it_refused() -> None:
    upstream_http2 = Http2Upstream(stay)
    async with between(upstream_http2, routes=retrying("refused-stream")) as (mesh, upstream):
        session = await dial(mesh)
        messages = [await session.ask(b"GET", b"/%d" % number) for number in range(4)]
        await until(lambda: len(upstream_http2.asked) == 4, "all of them")
        first = list(upstream_http2.asked)
        (old,) = upstream_http2.sessions
        await old.go_away(first[1].id)
        await until(lambda: len(upstream_http2.asked) == 6, "the refused ones again")
        assert upstream.connections == 2
        for message in upstream_http2.asked[4:]:
            await upstream_http2.sessions[1].answer(message, 200, b"new")
        for message in first[:2]:
            await old.answer(message, 200, b"old")
        await session.done(*messages)
        assert [bytes(one.body) for one in messages] == [b"old", b"old", b"new", b"new"]
        await until(lambda: old.closed, "the old connection to be closed")


@live
async def test_streams_refused_by_goaway_fail_without_a_retry_policy() -> None:
    upstream = Http2Upstream(stay)
    async with between(upstream) as (mesh, _):
        session = await dial(mesh)
        messages = [await session.ask() for _ in range(2)]
        await until(lambda: len(upstream.asked) == 2, "both")
        await upstream.sessions[0].go_away(upstream.asked[0].id)
        await session.done(messages[1])
        assert messages[1].status == 503
        await upstream.sessions[0].answer(upstream.asked[0], 200, b"old")
        await session.done(messages[0])
        assert bytes(messages[0].body) == b"old"


@live
async def test_upstream_that_announces_its_end_gets_no_new_streams() -> None:
    upstream_http2 = Http2Upstream(stay)
    async with between(upstream_http2) as (mesh, upstream):
        session = await dial(mesh)
        first = await session.ask()
        await until(lambda: upstream_http2.asked, "the first")
        old = upstream_http2.sessions[0]
        await old.go_away(LARGEST_ID)
        await old.peer.send(b"\0\0\x08\x06\0\0\0\0\0lastcall")
        await until(lambda: old.h2.inbound_flow_control_window, "an answer")
        second = await session.ask()
        await until(lambda: len(upstream_http2.asked) == 2 or upstream.connections == 2, "the second")
        await until(lambda: len(upstream_http2.asked) == 2, "the second")
        assert upstream.connections == 2
        await old.answer(upstream_http2.asked[0], 200, b"old")
        await upstream_http2.sessions[1].answer(upstream_http2.asked[1], 200, b"new")
        await session.done(first, second)
        assert [bytes(first.body), bytes(second.body)] == [b"old", b"new"]


@live
async def test_upstream_connections_end_after_the_requests_they_may_carry() -> None:
    options = http2_options()
    protocol = options["typed_extension_protocol_options"]
    protocol[next(iter(protocol))]["common_http_protocol_options"] = {"max_requests_per_connection": 2}
    async with between(Http2Upstream(echo), up=options) as (mesh, upstream):
        session = await dial(mesh)
        for _ in range(5):
            message = await session.ask()
            await session.done(message)
            assert message.status == 200
        assert upstream.connections == 3
        assert mesh.counter("cluster.up.upstream_cx_max_requests") == 2


@live
async def test_drain_says_goaway_and_streams_finish() -> None:
    upstream = Http2Upstream(stay)
    async with between(upstream) as (mesh, _):
        session = await dial(mesh)
        messages = [await session.ask()]
        await until(lambda: upstream.asked, "a request")
        server = mesh.plane._listeners[LISTENER].server
        assert server is not None
        server.drain()
        await session.until(lambda: len(session.goaways) == 2, "both GOAWAYs")
        assert [last for last, _ in session.goaways] == [LARGEST_ID, messages[0].id]
        assert [code for _, code in session.goaways] == [0, 0]
        assert not messages[0].over
        await upstream.sessions[0].answer(upstream.asked[0], 200, b"served to the end")
        await session.done(*messages)
        assert bytes(messages[0].body) == b"served to the end"
        await _ended(session)


async def _ended(session: Session) -> None:
    async with asyncio.timeout(10):
        while await session.read():
            pass


@live
async def test_connections_end_with_goaway_after_the_requests_they_may_carry() -> None:
    options = {"max_requests_per_connection": 3}
    async with between(Http2Upstream(echo), common_http_protocol_options=options) as (mesh, _):
        session = await dial(mesh)
        messages = [await session.ask() for _ in range(3)]
        await session.done(*messages)
        await session.until(lambda: len(session.goaways) == 2, "both GOAWAYs")
        await _ended(session)
        assert [one.status for one in messages] == [200] * 3
        assert mesh.counter("http.test.downstream_cx_max_requests_reached") == 1


# heartbeats


@live
async def test_heartbeats_ask_a_silent_upstream_and_keep_one_that_answers() -> None:
    upstream_http2 = Http2Upstream(stay)
    keepalive = {"interval": "0.05s", "timeout": "1s"}
    async with between(upstream_http2, up=http2_options(connection_keepalive=keepalive)) as (mesh, upstream):
        session = await dial(mesh)
        message = await session.ask()
        await until(lambda: upstream_http2.asked, "the request")
        (far,) = upstream_http2.sessions
        await until(lambda: far.pings >= 2, "two pings")
        await far.answer(upstream_http2.asked[0], 200, b"slow, but alive")
        await session.done(message)
        assert bytes(message.body) == b"slow, but alive"
        assert upstream.connections == 1
        assert mesh.counter("cluster.up.upstream_cx_heartbeat_timeout") == 0


@live
async def test_upstream_that_answers_no_heartbeat_is_given_up_and_its_requests_are_retried() -> None:
    upstream_http2 = Http2Upstream(stay)
    keepalive = {"interval": "0.1s", "timeout": "0.1s"}
    async with between(upstream_http2, up=http2_options(connection_keepalive=keepalive), routes=retrying("reset")) as (
        mesh,
        upstream,
    ):
        session = await dial(mesh)
        message = await session.ask()
        await until(lambda: upstream_http2.asked, "the request")
        upstream_http2.sessions[0].answers_pings = False
        await until(lambda: len(upstream_http2.asked) == 2, "the request on another connection")
        await upstream_http2.sessions[1].answer(upstream_http2.asked[1], 200, b"retried")
        await session.done(message)
        assert bytes(message.body) == b"retried"
        assert upstream.connections == 2
        assert mesh.counter("cluster.up.upstream_cx_heartbeat_timeout") == 1


# what breaks the protocol


@live
async def test_upstream_that_breaks_the_protocol_fails_its_streams_and_is_replaced() -> None:
    upstream_http2 = Http2Upstream(stay)
    async with between(upstream_http2) as (mesh, upstream):
        session = await dial(mesh)
        messages = [await session.ask() for _ in range(2)]
        await until(lambda: len(upstream_http2.asked) == 2, "both")
        await upstream_http2.sessions[0].peer.send(b"\0\0\0\0\0\0\0\0\0")  # DATA on stream 0
        await session.done(*messages)
        assert [one.status for one in messages] == [502, 502]
        assert mesh.counter("cluster.up.upstream_cx_protocol_error") == 1
        other = await session.ask()
        await until(lambda: len(upstream_http2.asked) == 3, "the next one")
        await upstream_http2.sessions[1].answer(upstream_http2.asked[2])
        await session.done(other)
        assert upstream.connections == 2


@live
async def test_caller_that_breaks_the_protocol_is_told_and_gives_up_its_streams_upstream() -> None:
    upstream = Http2Upstream(stay)
    async with between(upstream) as (mesh, _):
        session = await dial(mesh)
        await session.ask(b"POST", b"/", end=False)
        await until(lambda: upstream.asked, "the request")
        await session.peer.send(b"\0\0\0\0\0\0\0\0\0")
        await _ended(session)
        assert [code for _, code in session.goaways] == [ErrorCodes.PROTOCOL_ERROR]
        await until(lambda: upstream.asked[0].reset is not None, "the reset upstream")
        assert mesh.log.flags == ["DPE"]
