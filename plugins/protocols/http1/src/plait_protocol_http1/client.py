"""The side that writes requests and reads responses, one exchange after the other.

What the next byte read is::

    IDLE ──encode_request──► HEAD ─┬─► BODY ──► IDLE
                              ▲    ├─► IDLE                    no body, or all of it at once
                              └1xx─┤
                                   └─► UNTIL_CLOSE ──► DEAD    no length; or a tunnel (101, 2xx to CONNECT)

A byte in IDLE is one that nobody asked for: a fault. DEAD reads nothing any more.
"""

from __future__ import annotations

from collections.abc import Sequence

from plait.api import (
    ClientCodec,
    Data,
    Event,
    Fault,
    Headers,
    Interim,
    LocalProtocolError,
    RemoteProtocolError,
    Request,
    Response,
    Trailers,
)
from plait_protocol_http1.body import LAST_CHUNK, ChunkedDecoder, encode_chunk, encode_trailers
from plait_protocol_http1.fields import (
    REQUEST_KEY,
    REQUEST_PREFIXES,
    Fields,
    check_sendable,
    encode_fields,
    is_token,
    parse_fields,
    refuse,
)
from plait_protocol_http1.head import HeadBuffer, ResponseHead, StatusLines
from plait_protocol_http1.options import Http1Options
from plait_protocol_http1.uncut import LONG_BODY_BYTES, UncutResponse

_IDLE = 0
_HEAD = 1
_BODY = 2
_UNTIL_CLOSE = 3
_DEAD = 4

# What the request in progress is written as; in IDLE, it is written.
_WRITTEN = 0
_COUNTED = 1
_CHUNKS = 2
_OFFERED = 3
_RAW = 4

_REMEMBERED_BYTES = 4096
_DEFAULTS = Http1Options()
_METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH"})
# Requests that mean nothing by a body: an empty one goes unmentioned (RFC 9110, 8.6).
_PLAIN = frozenset({b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"})
_BODILESS = frozenset({b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT"})
_STATUS_LINES = StatusLines()


class Http1Client(ClientCodec):
    """The upstream side: requests go out as HTTP/1.1, responses may be HTTP/1.0."""

    def __init__(self, options: Http1Options | None = None) -> None:
        self.output: list[bytes] = []
        self.reusable = True
        self.max_streams: int = 1
        self._gathering: bool = False
        self._state: int = _IDLE
        self._id: int = 0
        self._left: int = 0
        self._chunks: ChunkedDecoder | None = None
        self._is_head: bool = False
        self._is_connect: bool = False
        self._offered: bool = False
        self._writing: int = _WRITTEN
        self._unsent: int = 0
        self._following: bool = False
        self._place: int = 0
        self._options: Http1Options = options or _DEFAULTS
        self._limit_bytes: int = self._options.max_request_headers_kb * 1024
        self._limit: int = self._options.max_headers_count
        self._partial = HeadBuffer(self._limit_bytes, b"HTTP/1.")
        self._next_id: int = 0
        self._odd: bool = False  # the request under way is not plain: HEAD, CONNECT, an upgrade, or still being written
        self._path: bytes = b""  # the last path and authority that could be sent, and what stands there for them
        self._authority: bytes = b""
        self._target: bytes = b" / HTTP/1.1\r\nhost: "
        self._head: ResponseHead | None = None  # the last one, and the bytes of it with the empty line
        self._head_bytes: bytes = b""
        self._body_at: int = 0  # behind those bytes
        self._plain_size: int = -1  # of a response with that head that is plain and comes in one read

    # reading

    def feed(self, data: bytes) -> Sequence[Event]:
        """The interim and final responses to the request in progress, their data, and the faults of the server."""
        state = self._state
        if state == _HEAD:
            if self._gathering:
                return self._feed_partial(data)
            head, at, size = self._head, self._body_at, len(data)
            if head is None or size != self._plain_size or self._odd or data[:at] != self._head_bytes:
                return self._read_head(data, 0) if data else ()
            # All of a response with the head of the one before: the common case of _read_head.
            self._state = _IDLE
            head.block.repeats = True
            if size - at > LONG_BODY_BYTES:
                return [UncutResponse(head, self._id, data, at)]
            return [Response(head.status, Headers(head.block), self._id, head.reason, head.protocol, data[at:])]
        if not data:
            return ()
        if state == _BODY:
            return self._read_body(data, 0)
        if state == _UNTIL_CLOSE:
            return [Data(data, False, self._id)]
        if state == _IDLE:
            return [self._fault(refuse("bytes that answer no request", "unexpected_response"))]
        return ()

    def eof(self) -> Sequence[Event]:
        """The server sends no more: the end of a body that lasts until then, else a fault inside a response."""
        state = self._state
        self.reusable = False
        if state == _UNTIL_CLOSE:
            self._state = _DEAD
            return [Data(b"", True, self._id)]
        self._state = _DEAD
        if state not in (_HEAD, _BODY):
            return ()
        what = "before the response" if state == _HEAD else "inside the response"
        return [self._fault(refuse(f"connection closed {what}", "truncated_response"))]

    def _feed_partial(self, data: bytes) -> Sequence[Event]:
        try:
            gathered = self._partial.add(data)
        except RemoteProtocolError as error:
            return [self._fault(error)]
        self._gathering = self._partial.gathering
        return () if gathered is None else self._read_head(gathered, 0)

    def _read_head(self, data: bytes, at: int) -> Sequence[Event]:
        end = data.find(b"\r\n\r\n", at)
        if end < 0:
            return self._feed_partial(data[at:])
        head_bytes = data[at : end + 4]
        head = self._head
        if head is None or head_bytes != self._head_bytes:
            try:
                head = self._parse_head(head_bytes)
            except RemoteProtocolError as error:
                return [self._fault(error)]
        else:
            head.block.repeats = True
        at = end + 4
        status = head.status
        if head.plain_size == len(data) - end and not self._odd and self.reusable:
            self._state = _IDLE
            return [Response(status, Headers(head.block), self._id, head.reason, head.protocol, data[at:])]
        if status < 200:
            return self._read_informational(status, Headers(head.block), head.fields, data, at)
        if not head.reusable:
            self.reusable = False
        response = Response(status, Headers(head.block), self._id, head.reason, head.protocol)
        if self._odd and self._is_connect and status < 300:
            return self._open_tunnel(response, data, at)
        if (self._odd and self._is_head) or status == 204 or status == 304:
            return self._whole(response, data, at)
        length = head.length
        if length >= 0:
            end = at + length
            if end <= len(data):
                response.body = data[at:end]
                return self._whole(response, data, end)
            self._state = _BODY
            self._left = length
        elif head.chunked:
            self._state = _BODY
            self._chunks = ChunkedDecoder(self._limit_bytes, self._limit)
            return self._read_first_body(response, data, at)
        else:
            self._state = _UNTIL_CLOSE
            self.reusable = False
        response.end = False
        return [response] if at == len(data) else [response, *self.feed(data[at:])]

    def _parse_head(self, head_bytes: bytes) -> ResponseHead:
        """What a head (with its empty line) says, kept for the next response; raises RemoteProtocolError."""
        size = len(head_bytes) - 4
        if size > self._limit_bytes:
            raise refuse(f"head is longer than {self._limit_bytes} bytes", "headers_too_large")
        line, _, text = head_bytes[:size].partition(b"\r\n")
        start = _STATUS_LINES[line]
        fields = parse_fields(text, self._limit)
        head = ResponseHead(start, fields, self._options.allow_chunked_length)
        if size <= _REMEMBERED_BYTES:
            self._head, self._head_bytes, self._body_at = head, head_bytes, size + 4
            self._plain_size = size + head.plain_size if head.plain_size >= 0 else -1
        return head

    def _whole(self, response: Response, data: bytes, at: int) -> Sequence[Event]:
        fault = self._end_of_response(data, at)
        return [response] if fault is None else [response, fault]

    def _read_informational(
        self, status: int, headers: Headers, fields: Fields, data: bytes, at: int
    ) -> Sequence[Event]:
        if status == 101:
            if not (self._odd and self._offered):
                return [self._fault(refuse("status 101 to a request that offered no upgrade", "unexpected_upgrade"))]
            response = Response(status, headers, self._id)
            response.protocol = "HTTP/1.1"
            return self._open_tunnel(response, data, at)
        if fields.length > 0 or fields.codings is not None:
            return [self._fault(refuse(f"status {status} with a body", "body_disallowed"))]
        interim = Interim(status, headers, self._id)
        self._place = at
        if self._following:
            return [interim]
        # Any number may follow in one read: a loop, for recursion would let the server choose its depth.
        events: list[Event] = [interim]
        self._following = True
        while self._place < len(data):
            at = self._place
            self._place = len(data)
            events.extend(self._read_head(data, at))
        self._following = False
        return events

    def _open_tunnel(self, response: Response, data: bytes, at: int) -> Sequence[Event]:
        self._state = _UNTIL_CLOSE
        self._writing = _RAW
        self.half_closes = True
        self.reusable = False
        response.end = False
        return [response] if at == len(data) else [response, Data(data[at:], False, self._id)]

    def _read_first_body(self, response: Response, data: bytes, at: int) -> Sequence[Event]:
        """A chunked body that begins in the same read as its head: all of it in the response if it is there."""
        response.end = False
        if at == len(data):
            return [response]
        events = self._read_body(data, at)
        if self._chunks is not None:
            return [response, *events]
        rest: list[Event] = []
        for event in events:
            if isinstance(event, Data):
                response.body = event.data
            elif isinstance(event, Trailers):
                response.trailers = event.headers
            else:
                rest.append(event)
        response.end = True
        return [response, *rest]

    def _read_body(self, data: bytes, at: int) -> list[Event]:
        events: list[Event] = []
        chunks = self._chunks
        if chunks is None:
            left = self._left
            size = len(data) - at
            if size < left:
                self._left = left - size
                return [Data(data[at:] if at else data, False, self._id)]
            events.append(Data(data[at : at + left], True, self._id))
            at += left
        else:
            try:
                at = chunks.feed(data, at)
            except RemoteProtocolError as error:
                piece = chunks.take()
                fault = self._fault(error)
                return [Data(piece, False, self._id), fault] if piece else [fault]
            piece = chunks.take()
            if not chunks.done:
                return [Data(piece, False, self._id)] if piece else []
            self._chunks = None
            trailers = chunks.trailers if self._options.enable_trailers else None
            if piece or trailers is None:
                events.append(Data(piece, trailers is None, self._id))
            if trailers is not None:
                events.append(Trailers(trailers, self._id))
        extra = self._end_of_response(data, at)
        if extra is not None:
            events.append(extra)
        return events

    def _end_of_response(self, data: bytes, at: int) -> Fault | None:
        if self._writing != _WRITTEN:
            # The rest of a request that was answered early is not sent; an upgrade that was refused has none.
            if self._writing != _OFFERED:
                self.reusable = False
            self._writing = _WRITTEN
        self._state = _IDLE if self.reusable else _DEAD
        if at < len(data):
            return self._fault(refuse("bytes behind the end of the response", "unexpected_response"))
        return None

    def _fault(self, error: RemoteProtocolError) -> Fault:
        error.status = 502
        self._state = _DEAD
        self.reusable = False
        return Fault(error)

    # writing

    def next_id(self) -> int:
        """The next number: there is one stream at a time."""
        self._next_id += 1
        return self._next_id

    def encode_request(self, request: Request, id: int) -> bytes:
        """The head with ``request.body``; raises LocalProtocolError for a head that would not be one."""
        if self._state != _IDLE:
            raise LocalProtocolError("cannot begin a request inside another", status=500)
        self._id = id
        method, path, authority = request.raw_method, request.raw_path, request.raw_authority
        fields = encode_fields(request.headers, REQUEST_PREFIXES, REQUEST_KEY)
        if path != self._path or authority != self._authority:
            self._check_target(path, authority)
        if method in _PLAIN and request.end and request.trailers is None:
            self._odd = False
            self._state = _HEAD
            body = request.body
            if body or method not in _BODILESS:
                fields += b"\r\ncontent-length: %d" % len(body)
            return b"".join((method, self._target, fields, b"\r\n\r\n", body))
        return self._encode_odd(request, fields)

    def _check_target(self, path: bytes, authority: bytes) -> None:
        target = path + authority
        if 32 in target or 10 in target or 13 in target or 0 in target:
            raise LocalProtocolError(f"cannot send the request target {path[:64]!r}", status=500)
        self._path, self._authority = path, authority
        self._target = b" %b HTTP/1.1\r\nhost: %b" % (path or b"/", authority)

    def _encode_odd(self, request: Request, fields: bytes) -> bytes:
        """The head of a request that is not plain, and what it does to its response remembered."""
        method, authority = request.raw_method, request.raw_authority
        if method not in _METHODS and not is_token(method):
            raise LocalProtocolError(f"cannot send the method {method[:64]!r}, it is not a token", status=500)
        self._is_head = method == b"HEAD"
        self._is_connect = method == b"CONNECT"
        self._offered = False
        self._odd = True
        framing, body = self._begin_body(request)
        self._state = _HEAD
        target = b" %b HTTP/1.1\r\nhost: %b" % (authority, authority) if self._is_connect else self._target
        return b"".join((method, target, fields, framing, b"\r\n\r\n", body))

    def _begin_body(self, request: Request) -> tuple[bytes, bytes]:
        """The framing field of a body that is not whole (or of an offered tunnel), and its first piece as written."""
        body = request.body
        if self._is_connect and not request.end:
            self._writing = _OFFERED
            return b"", b""
        if request.upgrade and not request.end:
            check_sendable(request.upgrade)
            self._offered = True
            self._writing = _OFFERED
            return b"\r\nconnection: upgrade\r\nupgrade: " + request.upgrade, b""
        trailers = request.trailers if self._options.enable_trailers else None
        if request.end and trailers is None:
            length = b"\r\ncontent-length: %d" % len(body)
            return (length if body or request.raw_method not in _BODILESS else b""), body
        declared = request.headers.find(b"content-length")
        if declared is not None and trailers is None:
            if not declared.isdigit():
                raise LocalProtocolError(f"cannot send the content-length {declared[:64]!r}", status=500)
            left = int(declared) - len(body)
            if left < 0:
                raise LocalProtocolError("request body is longer than its content-length", status=500)
            self._writing = _COUNTED
            self._unsent = left
            return b"\r\ncontent-length: " + declared, body
        piece = encode_chunk(body) if body else b""
        if request.end and trailers is not None:
            piece += encode_trailers(trailers)
        else:
            self._writing = _CHUNKS
        return b"\r\ntransfer-encoding: chunked", piece

    def encode_data(self, id: int, data: bytes, end: bool) -> bytes:
        """A piece of the body; nothing once the response is over. Raises LocalProtocolError for a wrong length."""
        if id != self._id or self._state in (_IDLE, _DEAD):
            return b""
        piece = self._encode_piece(data, end)
        if end:
            self._writing = _WRITTEN
        return piece

    def _encode_piece(self, data: bytes, end: bool) -> bytes:
        writing = self._writing
        if writing == _COUNTED:
            self._unsent -= len(data)
            if self._unsent < 0 or (end and self._unsent):
                raise LocalProtocolError("request body is not as long as its content-length", status=500)
            return data
        if writing == _CHUNKS:
            if end:
                return encode_chunk(data) + LAST_CHUNK if data else LAST_CHUNK
            return encode_chunk(data) if data else b""
        if writing == _RAW:
            return data
        if writing == _OFFERED:
            if data:
                raise LocalProtocolError("cannot send data before the upgrade is accepted", status=500)
            return b""
        if data:
            raise LocalProtocolError("cannot send data behind the end of a request", status=500)
        return b""

    def encode_reset(self, id: int, reason: str) -> bytes | None:
        """None, unless the exchange is over: a refused upgrade leaves nothing of its request behind."""
        return b"" if self._state == _IDLE and self.reusable else None

    def encode_trailers(self, id: int, trailers: Headers) -> bytes:
        """The end of the body, with the trailers if the options enable them and the body is chunked."""
        if self._writing != _CHUNKS or not self._options.enable_trailers or self._state in (_IDLE, _DEAD):
            return self.encode_data(id, b"", True)
        piece = encode_trailers(trailers)
        self._writing = _WRITTEN
        return piece
