"""Connections that begin with HTTP/1.1 and go on in HTTP/2 (RFC 7540, 3.2)."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from h2.settings import SettingCodes, Settings

from tests.integration.harness import Handler, Json, Mesh, Peer, field, get, live, status_of, until
from tests.integration.http2 import Http2Upstream, Message, Session, Watch, between, echo
from tests.integration.test_http2_exchange import cluster_of, echo_http1

OFFER = (b"connection: Upgrade, HTTP2-Settings", b"upgrade: h2c")
SETTINGS = b"http2-settings: AAMAAABkAAQAAP__"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


async def switch(
    mesh: Mesh,
    path: bytes = b"/first",
    *,
    method: bytes = b"GET",
    settings: Mapping[SettingCodes, int] | None = None,
    early: bool = False,
) -> tuple[Session, Message]:
    """A connection after the switch, and its first request."""
    session = Session(await mesh.connect(), client=True)
    if settings:
        session.h2.local_settings = Settings(client=True, initial_values=dict(settings))
    offered = session.h2.initiate_upgrade_connection()
    assert offered is not None
    asking = get(path, *OFFER, b"http2-settings: " + offered, method=method)
    if early:  # nobody may, but whoever does is understood
        await session.peer.send(asking + session.h2.data_to_send())
    else:
        await session.peer.send(asking)
    head = await session.peer.head()
    assert (status_of(head), field(head, b"upgrade"), field(head, b"connection")) == (101, b"h2c", b"upgrade")
    await session.flush()
    message = session.messages[1] = Message(1)
    return session, message


@live
@pytest.mark.parametrize("up", [1, 2])
@pytest.mark.parametrize("early", [False, True])
async def test_request_that_offers_http2_is_served_once_and_answered_in_it(up: int, early: bool) -> None:
    handler: Handler = Http2Upstream(echo) if up == 2 else echo_http1
    watch = Watch()
    async with between(handler, [watch], up=cluster_of(up)) as (mesh, _):
        session, first = await switch(mesh, early=early)
        await session.done(first)
        assert (first.status, bytes(first.body)) == (200, b"/first")
        second, third = await session.ask(b"GET", b"/second"), await session.ask(b"POST", b"/third", end=False)
        await session.send(third, b"body")
        await session.done(second, third)
        assert [bytes(second.body), bytes(third.body)] == [b"/second", b"body"]
        assert [stream.request.path for stream in watch.streams] == ["/first", "/second", "/third"]
        assert {stream.request.protocol for stream in watch.streams} == {"HTTP/2"}
        assert mesh.counter("http.test.downstream_rq_total") == 3
        assert mesh.counter("http.test.downstream_rq_http2_total") == 3
        assert mesh.counter("http.test.downstream_rq_http1_total") == 0
        assert mesh.counter("http.test.downstream_cx_total") == 1
        assert mesh.counter("http.test.downstream_cx_http1_total") == 1
        assert mesh.counter("http.test.downstream_cx_http2_total") == 1


@live
async def test_settings_of_the_offer_hold_for_its_answer() -> None:
    async with between(Http2Upstream(echo)) as (mesh, _):
        session, first = await switch(mesh, b"/" + b"x" * 99, settings={SettingCodes.INITIAL_WINDOW_SIZE: 10})
        session.held.add(1)
        await session.until(lambda: len(first.body) == 10, "as much as the window lets through")
        assert not first.over
        await session.release(first)
        await session.done(first)
        assert bytes(first.body) == b"/" + b"x" * 99


@live
async def test_head_request_that_offers_http2_has_an_answer_without_a_body() -> None:
    async def serve(session: Session, message: Message) -> None:
        await session.answer(message, 200, b"", (b"content-length", b"42"))

    async with between(Http2Upstream(serve)) as (mesh, _):
        session, first = await switch(mesh, method=b"HEAD")
        await session.done(first)
        assert (first.status, first.field(b"content-length"), bytes(first.body)) == (200, b"42", b"")


@live
async def test_later_request_of_a_connection_may_offer_http2() -> None:
    async with between(Http2Upstream(echo)) as (mesh, _):
        session = Session(await mesh.connect(), client=True)
        await session.peer.send(get(b"/one"))
        assert (await session.peer.message())[1] == b"/one"
        offered = session.h2.initiate_upgrade_connection()
        assert offered is not None
        await session.peer.send(get(b"/two", *OFFER, b"http2-settings: " + offered))
        assert status_of(await session.peer.head()) == 101
        await session.flush()
        second = session.messages[1] = Message(1)
        await session.done(second)
        assert bytes(second.body) == b"/two"


@live
async def test_answer_of_our_own_goes_out_in_http2_too() -> None:
    gone: Json = {"match": {"prefix": "/"}, "direct_response": {"status": 410}}
    async with between(Http2Upstream(echo), routes=[gone]) as (mesh, _):
        session, first = await switch(mesh)
        await session.done(first)
        assert first.status == 410


@live
async def test_switched_connection_goes_away_gracefully() -> None:
    limit: Json = {"max_requests_per_connection": 1}
    async with between(Http2Upstream(echo), common_http_protocol_options=limit) as (mesh, _):
        session, first = await switch(mesh)
        await session.done(first)
        await session.until(lambda: len(session.goaways) == 2, "both steps")
        assert session.goaways == [(2**31 - 1, 0), (1, 0)]
        while await session.read():
            pass


@live
async def test_caller_gives_the_request_up_that_it_began_with() -> None:
    async def stay(session: Session, message: Message) -> None:
        await session.until(lambda: message.over, "the end")

    upstream = Http2Upstream(stay)
    async with between(upstream) as (mesh, _):
        session, first = await switch(mesh)
        await until(lambda: upstream.asked, "the request")
        await session.reset(first)
        await until(lambda: upstream.asked[0].reset is not None, "the reset upstream")


REFUSED = {
    "a body": get(b"/p", *OFFER, SETTINGS, b"content-length: 4", method=b"POST") + b"body",
    "no settings": get(b"/p", *OFFER),
    "settings that are none": get(b"/p", *OFFER, b"http2-settings: AAMA"),
    "settings in another alphabet": get(b"/p", *OFFER, b"http2-settings: AAMAAABkAAQAAP//"),
    "a window that is too large": get(b"/p", *OFFER, b"http2-settings: AAT_____"),
    "two settings": get(b"/p", *OFFER, SETTINGS, SETTINGS),
}


@live
@pytest.mark.parametrize("why", REFUSED)
async def test_offer_that_is_not_taken_up_is_answered_in_http1(why: str) -> None:
    upstream = Http2Upstream(echo)
    async with between(upstream, upgrade_configs=[{"upgrade_type": "h2c"}]) as (mesh, _):
        client = await mesh.connect()
        for _ in range(2):
            await client.send(REFUSED[why])
            head, body = await client.message()
            assert head.startswith(b"HTTP/1.1 200 ")
            assert body in (b"/p", b"body")
        names = {name for message in upstream.asked for name, _ in message.fields}
        assert not names & {b"upgrade", b"connection", b"http2-settings"}


@live
async def test_listener_of_http1_alone_takes_no_offer_up_and_hands_none_on() -> None:
    seen: list[bytes] = []

    async def serve(peer: Peer, number: int) -> None:
        head, _ = await peer.message()
        seen.append(head.lower())
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    async with between(serve, up={}, codec_type="HTTP1", upgrade_configs=[{"upgrade_type": "h2c"}]) as (mesh, _):
        client = await mesh.connect()
        await client.send(get(b"/p", *OFFER, SETTINGS))
        head, _ = await client.message()
        assert status_of(head) == 200
    assert b"h2c" not in seen[0]
    assert b"http2-settings" not in seen[0]
