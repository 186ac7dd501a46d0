"""A stream of a downstream connection: what happens to one request and its response.

It reads from top to bottom: the request's head runs through the filters to the router, its body follows it upstream
(the methods under "the way on", which ``plait.stream.onward`` has); the response comes back through ``respond`` and
``send_data``; ``ServerConnection.finish`` tells everybody and lets go.

Two things are elsewhere, because most streams never need them: ``plait.stream.bodies`` takes data through filters, and
``plait.stream.waiting`` keeps what arrives while a filter waits. The stream's direction is then *held*.
"""

from __future__ import annotations

import logging
import math
import time
from abc import abstractmethod
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any, cast

from plait.api.config import Route
from plait.api.errors import LocalProtocolError
from plait.api.headers import Headers, encode
from plait.api.message import Request, Response
from plait.api.stream import CONTINUE, STOP, UNSOUGHT, Stream, Verdict
from plait.stream.bodies import (
    filter_request_body,
    filter_request_data,
    filter_response_body,
    filter_response_data,
    tell_request,
    tell_response,
)
from plait.stream.waiting import FilterFailure, Waiting, ask, discard

if TYPE_CHECKING:
    from plait.stream.client import ClientConnection
    from plait.stream.server import ServerConnection

_log = logging.getLogger("plait.stream")

_now = time.monotonic

HELD_BYTES = 64 * 1024
"""What a stream may have waiting for its peer's window before the other side is paused."""

NEVER = math.inf
"""The deadline of a stream that has none."""

_RESUMED = -1


class ServerStream(Stream):
    """A stream of a ``ServerConnection``."""

    __slots__ = (
        "_next",
        "begun",
        "chain",
        "deadline",
        "ending",
        "finished",
        "forwarded",
        "owner",
        "reached",
        "replied",
        "request_done",
        "request_held",
        "response_held",
        "touched",
        "waiting",
    )
    reached: ClientConnection | None  # that the request was last sent on

    def __init__(self, owner: ServerConnection, request: Request, now: float) -> None:
        # What Stream.__init__ does, without the call: this runs for every request.
        self.request = request
        self.connection = owner.connection
        self.started = now
        self.response = None
        self.response_started = 0.0
        self.ended = 0.0
        self.bytes_received = len(request.body)
        self.bytes_sent = 0
        self.attempts = 0
        self.upstream_cluster = ""
        self.reached = None
        self.upstream_failure = ""
        self.flags = ()
        self.details = ""
        self._attributes = None
        self.owner = owner
        self.chain = owner.chain
        self.forwarded = False  # the request is on its way upstream, or its response on the way back
        self.deadline = NEVER
        self.replied = False  # the response is our own or has begun: no second one may start
        end = self.request_done = request.end  # its last byte was received
        self.request_ended = now if end else 0.0
        self.request_held = True  # the head has not reached the router yet, or a data filter waits
        self.response_held = False
        self.finished = False
        self.touched = 0.0  # when a piece of a body last passed, or a filter that had stopped the head let it go on
        self.found_route = UNSOUGHT
        self._next = 0  # the request filter that ``resume`` goes on with; 0 unless one stopped, or _RESUMED
        self.begun = False  # the response's head is written and more will follow
        self.ending = False  # all of the response is with the codec, and the peer's window keeps some of it there
        self.waiting: Waiting | None = None  # made when a filter waits

    # what filters call

    @property
    def upstream_host(self) -> str:
        return "" if self.reached is None else self.reached.host.name

    @property
    def upstream_local(self) -> str:
        return "" if self.reached is None else self.reached.local

    @property
    def route(self) -> Route | None:
        route = self.found_route
        if route is UNSOUGHT:
            route = self.found_route = self.chain.router.route(self)
        return route

    def clear_route(self) -> None:
        self.found_route = UNSOUGHT

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
        if self.forwarded:
            self.cancel_upstream(details or "local_reply")
        text = encode(body) if isinstance(body, str) else body
        response = self.owner.protocol.local_response(self.request, status, text, details)
        if headers:
            for name, value in headers.items():
                response.headers.set(name, value)
        if instead:  # of a response that is on its way through the filters: it does not start there again
            self.response_held = False
            if self.waiting is not None:
                self.waiting.drop_response()
            self.response = response
            self.write_head(response)
        else:
            self.owner.proxy.stats.rq_local.value += 1
            self.respond(response, _now())
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
        else:
            self.request_done = True  # that says all about the rest of it
            if frame:
                owner.write(frame)
        owner.finish(self)
        if frame is None:
            owner.abort()

    def resume(self) -> None:
        if self.request_held and not self.replied and not self.finished:
            if self._next > 0:
                self.run(self._next)
            else:
                self._next = _RESUMED  # its filter has not said STOP yet

    async def request_body(self, limit_bytes: int = 1 << 20) -> bytes:
        request = self.request
        return request.body if request.end else await self.wait().request_body(limit_bytes)

    async def response_body(self, limit_bytes: int = 1 << 20) -> bytes:
        response = cast("Response", self.response)
        return response.body if response.end else await self.wait().response_body(limit_bytes)

    def wait(self) -> Waiting:
        """What keeps pieces and tasks while a filter waits."""
        waiting = self.waiting
        if waiting is None:
            waiting = self.waiting = Waiting(self)
        return waiting

    # the request's way

    def request_unwanted(self) -> bool:
        """Whether nobody takes what is left of the request: it is answered, or given up."""
        return self.finished or (self.replied and not self.forwarded)

    def receive_data(self, data: bytes, end: bool) -> None:
        """A piece of the request's body has arrived."""
        self.bytes_received += len(data)
        self.touched = _now()
        if end:
            self.request_done = True
            self.request_ended = self.touched
        if self.finished or (self.replied and not self.forwarded):
            return
        if self.request_held:
            self.wait().hold_request(data, end)
        else:
            self.pass_data(data, end)

    def receive_trailers(self, trailers: Headers) -> None:
        """The request's trailers have arrived."""
        self.request_done = True
        self.request_ended = _now()
        self.request.trailers = trailers
        if self.finished or (self.replied and not self.forwarded):
            return
        if self.request_held:
            self.wait().hold_request(trailers, True)
        else:
            self.pass_trailers()

    def run(self, start: int = 0, body_passed: bool = False) -> None:
        """Take the head through the request filters from number ``start`` on, and on to the router.

        ``body_passed`` says that the body's filters are through with what came with the head.
        """
        chain = self.chain
        calls = chain.on_request
        if start:
            calls = calls[start:]
            self._next = 0
            self.touched = _now()
        try:
            for call in calls:
                verdict = call(self)
                if verdict is not CONTINUE and not self._goes_on(verdict, call):
                    return
            if self.replied:  # a filter answered and said CONTINUE all the same
                return
            call = chain.terminal
            if chain.sees_request_body and not body_passed and not filter_request_body(self):
                return
            waiting = self.waiting  # the router may end the stream, and what was held still has to be let go
            verdict = call(self)
            if verdict is not STOP:
                self._wait_for_router(verdict, call)
                return
        except Exception as error:
            self.filter_failed(call, error)
            return
        self.request_held = False
        if waiting is not None:
            waiting.head_passed()

    def _goes_on(self, verdict: object, call: Any) -> bool:
        """A request filter said something else than CONTINUE: whether the next one is to be asked right away."""
        behind = self.chain.on_request.index(call) + 1
        if verdict is STOP:
            resumed = self._next == _RESUMED
            self._next = 0 if resumed else behind
            return resumed and not self.replied
        if isinstance(verdict, Awaitable):
            self.wait().spawn(self._after_request(verdict, behind), call, verdict)
            return False
        raise TypeError(f"it answered {verdict!r}, expected CONTINUE, STOP or an awaitable of one")

    async def _after_request(self, verdict: Awaitable[object], behind: int) -> None:
        answer = await verdict
        if self.replied or self.finished:
            return
        if answer is STOP and self._next != _RESUMED:
            self._next = behind
        elif answer is CONTINUE or answer is STOP:
            self.run(behind)
        else:
            raise TypeError(f"it answered {answer!r}, expected CONTINUE or STOP")

    def _wait_for_router(self, verdict: object, call: Any) -> None:
        if not isinstance(verdict, Awaitable):
            raise TypeError(f"it answered {verdict!r}, expected STOP or an awaitable of it")
        waiting = self.wait()
        waiting.spawn(self._after_router(waiting, verdict), call, verdict)

    async def _after_router(self, waiting: Waiting, verdict: Awaitable[object]) -> None:
        answer = await verdict
        if answer is not STOP:
            raise TypeError(f"it answered {answer!r}, expected STOP")
        self.request_held = False
        waiting.head_passed()

    def pass_data(self, data: bytes, end: bool) -> None:
        """Take a piece of the request's body through its filters, and upstream."""
        if self.chain.on_request_data:
            filtered = filter_request_data(self, data, end)
            if filtered is None:
                return
            data = filtered
        if self.forwarded and (data or end):
            self.send_up(data, end)

    def pass_trailers(self) -> None:
        """Show the request's trailers to filters, and send upstream what those leave of them."""
        if not tell_request(self, self.chain.on_request_trailers) or not self.forwarded:
            return
        trailers = self.request.trailers
        if trailers is None:
            self.send_up(b"", True)
        else:
            self.send_trailers_up(trailers)

    # the way on: what a stream does with its request upstream, see plait.stream.onward

    @abstractmethod
    def send_up(self, data: bytes, end: bool) -> None:
        """A piece of the request's body."""

    @abstractmethod
    def send_trailers_up(self, trailers: Headers) -> None:
        """Trailers of the request; they end it."""

    @abstractmethod
    def cancel_upstream(self, reason: str) -> None:
        """The stream ended: nobody waits for the response any more."""

    @abstractmethod
    def pause_upstream(self) -> None:
        """Downstream takes no more for now: stop reading the response."""

    @abstractmethod
    def resume_upstream(self) -> None:
        """Downstream takes data again."""

    @abstractmethod
    def upstream_full(self) -> bool:
        """Whether the upstream takes no more of the request for now."""

    @abstractmethod
    def upstream_idle_timeout_s(self, default_s: float) -> float:
        """How long nothing may pass on the stream; ``default_s`` is the connection manager's."""

    @abstractmethod
    def expire(self) -> None:
        """``deadline`` is over: a time of ``time.monotonic()``."""

    # the response's way

    def respond(self, response: Response, now: float) -> None:
        """The response's head came from upstream, or is our own: take it through the filters and write it."""
        self.replied = True
        self.response = response
        self.response_started = now
        chain = self.chain
        for call in chain.on_response if chain.router.sees_responses else chain.on_response_unrouted:
            try:
                verdict = call(self)
                if verdict is not CONTINUE:
                    if self.finished:  # it answered itself
                        discard(verdict)
                        return
                    self.response_held = True
                    self._hold_response(verdict, call)
                    return
            except Exception as error:
                self.filter_failed(call, error)
                return
        if chain.sees_response_body and not filter_response_body(self, response):
            return
        self.write_head(response)

    def _hold_response(self, verdict: object, call: Any) -> None:
        if not isinstance(verdict, Awaitable):
            raise TypeError(f"it answered {verdict!r} to a response, expected CONTINUE or an awaitable of it")
        waiting = self.wait()
        waiting.spawn(self._after_response(waiting, verdict, call), call, verdict)

    async def _after_response(self, waiting: Waiting, verdict: Awaitable[object], call: Any) -> None:
        answer: object = await verdict
        calls = self.chain.on_response
        for one in calls[calls.index(call) + 1 :]:
            if answer is not CONTINUE or self.finished:
                break
            call = one
            answer = await ask(call, self)
        if self.finished:
            return
        if answer is not CONTINUE:
            raise FilterFailure(call) from TypeError(f"it answered {answer!r} to a response, expected CONTINUE")
        self.response_held = False
        response = cast("Response", self.response)
        if not self.chain.sees_response_body or filter_response_body(self, response):
            self.write_head(response)
        if not self.response_held:
            waiting.play_response()

    def write_head(self, response: Response) -> None:
        """Write the response's head, and the body that came with it."""
        if self.finished:
            return
        owner = self.owner
        try:
            frame = owner.codec.encode_response(self.request, response)
        except LocalProtocolError as error:
            self._cannot_send(error)
            return
        if frame:
            self.bytes_sent = len(response.body)
            owner.write(frame)
        else:
            self.bytes_sent = response.body_size
            if owner.codec.output:  # a head, and behind it a long body that was not copied for it
                owner.write_output()
        if response.end:
            if not (owner.flow_controlled and self._held_back(True)):
                owner.finish(self)
        else:
            self.begun = True
            if owner.flow_controlled:
                self._held_back(False)
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
            self.wait().hold_response(data, end)
            return
        if self.chain.on_response_data:
            filtered = filter_response_data(self, data, end)
            if filtered is None:
                return
            data = filtered
        self.encode_data(data, end)

    def encode_data(self, data: bytes, end: bool) -> None:
        """Write a piece of the response's body."""
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
            owner.write(frame)
        if not (owner.flow_controlled and self._held_back(end)) and end:
            owner.finish(self)

    def send_trailers(self, trailers: Headers) -> None:
        """The response's trailers came from upstream; they end it."""
        if self.finished:
            return
        if self.response_held:
            self.wait().hold_response(trailers, True)
            return
        response = cast("Response", self.response)
        response.trailers = trailers
        last = tell_response(self)
        if last is None:
            return
        left: Headers | None = response.trailers  # a filter may have put others there, or none
        if last or left is None:
            self.encode_data(last, left is None)
            if left is None or self.finished:
                return
        try:
            frame = self.owner.codec.encode_trailers(self.request, left)
        except LocalProtocolError as error:
            self._cannot_send(error)
            return
        if frame:
            self.owner.write(frame)
        if not (self.owner.flow_controlled and self._held_back(True)):
            self.owner.finish(self)

    def _held_back(self, end: bool) -> bool:
        """Whether the peer's window keeps the ``end`` of the response back; where it keeps much, upstream is to wait.

        The stream is then over when ``window_opened`` says that all is out, or when nothing passes for too long.
        """
        unsent = self.owner.codec.unsent(self.request.id)
        if not unsent:
            return False
        if end:
            self.begun = self.ending = True
        elif unsent > HELD_BYTES and self.forwarded:
            self.pause_upstream()
        return end

    def window_opened(self) -> None:
        """The peer's window let out some of what it had kept."""
        self.touched = _now()
        unsent = self.owner.codec.unsent(self.request.id)
        if self.ending:
            if not unsent:
                self.owner.finish(self)
        elif self.forwarded and unsent <= HELD_BYTES and not self.owner.write_paused and not self.response_held:
            self.resume_upstream()

    def send_interim(self, status: int, headers: Headers) -> None:
        """An informational head came from upstream."""
        if not self.replied and not self.finished:
            frame = self.owner.codec.encode_interim(self.request, status, headers)
            if frame:
                self.owner.write(frame)

    # the end

    def idle_for(self, now: float) -> float:
        """Seconds since anything passed."""
        return now - max(self.started, self.request_ended, self.response_started, self.touched)

    def end(self) -> None:
        """The request went on its way, and there is no response to wait for."""
        if not self.finished:
            self.replied = True
            self.owner.finish(self)

    def abandon(self, reason: str, flag: str) -> None:
        """The connection is gone, or the peer gave the stream up: nobody can be answered."""
        if not self.finished:
            self.flags = (*self.flags, flag)
            self.details = reason
            self.owner.finish(self)

    def tell_end(self) -> None:
        """Tell the filters that asked for it."""
        for call in self.chain.on_end:
            try:
                call(self)
            except Exception:
                _log.exception("filter %s failed at the end of a stream", self.chain.name_of(call))

    def filter_failed(self, call: Any, error: Exception) -> None:
        """A filter raised: its own stream ends with 500, and nothing else does."""
        name = self.chain.name_of(call)
        self.owner.proxy.stats.filter_error.value += 1
        _log.error("filter %s failed; its stream is answered with 500", name, exc_info=error)
        self.reply(500, "Internal Server Error", details="filter_error", flag="LR" if self.begun else "")
