"""Streams that filters end, failures behind filters that waited, and trailers that wait."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from plait import CONTINUE, Headers, Stream, StreamFilter, Verdict
from tests.integration.framed import MORE, RESET, TRAILER, FramedMesh, ToUp, frame, read_frame, up
from tests.integration.framed_filters import RouterThatWaits, Sees, echo
from tests.integration.harness import Peer, Upstream, errors_in, get, http_options, live, proxied, status_of, tick

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
