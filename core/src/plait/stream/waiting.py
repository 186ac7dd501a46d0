"""What a stream holds while one of its filters waits: pieces in either direction, and the tasks that filters wait in.

Most streams never have a ``Waiting``: the first filter that waits has it made. It knows queues, limits and tasks; what
happens once a filter has answered is with the code that asked it, in ``plait.stream.exchange`` for heads and in
``plait.stream.bodies`` for data.

What is held of a request is limited by the buffer limit, where reading stops, or by what ``request_body`` allows, where
the request is refused. A response is held by asking upstream to pause.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, cast

from plait.api.headers import Headers
from plait.api.message import Response

if TYPE_CHECKING:
    from plait.stream.exchange import ServerStream

Piece = bytes | Headers  # data, or the trailers that end it
Ended = Callable[["ServerStream"], bool]  # whether nobody wants more of a direction


class FilterFailure(Exception):
    """A filter failed in a task that waits for several; ``call`` is its method, the cause what it did."""

    def __init__(self, call: Any) -> None:
        super().__init__("a filter failed")
        self.call = call


async def ask(call: Any, *arguments: object) -> Any:
    """What a filter's method answers, waited for if need be; only for tasks of ``Waiting.spawn``."""
    try:
        answer = call(*arguments)
        return await answer if isinstance(answer, Awaitable) else answer
    except Exception as error:
        raise FilterFailure(call) from error


async def ask_data(call: Any, stream: ServerStream, data: bytes, end: bool, ended: Ended) -> bytes | None:
    """What a data filter answers, None where it ended the stream; only for tasks of ``Waiting.spawn``."""
    answer = await ask(call, stream, data, end)
    if ended(stream):
        return None
    try:
        return checked_data(answer)
    except TypeError as error:
        raise FilterFailure(call) from error


def checked_data(answer: object) -> bytes:
    """``answer``, if a data filter may give it; raises TypeError."""
    if not isinstance(answer, bytes):
        raise TypeError(f"it answered a {type(answer).__name__} to data, expected bytes")
    return answer


def discard(*unwanted: Any) -> None:
    """Close coroutines that nobody will wait for; those that ended do not mind."""
    for one in unwanted:
        if asyncio.iscoroutine(one):
            one.close()


class Waiting:
    """The queues and tasks of one stream; it has them from when a filter first waits until it ends."""

    __slots__ = (
        "_body",
        "_body_limit",
        "_request",
        "_request_bytes",
        "_response",
        "_tasks",
        "_whole",
        "_whole_limit",
        "stream",
    )

    def __init__(self, stream: ServerStream) -> None:
        self.stream = stream
        self._request: deque[tuple[Piece, bool]] = deque()  # what came behind the filter, and whether it was the end
        self._request_bytes = 0
        self._response: deque[tuple[Piece, bool]] = deque()
        self._body: asyncio.Future[bytes] | None = None  # of a filter in ``request_body``
        self._body_limit = 0
        self._whole: asyncio.Future[bytes] | None = None  # of a filter in ``response_body``
        self._whole_limit = 0
        self._tasks: list[asyncio.Task[Any]] = []

    # the request's side

    def hold_request(self, piece: Piece, end: bool) -> None:
        """Keep a piece until the filter goes on; stop reading at the limit."""
        self._request.append((piece, end))
        if isinstance(piece, bytes):
            self._request_bytes += len(piece)
        if self._body is not None:
            self._collect()
        elif self.full():
            self.stream.owner.pause_reading(self.stream)

    def full(self) -> bool:
        """Whether it keeps as much of the request as it may."""
        return self._body is None and self._request_bytes > self.stream.owner.proxy.buffer_limit_bytes

    def head_passed(self) -> None:
        """The router has the request: send on what was held while its head was on its way."""
        if self._request:
            self.play_request()

    def play_request(self) -> None:
        """Send on what was held, and read again."""
        stream = self.stream
        queue = self._request
        while queue:
            if stream.request_unwanted():
                queue.clear()
                self._request_bytes = 0
            elif stream.request_held:  # a data filter waits: the rest comes behind it
                return
            else:
                piece, end = queue.popleft()
                if isinstance(piece, bytes):
                    self._request_bytes -= len(piece)
                    stream.pass_data(piece, end)
                else:
                    stream.pass_trailers()
        if not stream.forwarded or not stream.upstream_full():
            stream.owner.resume_reading(stream)

    async def request_body(self, limit_bytes: int) -> bytes:
        """All of a body that has not come with its head; what is held of it goes into the request."""
        self._body_limit = limit_bytes
        body: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._body = body
        self._collect()
        if not body.done():  # reading may have stopped at the buffer's limit, and ours may be higher
            self.stream.owner.resume_reading(self.stream)
        return await body

    def _collect(self) -> None:
        """Complete ``request_body`` when all of it is there, or refuse it when it grows too long."""
        waiter, stream = self._body, self.stream
        if waiter is None or waiter.done():
            return
        request = stream.request
        if len(request.body) + self._request_bytes > self._body_limit:
            self._body = None
            waiter.cancel()
            stream.reply(413, "Payload Too Large", details="request_payload_too_large")
            return
        if not stream.request_done:
            return
        request.body += b"".join([piece for piece, _ in self._request if isinstance(piece, bytes)])
        request.end = request.trailers is None
        self._request.clear()
        self._request_bytes = 0
        if request.trailers is not None:
            self._request.append((request.trailers, True))
        self._body = None
        waiter.set_result(request.body)

    # the response's side

    def hold_response(self, piece: Piece, end: bool) -> None:
        """Keep a piece until the filter goes on; upstream is to send no more, unless the filter wants all of it."""
        self._response.append((piece, end))
        if self._whole is not None:
            self._gather()
        elif self.stream.forwarded:
            self.stream.pause_upstream()

    def gathers(self) -> bool:
        """Whether a filter waits for the whole response: however slow its reader is, upstream may send."""
        return self._whole is not None

    async def response_body(self, limit_bytes: int) -> bytes:
        """All of a response that has not come with its head; what is held of it goes into the response."""
        self._whole_limit = limit_bytes
        whole: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._whole = whole
        self._gather()
        if self.stream.forwarded:
            self.stream.resume_upstream()
        return await whole

    def _gather(self) -> None:
        """Complete ``response_body`` when all of it is there, or give it up when it grows too long."""
        whole, stream, queue = self._whole, self.stream, self._response
        if whole is None:
            return
        response = cast("Response", stream.response)
        pieces = [piece for piece, _ in queue if isinstance(piece, bytes)]
        if len(response.body) + sum(map(len, pieces)) > self._whole_limit:
            self._whole = None
            whole.cancel()
            stream.reply(500, "Internal Server Error", details="response_payload_too_large")
        elif queue and queue[-1][1]:
            last = queue[-1][0]
            response.body += b"".join(pieces)
            response.trailers = last if isinstance(last, Headers) else None
            response.end = True
            queue.clear()
            self._whole = None
            whole.set_result(response.body)

    def play_response(self) -> None:
        """Write what was held, and let upstream send again."""
        stream = self.stream
        stream.response_held = False
        queue = self._response
        while queue:
            if stream.response_held:
                return
            piece, end = queue.popleft()
            if isinstance(piece, bytes):
                stream.send_data(piece, end)
            else:
                stream.send_trailers(piece)
        if stream.forwarded and not stream.owner.write_paused:
            stream.resume_upstream()

    def drop_response(self) -> None:
        """Another response takes the place of the one that was held."""
        self.cancel()
        self._response.clear()

    # tasks

    def spawn(self, work: Coroutine[Any, Any, None], call: Any, answer: object) -> None:
        """Run ``work``, which waits for the ``answer`` that the filter's method ``call`` gave."""

        async def supervised() -> None:
            stream = self.stream
            try:
                await work
            except FilterFailure as failure:
                if not stream.finished:
                    stream.filter_failed(failure.call, cast("Exception", failure.__cause__))
            except Exception as error:
                if not stream.finished:
                    stream.filter_failed(call, error)

        running = supervised()
        task = self.stream.owner.proxy.context.spawn(running, "filter")
        task.add_done_callback(lambda _: discard(running, work, answer))  # it may be cancelled before it began
        self._tasks = [*[one for one in self._tasks if not one.done()], task]

    def cancel(self) -> None:
        """Filters still wait for what no longer matters."""
        if self._tasks:
            current = asyncio.current_task()
            for task in self._tasks:
                if task is not current:
                    task.cancel()
