"""Filters that want the whole response, or put something of their own between its body and its trailers."""

from __future__ import annotations

import asyncio

import pytest

from plait import CONTINUE, Headers, Stream, StreamFilter, Verdict
from tests.integration.harness import Peer, field, get, http_options, live, ok, proxied, status_of, until

_CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
_TRAILERS = {"typed_extension_protocol_options": http_options(enable_trailers=True)}


class Gathers(StreamFilter):
    """Says in a header what the whole body and the trailers are."""

    def __init__(self, limit: int = 1 << 20) -> None:
        self.limit = limit
        self.cancelled = False

    async def on_response(self, stream: Stream) -> Verdict:
        await asyncio.sleep(0)
        try:
            body = await stream.response_body(self.limit)
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        response = stream.response
        assert response is not None
        response.headers.set("x-size", str(len(body)))
        if response.trailers is not None:
            response.headers.set("x-end", response.trailers.get("x-end") or "")
            response.trailers = None
        return CONTINUE


class Appends(StreamFilter):
    """Puts the trailers at the end of the body."""

    def __init__(self, drops: bool) -> None:
        self.drops = drops

    def on_response_trailers(self, stream: Stream) -> bytes | None:
        response = stream.response
        assert response is not None
        assert response.trailers is not None
        last = b"".join(name + b"=" + value for name, value in response.trailers.raw)
        if self.drops:
            response.trailers = None
        else:
            response.trailers = Headers([(b"x-mine", b"2")])
        return last


async def in_pieces(peer: Peer, number: int) -> None:
    while await peer.head():
        await peer.send(_CHUNKED + b"5\r\nhello\r\n")
        await asyncio.sleep(0.01)
        await peer.send(b"6\r\n world\r\n")
        await asyncio.sleep(0.01)
        await peer.send(b"0\r\nx-end: 1\r\n\r\n")


async def at_once(peer: Peer, number: int) -> None:
    while await peer.head():
        await peer.send(_CHUNKED + b"b\r\nhello world\r\n0\r\nx-end: 1\r\n\r\n")


@pytest.mark.parametrize("upstream", [in_pieces, at_once], ids=["in pieces", "at once"])
@live
async def test_whole_response_is_there_before_its_head_goes_on(upstream: object) -> None:
    async with proxied(upstream, [Gathers()], up=_TRAILERS) as (mesh, _):  # type: ignore[arg-type]
        client = await mesh.connect()
        for _ in range(2):
            await client.send(get())
            head, body = await client.message()
            assert (field(head, b"x-size"), field(head, b"x-end")) == (b"11", b"1")
            assert body.replace(b"b\r\n", b"").startswith(b"hello world")


@live
async def test_response_longer_than_allowed_is_replaced() -> None:
    gathers = Gathers(8)
    async with proxied(in_pieces, [gathers], up=_TRAILERS) as (mesh, _):
        client = await mesh.connect()
        await client.send(get())
        head, _body = await client.message()
        assert status_of(head) == 500
        assert gathers.cancelled
        assert mesh.log.entries[0].details == "response_payload_too_large"


@live
async def test_response_longer_than_every_buffer_is_gathered() -> None:
    size = 8 << 20

    async def large(peer: Peer, number: int) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        for _ in range(size >> 16):
            await peer.send(b"x" * (1 << 16))

    async with proxied(large, [Gathers(size)]) as (mesh, _):
        client = await mesh.connect()
        await client.send(get())
        head, body = await client.message()
        assert field(head, b"x-size") == b"%d" % size
        assert len(body) == size


@live
async def test_upstream_that_breaks_off_is_told_to_the_caller() -> None:
    async def breaks(peer: Peer, number: int) -> None:
        await peer.head()
        await peer.send(_CHUNKED + b"5\r\nhello\r\n")
        await asyncio.sleep(0.01)
        peer.reset()

    gathers = Gathers()
    async with proxied(breaks, [gathers]) as (mesh, _):
        client = await mesh.connect()
        await client.send(get())
        head, _body = await client.message()
        assert status_of(head) == 503
        assert gathers.cancelled


@live
async def test_caller_that_leaves_ends_the_wait() -> None:
    async def slow(peer: Peer, number: int) -> None:
        await peer.head()
        await peer.send(_CHUNKED + b"5\r\nhello\r\n")
        await peer.closed()

    gathers = Gathers()
    async with proxied(slow, [gathers]) as (mesh, upstream):
        client = await mesh.connect()
        await client.send(get())
        await until(lambda: upstream.connections, "the upstream")
        await asyncio.sleep(0.02)
        client.reset()
        await until(lambda: gathers.cancelled, "the filter")


@pytest.mark.parametrize("upstream", [in_pieces, at_once], ids=["in pieces", "at once"])
@pytest.mark.parametrize("drops", [True, False])
@live
async def test_filter_puts_a_last_piece_ahead_of_the_trailers(upstream: object, drops: bool) -> None:
    options = {"enable_trailers": True}
    async with proxied(upstream, [Appends(drops)], up=_TRAILERS, http_protocol_options=options) as (mesh, _):  # type: ignore[arg-type]
        client = await mesh.connect()
        await client.send(get())
        _head, body = await client.message()
        text = body.replace(b"\r\n", b"")
        assert b"x-end=1" in text
        assert text.index(b"world") < text.index(b"x-end=1")
        assert (b"x-mine: 2" in text) is not drops


@live
async def test_filter_that_gives_no_bytes_ahead_of_trailers_fails_its_stream() -> None:
    class Wrong(StreamFilter):
        def on_response_trailers(self, stream: Stream) -> bytes | None:
            return "text"  # type: ignore[return-value]

    async with proxied(at_once, [Wrong()], up=_TRAILERS) as (mesh, _):
        client = await mesh.connect()
        await client.send(get())
        head, _body = await client.message()
        assert status_of(head) == 500


@live
async def test_whole_response_that_came_with_its_head_is_there_at_once() -> None:
    async def whole(peer: Peer, number: int) -> None:
        await peer.head()
        await peer.send(ok(b"all"))

    async with proxied(whole, [Gathers()]) as (mesh, _):
        client = await mesh.connect()
        await client.send(get())
        head, body = await client.message()
        assert (field(head, b"x-size"), body) == (b"3", b"all")
