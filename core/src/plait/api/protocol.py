"""What a protocol plugin implements: two sans-IO codecs and the words of the protocol.

A codec knows no socket, loop, clock or log. ``feed`` takes what was read and returns the events it completes;
``encode_…`` return the bytes to write. What a codec must send of its own accord (acknowledgements, window updates,
answers to pings) it appends to ``output``; the core writes and empties that list after every ``feed``.
A codec raises no error for what the peer sends: it returns a ``Fault`` event, after the events that preceded it.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import attrs

from plait.api.headers import Headers
from plait.api.message import Event, Request, Response


class PoolMode(enum.Enum):
    """How many streams a connection to an upstream carries at once."""

    ONE_AT_A_TIME = "one at a time"
    MULTIPLEXED = "multiplexed"


class Sniff(enum.Enum):
    """What the first bytes of a connection say about its protocol."""

    YES = "yes"
    NO = "no"
    MORE = "more"


class _Windows:
    """Flow control of single streams, for the protocols that have it; what is held there goes out with ``output``."""

    flow_controlled: bool = False
    """True where streams have windows of their own: ``pause``, ``resume`` and ``unsent`` then say something."""

    def pause(self, id: int) -> None:
        """Who reads the stream takes no more for now: let the peer send no more than it may already."""

    def resume(self, id: int) -> None:
        """Who reads the stream takes data again; what tells the peer goes to ``output``."""

    def unsent(self, id: int) -> int:
        """Bytes of the stream that ``encode_…`` was given and the peer's window holds back.

        Each time a window lets some of them out, ``feed`` gives a ``Window`` event with the stream's id.
        """
        return 0


class ServerCodec(_Windows, ABC):
    """The side that reads requests and writes responses."""

    output: list[bytes]
    closing: bool
    """True once no further request will be read: the core closes when the last response is written."""
    held: bool
    """True while bytes wait for the response in progress: the core calls ``feed(b"")`` when it is finished."""
    congested: bool = False
    """Set by the core while the peer takes nothing of what is written: what it asks for meanwhile adds up."""

    def __init__(self) -> None:
        self.output = []
        self.closing = False
        self.held = False

    @abstractmethod
    def feed(self, data: bytes) -> Sequence[Event]:
        """Events completed by ``data``, in order; a ``Fault`` is always the last."""

    def eof(self) -> Sequence[Event]:
        """The peer will send no more: a ``Fault`` when that cuts a message short, else nothing."""
        return ()

    @abstractmethod
    def encode_response(self, request: Request, response: Response) -> bytes:
        """The head, and with it ``response.body``; nothing follows when ``response.end``.

        A codec that would have to copy a long body may leave both in ``output`` and return nothing.
        """

    def encode_interim(self, request: Request, status: int, headers: Headers) -> bytes:
        """An informational head; empty where the protocol has none."""
        return b""

    @abstractmethod
    def encode_data(self, request: Request, data: bytes, end: bool) -> bytes:
        """A piece of the response's body."""

    def encode_trailers(self, request: Request, trailers: Headers) -> bytes:
        """Trailers, which end the response."""
        return self.encode_data(request, b"", True)

    def encode_reset(self, request: Request, reason: str) -> bytes | None:
        """Give one stream up; None where that takes closing the connection."""
        return None

    def drain(self) -> bytes:
        """Tell the peer to send no new requests, and let ``closing`` turn true once it sends none.

        Where the peer does not say so, leave ``closing`` false: the core waits a moment for what is on its way.
        """
        self.closing = True
        return b""


class ClientCodec(_Windows, ABC):
    """The side that writes requests and reads responses."""

    output: list[bytes]
    reusable: bool
    """False once the connection must not carry another stream."""
    half_closes: bool = False
    """True while only the end of all we write can tell the peer of a request's end: in a tunnel."""
    max_streams: int
    """How many streams the peer allows at once (multiplexed protocols)."""
    congested: bool = False
    """Set by the core while the peer takes nothing of what is written: what it asks for meanwhile adds up."""
    heartbeat_s: float = 0.0
    """After how long a silence the core sends ``encode_ping``; 0 for never."""
    heartbeat_timeout_s: float = 0.0
    """How long the peer may then stay silent before the connection is taken for dead; 0 for as long again."""

    def __init__(self) -> None:
        self.output = []
        self.reusable = True
        self.max_streams = 1 << 30

    @abstractmethod
    def feed(self, data: bytes) -> Sequence[Event]:
        """Events completed by ``data``, in order; a ``Fault`` is always the last."""

    def eof(self) -> Sequence[Event]:
        """The peer will send no more: ends a body that lasts until the close, or a ``Fault``."""
        return ()

    @abstractmethod
    def next_id(self) -> int:
        """An id for a new stream that no stream under way has."""

    @abstractmethod
    def encode_request(self, request: Request, id: int) -> bytes:
        """The head under ``id``, and with it ``request.body``; nothing follows when ``request.end``."""

    @abstractmethod
    def encode_data(self, id: int, data: bytes, end: bool) -> bytes:
        """A piece of the request's body."""

    def encode_trailers(self, id: int, trailers: Headers) -> bytes:
        """Trailers, which end the request."""
        return self.encode_data(id, b"", True)

    def encode_reset(self, id: int, reason: str) -> bytes | None:
        """Give one stream up; None where that takes closing the connection."""
        return None

    def encode_ping(self) -> bytes:
        """A heartbeat, answered by a ``Ping`` event with ``ack``.

        Empty where the protocol has none, and while one could not be sent at once: who was not asked is not dead.
        """
        return b""


def _no_sniff(prefix: bytes) -> Sniff:
    return Sniff.NO


@attrs.frozen
class ProtocolType:
    """A protocol that streams can be carried in.

    ``server_codec`` and ``client_codec`` take the protocol's options (an object of ``options``, or None for its
    defaults). ``local_response(request, status, body, details)`` says an error or an early answer in the protocol's own
    terms; ``status`` is HTTP's. ``sniff(prefix)`` looks at the first bytes of a connection; ``alpn`` is what the
    protocol is called where TLS negotiates it (RFC 7301).
    """

    name: str
    server_codec: Callable[..., ServerCodec]
    client_codec: Callable[..., ClientCodec]
    local_response: Callable[[Request, int, bytes, str], Response]
    pool_mode: PoolMode = PoolMode.ONE_AT_A_TIME
    sniff: Callable[[bytes], Sniff] = _no_sniff
    options: type | None = None
    alpn: str = ""
