"""Filters in the path: every kind of answer, at every phase."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from plait import CONTINUE, STOP, Headers, Stream, StreamFilter, Verdict
from tests.integration.harness import (
    Mesh,
    Peer,
    answering,
    cluster,
    configuration,
    echo,
    field,
    get,
    http_options,
    live,
    ok,
    post,
    proxied,
    response,
    status_of,
    tick,
    until,
)

CHUNKED = get(b"/", b"transfer-encoding: chunked", method=b"POST")
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\nhello"


# deciding on the head


class AsksForTheRoute(StreamFilter):
    def __init__(self) -> None:
        self.found: list[bool] = []

    def on_request(self, stream: Stream) -> Verdict:
        self.found.append(stream.route is not None)
        return CONTINUE


@live
async def test_filters_and_router_agree_on_a_route_that_is_for_a_share_of_requests() -> None:
    one, two = AsksForTheRoute(), AsksForTheRoute()
    half = {"default_value": {"numerator": 50, "denominator": "HUNDRED"}}
    routes = [{"match": {"prefix": "/", "runtime_fraction": half}, "route": {"cluster": "up"}}]
    async with proxied(answering(ok()), [one, two], routes=routes) as (mesh, _):
        client = await mesh.connect()
        answered = []
        for _ in range(40):
            await client.send(get())
            answered.append(status_of((await client.message())[0]) == 200)
        assert one.found == two.found == answered
        assert set(answered) == {True, False}


class Waits(StreamFilter):
    async def on_request(self, stream: Stream) -> Verdict:
        await tick()
        stream.request.headers.set("x-waited", "yes")
        return CONTINUE

    async def on_response(self, stream: Stream) -> Verdict:
        await tick()
        assert stream.response is not None
        stream.response.headers.set("x-waited", "yes")
        return CONTINUE


class Resumes(StreamFilter):
    """Stops, and resumes from elsewhere."""

    def on_request(self, stream: Stream) -> Verdict:
        asyncio.get_running_loop().call_later(0.01, stream.resume)
        return STOP


class RepliesLater(StreamFilter):
    def on_request(self, stream: Stream) -> Verdict:
        asyncio.get_running_loop().call_later(0.01, lambda: stream.reply(403, "later"))
        return STOP


class Replies(StreamFilter):
    def on_request(self, stream: Stream) -> Verdict:
        return stream.reply(403, "no", headers={"x-why": "policy"}, details="denied", flag="UAEX")


class RepliesAndContinues(StreamFilter):
    def on_request(self, stream: Stream) -> Verdict:
        stream.reply(403, "no")
        return CONTINUE


class Resets(StreamFilter):
    def on_request(self, stream: Stream) -> Verdict:
        stream.reset("not_today", flag="DR")
        return CONTINUE


@live
async def test_filters_that_wait_or_resume_let_requests_pass_in_order() -> None:
    seen: list[bytes] = []
    async with proxied(answering(ok(), seen=seen), [Waits(), Resumes(), Waits()]) as (mesh, _):
        client = await mesh.connect()
        await client.send(post(b"body") + CHUNKED + b"3\r\nabc\r\n0\r\n\r\n" + get(b"/3"))
        for _ in range(3):
            head, _body = await client.message()
            assert status_of(head) == 200
            assert field(head, b"x-waited") == b"yes"
        assert seen[0].endswith(b"\r\n\r\nbody")
        assert b"abc" in seen[1]
        assert seen[2].startswith(b"GET /3 ")
        assert all(field(request, b"x-waited") == b"yes" for request in seen)


@live
async def test_body_that_comes_while_a_filter_waits_follows_the_head() -> None:
    async with proxied(echo, [Resumes()]) as (mesh, _):
        client = await mesh.connect()
        await client.send(get(b"/", b"content-length: 9", method=b"POST"))
        for piece in (b"abc", b"def", b"ghi"):
            await client.send(piece)
            await asyncio.sleep(0.005)
        assert (await client.message())[1] == b"abcdefghi"


@live
async def test_reply_of_a_filter_never_reaches_the_upstream() -> None:
    for made in (Replies(), RepliesLater(), RepliesAndContinues()):
        async with proxied(answering(ok()), [made]) as (mesh, upstream):
            client = await mesh.connect()
            for _ in range(2):
                await client.send(get())
                assert status_of((await client.message())[0]) == 403
            assert upstream.connections == 0
    async with proxied(answering(ok()), [Replies()]) as (mesh, _):
        head, body = await mesh.ask(get())
        assert (field(head, b"x-why"), body) == (b"policy", b"no")
        assert field(head, b"server") == b"plait"
        assert (mesh.log.flags, mesh.log.entries[0].details) == (["UAEX"], "denied")


@live
async def test_reset_by_a_filter_closes_without_an_answer() -> None:
    async with proxied(answering(ok()), [Resets()]) as (mesh, upstream):
        client = await mesh.connect()
        await client.send(get())
        assert await client.closed()
        assert upstream.connections == 0
        assert mesh.log.flags == ["DR"]


@live
async def test_caller_that_leaves_ends_what_a_filter_waits_for() -> None:
    cancelled = asyncio.Event()

    class Forever(StreamFilter):
        async def on_request(self, stream: Stream) -> Verdict:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.set()
                raise
            return CONTINUE

    async with proxied(answering(ok()), [Forever()]) as (mesh, _):
        client = await mesh.connect()
        await client.send(get())
        await until(lambda: mesh.counter("http.test.downstream_rq_active"), "the request")
        await asyncio.sleep(0.02)
        client.reset()
        await cancelled.wait()
        assert mesh.log.flags == ["DC"]


@live
async def test_filter_that_answers_in_place_of_the_response() -> None:
    class Instead(StreamFilter):
        def __init__(self, waits: bool) -> None:
            self.waits = waits

        def on_response(self, stream: Stream) -> Verdict | Awaitable[Verdict]:
            return self._later(stream) if self.waits else stream.reply(502, "mine")

        async def _later(self, stream: Stream) -> Verdict:
            await tick()
            return stream.reply(502, "mine")

    for waits in (False, True):
        for answer in (ok(), b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello", UNTIL_CLOSE):
            async with proxied(answering(answer), [Instead(waits)]) as (mesh, _):
                client = await mesh.connect()
                for _ in range(2):
                    await client.send(get())
                    head, body = await client.message()
                    assert (status_of(head), body) == (502, b"mine")


# bodies


class Doubles(StreamFilter):
    """Changes the length of every body."""

    def on_request_data(self, stream: Stream, data: bytes, end: bool) -> bytes:
        return data * 2

    def on_response_data(self, stream: Stream, data: bytes, end: bool) -> bytes:
        return data + data


class DoublesLater(StreamFilter):
    async def on_request_data(self, stream: Stream, data: bytes, end: bool) -> bytes:
        await tick()
        return data * 2

    async def on_response_data(self, stream: Stream, data: bytes, end: bool) -> bytes:
        await tick()
        return data + data


@live
@pytest.mark.parametrize("made", [Doubles(), DoublesLater()])
@pytest.mark.parametrize("pieces", [1, 5])
async def test_filter_changes_the_length_of_bodies(made: StreamFilter, pieces: int) -> None:
    async with proxied(echo, [made]) as (mesh, _):
        client = await mesh.connect()
        for _ in range(2):
            await client.send(get(b"/", b"content-length: %d" % (3 * pieces), method=b"POST"))
            for _ in range(pieces):
                await client.send(b"abc")
                await asyncio.sleep(0.005)
            head, body = await client.message()
            assert status_of(head) == 200
            if field(head, b"transfer-encoding"):
                body = b"".join(body.split(b"\r\n")[1::2])
            assert sorted(body) == sorted(b"abc" * pieces * 4)


@live
async def test_filters_that_wait_keep_the_pieces_in_order() -> None:
    class Numbers(StreamFilter):
        """The first pieces take longest."""

        def __init__(self) -> None:
            self.delay = 0.02

        async def on_request_data(self, stream: Stream, data: bytes, end: bool) -> bytes:
            self.delay /= 2
            await asyncio.sleep(self.delay)
            return data

        async def on_response_data(self, stream: Stream, data: bytes, end: bool) -> bytes:
            self.delay /= 2
            await asyncio.sleep(self.delay)
            return data

    text = b"".join(b"%04d" % n for n in range(200))

    async def handler(peer: Peer, number: int) -> None:
        head = await peer.head()
        got = b""
        if field(head, b"transfer-encoding"):
            while not got.endswith(b"0\r\n\r\n"):
                got += await peer.reader.read(100)
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(text))
        body = b"".join(got.split(b"\r\n")[1::2])
        for at in range(0, len(body), 40):
            await peer.send(body[at : at + 40])
            await asyncio.sleep(0)

    async with proxied(handler, [Numbers(), Numbers()]) as (mesh, _):
        client = await mesh.connect()
        await client.send(get(b"/", b"content-length: %d" % len(text), method=b"POST"))
        for at in range(0, len(text), 40):
            await client.send(text[at : at + 40])
            await asyncio.sleep(0)
        head, body = await client.message()
        assert field(head, b"transfer-encoding") == b"chunked"
        assert b"".join(body.split(b"\r\n")[1::2]) == text


@live
async def test_large_bodies_through_filters_that_wait_stay_bounded() -> None:
    class Passes(StreamFilter):
        async def on_request_data(self, stream: Stream, data: bytes, end: bool) -> bytes:
            await asyncio.sleep(0)
            return data

        async def on_response_data(self, stream: Stream, data: bytes, end: bool) -> bytes:
            await asyncio.sleep(0)
            return data

    size, sent = 64 << 20, 0

    async def download(peer: Peer, number: int) -> None:
        nonlocal sent
        await peer.message()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        while sent < size:
            await peer.send(b"x" * (1 << 16))
            sent += 1 << 16

    async with proxied(download, [Passes()]) as (mesh, _):
        client = await mesh.connect()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(get())
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.3)
        assert sent < size // 2

    go = asyncio.Event()

    async def upload(peer: Peer, number: int) -> None:
        await peer.head()
        await go.wait()

    async with proxied(upload, [Passes()]) as (mesh, _):
        client = await mesh.connect()
        await client.send(get(b"/", b"content-length: %d" % size, method=b"POST"))
        sent = 0

        async def push() -> None:
            nonlocal sent
            while sent < size:
                await client.send(b"x" * (1 << 16))
                sent += 1 << 16

        task = asyncio.get_running_loop().create_task(push())
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.3)
        assert sent < size // 2
        task.cancel()
        client.reset()
        go.set()


@live
async def test_trailers_of_whole_and_of_streamed_messages_are_shown() -> None:
    class Sees(StreamFilter):
        def __init__(self) -> None:
            self.seen: list[str] = []

        def on_request_trailers(self, stream: Stream) -> None:
            assert stream.request.trailers is not None
            self.seen.append(f"request {stream.request.trailers.get('x-end')}")

        def on_response_trailers(self, stream: Stream) -> None:
            assert stream.response is not None
            assert stream.response.trailers is not None
            self.seen.append(f"response {stream.response.trailers.get('x-end')}")

    sees = Sees()
    up = {"typed_extension_protocol_options": http_options(enable_trailers=True)}
    async with proxied(echo, [sees], up=up, http_protocol_options={"enable_trailers": True}) as (mesh, _):
        client = await mesh.connect()
        await client.send(CHUNKED + b"1\r\na\r\n0\r\nx-end: 1\r\n\r\n")
        await client.message()
        await client.send(CHUNKED + b"1\r\na\r\n")
        await asyncio.sleep(0.02)
        await client.send(b"0\r\nx-end: 2\r\n\r\n")
        await client.message()
        assert sees.seen == ["request 1", "response 1", "request 2", "response 2"]


# the whole body at once


class Collects(StreamFilter):
    def __init__(self, limit: int = 1 << 20, first: float = 0.0) -> None:
        self.limit = limit
        self.first = first
        self.bodies: list[bytes] = []

    async def on_request(self, stream: Stream) -> Verdict:
        await asyncio.sleep(self.first)
        self.bodies.append(await stream.request_body(self.limit))
        return CONTINUE


@live
async def test_whole_body_is_there_however_it_came() -> None:
    collects = Collects()
    async with proxied(echo, [collects]) as (mesh, _):
        client = await mesh.connect()
        await client.send(get())
        await client.message()
        await client.send(post(b"whole"))
        assert (await client.message())[1] == b"whole"
        for start, pieces in (
            (get(b"/", b"content-length: 6", method=b"POST"), [b"abc", b"def"]),
            (CHUNKED, [b"3\r\nabc\r\n", b"3\r\ndef\r\n0\r\n\r\n"]),
        ):
            await client.send(start)
            for piece in pieces:
                await asyncio.sleep(0.01)
                await client.send(piece)
            assert (await client.message())[1] == b"abcdef"
        assert collects.bodies == [b"", b"whole", b"abcdef", b"abcdef"]


@live
async def test_body_longer_than_a_filter_takes_is_413() -> None:
    for first in (0.0, 0.02):
        collects = Collects(1000, first)
        async with proxied(echo, [collects]) as (mesh, upstream):
            client = await mesh.connect()
            await client.send(get(b"/", b"content-length: 1000000", method=b"POST"), b"x" * 200_000)
            assert status_of((await client.message())[0]) == 413
            assert (upstream.connections, collects.bodies) == (0, [])


@live
async def test_filter_may_take_more_than_the_buffer_limit() -> None:
    collects = Collects(8 << 20, 0.05)
    async with proxied(answering(ok()), [collects]) as (mesh, _):
        client = await mesh.connect()
        await client.send(post(b"x" * (4 << 20)))
        assert status_of((await client.message())[0]) == 200
        assert collects.bodies == [b"x" * (4 << 20)]


@live
async def test_whole_body_with_trailers_goes_on_with_them() -> None:
    seen: list[bytes] = []
    up = {"typed_extension_protocol_options": http_options(enable_trailers=True)}
    enabled = {"enable_trailers": True}
    async with proxied(answering(ok(), seen=seen), [Collects()], up=up, http_protocol_options=enabled) as (mesh, _):
        client = await mesh.connect()
        await client.send(CHUNKED)
        await asyncio.sleep(0.02)
        await client.send(b"3\r\nabc\r\n")
        await asyncio.sleep(0.02)
        await client.send(b"0\r\nx-end: 1\r\n\r\n")
        assert status_of((await client.message())[0]) == 200
        assert seen[0].endswith(b"3\r\nabc\r\n0\r\nx-end: 1\r\n\r\n")


@live
async def test_local_replies_pass_the_response_filters() -> None:
    class Marks(StreamFilter):
        def on_response(self, stream: Stream) -> Verdict:
            assert stream.response is not None
            stream.response.headers.set("x-marked", "yes")
            return CONTINUE

    async with Mesh(configuration([cluster("up", 1)]), [Marks()]) as mesh:
        client = await mesh.connect()
        await client.send(get())
        assert field((await client.message())[0], b"x-marked") == b"yes"
        await client.send(b"nonsense\r\n\r\n")
        head, _ = await client.message()
        assert (status_of(head), field(head, b"x-marked")) == (400, b"yes")


@live
async def test_filter_sends_hints_ahead_of_the_response() -> None:
    class Hints(StreamFilter):
        def on_request(self, stream: Stream) -> Verdict:
            stream.send_interim(103, Headers([(b"link", b"</a>")]))
            return CONTINUE

    async with proxied(answering(response(204)), [Hints()]) as (mesh, _):
        client = await mesh.connect()
        await client.send(get())
        assert status_of(await client.head()) == 103
        assert status_of(await client.head()) == 204


@live
@pytest.mark.parametrize("later", [False, True])
async def test_reset_of_a_stream_with_requests_behind_it_ends_the_connection(later: bool) -> None:
    class ResetsLater(StreamFilter):
        def on_request(self, stream: Stream) -> Verdict:
            asyncio.get_running_loop().call_later(0.01, stream.reset, "not_today")
            return STOP

    async with proxied(answering(ok()), [ResetsLater() if later else Resets()]) as (mesh, upstream):
        client = await mesh.connect()
        await client.send(get() * 3)
        assert await client.closed()
        assert upstream.connections == 0
        assert len(mesh.log.entries) == 1
