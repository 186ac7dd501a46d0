"""HTTP/2 on either side or both: messages, trailers, interim responses and tunnels through the whole path."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from h2.settings import SettingCodes

from tests.integration.harness import Handler, Json, Mesh, Peer, field, get, http_options, live, status_of, until
from tests.integration.http2 import Http2Upstream, Message, Session, between, dial, echo, http2_options

MIXES = [(down, up) for down in (1, 2) for up in (1, 2)]
mixed = pytest.mark.parametrize(("down", "up"), MIXES, ids=[f"h{down}-to-h{up}" for down, up in MIXES])
WEBSOCKET: list[Json] = [{"upgrade_type": "websocket"}]
CONNECT: list[Json] = [{"upgrade_type": "CONNECT"}]


def unchunked(head: bytes, body: bytes) -> bytes:
    """What a body says, however it was sent."""
    if field(head, b"transfer-encoding") != b"chunked":
        return body
    pieces = []
    while size := int(body[: (at := body.index(b"\r\n"))], 16):
        pieces.append(body[at + 2 : at + 2 + size])
        body = body[at + 4 + size :]
    return b"".join(pieces)


async def echo_http1(peer: Peer, number: int) -> None:
    """Answers with the request's body, or its path."""
    while True:
        head, body = await peer.message()
        if not head:
            return
        answer = unchunked(head, body) or head.split(b" ")[1]
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(answer) + answer)


def cluster_of(version: int) -> Json:
    return http2_options() if version == 2 else {"typed_extension_protocol_options": http_options(enable_trailers=True)}


async def ask(mesh: Mesh, version: int, body: bytes, path: bytes = b"/p") -> tuple[int, bytes]:
    """Status and body of the answer to a request of that version of HTTP."""
    if version == 1:
        client = await mesh.connect()
        await client.send(get(path, b"content-length: %d" % len(body), method=b"POST") + body)
        head, answer = await client.message()
        return status_of(head), unchunked(head, answer)
    session = await dial(mesh)
    message = await session.ask(b"POST", path, end=not body)
    if body:
        await session.send(message, body)
    await session.done(message)
    assert message.ended
    return message.status, bytes(message.body)


@live
@mixed
@pytest.mark.parametrize("size", [0, 1, 100_000, 3_000_000])
async def test_messages_pass_in_every_mix(down: int, up: int, size: int) -> None:
    handler: Handler = Http2Upstream(echo) if up == 2 else echo_http1
    body = (bytes(range(256)) * (size // 256 + 1))[:size]
    async with between(handler, up=cluster_of(up)) as (mesh, upstream):
        for _ in range(2):
            status, answer = await ask(mesh, down, body)
            assert status == 200
            assert answer == (body or b"/p")
        assert upstream.connections == 1
        assert mesh.counter(f"cluster.up.upstream_cx_http{up}_total") == 1


@live
@mixed
async def test_trailers_pass_in_every_mix(down: int, up: int) -> None:
    seen: list[tuple[bytes, bytes]] = []

    async def serve(session: Session, message: Message) -> None:
        seen.extend(message.trailers)
        session.h2.send_headers(message.id, [(b":status", b"200")])
        await session.send(message, b"body", end=False)
        await session.send_trailers(message, (b"x-sum", b"up"))

    async def serve_http1(peer: Peer, number: int) -> None:
        _, body = await peer.message()
        assert b"x-sum: down" in body
        seen.append((b"x-sum", b"down"))
        await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nx-sum: up\r\n\r\n")
        await peer.rest()

    handler: Handler = Http2Upstream(serve) if up == 2 else serve_http1
    options = {"enable_trailers": True}
    async with between(handler, up=cluster_of(up), http_protocol_options=options) as (mesh, _):
        if down == 2:
            session = await dial(mesh)
            message = await session.ask(b"POST", b"/", (b"te", b"trailers"), end=False)
            await session.send(message, b"body", end=False)
            await session.send_trailers(message, (b"x-sum", b"down"))
            await session.done(message)
            assert (message.status, bytes(message.body)) == (200, b"body")
            assert message.trailers == [(b"x-sum", b"up")]
        else:
            client = await mesh.connect()
            await client.send(get(b"/", b"transfer-encoding: chunked", b"te: trailers", method=b"POST"))
            await client.send(b"4\r\nbody\r\n", b"0\r\nx-sum: down\r\n\r\n")
            head, body = await client.message()
            assert status_of(head) == 200
            assert body.startswith(b"4\r\nbody\r\n")
            assert b"x-sum: up\r\n" in body
        assert seen == [(b"x-sum", b"down")]


@live
@mixed
async def test_interim_responses_pass_in_every_mix(down: int, up: int) -> None:
    async def serve(session: Session, message: Message) -> None:
        session.h2.send_headers(message.id, [(b":status", b"103"), (b"link", b"</a>")])
        await session.flush()
        await session.answer(message, 200, b"done")

    async def serve_http1(peer: Peer, number: int) -> None:
        await peer.message()
        await peer.send(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n")
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone")
        await peer.rest()

    handler: Handler = Http2Upstream(serve) if up == 2 else serve_http1
    async with between(handler, up=cluster_of(up)) as (mesh, _):
        if down == 2:
            session = await dial(mesh)
            message = await session.ask()
            await session.done(message)
            assert [dict(one) for one in message.interims] == [{b":status": b"103", b"link": b"</a>"}]
            assert (message.status, bytes(message.body)) == (200, b"done")
        else:
            client = await mesh.connect()
            await client.send(get())
            interim = await client.head()
            assert (status_of(interim), field(interim, b"link")) == (103, b"</a>")
            head, body = await client.message()
            assert (status_of(head), body) == (200, b"done")


@live
@mixed
async def test_head_and_empty_answers_have_no_body(down: int, up: int) -> None:
    async def serve(session: Session, message: Message) -> None:
        status = 204 if message.field(b":path") == b"/none" else 200
        extra = [(b"content-length", b"42")] if status == 200 else []
        await session.answer(message, status, b"", *extra)

    async def serve_http1(peer: Peer, number: int) -> None:
        while head := await peer.head():
            if b" /none " in head:
                await peer.send(b"HTTP/1.1 204 No Content\r\n\r\n")
            else:
                await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 42\r\n\r\n")

    handler: Handler = Http2Upstream(serve) if up == 2 else serve_http1
    async with between(handler, up=cluster_of(up)) as (mesh, _):
        if down == 2:
            session = await dial(mesh)
            one, two = await session.ask(b"HEAD"), await session.ask(b"GET", b"/none")
            await session.done(one, two)
            assert (one.status, one.field(b"content-length"), bytes(one.body)) == (200, b"42", b"")
            assert (two.status, bytes(two.body)) == (204, b"")
        else:
            client = await mesh.connect()
            await client.send(get(method=b"HEAD"))
            head, _ = await client.message(bodiless=True)
            assert (status_of(head), field(head, b"content-length")) == (200, b"42")
            await client.send(get(b"/none"))
            head, _ = await client.message(bodiless=True)
            assert status_of(head) == 204


@live
@mixed
async def test_upstream_sees_where_the_request_was_meant_to_go(down: int, up: int) -> None:
    asked: list[tuple[bytes | None, bytes | None]] = []

    async def serve(session: Session, message: Message) -> None:
        asked.append((message.field(b":authority"), message.field(b":path")))
        assert message.field(b"host") is None
        await session.answer(message)

    async def serve_http1(peer: Peer, number: int) -> None:
        head, _ = await peer.message()
        asked.append((field(head, b"host"), head.split(b" ")[1]))
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        await peer.rest()

    handler: Handler = Http2Upstream(serve) if up == 2 else serve_http1
    async with between(handler, up=cluster_of(up)) as (mesh, _):
        assert (await ask(mesh, down, b"", b"/a?b=c"))[0] == 200
    assert asked == [(b"test", b"/a?b=c")]


# tunnels


async def talk(session: Session, message: Message) -> None:
    """Accepts a tunnel and sends back what comes through it."""
    session.h2.send_headers(message.id, [(b":status", b"200")])
    await session.flush()
    while True:
        await session.until(lambda: message.body or message.over, "data in the tunnel")
        piece = bytes(message.body)
        message.body.clear()
        await session.send(message, piece, end=message.ended)
        if message.ended:
            return


async def talk_http1(peer: Peer, number: int) -> None:
    head = await peer.head()
    if head.startswith(b"CONNECT "):
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
    else:
        assert field(head, b"upgrade") == b"websocket"
        accept = b"\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        await peer.send(
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket%b\r\n\r\n" % accept
        )
    while data := await peer.reader.read(1 << 16):
        await peer.send(data)


TUNNELS = {SettingCodes.ENABLE_CONNECT_PROTOCOL: 1}
EXTENDED = [
    (b":method", b"CONNECT"),
    (b":protocol", b"websocket"),
    (b":scheme", b"http"),
    (b":path", b"/chat"),
    (b":authority", b"test"),
    (b"sec-websocket-version", b"13"),
]
KEY = b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="


@live
@mixed
async def test_websockets_pass_in_every_mix(down: int, up: int) -> None:
    handler: Handler = Http2Upstream(talk, settings=TUNNELS, whole=False) if up == 2 else talk_http1
    async with between(
        handler, up=cluster_of(up), upgrade_configs=WEBSOCKET, http2_protocol_options={"allow_connect": True}
    ) as (mesh, _):
        pieces = [b"one", b"two" * 50_000]
        if down == 2:
            session = await dial(mesh)
            await session.until(lambda: session.h2.remote_settings.enable_connect_protocol, "the peer's settings")
            message = await session.send_head(EXTENDED, False)
            await session.until(lambda: message.status, "the tunnel")
            assert message.status == 200
            for piece in pieces:
                message.body.clear()
                await session.send(message, piece, end=False)
                await session.until(partial(message.body.endswith, piece), "the echo")
            await session.send(message, b"bye")
            await session.done(message)
            assert message.ended or up == 1
            assert message.body.endswith(b"bye")
        else:
            client = await mesh.connect()
            await client.send(get(b"/chat", b"connection: upgrade", b"upgrade: websocket", KEY))
            head = await client.head()
            assert status_of(head) == 101
            assert field(head, b"sec-websocket-accept") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
            for piece in pieces:
                await client.send(piece)
                assert await client.exactly(len(piece)) == piece
            client.half_close()
            assert await client.closed()
        await until(lambda: mesh.log.entries, "the tunnel to end")


@live
@mixed
async def test_connect_passes_in_every_mix(down: int, up: int) -> None:
    handler: Handler = Http2Upstream(talk, whole=False) if up == 2 else talk_http1
    routes: list[Json] = [{"match": {"connect_matcher": {}}, "route": {"cluster": "up"}}]
    async with between(handler, up=cluster_of(up), routes=routes, upgrade_configs=CONNECT) as (mesh, _):
        if down == 2:
            session = await dial(mesh)
            message = await session.send_head([(b":method", b"CONNECT"), (b":authority", b"far:443")], False)
            await session.until(lambda: message.status, "the tunnel")
            assert message.status == 200
            await session.send(message, b"hello", end=False)
            await session.until(lambda: message.body == b"hello", "the echo")
            await session.send(message, b"", end=True)
            await session.done(message)
        else:
            client = await mesh.connect()
            await client.send(b"CONNECT far:443 HTTP/1.1\r\nhost: far:443\r\n\r\n")
            assert status_of(await client.head()) == 200
            await client.send(b"hello")
            assert await client.exactly(5) == b"hello"
            client.half_close()
            assert await client.closed()
        await until(lambda: mesh.log.entries, "the tunnel to end")


@live
@mixed
@pytest.mark.parametrize("side", ["caller", "upstream"])
async def test_tunnel_that_either_side_gives_up_ends_on_the_other(down: int, up: int, side: str) -> None:
    opened, over = asyncio.Event(), asyncio.Event()

    async def serve(session: Session, message: Message) -> None:
        session.h2.send_headers(message.id, [(b":status", b"200")])
        await session.flush()
        opened.set()
        if side == "upstream":
            await session.until(lambda: message.body, "data")
            await session.reset(message)
        else:
            await session.until(lambda: message.over, "the end")
        over.set()

    async def serve_http1(peer: Peer, number: int) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        opened.set()
        if side == "upstream":
            await peer.exactly(5)
            peer.reset()
        await peer.rest()
        over.set()

    handler: Handler = Http2Upstream(serve, whole=False) if up == 2 else serve_http1
    routes: list[Json] = [{"match": {"connect_matcher": {}}, "route": {"cluster": "up"}}]
    async with between(handler, up=cluster_of(up), routes=routes, upgrade_configs=CONNECT) as (mesh, _):
        if down == 2:
            session = await dial(mesh)
            message = await session.send_head([(b":method", b"CONNECT"), (b":authority", b"far:443")], False)
            await session.until(lambda: message.status, "the tunnel")
            await opened.wait()
            await session.send(message, b"hello", end=False)
            if side == "caller":
                await session.reset(message)
            else:
                await session.done(message)
            assert (await ask(mesh, 1, b"", b"/x"))[0] == 404, "others go on"
        else:
            client = await mesh.connect()
            await client.send(b"CONNECT far:443 HTTP/1.1\r\nhost: far:443\r\n\r\n")
            await client.head()
            await opened.wait()
            await client.send(b"hello")
            if side == "caller":
                client.reset()
            else:
                await client.rest()
        await over.wait()


@live
async def test_websocket_is_refused_by_an_upstream_without_extended_connect() -> None:
    async with between(Http2Upstream(echo), upgrade_configs=WEBSOCKET) as (mesh, _):
        client = await mesh.connect()
        await client.send(get(b"/chat", b"connection: upgrade", b"upgrade: websocket", KEY))
        head, _ = await client.message()
        assert status_of(head) in (502, 503)
        # and the connection upstream is as good as before
        assert await ask(mesh, 2, b"") == (200, b"/p")


@live
async def test_request_waits_for_continue_over_http2() -> None:
    async def serve(session: Session, message: Message) -> None:
        if message.field(b"expect"):
            session.h2.send_headers(message.id, [(b":status", b"100")])
            await session.flush()
        await session.until(lambda: message.ended, "the body")
        await echo(session, message)

    async with between(Http2Upstream(serve, whole=False)) as (mesh, _):
        session = await dial(mesh)
        message = await session.ask(b"POST", b"/", (b"expect", b"100-continue"), end=False)
        await session.until(lambda: message.interims or message.over, "leave to go on")
        await session.send(message, b"body")
        await session.done(message)
        assert (message.status, bytes(message.body)) == (200, b"body")


@live
async def test_many_callers_share_one_upstream_connection() -> None:
    upstream_http2 = Http2Upstream(echo)
    async with between(upstream_http2) as (mesh, upstream):
        sessions = [await dial(mesh) for _ in range(3)]

        async def call(session: Session, name: int) -> None:
            messages = [await session.ask(b"GET", b"/%d/%d" % (name, n)) for n in range(20)]
            await session.done(*messages)
            assert [bytes(one.body) for one in messages] == [b"/%d/%d" % (name, n) for n in range(20)]

        async with asyncio.TaskGroup() as group:
            for name, session in enumerate(sessions):
                group.create_task(call(session, name))
            for _ in range(3):
                group.create_task(mesh.ask(get()))
        assert upstream.connections == 1
        assert len(upstream_http2.asked) == 63
