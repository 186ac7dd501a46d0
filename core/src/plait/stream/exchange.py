"""A stream of a downstream connection: what happens to one request and its response.

It reads from top to bottom: the request's head runs through the filters to the router, its body follows through the
data phases into the *sink* (the request's way upstream); the response comes back through ``respond`` and ``send_data``;
``_finish`` tells everybody and lets go. A filter that must wait turns the stream's direction to *held*: what arrives
meanwhile is queued, reading stops at the buffer limit, and the queue is played when the filter goes on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any, cast

from plait.api.config import Route
from plait.api.errors import LocalProtocolError
from plait.api.headers import Headers, encode
from plait.api.message import Request, Response
from plait.api.stream import CONTINUE, STOP, Stream, Verdict

if TYPE_CHECKING:
    from plait.stream.server import ServerConnection

_log = logging.getLogger("plait.stream")

_now = time.monotonic

Held = tuple[bytes | Headers, bool]


class Sink:
    """Where a request goes: the way upstream, as the stream sees it."""

    __slots__ = ()

    def send_data(self, data: bytes, end: bool) -> None:
        """A piece of the request's body."""

    def send_trailers(self, trailers: Headers) -> None:
        """Trailers of the request; they end it."""

    def cancel(self, reason: str) -> None:
        """The stream ended: nobody waits for the response any more."""

    def pause(self) -> None:
        """Downstream takes no more for now: stop reading the response."""

    def resume(self) -> None:
        """Downstream takes data again."""

    def idle_timeout_s(self, default_s: float) -> float:
        """How long nothing may pass on the stream; ``default_s`` is the connection manager's."""
        return default_s

    def full(self) -> bool:
        """Whether the upstream takes no more of the request for now."""
        return False


class _FilterFailure(Exception):
    """A filter raised while it was waited for; ``call`` is its method."""

    def __init__(self, call: Any) -> None:
        super().__init__("a filter failed")
        self.call = call


async def _ask(call: Any, *arguments: object) -> Any:
    """What a filter's method answers, waited for if need be; raises _FilterFailure."""
    try:
        answer = call(*arguments)
        return await answer if isinstance(answer, Awaitable) else answer
    except Exception as error:
        raise _FilterFailure(call) from error


async def _ask_data(call: Any, *arguments: object) -> bytes:
    """What a data filter answers; raises _FilterFailure."""
    answer = await _ask(call, *arguments)
    try:
        return _bytes(answer)
    except TypeError as error:
        raise _FilterFailure(call) from error


def _discard(*unwanted: Any) -> None:
    """Close coroutines that nobody will wait for; those that ended do not mind."""
    for one in unwanted:
        if asyncio.iscoroutine(one):
            one.close()


def _bytes(answer: object) -> bytes:
    if not isinstance(answer, bytes):
        raise TypeError(f"it answered a {type(answer).__name__} to data, expected bytes")
    return answer


class ServerStream(Stream):
    """A stream of a ``ServerConnection``."""

    __slots__ = (
        "_body_limit",
        "_body_waiter",
        "_next",
        "_queue",
        "_queued_bytes",
        "_response_queue",
        "_route",
        "_routed",
        "_tasks",
        "begun",
        "chain",
        "finished",
        "owner",
        "replied",
        "request_done",
        "request_held",
        "response_held",
        "sink",
        "touched",
    )

    def __init__(self, owner: ServerConnection, request: Request) -> None:
        # What Stream.__init__ does, without the call: this runs for every request.
        self.request = request
        self.connection = owner.connection
        self.started = now = _now()
        self.response = None
        self.response_started = 0.0
        self.ended = 0.0
        self.bytes_received = len(request.body)
        self.bytes_sent = 0
        self.attempts = 0
        self.upstream_cluster = ""
        self.upstream_host = ""
        self.upstream_local = ""
        self.upstream_failure = ""
        self.flags = ()
        self.details = ""
        self._attributes = None
        self.owner = owner
        self.chain = owner.proxy.chain
        self.sink: Sink | None = None
        self.replied = False  # the response is our own or has begun: no second one may start
        self.request_done = request.end  # its last byte was received
        self.request_ended = now if request.end else 0.0
        self.request_held = True  # the head has not reached the router yet, or a data filter waits
        self.response_held = False
        self.finished = False
        self.touched = 0.0  # when a piece of a body last passed
        self._routed = False
        self._route: Route | None = None
        self._next = 0  # the request filter that comes next
        self._queue: list[Held] | None = None  # what the request side held back
        self._queued_bytes = 0
        self._response_queue: list[Held] | None = None
        self._body_waiter: asyncio.Future[bytes] | None = None
        self._body_limit = 0
        self.begun = False  # the response's head is written and more will follow
        self._tasks: list[Any] | None = None  # what waiting filters run in

    # what filters call

    @property
    def route(self) -> Route | None:
        if not self._routed:
            self._route = self.chain.router.route(self)
            self._routed = True
        return self._route

    def clear_route(self) -> None:
        self._routed = False

    def route_settings(self, name: str) -> object | None:
        route = self.route
        return None if route is None else route.filter_settings.get(name)

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
            return STOP
        if self.begun:
            self.reset(details or "local_reply_after_response", flag=flag)
            return STOP
        if details:
            self.details = details
        if flag:
            self.flags = (*self.flags, flag)
        instead, self.replied = self.replied, True
        sink = self.sink
        if sink is not None:
            self.sink = None
            sink.cancel(details or "local_reply")
        text = encode(body) if isinstance(body, str) else body
        response = self.owner.protocol.local_response(self.request, status, text, details)
        if headers:
            for name, value in headers.items():
                response.headers.set(name, value)
        if instead:  # of a response that is on its way through the filters: it does not start there again
            self._cancel_tasks()
            self.response_held = False
            self._response_queue = None
            self.response = response
            self._write_head(response)
        else:
            self.respond(response)
        return STOP

    def reset(self, reason: str, *, flag: str = "") -> None:
        if self.finished:
            return
        self.replied = True
        if flag:
            self.flags = (*self.flags, flag)
        if reason:
            self.details = reason
        owner = self.owner
        frame = owner.codec.encode_reset(self.request, reason)
        if frame is None:
            owner.codec.closing = True
        self._finish()
        if frame is None:
            owner.abort()
        elif frame:
            owner.transport.write(frame)

    def resume(self) -> None:
        if self.request_held and not self.replied and not self.finished:
            self.run()

    async def request_body(self, limit_bytes: int = 1 << 20) -> bytes:
        request = self.request
        if request.end:
            return request.body
        self._body_limit = limit_bytes
        self._body_waiter = asyncio.get_running_loop().create_future()
        waiter = self._body_waiter
        self._collect()
        if not waiter.done():
            self.owner.resume_reading()  # it may have stopped at the buffer's limit, and ours may be higher
        return await waiter

    # the request's way

    def receive_data(self, data: bytes, end: bool) -> None:
        """A piece of the request's body has arrived."""
        self.bytes_received += len(data)
        self.touched = _now()
        if end:
            self.request_done = True
            self.request_ended = self.touched
        if self.finished or (self.replied and self.sink is None):
            return
        if self.request_held:
            self._hold_request(data, end)
        else:
            self._pass_data(data, end)

    def receive_trailers(self, trailers: Headers) -> None:
        """The request's trailers have arrived."""
        self.request_done = True
        self.request_ended = _now()
        self.request.trailers = trailers
        if self.finished or (self.replied and self.sink is None):
            return
        if self.request_held:
            self._hold_request(trailers, True)
        else:
            self._pass_trailers(trailers)

    def run(self) -> None:
        """Take the head through the filters that it has not passed yet, and on to the router."""
        chain = self.chain
        calls = chain.on_request
        call = chain.terminal
        try:
            if calls:
                index = self._next
                count = len(calls)
                while index < count:
                    call = calls[index]
                    verdict = call(self)
                    index += 1
                    if verdict is not CONTINUE:
                        self._next = index
                        self._not_continue(verdict, call)
                        return
                self._next = index
                call = chain.terminal
                if self.replied:  # a filter answered and said CONTINUE all the same
                    return
            if chain.sees_request_body and not self._filter_whole_body():
                return
            verdict = call(self)
            if verdict is not STOP:
                self._not_continue(verdict, call)
                return
        except Exception as error:
            self._filter_failed(call, error)
            return
        self.request_held = False
        if self._queue:
            self._play_request()

    def _to_router(self) -> None:
        chain = self.chain
        try:
            verdict = chain.terminal(self)
            if verdict is not STOP:
                self._not_continue(verdict, chain.terminal)
                return
        except Exception as error:
            self._filter_failed(chain.terminal, error)
            return
        self.request_held = False
        if self._queue:
            self._play_request()

    def _filter_whole_body(self) -> bool:
        """Run the body's filters over what came with the head; False when one waits or ended the stream."""
        request = self.request
        body = request.body
        calls = self.chain.on_request_data
        if calls and not request.end:
            request.headers.delete(b"content-length")  # filters may change what it counts
        if calls and body:
            for index, call in enumerate(calls):
                try:
                    answer = call(self, body, request.end)
                except Exception as error:
                    self._filter_failed(call, error)
                    return False
                if self.replied or self.finished:
                    _discard(answer)
                    return False
                if not isinstance(answer, bytes):
                    self._spawn(self._await_whole_body(answer, index), call, answer)
                    return False
                body = answer
            request.body = body
            request.headers.changed = True
        return not request.end or request.trailers is None or self._tell(self.chain.on_request_trailers)

    def _tell(self, calls: tuple[Any, ...]) -> bool:
        """Show filters the trailers; False when one ended the stream."""
        for call in calls:
            try:
                call(self)
            except Exception as error:
                self._filter_failed(call, error)
            if self.finished:
                return False
        return True

    async def _await_whole_body(self, answer: Awaitable[bytes], index: int) -> None:
        calls = self.chain.on_request_data
        request = self.request
        body = _bytes(await answer)
        for call in calls[index + 1 :]:
            body = await _ask_data(call, self, body, request.end)
        if not self.replied and not self.finished:
            request.body = body
            request.headers.changed = True
            if not request.end or request.trailers is None or self._tell(self.chain.on_request_trailers):
                self._to_router()

    def _not_continue(self, verdict: object, call: Any) -> None:
        """A request filter said something else than CONTINUE."""
        if verdict is STOP:
            return
        if isinstance(verdict, Awaitable):
            self._spawn(self._await_request(verdict, call), call, verdict)
            return
        raise TypeError(f"it answered {verdict!r}, expected CONTINUE, STOP or an awaitable of one")

    async def _await_request(self, verdict: Awaitable[object], call: Any) -> None:
        answer = await verdict
        if self.replied or self.finished:
            return
        if answer is CONTINUE:
            self.run()
        elif answer is not STOP:
            raise TypeError(f"it answered {answer!r}, expected CONTINUE or STOP")

    def _hold_request(self, piece: bytes | Headers, end: bool) -> None:
        if self._queue is None:
            self._queue = []
        self._queue.append((piece, end))
        if isinstance(piece, bytes):
            self._queued_bytes += len(piece)
        if self._body_waiter is not None:
            self._collect()
        elif self._queued_bytes > self.owner.proxy.buffer_limit_bytes:
            self.owner.pause_reading()

    def _collect(self) -> None:
        """Complete ``request_body`` when all of it is there, or refuse it when it grows too long."""
        waiter = self._body_waiter
        if waiter is None or waiter.done():
            return
        request = self.request
        if len(request.body) + self._queued_bytes > self._body_limit:
            self._body_waiter = None
            waiter.cancel()
            self.reply(413, "Payload Too Large", details="request_payload_too_large")
            return
        if not self.request_done:
            return
        queue, self._queue, self._queued_bytes = self._queue or [], None, 0
        request.body += b"".join([piece for piece, _ in queue if isinstance(piece, bytes)])
        request.end = request.trailers is None
        if request.trailers is not None:
            self._queue = [(request.trailers, True)]
        self._body_waiter = None
        waiter.set_result(request.body)

    def _play_request(self) -> None:
        """Send on what was held while the head was on its way."""
        while self._queue and not self.finished:
            queue, self._queue, self._queued_bytes = self._queue, None, 0
            for position, (piece, end) in enumerate(queue):
                if self.request_held:  # a data filter waits: the rest comes behind it
                    self._queue = queue[position:]
                    return
                if isinstance(piece, bytes):
                    self._pass_data(piece, end)
                else:
                    self._pass_trailers(piece)
        if self.sink is None or not self.sink.full():
            self.owner.resume_reading()

    def _pass_data(self, data: bytes, end: bool) -> None:
        for index, call in enumerate(self.chain.on_request_data):
            try:
                answer = call(self, data, end)
                if not isinstance(answer, bytes):
                    self.request_held = True
                    self._spawn(self._await_data(answer, end, index), call, answer)
                    return
            except Exception as error:
                self._filter_failed(call, error)
                return
            if self.finished:
                return
            data = answer
        if self.sink is not None and (data or end):
            self.sink.send_data(data, end)

    async def _await_data(self, answer: Awaitable[bytes], end: bool, index: int) -> None:
        data = _bytes(await answer)
        for call in self.chain.on_request_data[index + 1 :]:
            data = await _ask_data(call, self, data, end)
        self.request_held = False
        if self.sink is not None and (data or end):
            self.sink.send_data(data, end)
        self._play_request()

    def _pass_trailers(self, trailers: Headers) -> None:
        if self._tell(self.chain.on_request_trailers) and self.sink is not None:
            self.sink.send_trailers(trailers)

    # the response's way

    def respond(self, response: Response) -> None:
        """The response's head came from upstream, or is our own: take it through the filters and write it."""
        self.replied = True
        self.response = response
        self.response_started = _now()
        chain = self.chain
        for index, call in enumerate(chain.on_response):
            try:
                verdict = call(self)
                if verdict is not CONTINUE:
                    if self.finished:  # it answered itself
                        _discard(verdict)
                        return
                    self.response_held = True
                    self._hold_response(verdict, index, call)
                    return
            except Exception as error:
                self._filter_failed(call, error)
                return
        if chain.sees_response_body:
            self._write_filtered(response)
        else:
            self._write_head(response)

    def _hold_response(self, verdict: object, index: int, call: Any) -> None:
        if not isinstance(verdict, Awaitable):
            raise TypeError(f"it answered {verdict!r} to a response, expected CONTINUE or an awaitable of it")
        self._spawn(self._await_response(verdict, index), call, verdict)

    async def _await_response(self, verdict: Awaitable[object], index: int) -> None:
        answer: object = await verdict
        for call in self.chain.on_response[index + 1 :]:
            if answer is not CONTINUE or self.finished:
                break
            answer = await _ask(call, self)
        if self.finished:
            return
        if answer is not CONTINUE:
            raise TypeError(f"it answered {answer!r} to a response, expected CONTINUE")
        self.response_held = False
        self._write_filtered(cast("Response", self.response))
        if not self.response_held:
            self._play_response()

    def _play_response(self) -> None:
        self.response_held = False
        queue, self._response_queue = self._response_queue or [], None
        for position, (piece, end) in enumerate(queue):
            if self.response_held:
                self._response_queue = queue[position:]
                return
            if isinstance(piece, bytes):
                self.send_data(piece, end)
            else:
                self.send_trailers(piece)
        if self.sink is not None and not self.owner.write_paused:
            self.sink.resume()

    def _write_filtered(self, response: Response) -> None:
        """Write a head, after the body's filters had what came with it."""
        body = response.body
        calls = self.chain.on_response_data
        if calls and not response.end:
            response.headers.delete(b"content-length")  # filters may change what it counts
        for call in calls if body else ():
            try:
                answer = call(self, body, response.end)
            except Exception as error:
                self._filter_failed(call, error)
                return
            if not isinstance(answer, bytes):
                self.response_held = True
                self._spawn(self._await_response_body(answer, call), call, answer)
                return
            body = answer
        self._write_whole(response, body)

    def _write_whole(self, response: Response, body: bytes) -> None:
        if body is not response.body:
            response.body = body
            response.headers.changed = True
        if not response.end or response.trailers is None or self._tell(self.chain.on_response_trailers):
            self._write_head(response)

    async def _await_response_body(self, answer: Awaitable[bytes], first: Any) -> None:
        response = cast("Response", self.response)
        body = _bytes(await answer)
        calls = self.chain.on_response_data
        for call in calls[calls.index(first) + 1 :]:
            body = await _ask_data(call, self, body, response.end)
        if not self.finished:
            self._write_whole(response, body)
            self._play_response()

    def _write_head(self, response: Response) -> None:
        if self.finished:
            return
        owner = self.owner
        try:
            frame = owner.codec.encode_response(self.request, response)
        except LocalProtocolError as error:
            self._cannot_send(error)
            return
        self.bytes_sent += len(response.body)
        if frame:
            owner.transport.write(frame)
        if response.end:
            self._finish()
        else:
            self.begun = True
            if not self.request_done and owner.codec.held:
                owner.release()  # an upgrade is accepted: what was sent early belongs to the tunnel

    def _cannot_send(self, error: LocalProtocolError) -> None:
        """What a filter made of the response cannot be written: say so where that is still possible."""
        _log.error("the response to %s cannot be sent: %s", self.connection.peer, error)
        if self.begun or self.details == "local_protocol_error":
            self.reset("local_protocol_error", flag="LR")
        else:
            self.reply(error.status, "Internal Server Error", details="local_protocol_error", flag="LR")

    def send_data(self, data: bytes, end: bool) -> None:
        """A piece of the response's body came from upstream."""
        if self.finished:
            return
        if self.response_held:
            self._queue_response(data, end)
            return
        for call in self.chain.on_response_data:
            try:
                answer = call(self, data, end)
            except Exception as error:
                self._filter_failed(call, error)
                return
            if not isinstance(answer, bytes):
                self.response_held = True
                if self.sink is not None:
                    self.sink.pause()
                self._spawn(self._await_response_data(answer, end, call), call, answer)
                return
            data = answer
        self._encode_data(data, end)

    def _encode_data(self, data: bytes, end: bool) -> None:
        if not data and not end:
            return
        self.bytes_sent += len(data)
        self.touched = _now()
        owner = self.owner
        try:
            frame = owner.codec.encode_data(self.request, data, end)
        except LocalProtocolError as error:
            self._cannot_send(error)
            return
        if frame:
            owner.transport.write(frame)
        if end:
            self._finish()

    async def _await_response_data(self, answer: Awaitable[bytes], end: bool, first: Any) -> None:
        data = _bytes(await answer)
        calls = self.chain.on_response_data
        for call in calls[calls.index(first) + 1 :]:
            data = await _ask_data(call, self, data, end)
        if not self.finished:
            self._encode_data(data, end)
            self._play_response()

    def _queue_response(self, piece: bytes | Headers, end: bool) -> None:
        if self._response_queue is None:
            self._response_queue = []
        self._response_queue.append((piece, end))
        if self.sink is not None:
            self.sink.pause()

    def send_trailers(self, trailers: Headers) -> None:
        """The response's trailers came from upstream; they end it."""
        if self.finished:
            return
        if self.response_held:
            self._queue_response(trailers, True)
            return
        if self.response is not None:
            self.response.trailers = trailers
        if not self._tell(self.chain.on_response_trailers):
            return
        try:
            frame = self.owner.codec.encode_trailers(self.request, trailers)
        except LocalProtocolError as error:
            self._cannot_send(error)
            return
        if frame:
            self.owner.transport.write(frame)
        self._finish()

    def send_interim(self, status: int, headers: Headers) -> None:
        """An informational head came from upstream."""
        if not self.replied and not self.finished:
            frame = self.owner.codec.encode_interim(self.request, status, headers)
            if frame:
                self.owner.transport.write(frame)

    # the end

    def idle_for(self, now: float) -> float:
        """Seconds since anything passed."""
        return now - max(self.started, self.request_ended, self.response_started, self.touched)

    def abandon(self, reason: str, flag: str) -> None:
        """The connection is gone, or the peer gave the stream up: nobody can be answered."""
        if not self.finished:
            self.flags = (*self.flags, flag)
            self.details = reason
            self._finish()

    def _finish(self) -> None:
        self.finished = True
        response = self.response
        # an answer that came in one piece has just begun
        self.ended = self.response_started if response is not None and response.end else _now()
        sink = self.sink
        if sink is not None:
            self.sink = None
            sink.cancel(self.details)
        if self._tasks is not None:
            self._cancel_tasks()
        if self.chain.on_end:
            self._tell_end()
        self.owner.stream_finished(self)

    def _tell_end(self) -> None:
        for call in self.chain.on_end:
            try:
                call(self)
            except Exception:
                _log.exception("filter %s failed at the end of a stream", self.chain.name_of(call))

    def _filter_failed(self, call: Any, error: Exception) -> None:
        """A filter raised: its own stream ends with 500, and nothing else does."""
        name = self.chain.name_of(call)
        self.owner.proxy.stats.filter_error.value += 1
        _log.error("filter %s failed; its stream is answered with 500", name, exc_info=error)
        self.reply(500, "Internal Server Error", details="filter_error", flag="LR" if self.begun else "")

    def _cancel_tasks(self) -> None:
        """Filters still wait for what no longer matters."""
        current = asyncio.current_task()
        for task in self._tasks or ():
            if task is not current:
                task.cancel()

    def _spawn(self, work: Any, call: Any, answer: Any) -> None:
        async def supervised() -> None:
            try:
                await work
            except _FilterFailure as failure:
                if not self.finished:
                    self._filter_failed(failure.call, cast("Exception", failure.__cause__))
            except Exception as error:
                if not self.finished:
                    self._filter_failed(call, error)

        running = supervised()
        task = self.owner.proxy.context.spawn(running, "filter")
        task.add_done_callback(lambda _: _discard(running, work, answer))  # it may be cancelled before it began
        self._tasks = [*[one for one in self._tasks or () if not one.done()], task]
