"""The side that reads requests and writes responses, one exchange after the other.

Reading goes through these states; ``_state`` names what the next byte is::

                                        a request with Connection: upgrade, or CONNECT:
    HEAD ──► BODY ──► ANSWER ──► HEAD       HEAD ──► OFFER ──101 or 2xx──► TUNNEL ──► DEAD
      └─────────────►  │  └────► DEAD                  └────any other────► HEAD

A request that offers to go on in HTTP/2 (RFC 7540, 3.2) comes as a ``Switch``. As long as nobody takes that up, it is a
request like any other, in ANSWER.

In ANSWER and OFFER whatever comes is held until the response has been encoded with its end (or accepts the tunnel).
DEAD reads nothing any more. Bytes that are held are never copied again for each request taken out of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from plait.api import (
    Data,
    Event,
    Fault,
    Headers,
    LocalProtocolError,
    RemoteProtocolError,
    Request,
    Response,
    ServerCodec,
    Switch,
    Trailers,
)
from plait_protocol_http1.body import LAST_CHUNK, ChunkedDecoder, encode_chunk, encode_trailers
from plait_protocol_http1.fields import (
    RESPONSE_KEY,
    RESPONSE_PREFIXES,
    Fields,
    check_sendable,
    encode_fields,
    parse_fields,
    refuse,
)
from plait_protocol_http1.head import STATUS_LINES, HeadBuffer, RequestHead, no_head, parse_request_line
from plait_protocol_http1.options import Http1Options
from plait_protocol_http1.uncut import UncutResponse

_HEAD = 0
_BODY = 1
_ANSWER = 2
_OFFER = 3
_TUNNEL = 4
_DEAD = 5

# What the response in progress is written as.
_IDLE = 0
_COUNTED = 1
_CHUNKS = 2
_UNTIL_CLOSE = 3
_NOTHING = 4

_REMEMBERED_BYTES = 4096
_HTTP2 = b"h2c"
_SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
_DEFAULTS = Http1Options()
_NO_HEAD = no_head()
# Of the statuses whose responses have a body, and mean nothing by it.
_PLAIN_LINES = {status: line for status, line in STATUS_LINES.items() if status >= 200 and status not in (204, 304)}


class Http1Server(ServerCodec):
    """The downstream side of HTTP/1.1 and, if the options accept it, HTTP/1.0."""

    def __init__(self, options: Http1Options | None = None) -> None:
        self.output: list[bytes] = []
        self.closing = False
        self.held = False
        self._state: int = _HEAD
        self._id: int = 0
        self._left: int = 0
        self._chunks: ChunkedDecoder | None = None
        self._gathering: bool = False
        # Callers repeat themselves: what the last head said, and the bytes of it.
        self._head: RequestHead = _NO_HEAD
        self._head_bytes: bytes = b""
        self._repeated: bytes | None = None  # a whole request like the last one, where that had no body
        self._writing: int = _IDLE
        self._unsent: int = 0
        self._options: Http1Options = options or _DEFAULTS
        self._limit_bytes: int = self._options.max_request_headers_kb * 1024
        self._limit: int = self._options.max_headers_count
        self._partial = HeadBuffer(self._limit_bytes)
        # Bytes behind the request in progress: _rest from _at on, then _more.
        self._rest: bytes = b""
        self._at: int = 0
        self._more = bytearray()
        self._fields: Fields = Fields([], None)
        self._fields_bytes: bytes = b""

    # reading

    def feed(self, data: bytes) -> Sequence[Event]:
        """Requests and what belongs to them; at most one request is begun before the one in progress is answered."""
        state = self._state
        if state == _HEAD:
            if self.held:
                return self._feed_held(data)
            if self._gathering:
                return self._feed_partial(data)
            if data != self._repeated:
                return self._read_head(data, 0)
            head = self._head
            # A request without a body and with the head of the one before: the common case of _read_head.
            head.block.repeats = True
            self._id += 1
            self._state = _ANSWER
            return [Request(Headers(head.block), self._id, head.method, head.path, head.authority, head.protocol)]
        if state == _BODY:
            return self._read_body(data, 0)
        if state == _TUNNEL:
            if self.held:
                data = self._take_held() + data
            return [Data(data, False, self._id)] if data else ()
        if state != _DEAD and data and (state == _OFFER or not self.closing):
            self._hold(data)
        return ()

    def eof(self) -> Sequence[Event]:
        """The caller sends no more: a fault when that cuts a request short, the end of a tunnel's data."""
        state = self._state
        if state == _TUNNEL:
            self._state = _DEAD
            return [Data(b"", True, self._id)]
        if state == _BODY or (state == _HEAD and self._gathering):
            return [self._fault(refuse("connection closed inside a request", "truncated_request"))]
        return ()

    def _hold(self, data: bytes) -> None:
        if self._rest:
            self._more += data
        else:
            self._rest = data
            self._at = 0
        self.held = True

    def leave(self) -> bytes:
        """What came behind a request that goes on in another protocol."""
        return self._take_held()

    def _take_held(self) -> bytes:
        rest = self._rest[self._at :] + bytes(self._more)
        self._rest = b""
        self._more = bytearray()
        self.held = False
        return rest

    def _feed_held(self, data: bytes) -> Sequence[Event]:
        if data:
            self._more += data
        rest = self._rest
        self._rest = b""
        self.held = False
        events = self._read_head(rest, self._at)
        more = self._more
        if not more:
            return events
        if self.held:
            # Another request lies in the rest: what came later stays behind it.
            return events
        self._more = bytearray()
        return [*events, *self.feed(bytes(more))]

    def _feed_partial(self, data: bytes) -> Sequence[Event]:
        try:
            gathered = self._partial.add(data)
        except RemoteProtocolError as error:
            return [self._fault(error)]
        self._gathering = self._partial.gathering
        return () if gathered is None else self._read_head(gathered, 0)

    def _read_head(self, data: bytes, at: int) -> Sequence[Event]:
        end = data.find(b"\r\n\r\n", at)
        head_bytes = data[at:end]
        head = self._head
        if end < 0 or head_bytes != self._head_bytes or not head_bytes:
            if data.startswith(b"\r\n", at):
                return self._skip_empty_lines(data, at)
            if end < 0:
                return self._feed_partial(data[at:]) if data else ()
            try:
                head = self._parse_head(head_bytes)
            except RemoteProtocolError as error:
                return [self._fault(error)]
        else:
            head.block.repeats = True
        at = end + 4
        self._id += 1
        request = Request(Headers(head.block), self._id, head.method, head.path, head.authority, head.protocol)
        if head.bodiless and at == len(data):
            self._state = _ANSWER
            return [request]
        if head.closes:
            self.closing = True
        if head.length > 0:
            end = at + head.length
            if end > len(data):
                self._state = _BODY
                self._left = head.length
                request.end = False
                return [request] if at == len(data) else [request, *self._read_body(data, at)]
            request.body = data[at:end]
            at = end
        elif head.chunked:
            self._state = _BODY
            self._chunks = ChunkedDecoder(self._limit_bytes, self._limit)
            return self._read_first_body(request, data, at)
        self._state = _ANSWER
        if not head.plain:
            self._read_special(request, head)
        if at < len(data) and (not self.closing or self._state == _OFFER):
            self._rest = data
            self._at = at
            self.held = True
        if head.http2_settings is not None and not self.closing:
            return [Switch(request, _HTTP2, head.http2_settings, _SWITCHING)]
        return [request]

    def _skip_empty_lines(self, data: bytes, at: int) -> Sequence[Event]:
        """RFC 9112, 2.2: empty lines in front of a request are not part of it."""
        while data.startswith(b"\r\n", at):
            at += 2
        if at == len(data):
            return ()
        if data.find(b"\r\n\r\n", at) < 0:
            return self._feed_partial(data[at:])
        return self._read_head(data, at)

    def _parse_head(self, head_bytes: bytes) -> RequestHead:
        """What a head says, kept for the next request; raises RemoteProtocolError."""
        if len(head_bytes) > self._limit_bytes:
            raise refuse(f"head is longer than {self._limit_bytes} bytes", "headers_too_large", 431)
        line, _, text = head_bytes.partition(b"\r\n")
        start = parse_request_line(line, self._options)
        if text == self._fields_bytes:
            fields = self._fields
            fields.block.repeats = True
        else:
            fields = parse_fields(text, self._limit)
        head = RequestHead(start, fields, self._options)
        if len(head_bytes) <= _REMEMBERED_BYTES:
            self._fields, self._fields_bytes = fields, text
            self._head, self._head_bytes = head, head_bytes
            self._repeated = head_bytes + b"\r\n\r\n" if head.bodiless else None
        else:
            self._head, self._head_bytes, self._repeated = head, b"", None
        return head

    def _read_special(self, request: Request, head: RequestHead) -> None:
        """A request in absolute form, or one that offers a tunnel."""
        request.raw_scheme = head.scheme
        request.upgrade = head.upgrade
        if head.upgrade or head.is_connect:
            request.end = False
            self._state = _OFFER

    def _read_first_body(self, request: Request, data: bytes, at: int) -> Sequence[Event]:
        """A chunked body that begins in the same read as its head: all of it in the request if it is there."""
        request.end = False
        if at == len(data):
            return [request]
        events = self._read_body(data, at)
        if self._state != _ANSWER:
            return [request, *events]
        for event in events:
            if isinstance(event, Data):
                request.body = event.data
            elif isinstance(event, Trailers):
                request.trailers = event.headers
        request.end = True
        return [request]

    def _read_body(self, data: bytes, at: int) -> list[Event]:
        chunks = self._chunks
        if chunks is None:
            left = self._left
            size = len(data) - at
            if not size:
                return []
            if size < left:
                self._left = left - size
                return [Data(data[at:] if at else data, False, self._id)]
            end = at + left
            self._end_of_request(data, end)
            return [Data(data[at:end], True, self._id)]
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
        self._end_of_request(data, at)
        if chunks.trailers is None or not self._options.enable_trailers:
            return [Data(piece, True, self._id)]
        trailers = Trailers(chunks.trailers, self._id)
        return [Data(piece, False, self._id), trailers] if piece else [trailers]

    def _end_of_request(self, data: bytes, at: int) -> None:
        self._state = _ANSWER
        if at < len(data) and not self.closing:
            self._rest = data
            self._at = at
            self.held = True

    def _fault(self, error: RemoteProtocolError) -> Fault:
        self._state = _DEAD
        self.closing = True
        self.held = False
        self._rest = b""
        self._more = bytearray()
        if self._writing == _IDLE:
            # An answer to the fault answers no request: nothing of the last one holds.
            self._head, self._head_bytes, self._repeated = _NO_HEAD, b"", None
        return Fault(error)

    # writing

    def encode_response(self, request: Request, response: Response) -> bytes:
        """The head and ``response.body``; ``connection: close`` when this is the last response."""
        if self._writing != _IDLE:
            raise LocalProtocolError("cannot begin a response inside another", status=500)
        fields = encode_fields(response.headers, RESPONSE_PREFIXES, RESPONSE_KEY)
        first = _PLAIN_LINES.get(response.status)
        if (
            first is None
            or not self._head.plain
            or self._state != _ANSWER
            or self.closing
            or not response.end
            or response.trailers is not None
        ):
            return self._encode_odd(request, response, fields)
        self._state = _HEAD
        if type(response) is UncutResponse:
            view = response.uncut()
            if view is not None:
                self.output.append(b"%b%b\r\ncontent-length: %d\r\n\r\n" % (first, fields, len(view)))
                self.output.append(view)  # type: ignore[arg-type]  # whatever writes bytes writes a view of them
                return b""
        body = response.body
        return b"%b%b\r\ncontent-length: %d\r\n\r\n%b" % (first, fields, len(body), body)

    def _encode_odd(self, request: Request, response: Response, fields: bytes) -> bytes:
        """A response that does not come in one piece, is the last, or answers a request that is not plain."""
        head, status, body = self._head, response.status, response.body
        if status == 101 or (head.is_connect and 200 <= status < 300):
            return self._accept(request, response, fields)
        if status < 200:
            raise LocalProtocolError(f"status {status} is not that of a response", status=500)
        first = STATUS_LINES.get(status) or _other_status_line(response)
        if head.old:
            first = b"HTTP/1.0" + first[8:]
        if head.is_head or status == 204 or status == 304:
            body, framing = b"", b"" if status == 204 else _declared(response)
            self._writing = _NOTHING
        else:
            framing, body = self._begin_body(response, body)
        if response.end and self._state == _BODY:
            # The rest of the request would have to be read through to find the next one.
            self.closing = True
        if self.closing:
            framing += b"\r\nconnection: close"
        elif head.persist:
            framing += b"\r\nconnection: keep-alive"
        if response.end:
            self._end_of_response()
        return b"".join((first, fields, framing, b"\r\n\r\n", body))

    def _begin_body(self, response: Response, body: bytes) -> tuple[bytes, bytes]:
        """The framing field of a body that is not whole, and its first piece as it is written."""
        declared = response.headers.find(b"content-length")
        trailers = response.trailers if self._options.enable_trailers and not self._head.old else None
        if response.end and trailers is None:
            return b"\r\ncontent-length: %d" % len(body), body
        if declared is not None and trailers is None:
            if not declared.isdigit():
                raise LocalProtocolError(f"cannot send the content-length {declared[:64]!r}", status=500)
            left = int(declared) - len(body)
            if left < 0:
                raise LocalProtocolError("response body is longer than its content-length", status=500)
            self._writing = _COUNTED
            self._unsent = left
            return b"\r\ncontent-length: " + declared, body
        if self._head.old:
            self._writing = _UNTIL_CLOSE
            self.closing = True
            return b"", body
        piece = encode_chunk(body) if body else b""
        if response.end and trailers is not None:
            piece += encode_trailers(trailers)
        self._writing = _CHUNKS
        return b"\r\ntransfer-encoding: chunked", piece

    def _accept(self, request: Request, response: Response, fields: bytes) -> bytes:
        """Turn the connection into a tunnel: 101 to an upgrade, 2xx to CONNECT."""
        if self._state != _OFFER or (response.status == 101) == self._head.is_connect:
            raise LocalProtocolError(f"status {response.status} to a request that offered no upgrade", status=500)
        head = (STATUS_LINES.get(response.status) or _other_status_line(response)) + fields
        if not self._head.is_connect:
            protocol = response.headers.find(b"upgrade") or request.upgrade
            check_sendable(protocol)
            head += b"\r\nconnection: upgrade\r\nupgrade: " + protocol
        self._state = _TUNNEL
        self._writing = _UNTIL_CLOSE
        self.closing = True
        return b"%b\r\n\r\n%b" % (head, response.body)

    def encode_interim(self, request: Request, status: int, headers: Headers) -> bytes:
        """An informational head; nothing for HTTP/1.0, which has none."""
        if self._head.old:
            return b""
        if self._writing != _IDLE or not 100 <= status < 200 or status == 101:
            raise LocalProtocolError(f"cannot send an interim response with status {status} here", status=500)
        first = STATUS_LINES.get(status) or b"HTTP/1.1 %d Unknown" % status
        return b"%b%b\r\n\r\n" % (first, encode_fields(headers, RESPONSE_PREFIXES, RESPONSE_KEY))

    def encode_data(self, request: Request, data: bytes, end: bool) -> bytes:
        """A piece of the body; raises LocalProtocolError when it is more or less than the declared length."""
        piece = self._encode_piece(data, end)
        if end:
            self._end_of_response()
        return piece

    def _encode_piece(self, data: bytes, end: bool) -> bytes:
        writing = self._writing
        if writing == _COUNTED:
            self._unsent -= len(data)
            if self._unsent < 0 or (end and self._unsent):
                raise LocalProtocolError("response body is not as long as its content-length", status=500)
            return data
        if writing == _CHUNKS:
            if end:
                return encode_chunk(data) + LAST_CHUNK if data else LAST_CHUNK
            return encode_chunk(data) if data else b""
        if writing == _UNTIL_CLOSE:
            return data
        if writing == _NOTHING:
            return b""
        raise LocalProtocolError("cannot send a body without a head", status=500)

    def encode_trailers(self, request: Request, trailers: Headers) -> bytes:
        """The end of the body, with the trailers if the options enable them and the body is chunked."""
        if self._writing != _CHUNKS or not self._options.enable_trailers:
            return self.encode_data(request, b"", True)
        piece = encode_trailers(trailers)
        self._end_of_response()
        return piece

    def encode_reset(self, request: Request, reason: str) -> bytes | None:
        """None, unless the exchange is over: a refused upgrade leaves nothing of its request behind."""
        return b"" if self._state == _HEAD and self._writing == _IDLE else None

    def _end_of_response(self) -> None:
        self._writing = _IDLE
        state = self._state
        if state == _BODY:
            self.closing = True
        if not self.closing:
            self._state = _HEAD
        elif state != _TUNNEL:
            self._state = _DEAD
            self.held = False
            self._rest = b""
            self._more = bytearray()


def _declared(response: Response) -> bytes:
    """The length that a response without a body speaks of: to HEAD, or with 304 (RFC 9110, 8.6)."""
    declared = response.headers.find(b"content-length")
    if declared is None:
        return b"\r\ncontent-length: %d" % len(response.body) if response.body else b""
    if not declared.isdigit():
        raise LocalProtocolError(f"cannot send the content-length {declared[:64]!r}", status=500)
    return b"\r\ncontent-length: " + declared


def _other_status_line(response: Response) -> bytes:
    if not 200 <= response.status <= 999:
        raise LocalProtocolError(f"cannot send the status {response.status}", status=500)
    check_sendable(response.reason)
    return b"HTTP/1.1 %d %b" % (response.status, response.reason or b"Unknown")
