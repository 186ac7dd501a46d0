"""Filters and routers that wait and resume, with bodies coming in meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from plait import CONTINUE, STOP, Stream, StreamFilter, Verdict
from plait.stream import ForwardOptions, Limits
from tests.integration.framed import MORE, FramedMesh, ToUp, frame, read_frame, up
from tests.integration.framed_filters import RouterThatWaits, Sees, echo, whole
from tests.integration.harness import Peer, Upstream, errors_in, live, tick, until

# the router


@live
async def test_body_follows_a_router_that_waited() -> None:
    router, sees = RouterThatWaits(), Sees()
    async with Upstream(echo) as upstream, FramedMesh(up(upstream.port), [sees], router=router) as mesh:
        client = await mesh.connect()
        await client.send(frame(1, b"m a", MORE))
        await router.called.wait()
        await client.send(frame(1, b"b", MORE))
        await tick()
        router.go.set()
        assert (await read_frame(client))[2] == b"200 a"
        await client.send(frame(1, b"c"))
        assert await whole(client) == b"bc"
        assert [one for one in sees.seen if one.startswith("request")] == [
            "request",
            "request a",
            "request b",
            "request c",
        ]


async def slow_echo(peer: Peer, number: int) -> None:
    await asyncio.sleep(0.15)
    await echo(peer, number)


@live
async def test_time_that_a_router_waits_is_not_the_upstream_s() -> None:
    router = RouterThatWaits()
    router.options = ForwardOptions(timeout_s=0.4)
    async with Upstream(slow_echo) as upstream, FramedMesh(up(upstream.port), router=router) as mesh:
        client = await mesh.connect()
        await client.send(frame(1, b"m a"))
        await router.called.wait()
        await asyncio.sleep(0.45)
        router.go.set()
        assert await whole(client) == b"200 a"


@live
async def test_time_that_a_body_s_filter_waits_is_not_the_upstream_s() -> None:
    class Waits(StreamFilter):
        async def on_request_data(self, stream: Stream, data: bytes, end: bool) -> bytes:
            await asyncio.sleep(0.45)
            return data

    router = ToUp(ForwardOptions(timeout_s=0.4))
    async with Upstream(slow_echo) as upstream, FramedMesh(up(upstream.port), [Waits()], router=router) as mesh:
        client = await mesh.connect()
        await client.send(frame(1, b"m a"))
        assert await whole(client) == b"200 a"


@live
@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("answer", [CONTINUE, "yes"])
async def test_router_that_does_not_stop_is_a_wrong_answer(
    answer: object, waits: bool, caplog: pytest.LogCaptureFixture
) -> None:
    class Router(ToUp):
        def __init__(self) -> None:
            super().__init__()
            self.calls = 0

        def on_request(self, stream: Stream) -> Any:
            self.calls += 1
            return self._later() if waits else answer

        async def _later(self) -> object:
            await tick()
            return answer

    router, sees = Router(), Sees()
    async with Upstream(echo) as upstream, FramedMesh(up(upstream.port), [sees], router=router) as mesh:
        client = await mesh.connect()
        await client.send(frame(1, b"m a"))
        assert await whole(client) == b"500 filter_error"
        assert router.calls == 1
        assert sees.seen == ["request", "request a", "response filter_error"]
        (message,) = errors_in(caplog)
        assert "Router" in message
        assert "expected STOP" in caplog.text


@live
async def test_router_that_answers_after_waiting_is_done() -> None:
    class Replies(ToUp):
        async def on_request(self, stream: Stream) -> Verdict:
            await tick()
            return stream.reply(404, details="nowhere")

    async with Upstream(echo) as upstream, FramedMesh(up(upstream.port), router=Replies()) as mesh:
        client = await mesh.connect()
        await client.send(frame(1, b"m a", MORE) + frame(1, b"b"))
        assert await whole(client) == b"404 nowhere"
        assert upstream.connections == 0


# resume


async def _stops(stream: Stream) -> Verdict:
    stream.resume()
    await tick()
    return STOP


async def _stops_first(stream: Stream) -> Verdict:
    await tick()
    stream.resume()
    return STOP


async def _continues(stream: Stream) -> Verdict:
    stream.resume()
    await tick()
    stream.resume()
    return CONTINUE


def _at_once(stream: Stream) -> Verdict:
    stream.resume()
    return STOP


def _twice(stream: Stream) -> Verdict:
    stream.resume()
    stream.resume()
    return STOP


def _at_once_and_later(stream: Stream) -> Verdict:
    asyncio.get_running_loop().call_soon(stream.resume)
    stream.resume()
    return STOP


def _needlessly(stream: Stream) -> Verdict:
    stream.resume()
    return CONTINUE


@live
@pytest.mark.parametrize(
    "phase",
    [_at_once, _twice, _at_once_and_later, _needlessly, _stops, _stops_first, _continues],
    ids=lambda p: p.__name__,
)
@pytest.mark.parametrize("place", [0, 1])
async def test_resume_within_the_filter_itself_runs_the_rest_once(phase: Callable[[Stream], Any], place: int) -> None:
    class Resumes(StreamFilter):
        calls = 0

        def on_request(self, stream: Stream) -> Verdict | Awaitable[Verdict]:
            self.calls += 1
            return phase(stream)  # type: ignore[no-any-return]

    resumes, sees, other = Resumes(), Sees(), Sees()
    filters = [sees, other]
    filters.insert(place, resumes)  # type: ignore[arg-type]
    async with Upstream(echo) as upstream, FramedMesh(up(upstream.port), filters) as mesh:
        client = await mesh.connect()
        await client.send(frame(1, b"m a", MORE) + frame(1, b"b"))
        assert await whole(client) == b"200 ab"
        assert resumes.calls == 1
        for one in (sees, other):
            assert [text for text in one.seen if text.startswith("request")] == ["request", "request a", "request b"]
        assert mesh.counter("cluster.up.upstream_rq_total") == 1


@live
async def test_resume_while_the_router_waits_does_not_ask_it_again() -> None:
    router, streams = RouterThatWaits(), []

    class Keeps(StreamFilter):
        def on_request(self, stream: Stream) -> Verdict:
            streams.append(stream)
            return CONTINUE

    async with Upstream(echo) as upstream, FramedMesh(up(upstream.port), [Keeps()], router=router) as mesh:
        client = await mesh.connect()
        await client.send(frame(1, b"m a"))
        await router.called.wait()
        streams[0].resume()
        router.go.set()
        assert await whole(client) == b"200 a"
        assert (router.calls, mesh.counter("cluster.up.upstream_rq_total")) == (1, 1)


@live
@pytest.mark.parametrize("pieces", [[b"m a"], [b"m ", b"a"]])
async def test_resume_while_a_data_filter_waits_does_not_start_again(pieces: list[bytes]) -> None:
    class ResumesInData(Sees):
        async def on_request_data(self, stream: Stream, data: bytes, end: bool) -> bytes:  # type: ignore[override]
            stream.resume()
            await tick()
            stream.resume()
            self.seen.append(f"request {data.decode()}")
            return data

    resumes = ResumesInData()
    async with Upstream(echo) as upstream, FramedMesh(up(upstream.port), [resumes]) as mesh:
        client = await mesh.connect()
        for piece in pieces[:-1]:
            await client.send(frame(1, piece, MORE))
        await client.send(frame(1, pieces[-1]))
        assert await whole(client) == b"200 a"
        assert resumes.seen[:2] == ["request", "request a"]
        assert mesh.counter("cluster.up.upstream_rq_total") == 1


@live
async def test_resume_of_a_stream_that_is_answered_does_nothing() -> None:
    class RepliesAndResumes(StreamFilter):
        def on_request(self, stream: Stream) -> Verdict:
            stream.reply(403, details="denied")
            stream.resume()
            return STOP

    async with Upstream(echo) as upstream, FramedMesh(up(upstream.port), [RepliesAndResumes()]) as mesh:
        client = await mesh.connect()
        await client.send(frame(1, b"m a"))
        assert await whole(client) == b"403 denied"
        assert upstream.connections == 0


# what is held


class Holds(StreamFilter):
    """Holds each piece of the bodies of the method ``held`` until the test lets it go."""

    def __init__(self) -> None:
        self.held: list[asyncio.Future[None]] = []

    async def on_request_data(self, stream: Stream, data: bytes, end: bool) -> bytes:
        if stream.request.path == "held":
            self.held.append(asyncio.get_running_loop().create_future())
            await self.held[-1]
        return data

    async def let_go(self, number: int) -> None:
        """Let piece ``number`` go, once it is held."""
        await self.holds(number)
        self.held[number].set_result(None)

    async def holds(self, number: int) -> None:
        await until(lambda: len(self.held) > number, "a piece to be held")


@live
async def test_what_is_left_of_a_queue_still_counts() -> None:
    holds = Holds()
    limits = Limits(buffer_limit_bytes=1000)
    piece = frame(1, b"x" * 400, MORE)
    async with Upstream(echo) as upstream, FramedMesh(up(upstream.port), [holds], limits=limits) as mesh:
        client = await mesh.connect()
        await client.send(frame(1, b"held a", MORE) + piece * 2 + frame(2, b"m ok"))
        assert await read_frame(client) == (2, 0, b"200 ok")
        assert not mesh.paused()
        await holds.let_go(0)  # the piece that came with the head
        await holds.holds(1)  # the first of the queue: one is left
        await client.send(piece * 2 + frame(3, b"m ok"))
        assert [await read_frame(client) for _ in range(2)] == [(1, MORE, b"200 a"), (3, 0, b"200 ok")]
        assert mesh.paused()
        for number in range(1, 5):
            await holds.let_go(number)
        await until(lambda: not mesh.paused(), "reading to go on")
        await client.send(frame(1, b"end"))
        await holds.let_go(5)
        assert await whole(client) == b"x" * 1600 + b"end"
