"""The stream as filters, access logs and policies see it, and what a filter answers."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping

from plait.api.config import DirectResponse, Route, RouteMatch
from plait.api.connection import Connection
from plait.api.headers import Headers
from plait.api.message import Request, Response


class Verdict(enum.Enum):
    """What becomes of a stream after a filter looked at it."""

    CONTINUE = "continue"
    STOP = "stop"


CONTINUE = Verdict.CONTINUE
STOP = Verdict.STOP

UNSOUGHT = Route(RouteMatch(), DirectResponse(404), "not looked up yet")
"""What ``Stream.found_route`` is before anybody asked for the route."""


class Stream(ABC):
    """One request and its response, whatever the protocol.

    ``response`` is None until there is one. ``found_route`` is what ``route`` found, ``UNSOUGHT`` until somebody asked.
    Times are ``time.monotonic()`` seconds, 0 while not reached; sizes are bytes of bodies. ``flags`` holds Envoy's
    response flags (``UF``, ``NR`` …); ``details`` says in one word where an answer of our own came from.
    """

    __slots__ = (
        "_attributes",
        "attempts",
        "bytes_received",
        "bytes_sent",
        "connection",
        "details",
        "ended",
        "flags",
        "found_route",
        "request",
        "request_ended",
        "response",
        "response_started",
        "started",
        "upstream_cluster",
        "upstream_failure",
    )
    request: Request
    response: Response | None
    connection: Connection
    started: float
    request_ended: float
    response_started: float
    ended: float
    bytes_received: int
    bytes_sent: int
    attempts: int
    upstream_cluster: str
    upstream_failure: str
    flags: tuple[str, ...]
    details: str
    found_route: Route | None
    _attributes: dict[str, object] | None

    def __init__(self, request: Request, connection: Connection, started: float) -> None:
        self.request = request
        self.connection = connection
        self.started = started
        self.response = None
        self.request_ended = 0.0
        self.response_started = 0.0
        self.ended = 0.0
        self.bytes_received = 0
        self.bytes_sent = 0
        self.attempts = 0
        self.upstream_cluster = ""
        self.upstream_failure = ""
        self.flags = ()
        self.details = ""
        self.found_route = UNSOUGHT
        self._attributes = None

    @property
    def attributes(self) -> dict[str, object]:
        """What filters tell the filters behind them, the access log and policies; names are dotted."""
        attributes = self._attributes
        if attributes is None:
            attributes = self._attributes = {}
        return attributes

    @property
    def upstream_host(self) -> str:
        """The address of the host that the request was sent to last, empty while it was not."""
        return ""

    @property
    def upstream_local(self) -> str:
        """Our own address on the connection to that host."""
        return ""

    @property
    @abstractmethod
    def route(self) -> Route | None:
        """The route that the request matches now; looked up once, again after ``clear_route``."""

    @abstractmethod
    def clear_route(self) -> None:
        """Forget the route, because a filter changed what it was found by."""

    @abstractmethod
    def route_settings(self, name: str) -> object | None:
        """The settings that the route (else its virtual host or table) has for the filter called ``name``."""

    @abstractmethod
    def reply(
        self,
        status: int,
        body: str | bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
        details: str = "",
        flag: str = "",
    ) -> Verdict:
        """Answer the caller now, in the protocol's own terms, and return STOP.

        ``status`` is HTTP's; each protocol maps it to its own. The answer passes the response filters.
        After the response has begun, the stream is reset instead.
        """

    @abstractmethod
    def reset(self, reason: str, *, flag: str = "") -> None:
        """End the stream without a (full) answer."""

    def send_interim(self, status: int, headers: Headers) -> None:
        """Send an informational head (100, 103) ahead of the response, where the protocol has them."""

    @abstractmethod
    def resume(self) -> None:
        """Go on behind the filter that returned STOP."""

    @abstractmethod
    async def request_body(self, limit_bytes: int = 1 << 20) -> bytes:
        """The whole body, waited for; filters behind get it in one piece.

        Only from an awaitable ``on_request``. A longer body is answered with 413 and the filter is cancelled.
        """

    @abstractmethod
    async def response_body(self, limit_bytes: int = 1 << 20) -> bytes:
        """The response's whole body, waited for with its trailers (``response.trailers``); it goes on in one piece.

        Only from an awaitable ``on_response``. A longer body is replaced by a 500 and the filter is cancelled.
        """


class StreamFilter:
    """Base of stream filters; override the phases you need: the others cost nothing.

    An object is made once per chain and worker; what belongs to one request goes to ``stream.attributes``. Each method
    may return its value or an awaitable of it. An exception ends the one stream with a 500.
    """

    def on_request(self, stream: Stream) -> Verdict | Awaitable[Verdict]:
        """The head of the request is there. STOP holds it until ``stream.resume()``, unless you replied."""
        return CONTINUE

    def on_request_data(self, stream: Stream, data: bytes, end: bool) -> bytes | Awaitable[bytes]:
        """A piece of the request's body; return what goes on in its place."""
        return data

    def on_request_trailers(self, stream: Stream) -> None:
        """Trailers of the request (``stream.request.trailers``)."""

    def on_response(self, stream: Stream) -> Verdict | Awaitable[Verdict]:
        """The head of the response is there (``stream.response``)."""
        return CONTINUE

    def on_response_data(self, stream: Stream, data: bytes, end: bool) -> bytes | Awaitable[bytes]:
        """A piece of the response's body; return what goes on in its place."""
        return data

    def on_response_trailers(self, stream: Stream) -> bytes | None:
        """Trailers of the response (``stream.response.trailers``; None drops them).

        Bytes that it returns are a last piece of the body, ahead of the trailers; no other filter sees them.
        """
        return None

    def on_end(self, stream: Stream) -> None:
        """The stream is over, however it ended."""

    def close(self) -> None:
        """The chain is replaced or the worker stops: give back what you hold."""


class RouterFilter(StreamFilter):
    """The filter at the end of a chain: finds the route and sends the request on its way."""

    sees_responses = True
    """Whether ``on_response`` has anything to do now; it is not called otherwise."""

    @abstractmethod
    def route(self, stream: Stream) -> Route | None:
        """The route of ``stream.request`` as it is now, or None."""
