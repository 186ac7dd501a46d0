"""A stream made by hand, and the way of a request through one filter."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, cast

from plait.api.config import Route
from plait.api.connection import Connection
from plait.api.headers import Headers, encode
from plait.api.message import Request, Response
from plait.api.stream import CONTINUE, STOP, Stream, StreamFilter, Verdict
from plait.testing.context import FakeContext

DEADLINE_S = 5.0


class FakeStream(Stream):
    """A request that a test made up, and what a filter did with it.

    ``replied`` is whether the filter answered by itself (``response`` is that answer), ``reset_reason`` why it gave up
    (None: it did not), ``interim`` the informational heads it sent. ``forwarded_body`` and ``returned_body`` are the
    bodies as the filter let them pass.
    """

    upstream_host = ""
    upstream_local = ""

    def __init__(
        self,
        method: str = "GET",
        path: str = "/",
        *,
        authority: str = "test",
        headers: Mapping[str, str] | None = None,
        body: bytes | Sequence[bytes] = b"",
        trailers: Mapping[str, str] | None = None,
        protocol: str = "http1",
        route: Route | None = None,
        route_settings: Mapping[str, object] | None = None,
    ) -> None:
        request = Request(_fields(headers))
        request.raw_method, request.raw_path, request.raw_authority = encode(method), encode(path), encode(authority)
        request.protocol = protocol
        self.pieces: list[bytes] = [body] if isinstance(body, bytes) else list(body)
        self.pieces = [piece for piece in self.pieces if piece]
        request.end = not self.pieces and trailers is None
        request.trailers = None if trailers is None else _fields(trailers)
        super().__init__(request, Connection(cast("asyncio.Transport", None)), 0.0)
        self.connection.peer, self.connection.peer_ip, self.connection.peer_port = "192.0.2.1:40000", "192.0.2.1", 40000
        self.replied = False
        self.interim: list[tuple[int, Headers]] = []
        self.reset_reason: str | None = None
        self.forwarded = False
        self.forwarded_body = b""
        self.returned_body = b""
        self.returned_pieces: list[bytes] = []
        self.found_route = route
        self._route_settings = dict(route_settings or {})
        self._resumed: asyncio.Event | None = None
        self._resumes = 0

    @property
    def finished(self) -> bool:
        """Whether the filter answered or gave up."""
        return self.replied or self.reset_reason is not None

    @property
    def route(self) -> Route | None:
        return self.found_route

    def clear_route(self) -> None:
        self.found_route = None

    def route_settings(self, name: str) -> object | None:
        return self._route_settings.get(name)

    def reply(
        self,
        status: int,
        body: str | bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
        details: str = "",
        flag: str = "",
    ) -> Verdict:
        if self.finished:
            raise AssertionError("the filter answered a stream that was over")
        if self.response is not None:
            self.reset(details or "local_reset", flag=flag)
            return STOP
        self.response = Response(status, _fields(headers))
        self.response.body = encode(body) if isinstance(body, str) else body
        self.replied = True
        self._noted(details, flag)
        return STOP

    def reset(self, reason: str, *, flag: str = "") -> None:
        self.reset_reason = reason
        self._noted(reason, flag)

    def send_interim(self, status: int, headers: Headers) -> None:
        self.interim.append((status, headers))

    def resume(self) -> None:
        self._resumes += 1
        if self._resumed is not None:
            self._resumed.set()

    async def request_body(self, limit_bytes: int = 1 << 20) -> bytes:
        whole = b"".join(self.pieces)
        if len(whole) > limit_bytes:
            self.reply(413, details="request_payload_too_large")
            raise asyncio.CancelledError
        self.pieces = [whole] if whole else []
        return whole

    async def response_body(self, limit_bytes: int = 1 << 20) -> bytes:
        assert self.response is not None
        whole = b"".join((self.response.body, *self.returned_pieces))
        if len(whole) > limit_bytes:
            self.response = None
            self.reply(500, details="response_payload_too_large")
            raise asyncio.CancelledError
        self.response.body, self.response.end, self.returned_pieces = whole, True, []
        return whole

    def _noted(self, details: str, flag: str) -> None:
        self.details = details or self.details
        if flag:
            self.flags = (*self.flags, flag)
        if self._resumed is not None:
            self._resumed.set()

    async def settled(self, verdict: object, phase: str, context: FakeContext | None = None) -> None:
        """Wait until a filter that answered ``verdict`` lets the stream go on.

        Time of ``context`` passes as fast as it is waited for. AssertionError where the filter broke the rules.
        """
        self._resumed = asyncio.Event()
        if inspect.isawaitable(verdict):
            verdict = await self._waited(verdict, f"{phase} took longer than {DEADLINE_S:g} s", context)
        if not isinstance(verdict, Verdict):
            raise AssertionError(f"{phase} returned {verdict!r}, expected CONTINUE or STOP")
        if verdict is CONTINUE and self.finished and phase == "on_request":
            raise AssertionError(f"{phase} answered the stream and returned CONTINUE, expected what reply() returned")
        if verdict is STOP and not self.finished and not self._resumes:
            late = f"{phase} returned STOP and neither answered, reset nor resumed the stream within {DEADLINE_S:g} s"
            await self._waited(self._resumed.wait(), late, context)
        self._resumes = 0

    async def _waited(self, work: Awaitable[Any], late: str, context: FakeContext | None) -> Any:
        async def whole() -> Any:
            return await work

        task = asyncio.get_running_loop().create_task(whole(), name="filter")
        deadline = time.monotonic() + DEADLINE_S
        while not task.done() and time.monotonic() < deadline:
            for _ in range(8):  # turns of the loop in which it may end by itself
                await asyncio.sleep(0)
            if not task.done() and not (context is not None and context.skip()):
                await asyncio.wait([task], timeout=0.01)
        if not task.done():
            task.cancel()
            raise AssertionError(late)
        return STOP if task.cancelled() and self.replied else task.result()


def run_filter(
    filter: StreamFilter,
    stream: FakeStream,
    response: Response | None = None,
    pieces: Sequence[bytes] = (),
    *,
    context: FakeContext | None = None,
) -> FakeStream:
    """Take ``stream`` through every phase of ``filter``; ``response`` (and ``pieces`` of its body) is the upstream's.

    ``context`` is the one that the filter was made with, if it waits for calls of that. AssertionError says which rule
    of ``StreamFilter`` was broken.
    """
    asyncio.run(_exchange(filter, stream, response, pieces, context))
    return stream


async def _exchange(
    filter: StreamFilter,
    stream: FakeStream,
    response: Response | None,
    pieces: Sequence[bytes],
    context: FakeContext | None,
) -> None:
    try:
        await stream.settled(filter.on_request(stream), "on_request", context)
        if not stream.finished:
            stream.forwarded_body = await _body(filter.on_request_data, stream, stream.pieces, "on_request_data")
        if not stream.finished and stream.request.trailers is not None:
            filter.on_request_trailers(stream)
        if not stream.finished:
            stream.forwarded = True
            stream.response = response or Response(200, Headers([]))
            stream.response.end = not pieces and not stream.response.body
        if stream.response is not None and stream.reset_reason is None:
            stream.returned_pieces = list(pieces)
            await stream.settled(filter.on_response(stream), "on_response", context)
            body = [piece for piece in (stream.response.body, *stream.returned_pieces) if piece]
            stream.returned_body = await _body(filter.on_response_data, stream, body, "on_response_data")
            if stream.response.trailers is not None:
                stream.returned_body += filter.on_response_trailers(stream) or b""
    finally:
        filter.on_end(stream)


async def _body(phase: Any, stream: FakeStream, pieces: Sequence[bytes], name: str) -> bytes:
    passed = []
    for index, piece in enumerate(pieces):
        given = phase(stream, piece, index == len(pieces) - 1)
        if inspect.isawaitable(given):
            given = await given
        if not isinstance(given, bytes):
            raise AssertionError(f"{name} returned {given!r}, expected bytes")
        passed.append(given)
        if stream.reset_reason is not None:
            break
    return b"".join(passed)


def _fields(headers: Mapping[str, str] | None) -> Headers:
    return Headers([(encode(name.lower()), encode(value)) for name, value in (headers or {}).items()])
