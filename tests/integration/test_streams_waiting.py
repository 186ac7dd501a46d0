"""Filters and routers that wait, resume, end streams and fail, with bodies and trailers coming in meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from plait import CONTINUE, STOP, Connection, Headers, NetworkFilter, ProtocolType, Stream, StreamFilter, Verdict
from plait.plugins import Catalogue, discover
from plait.stream import Limits
from tests.integration.framed import FRAMED, MORE, RESET, TRAILER, FramedMesh, ToUp, frame, read_frame, up
from tests.integration.harness import Peer, Upstream, errors_in, get, http_options, live, proxied, status_of, until


async def tick() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def echo(peer: Peer, number: int) -> None:
    """Answers with all of a request's payload, in as many frames."""
    begun: set[int] = set()
    while True:
        id, flags, payload = await read_frame(peer)
        await peer.send(frame(id, payload if id in begun else b"200 " + payload.partition(b" ")[2], flags))
        begun.add(id)


class Sees(StreamFilter):
    """Notes what it is shown."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_request(self, stream: Stream) -> Verdict:
        self.seen.append("request")
        return CONTINUE

    def on_request_data(self, stream: Stream, data: bytes, end: bool) -> bytes:
        self.seen.append(f"request {data.decode()}")
        return data

    def on_request_trailers(self, stream: Stream) -> None:
        self.seen.append("request trailers")

    def on_response_data(self, stream: Stream, data: bytes, end: bool) -> bytes:
        self.seen.append(f"response {data.decode()}")
        return data

    def on_response_trailers(self, stream: Stream) -> None:
        self.seen.append("response trailers")


class RouterThatWaits(ToUp):
    """Answers ``answer`` once it may, having sent the request on."""

    def __init__(self, answer: object = STOP) -> None:
        super().__init__()
        self.called = asyncio.Event()
        self.go = asyncio.Event()
        self.calls = 0
        self.answer = answer

    async def on_request(self, stream: Stream) -> Any:
        self.calls += 1
        self.called.set()
        await self.go.wait()
        self.send(stream)
        return self.answer


async def whole(client: Peer) -> bytes:
    """The payloads of the next frames, up to the last of a message."""
    payloads = []
    while True:
        _, flags, payload = await read_frame(client)
        payloads.append(payload)
        if not flags & MORE:
            return b"".join(payloads)


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


# streams that a filter ends


class Ends(StreamFilter):
    """Ends the stream in ``phase``; ``waits`` before."""

    def __init__(self, phase: str, way: str, waits: bool) -> None:
        self.way = way
        self.waits = waits
        setattr(type(self), phase, self._end)

    @classmethod
    def made(cls, phase: str, way: str, waits: bool) -> StreamFilter:
        """One of a class of its own, so that it overrides just that phase."""
        return type("Ends", (cls,), {})(phase, way, waits)  # type: ignore[no-any-return]

    def _end(self, stream: Stream, *data: Any) -> Any:
        return self._later(stream, *data) if self.waits else self._now(stream, *data)

    async def _later(self, stream: Stream, *data: Any) -> Any:
        await tick()
        return self._now(stream, *data)

    def _now(self, stream: Stream, *data: Any) -> Any:
        if self.way == "raise":
            raise RuntimeError("oops")
        verdict = stream.reply(403, details="denied") if self.way == "reply" else stream.reset("denied")
        return data[0] if data and self.way == "reset" else verdict


class MarksLater(StreamFilter):
    """Holds up the answers."""

    async def on_response(self, stream: Stream) -> Verdict:
        await tick()
        return CONTINUE


@live
@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("slow_answer", [False, True])
@pytest.mark.parametrize("way", ["reply", "reset", "raise"])
@pytest.mark.parametrize("phase", ["on_request_data", "on_response_data"])
@pytest.mark.parametrize("streamed", [False, True])
async def test_filters_behind_one_that_ended_the_stream_see_no_data(
    phase: str, way: str, waits: bool, slow_answer: bool, streamed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    ends, sees = Ends.made(phase, way, waits), Sees()
    filters = [ends, sees] if phase == "on_request_data" else [sees, ends]
    if slow_answer:
        filters.append(MarksLater())
    async with Upstream(echo) as upstream, FramedMesh(up(upstream.port), filters) as mesh:
        client = await mesh.connect()
        if streamed:
            await client.send(frame(1, b"m ", MORE))
            await client.send(frame(1, b"a", MORE) + frame(1, b"b"))
        else:
            await client.send(frame(1, b"m a"))
        got = await read_frame(client)
        if got[1:] == (MORE, b"200 "):  # the answer had begun
            got = await read_frame(client)
            assert got == (1, RESET, b"")
        else:
            assert (
                got
                == {
                    "reply": (1, 0, b"403 denied"),
                    "reset": (1, RESET, b""),
                    "raise": (1, 0, b"500 filter_error"),
                }[way]
            )
        await client.send(frame(2, b"n "))
        last = await read_frame(client)
        if last == (1, RESET, b""):  # the caller is to send no more of a request that is answered
            assert (streamed, phase) == (True, "on_request_data")
            last = await read_frame(client)
        assert last == (2, 0, b"200 ")
        # what an answer of our own says is shown like any other
        shown = [one for one in sees.seen if one not in ("request", "response denied", "response filter_error")]
        assert shown == ([] if phase == "on_request_data" else [one for one in shown if one.startswith("request ")])
        assert mesh.counter("http.test.filter_error") == (way == "raise")
        assert len(errors_in(caplog)) == (way == "raise")


@live
@pytest.mark.parametrize("phase", ["on_request_trailers", "on_response_trailers"])
@pytest.mark.parametrize("way", ["reply", "reset", "raise"])
@pytest.mark.parametrize("slow_answer", [False, True])
@pytest.mark.parametrize("streamed", [False, True])
async def test_filters_behind_one_that_ended_the_stream_see_no_trailers(
    phase: str, way: str, slow_answer: bool, streamed: bool
) -> None:
    ends, sees = Ends.made(phase, way, False), Sees()
    filters = [ends, sees] if phase == "on_request_trailers" else [sees, ends]
    if slow_answer:
        filters.append(MarksLater())
    async with Upstream(echo) as upstream, FramedMesh(up(upstream.port), filters) as mesh:
        client = await mesh.connect()
        pieces = [frame(1, b"m a", MORE), frame(1, b"b", MORE), frame(1, b"x-end=1", TRAILER)]
        if streamed:
            for piece in pieces:
                await client.send(piece)
                await tick()
        else:
            await client.send(b"".join(pieces))
        while (got := await read_frame(client))[1] == MORE:
            pass
        expected: dict[str, tuple[int, int, bytes]] = {
            "reply": (1, 0, b"403 denied"),
            "reset": (1, RESET, b""),
            "raise": (1, 0, b"500 filter_error"),
        }
        assert got in (expected[way], (1, RESET, b""))
        assert "request trailers" not in sees.seen or phase == "on_response_trailers"
        assert "response trailers" not in sees.seen


# failures behind a filter that waited


class First(StreamFilter):
    """Waits in every phase."""

    async def on_request(self, stream: Stream) -> Verdict:
        await tick()
        return CONTINUE

    async def on_request_data(self, stream: Stream, data: bytes, end: bool) -> bytes:
        await tick()
        return data

    async def on_response(self, stream: Stream) -> Verdict:
        await tick()
        return CONTINUE

    async def on_response_data(self, stream: Stream, data: bytes, end: bool) -> bytes:
        await tick()
        return data


class Second(StreamFilter):
    """Raises or answers nonsense in one phase, for the method ``bad``."""

    def __init__(self, phase: str, answer: object, waits: bool) -> None:
        self.answer = answer
        self.waits = waits
        setattr(type(self), phase, self._fail)

    def _fail(self, stream: Stream, *data: Any) -> Any:
        if stream.request.path != "bad":
            return data[0] if data else CONTINUE
        return self._later() if self.waits else self._now()

    async def _later(self) -> object:
        await tick()
        return self._now()

    def _now(self) -> object:
        if self.answer is None:
            raise RuntimeError("oops")
        return self.answer


@live
@pytest.mark.parametrize("phase", ["on_request", "on_request_data", "on_response", "on_response_data"])
@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("answer", [None, "nonsense"])
@pytest.mark.parametrize("streamed", [False, True])
async def test_filter_that_fails_behind_one_that_waited_is_named(
    phase: str, waits: bool, answer: object, streamed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    second = type("Second", (Second,), {})(phase, answer, waits)
    filters = [First(), second] if phase.startswith("on_request") else [second, First()]
    async with Upstream(echo) as upstream, FramedMesh(up(upstream.port), filters) as mesh:
        client = await mesh.connect()
        if streamed:
            await client.send(frame(1, b"bad ", MORE) + frame(2, b"good ", MORE))
            for id in (1, 2):
                await client.send(frame(id, b"a", MORE) + frame(id, b"b"))
        else:
            await client.send(frame(1, b"bad a") + frame(2, b"good a"))
        payloads = {1: b"", 2: b""}
        left = {1, 2}
        while left:
            id, flags, payload = await read_frame(client)
            payloads[id] += payload
            if not flags & MORE:
                left.discard(id)
        cut_off = streamed and phase == "on_response_data"  # the answer had begun
        assert payloads == {1: b"200 " if cut_off else b"500 filter_error", 2: b"200 ab" if streamed else b"200 a"}
        (message,) = errors_in(caplog)
        assert message.startswith("filter Second failed")
        assert mesh.counter("http.test.filter_error") == 1


# trailers


class ChangesTrailers(StreamFilter):
    """Changes trailers in place, puts others in their place, or takes them away."""

    def __init__(self, way: str) -> None:
        self.way = way

    def on_request_trailers(self, stream: Stream) -> None:
        stream.request.trailers = self._changed(stream.request.trailers)

    def on_response_trailers(self, stream: Stream) -> None:
        assert stream.response is not None
        stream.response.trailers = self._changed(stream.response.trailers)

    def _changed(self, trailers: Headers | None) -> Headers | None:
        assert trailers is not None
        value = trailers.get("x-end")
        assert value is not None
        if self.way == "in place":
            trailers.set("x-end", value + "+")
            return trailers
        return Headers([(b"x-end", value.encode() + b"+")]) if self.way == "others" else None


@live
@pytest.mark.parametrize("way", ["in place", "others", "none"])
@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("streamed", [False, True])
async def test_changed_trailers_go_on_in_both_directions(way: str, waits: bool, streamed: bool) -> None:
    filters: list[StreamFilter] = [ChangesTrailers(way)]
    if waits:
        filters.append(First())
    seen: list[bytes] = []
    message = [b"4\r\nbody\r\n", b"0\r\nx-end: 1\r\n\r\n"]

    async def handler(peer: Peer, number: int) -> None:
        while True:
            head, body = await peer.message()
            if not head:
                return
            seen.append(body)
            await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            for piece in message:
                if streamed:
                    await asyncio.sleep(0.01)
                await peer.send(piece)

    config = {"typed_extension_protocol_options": http_options(enable_trailers=True)}
    async with proxied(handler, filters, up=config, http_protocol_options={"enable_trailers": True}) as (mesh, _):
        client = await mesh.connect()
        for _ in range(2):
            request = [get(b"/", b"transfer-encoding: chunked", method=b"POST"), *message]
            if streamed:
                for piece in request:
                    await client.send(piece)
                    await asyncio.sleep(0.01)
            else:
                await client.send(b"".join(request))
            head, body = await client.message()
            assert status_of(head) == 200
            for got in (body, seen.pop()):
                if way == "none":  # where all came at once, the body may go on with its length
                    assert got in (message[0] + b"0\r\n\r\n", b"body")
                else:
                    assert got == message[0] + b"0\r\nx-end: 1+\r\n\r\n"


@live
@pytest.mark.parametrize("router", [ToUp, RouterThatWaits])
async def test_trailers_wait_behind_what_waits(router: type[ToUp]) -> None:
    made, sees = router(), Sees()
    if isinstance(made, RouterThatWaits):
        made.go.set()
    async with Upstream(echo) as upstream, FramedMesh(up(upstream.port), [First(), sees], router=made) as mesh:
        client = await mesh.connect()
        await client.send(frame(1, b"m a", MORE) + frame(1, b"b", MORE) + frame(1, b"x-end=1", TRAILER))
        got = [await read_frame(client)]
        while not got[-1][1] & TRAILER:
            got.append(await read_frame(client))
        assert b"".join(payload for _, _, payload in got) == b"200 abx-end=1"
        assert sees.seen == [
            "request",
            "request a",
            "request b",
            "request trailers",
            "response a",
            "response b",
            "response trailers",
        ]


# connections whose protocol is not known yet


def http1() -> ProtocolType:
    found: ProtocolType = Catalogue(discover()).find(ProtocolType, "http1")[0]
    return found


@live
async def test_connection_that_has_not_shown_its_protocol_is_drained() -> None:
    async with Upstream(echo) as upstream, FramedMesh(up(upstream.port), protocols=(FRAMED, http1())) as mesh:
        silent, begun, served = [await mesh.connect() for _ in range(3)]
        await served.send(frame(1, b"m a"))
        assert await whole(served) == b"200 a"
        await begun.send(b"\0")
        active = f"listener.127.0.0.1_{mesh.port}.downstream_cx_active"
        await until(lambda: mesh.gauges().get(active) == 3, "all connections")
        mesh.plane.proxy.drain()
        for client in (silent, begun, served):
            assert await client.closed()
        late = await mesh.connect()
        assert await late.closed()
        assert mesh.counter("http.test.downstream_cx_drain_close") == 3


@live
async def test_network_filters_stay_in_front_of_a_protocol_that_showed_itself() -> None:
    class Watches(NetworkFilter):
        def __init__(self) -> None:
            self.seen = b""
            self.closed = 0

        def on_data(self, connection: Connection, data: bytes) -> bytes:
            self.seen += data
            return data

        def on_close(self, connection: Connection) -> None:
            self.closed += 1

    watches = Watches()
    async with (
        Upstream(echo) as upstream,
        FramedMesh(up(upstream.port), protocols=(FRAMED, http1()), network=[watches]) as mesh,
    ):
        client = await mesh.connect()
        sent = frame(1, b"m a")
        for at in range(len(sent)):
            await client.send(sent[at : at + 1])
            await tick()
        assert await whole(client) == b"200 a"
        await client.send(frame(2, b"m b"))
        assert await whole(client) == b"200 b"
        assert watches.seen == sent + frame(2, b"m b")
        client.close()
        await until(lambda: watches.closed == 1, "the end of the connection")
        assert mesh.plane.proxy.connections == set()
