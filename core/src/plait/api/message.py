"""What codecs and streams exchange: requests, responses and the smaller events of a connection.

Every event has a class attribute ``kind`` (one of the constants below) and the ``id`` of its stream: the loop that
reads events compares an integer instead of asking for types. A message whose body came along with its head carries it
in ``body`` with ``end`` true, and no further event follows; otherwise ``Data`` and ``Trailers`` events come.
"""

from __future__ import annotations

from typing import ClassVar

from plait.api.errors import ProtocolError
from plait.api.headers import Headers, decode, encode

REQUEST = 1
RESPONSE = 2
DATA = 3
TRAILERS = 4
RESET = 5
FAULT = 6
INTERIM = 7
PING = 8
GOAWAY = 9
WINDOW = 10
SWITCH = 11


class Event:
    """Anything a codec tells: see the subclasses.

    These classes have slots: a default in the class body would make every access slower.
    """

    __slots__ = ("id",)
    kind: ClassVar[int] = 0
    id: int


class Native:
    """Base of what a codec keeps in ``native`` and others can ask for: what a frame says beside its headers.

    Routes, access logs and mixer ask for such a thing by a name with a colon in front, as for HTTP's pseudo-headers.
    """

    __slots__ = ()

    def find(self, name: bytes, message: Message) -> bytes | None:
        """What goes by ``name`` (in lower case, such as ``:class-name``) in ``message``, whose native this is."""
        return None

    @property
    def timeout_s(self) -> float:
        """The caller's deadline, of requests whose own ``timeout_s`` is negative; 0 when it named none."""
        return 0.0


class Message(Event):
    """A head, with the body where it was there at once.

    ``raw`` is what the codec keeps of the frame (or header block) as it came, to forward it when nothing changed; None
    when there is none. ``native`` is whatever the protocol's codec keeps of its own about the message.
    """

    __slots__ = ("body", "end", "headers", "native", "protocol", "raw", "trailers")
    headers: Headers
    body: bytes
    end: bool
    trailers: Headers | None
    raw: bytes | None
    native: object
    protocol: str

    @property
    def body_size(self) -> int:
        """Bytes in ``body``; asking leaves a body that its codec has not cut out yet where it is."""
        return len(self.body)

    @property
    def changed(self) -> bool:
        """Whether anybody changed the headers, or what else a codec would write into the head."""
        return self.headers.changed

    def pseudo(self, name: bytes) -> bytes | None:
        """What a name with a colon in front (in lower case) stands for, None where there is nothing."""
        native = self.native
        return native.find(name, self) if isinstance(native, Native) else None


class Request(Message):
    """The request of a stream.

    ``raw_authority`` is the authority (HTTP) or the service (RPC), ``raw_path`` the path with its query or the RPC
    method's name, ``raw_method`` HTTP's method (empty for RPC). The properties without ``raw_`` are their text.
    ``oneway`` requests get no response. ``timeout_s`` is the caller's own deadline, 0 when it named none; it is
    negative where ``native.timeout_s`` has to be asked, which costs something: ``caller_timeout_s`` does so.
    """

    __slots__ = ("oneway", "raw_authority", "raw_method", "raw_path", "raw_scheme", "timeout_s", "upgrade")
    kind = REQUEST
    raw_method: bytes
    raw_path: bytes
    raw_authority: bytes
    raw_scheme: bytes
    upgrade: bytes
    oneway: bool
    timeout_s: float

    def __init__(
        self,
        headers: Headers,
        id: int = 0,
        raw_method: bytes = b"",
        raw_path: bytes = b"",
        raw_authority: bytes = b"",
        protocol: str = "",
    ) -> None:
        self.headers = headers
        self.id = id
        self.body = b""
        self.end = True
        self.trailers = None
        self.raw = None
        self.native = None
        self.protocol = protocol
        self.raw_method = raw_method
        self.raw_path = raw_path
        self.raw_authority = raw_authority
        self.raw_scheme = b""
        self.upgrade = b""
        self.oneway = False
        self.timeout_s = 0.0

    @property
    def method(self) -> str:
        """HTTP's method; empty for RPC protocols."""
        return decode(self.raw_method)

    @property
    def path(self) -> str:
        """Path and query of HTTP, the method's name of an RPC."""
        return decode(self.raw_path)

    @path.setter
    def path(self, value: str) -> None:
        self.raw_path = encode(value)
        self.headers.changed = True

    @property
    def authority(self) -> str:
        """Host (and port) of HTTP, the service of an RPC."""
        return decode(self.raw_authority)

    @authority.setter
    def authority(self, value: str) -> None:
        self.raw_authority = encode(value)
        self.headers.changed = True

    def caller_timeout_s(self) -> float:
        """The caller's own deadline, wherever it stands; 0 when it named none."""
        if self.timeout_s < 0:
            native = self.native
            self.timeout_s = native.timeout_s if isinstance(native, Native) else 0.0
        return self.timeout_s

    def pseudo(self, name: bytes) -> bytes | None:
        """``:method``, ``:path``, ``:authority`` and ``:scheme``, and what the protocol has beside those."""
        if name == b":path":
            return self.raw_path or None
        if name == b":authority":
            return self.raw_authority or None
        if name == b":method":
            return self.raw_method or None
        if name == b":scheme":
            return self.raw_scheme or None
        return super().pseudo(name)

    @property
    def scheme(self) -> str:
        """``http`` or ``https`` as the caller reached us, empty for RPC protocols."""
        return decode(self.raw_scheme)


class Response(Message):
    """The response of a stream.

    ``status`` is the outcome in HTTP's terms whatever the protocol (200, 404, 503 …): routes, retries and statistics
    read it. ``code`` is the protocol's own where that differs, and ``reason`` its phrase.
    """

    __slots__ = ("code", "reason", "status")
    kind = RESPONSE
    status: int
    code: int
    reason: bytes

    def __init__(
        self, status: int, headers: Headers, id: int = 0, reason: bytes = b"", protocol: str = "", body: bytes = b""
    ) -> None:
        self.status = status
        self.headers = headers
        self.id = id
        self.body = body
        self.end = True
        self.trailers = None
        self.raw = None
        self.native = None
        self.protocol = protocol
        self.code = 0
        self.reason = reason


class Lazy(Message):
    """``headers`` and ``native`` of a message whose codec makes them when somebody asks: most pass without.

    A codec derives from ``LazyRequest`` and ``LazyResponse``, says in ``make_headers`` and ``make_native`` how, and in
    its ``__init__``, or where it makes one, sets all attributes but these two; ``made_headers`` and ``made_native`` are
    None instead.
    """

    __slots__ = ()
    made_headers: Headers | None
    made_native: object

    def make_headers(self) -> Headers:
        """The headers as they came."""
        raise NotImplementedError

    def make_native(self) -> object:
        """What the codec says beside the headers."""
        raise NotImplementedError

    @property
    def headers(self) -> Headers:
        made = self.made_headers
        if made is None:
            made = self.made_headers = self.make_headers()  # type: ignore[misc]  # a slot of both subclasses
        return made

    @headers.setter
    def headers(self, headers: Headers) -> None:
        self.made_headers = headers  # type: ignore[misc]  # a slot of both subclasses

    @property
    def native(self) -> object:
        made = self.made_native
        if made is None:
            made = self.made_native = self.make_native()  # type: ignore[misc]  # a slot of both subclasses
        return made

    @native.setter
    def native(self, native: object) -> None:
        self.made_native = native  # type: ignore[misc]  # a slot of both subclasses

    @property
    def changed(self) -> bool:
        made = self.made_headers
        return made is not None and made.changed


class LazyRequest(Lazy, Request):
    """See ``Lazy``."""

    __slots__ = ("made_headers", "made_native")


class LazyResponse(Lazy, Response):
    """See ``Lazy``."""

    __slots__ = ("made_headers", "made_native")


class Interim(Event):
    """An informational head (HTTP 100, 103) before the response."""

    __slots__ = ("headers", "status")
    kind = INTERIM

    def __init__(self, status: int, headers: Headers, id: int = 0) -> None:
        self.status = status
        self.headers = headers
        self.id = id


class Data(Event):
    """A piece of a body; ``end`` when it is the last of the message."""

    __slots__ = ("data", "end")
    kind = DATA

    def __init__(self, data: bytes, end: bool, id: int = 0) -> None:
        self.data = data
        self.end = end
        self.id = id


class Trailers(Event):
    """Fields behind the body; they end the message."""

    __slots__ = ("headers",)
    kind = TRAILERS

    def __init__(self, headers: Headers, id: int = 0) -> None:
        self.headers = headers
        self.id = id


class Reset(Event):
    """The peer gave one stream up; ``refused`` when it says that it did not begin to work on it."""

    __slots__ = ("reason", "refused")
    kind = RESET

    def __init__(self, reason: str, id: int = 0, refused: bool = False) -> None:
        self.reason = reason
        self.id = id
        self.refused = refused


class Fault(Event):
    """The peer broke the protocol. ``id`` names the stream when only that one is hurt; 0 the whole connection."""

    __slots__ = ("error",)
    kind = FAULT

    def __init__(self, error: ProtocolError, id: int = 0) -> None:
        self.error = error
        self.id = id


class Ping(Event):
    """A heartbeat; ``ack`` when it answers ours. The codec answers the peer's own through ``output``."""

    __slots__ = ("ack",)
    kind = PING

    def __init__(self, ack: bool, id: int = 0) -> None:
        self.ack = ack
        self.id = id


class GoAway(Event):
    """The peer takes no new streams on this connection; those above ``last_id`` (-1: none) were not begun."""

    __slots__ = ("last_id", "reason")
    kind = GOAWAY

    def __init__(self, last_id: int = -1, reason: str = "") -> None:
        self.id = 0
        self.last_id = last_id
        self.reason = reason


class Switch(Event):
    """A request that offers to go on in another protocol on this connection, named as HTTP's Upgrade names it.

    Who takes the offer up writes ``answer`` and makes a codec of that protocol ``adopt`` the request with the offer's
    ``settings``. For who does not, the request is like any other: its codec reads and answers it either way.
    """

    __slots__ = ("answer", "protocol", "request", "settings")
    kind = SWITCH

    def __init__(self, request: Request, protocol: bytes, settings: bytes, answer: bytes) -> None:
        self.id = request.id
        self.request = request
        self.protocol = protocol
        self.settings = settings
        self.answer = answer


class Window(Event):
    """Flow control opened: the stream (0: any) may send again."""

    __slots__ = ()
    kind = WINDOW

    def __init__(self, id: int = 0) -> None:
        self.id = id
