"""Windows of HTTP/2: a slow reader of one stream holds up no other, and what waits for a window is bounded."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from plait import CONTINUE, Stream, StreamFilter, Verdict
from plait.stream.exchange import HELD_BYTES
from tests.integration.harness import Handler, Peer, get, live, ok, status_of, until
from tests.integration.http2 import Http2Upstream, Message, Session, between, dial, echo, http2_options
from tests.integration.test_http2_exchange import MIXES, cluster_of

LARGE = 12 << 20
SMALL_WINDOW = {SettingCodes.INITIAL_WINDOW_SIZE: 65535}
WINDOW = 256 * 1024
OPTIONS = {"initial_stream_window_size": WINDOW, "initial_connection_window_size": 16 << 20}
READ = 1 << 18
"""What a transport may hand over at once, and the marks of its buffer."""
BUFFER = 1 << 20
"""How much of a request may come before there is a connection for it."""
BOUND = HELD_BYTES + WINDOW + 2 * READ + BUFFER


class Bounds(StreamFilter):
    """Looks, whenever a piece of a body passes, at how much the connections of its stream hold."""

    def __init__(self) -> None:
        self.streams: list[Any] = []
        self.most = 0

    def on_request(self, stream: Stream) -> Verdict:
        self.streams.append(stream)
        return CONTINUE

    def on_request_data(self, stream: Stream, data: bytes, end: bool) -> bytes:
        self.look(stream)
        return data

    def on_response_data(self, stream: Stream, data: bytes, end: bool) -> bytes:
        self.look(stream)
        return data

    def look(self, stream: Any) -> None:
        """Note what waits to be sent, in either direction."""
        owner = stream.owner
        held = owner.codec.unsent(stream.request.id) + owner.transport.get_write_buffer_size()
        self.most = max(self.most, held)
        connection = stream.upstream if stream.forwarded else None
        if connection is not None:
            held = connection.codec.unsent(stream.upstream_id) + connection.transport.get_write_buffer_size()
            self.most = max(self.most, held)

    def held(self) -> int:
        """What waits for the windows of callers now."""
        return sum(one.owner.codec.unsent(one.request.id) for one in self.streams)


async def pour(session: Session, message: Message) -> None:
    """Answers ``/large`` with as much, everything else with its path."""
    if message.field(b":path") == b"/large":
        await session.answer(message, 200, bytes(LARGE))
    else:
        await echo(session, message)


async def pour_http1(peer: Peer, number: int) -> None:
    while True:
        head, _ = await peer.message()
        if not head:
            return
        await peer.send(ok(bytes(LARGE) if b" /large " in head else b"small"))


# slow readers of responses


@live
@pytest.mark.parametrize("up", [1, 2])
async def test_slow_reader_of_one_response_holds_up_no_other_and_buffers_stay_bounded(up: int) -> None:
    bounds = Bounds()
    handler: Handler = Http2Upstream(pour) if up == 2 else pour_http1
    options = http2_options(**OPTIONS) if up == 2 else cluster_of(1)
    async with between(handler, [bounds], up=options) as (mesh, _):
        session = await dial(mesh)
        large = await session.ask(b"GET", b"/large")
        session.held.add(large.id)
        await session.until(lambda: len(large.body) == 65535, "all that the window allows")
        for _ in range(20):
            small = await session.ask(b"GET", b"/small")
            await session.done(small)
            assert (small.status, bool(small.body)) == (200, True)
        assert len(large.body) == 65535
        assert HELD_BYTES < bounds.held() <= BOUND
        await session.release(large)
        await session.done(large)
        assert bytes(large.body) == bytes(LARGE)
        assert bounds.most <= BOUND


@live
async def test_callers_that_share_an_upstream_connection_do_not_wait_for_a_slow_one() -> None:
    bounds = Bounds()
    async with between(Http2Upstream(pour), [bounds], up=http2_options(**OPTIONS)) as (mesh, upstream):
        slow = await mesh.connect()
        await slow.send(get(b"/large"))  # and nothing of the answer is read for now
        await slow.head()
        fast = [await dial(mesh) for _ in range(2)]
        for session in fast:
            messages = [await session.ask(b"GET", b"/n") for _ in range(10)]
            messages.append(await session.ask(b"GET", b"/large"))
            await session.done(*messages)
            assert all(one.status == 200 for one in messages)
            assert len(messages[-1].body) == LARGE
        assert upstream.connections == 1
        assert len(await slow.exactly(LARGE)) == LARGE
        assert bounds.most <= BOUND


@live
async def test_caller_with_a_full_connection_window_holds_up_no_other_caller() -> None:
    async with between(Http2Upstream(pour), up=http2_options(**OPTIONS)) as (mesh, upstream):
        slow, fast = await dial(mesh, window=65535), await dial(mesh)
        slow.held.add(None)
        messages = [await slow.ask(b"GET", b"/large") for _ in range(3)]
        await slow.until(lambda: sum(len(one.body) for one in messages) == 65535, "all that the window allows")
        large = await fast.ask(b"GET", b"/large")
        await fast.done(large)
        assert len(large.body) == LARGE
        assert upstream.connections == 1
        slow.held.clear()
        slow.h2.increment_flow_control_window(65535)
        for one in messages:
            slow.h2.increment_flow_control_window(len(one.body) or 1, one.id)
        await slow.flush()
        await slow.done(*messages)
        assert [len(one.body) for one in messages] == [LARGE] * 3


# slow readers of requests


class Reads:
    """An upstream that gives the window of ``/slow`` back only once it may; the others are echoed."""

    def __init__(self) -> None:
        self.upstream = Http2Upstream(self.serve, settings=SMALL_WINDOW, whole=False, holds=b"/slow")
        self.slow: Message | None = None
        self.go = asyncio.Event()

    async def serve(self, session: Session, message: Message) -> None:
        if message.field(b":path") == b"/slow":
            self.slow = message
            await self.go.wait()
            await session.release(message)
        await session.until(lambda: message.over, "the request")
        await session.answer(message, 200, b"%d" % len(message.body))


@live
async def test_upstream_that_reads_one_request_slowly_holds_up_no_other_of_the_same_caller() -> None:
    reads, bounds = Reads(), Bounds()
    async with between(reads.upstream, [bounds], http2_protocol_options=OPTIONS) as (mesh, upstream):
        session = await dial(mesh)
        await session.until(lambda: session.h2.remote_settings.initial_window_size == WINDOW, "the peer's settings")
        slow = await session.ask(b"POST", b"/slow", end=False)
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(session.send(slow, bytes(LARGE)))
            await session.until(lambda: session.h2.local_flow_control_window(slow.id) == 0, "the window to be used up")
            for _ in range(10):
                other = await session.ask(b"POST", b"/fast", end=False)
                await session.send(other, bytes(100_000))
                await session.done(other)
                assert (other.status, bytes(other.body)) == (200, b"100000")
            assert not sending.done()
            await until(lambda: reads.slow is not None and len(reads.slow.body) == 65535, "all that the window allows")
            reads.go.set()
        await session.done(slow)
        assert (slow.status, bytes(slow.body)) == (200, b"%d" % LARGE)
        assert upstream.connections == 1
        assert bounds.most <= BOUND


@live
async def test_http1_caller_waits_for_the_window_upstream_and_others_do_not() -> None:
    reads, bounds = Reads(), Bounds()
    async with between(reads.upstream, [bounds]) as (mesh, upstream):
        client = await mesh.connect()
        async with asyncio.TaskGroup() as group:
            head = get(b"/slow", b"content-length: %d" % LARGE, method=b"POST")
            group.create_task(client.send(head, *[bytes(1 << 16)] * (LARGE >> 16)))
            await until(lambda: mesh.counter("http.test.downstream_flow_control_paused_reading_total"), "a pause")
            for _ in range(5):
                answer, body = await mesh.ask(get(b"/fast", b"content-length: 3", method=b"POST") + b"abc")
                assert (status_of(answer), body) == (200, b"3")
            await until(lambda: reads.slow is not None and len(reads.slow.body) == 65535, "all that the window allows")
            reads.go.set()
        answer, body = await client.message()
        assert (status_of(answer), body) == (200, b"%d" % LARGE)
        assert upstream.connections == 1
        assert bounds.most <= BOUND


# large bodies


@live
@pytest.mark.parametrize(("down", "up"), [mix for mix in MIXES if 2 in mix])
async def test_large_bodies_pass_both_ways_at_once_with_bounded_buffers(down: int, up: int) -> None:
    bounds = Bounds()

    async def relay(session: Session, message: Message) -> None:
        session.h2.send_headers(message.id, [(b":status", b"200")])
        while True:
            await session.until(lambda: message.body or message.over, "a piece")
            piece = bytes(message.body)
            message.body.clear()
            await session.send(message, piece, end=message.ended)
            if message.ended:
                return

    async def relay_http1(peer: Peer, number: int) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % LARGE)
        left = LARGE
        while left:
            piece = await peer.reader.read(min(left, 1 << 16))
            left -= len(piece)
            await peer.send(piece)

    handler: Handler = Http2Upstream(relay, whole=False) if up == 2 else relay_http1
    options = http2_options(**OPTIONS) if up == 2 else cluster_of(1)
    async with between(handler, [bounds], up=options, http2_protocol_options=OPTIONS) as (mesh, _):
        got = 0
        if down == 2:
            session = await dial(mesh)
            message = await session.ask(b"POST", b"/", (b"content-length", b"%d" % LARGE), end=False)
            async with asyncio.TaskGroup() as group:
                group.create_task(session.send(message, bytes(LARGE)))
                await session.done(message)
            got = len(message.body)
        else:
            client = await mesh.connect()
            async with asyncio.TaskGroup() as group:
                head = get(b"/", b"content-length: %d" % LARGE, method=b"POST")
                group.create_task(client.send(head, *[bytes(1 << 16)] * (LARGE >> 16)))
                await client.head()
                while got < LARGE + 1 and (line := await client.until(b"\r\n")) != b"0\r\n":
                    size = int(line, 16)
                    await client.exactly(size + 2)
                    got += size
        assert got == LARGE
        assert bounds.most <= BOUND


# ends that wait


@live
async def test_response_whose_end_waits_for_the_window_is_finished_when_it_opens() -> None:
    async with between(Http2Upstream(pour_little)) as (mesh, _):
        session = await dial(mesh)
        message = await session.ask()
        session.held.add(message.id)
        await session.until(lambda: len(message.body) == 65535, "all that the window allows")
        await until(lambda: not mesh.gauges().get("cluster.up.upstream_rq_active"), "the answer from upstream")
        assert not mesh.log.entries
        assert not message.ended
        await session.release(message)
        await session.done(message)
        assert len(message.body) == LITTLE
        assert message.trailers == [(b"x-sum", b"1")]
        await until(lambda: mesh.log.entries, "the end of the stream")
        (entry,) = mesh.log.entries
        assert (entry.status, entry.flags, entry.bytes_sent) == (200, (), LITTLE)


LITTLE = 65535 + 5000


async def pour_little(session: Session, message: Message) -> None:
    session.h2.send_headers(message.id, [(b":status", b"200")])
    await session.send(message, bytes(LITTLE), end=False)
    await session.send_trailers(message, (b"x-sum", b"1"))


@live
async def test_response_whose_end_waits_for_the_window_for_too_long_is_given_up() -> None:
    async with between(Http2Upstream(pour_little), stream_idle_timeout="0.2s") as (mesh, _):
        session = await dial(mesh)
        message = await session.ask()
        session.held.add(message.id)
        await session.until(lambda: message.over, "the stream to be given up")
        assert message.reset is not None
        assert len(message.body) == 65535
        (entry,) = mesh.log.entries
        assert entry.details == "stream_idle_timeout"
        session.held.clear()
        session.h2.increment_flow_control_window(1 << 20)
        await session.flush()
        other = await session.ask()
        await session.done(other)
        assert len(other.body) == LITTLE


@live
async def test_caller_that_leaves_a_response_that_waits_for_its_window_ends_it() -> None:
    async with between(Http2Upstream(pour_little)) as (mesh, _):
        session = await dial(mesh)
        messages = [await session.ask() for _ in range(2)]
        session.held.update(one.id for one in messages)
        await session.until(lambda: all(len(one.body) == 65535 for one in messages), "all that the windows allow")
        await session.reset(messages[0])
        await until(lambda: len(mesh.log.entries) == 1, "the end of one")
        assert mesh.log.flags == ["DC"]
        await session.release(messages[1])
        await session.done(messages[1])
        assert len(messages[1].body) == LITTLE


@live
async def test_answer_that_comes_before_the_window_for_all_of_the_request_leaves_nothing_behind() -> None:
    async def answer_early(session: Session, message: Message) -> None:
        await session.until(lambda: len(message.body) == 65535, "all that the window allows")
        await session.answer(message, 413, b"enough")

    bounds = Bounds()
    upstream = Http2Upstream(answer_early, settings=SMALL_WINDOW, whole=False, holds=b"/")
    async with between(upstream, [bounds]) as (mesh, _):
        for _ in range(3):
            session = await dial(mesh)
            message = await session.ask(b"POST", b"/", end=False)
            upstream_held = len(upstream.asked)
            await session.send(message, bytes(65535 + 1000))
            await session.done(message)
            assert (message.status, bytes(message.body)) == (413, b"enough")
            taken = upstream.asked[upstream_held]
            # the stream is given up, or the server would count it as open for ever
            await until(lambda: taken.reset is not None, "the end of the request")  # noqa: B023
            assert taken.reset == ErrorCodes.NO_ERROR


@live
async def test_streams_that_were_paused_are_forgotten_when_they_end() -> None:
    reads, bounds = Reads(), Bounds()
    async with between(reads.upstream, [bounds], http2_protocol_options=OPTIONS) as (mesh, _):
        session = await dial(mesh)
        await session.until(lambda: session.h2.remote_settings.initial_window_size == WINDOW, "the peer's settings")
        slow = await session.ask(b"POST", b"/slow", end=False)
        await session.send(slow, bytes(WINDOW), end=False)
        owner = (await reached(bounds)).owner
        await until(lambda: owner._full, "a pause")
        await session.reset(slow)
        await until(lambda: mesh.log.entries, "the end of the stream")
        assert not owner._full


async def reached(bounds: Bounds) -> Any:
    await until(lambda: bounds.streams, "a request")
    return bounds.streams[0]


@live
async def test_paused_uploads_that_are_given_up_return_the_window_of_the_connection() -> None:
    reads = Reads()
    options = {**OPTIONS, "initial_connection_window_size": 2 * WINDOW}
    async with between(reads.upstream, http2_protocol_options=options) as (mesh, _):
        session = await dial(mesh)
        await session.until(lambda: session.h2.remote_settings.initial_window_size == WINDOW, "the peer's settings")
        for _ in range(6):
            slow = await session.ask(b"POST", b"/slow", end=False)
            await session.send(slow, bytes(WINDOW), end=False)
            await session.reset(slow)
        other = await session.ask(b"POST", b"/fast", end=False)
        await session.send(other, bytes(WINDOW))
        await session.done(other)
        assert (other.status, bytes(other.body)) == (200, b"%d" % WINDOW)
        reads.go.set()


@live
async def test_unread_responses_of_many_streams_are_bounded_by_their_windows() -> None:
    bounds = Bounds()
    async with between(Http2Upstream(pour), [bounds], up=http2_options(**OPTIONS)) as (mesh, _):
        session = await dial(mesh, window=65535)
        session.held.add(None)
        messages = [await session.ask(b"GET", b"/large") for _ in range(16)]
        await session.until(lambda: sum(len(one.body) for one in messages) == 65535, "all that the window allows")
        other = await dial(mesh)
        for _ in range(5):
            small = await other.ask(b"GET", b"/small")
            await other.done(small)
        assert bounds.held() <= 16 * BOUND
        assert bounds.held() < LARGE
        for one in messages:
            await session.reset(one)
        await until(lambda: len(mesh.log.entries) == 21, "the end of all")
        assert not bounds.held()
