"""The side that reads requests and writes responses, one exchange after the other.

Reading goes through these states; ``_state`` names what the next byte is::

                                        a request with Connection: upgrade, or CONNECT:
    HEAD ──► BODY ──► ANSWER ──► HEAD       HEAD ──► OFFER ──101 or 2xx──► TUNNEL ──► DEAD
      └─────────────►  │  └────► DEAD                  └────any other────► HEAD

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
    Trailers,
)
from plait_protocol_http1.body import LAST_CHUNK, ChunkedDecoder, encode_chunk, encode_trailers
from plait_protocol_http1.fields import (
    Fields,
    check_sendable,
    encode_response_fields,
    is_chunked,
    parse_fields,
    refuse,
)
from plait_protocol_http1.head import STATUS_LINES, HeadBuffer, RequestLine, parse_request_line
from plait_protocol_http1.options import Http1Options

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
_DEFAULTS = Http1Options()


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
        self._is_head: bool = False
        self._is_connect: bool = False
        self._old: bool = False
        self._persist: bool = False
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
        # Keep-alive clients repeat themselves: the last head is parsed once.
        self._line: bytes = b""
        self._line_parsed: RequestLine = (b"", b"", False, b"", b"")
        self._block: bytes = b""
        self._block_parsed: Fields = Fields([])

    # reading

    def feed(self, data: bytes) -> Sequence[Event]:
        """Requests and what belongs to them; at most one request is begun before the one in progress is answered."""
        state = self._state
        if state == _HEAD:
            if self.held:
                return self._feed_held(data)
            if self._partial:
                return self._feed_partial(data)
            return self._read_head(data, 0)
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
        if state == _BODY or (state == _HEAD and self._partial):
            return [self._fault(refuse("connection closed inside a request", "truncated_request"))]
        return ()

    def _hold(self, data: bytes) -> None:
        if self._rest:
            self._more += data
        else:
            self._rest = data
            self._at = 0
        self.held = True

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
        return () if gathered is None else self._read_head(gathered, 0)

    def _read_head(self, data: bytes, at: int) -> Sequence[Event]:
        end = data.find(b"\r\n\r\n", at)
        eol = data.find(b"\r\n", at)
        if eol == at or end < 0:
            while eol == at:
                at += 2
                eol = data.find(b"\r\n", at)
            end = data.find(b"\r\n\r\n", at)
            if end < 0:
                return self._feed_partial(data[at:]) if at < len(data) else ()
        if end - at > self._limit_bytes:
            return [self._fault(refuse(f"head is longer than {self._limit_bytes} bytes", "headers_too_large", 431))]
        line = data[at:eol]
        block = data[eol + 2 : end] if eol < end else b""
        try:
            if line == self._line:
                start = self._line_parsed
            else:
                start = parse_request_line(line, self._options)
                if len(line) <= _REMEMBERED_BYTES:
                    self._line = line
                    self._line_parsed = start
            if block == self._block:
                fields = self._block_parsed
            else:
                fields = parse_fields(block, self._limit)
                if len(block) <= _REMEMBERED_BYTES:
                    self._block = block
                    self._block_parsed = fields
            request, chunked = self._request(start, fields)
        except RemoteProtocolError as error:
            return [self._fault(error)]
        at = end + 4
        length = fields.length
        if chunked:
            self._state = _BODY
            self._chunks = ChunkedDecoder(self._limit_bytes, self._limit)
            return self._read_first_body(request, data, at)
        if length > 0:
            end = at + length
            if end > len(data):
                self._state = _BODY
                self._left = length
                request.end = False
                return [request] if at == len(data) else [request, *self._read_body(data, at)]
            request.body = data[at:end]
            at = end
        if request.end:
            self._state = _ANSWER
        else:
            self._state = _OFFER
        if at < len(data) and (not self.closing or self._state == _OFFER):
            self._rest = data
            self._at = at
            self.held = True
        return [request]

    def _request(self, start: RequestLine, fields: Fields) -> tuple[Request, bool]:
        """The request of a head, and whether its body is chunked; raises RemoteProtocolError."""
        chunked = fields.codings is not None and is_chunked(fields, self._options.allow_chunked_length)
        host = fields.host
        method, path, old, scheme, authority = start
        if old:
            if fields.codings is not None:
                raise refuse("transfer-encoding in an HTTP/1.0 request", "transfer_encoding_not_allowed")
            if host is None:
                host = self._options.default_host_for_http_10.encode("latin-1") or None
        if host is None:
            raise refuse("no host field", "missing_host_header")
        self._id += 1
        request = Request(Headers(fields.block), self._id)
        request.raw_method = method
        request.raw_path = path
        request.protocol = "HTTP/1.0" if old else "HTTP/1.1"
        if authority:
            request.raw_authority = authority
            request.raw_scheme = scheme
            request.headers.raw = [(b"host", authority) if f[0] == b"host" else f for f in fields.raw]
        else:
            request.raw_authority = host
        self._is_head = method == b"HEAD"
        self._is_connect = method == b"CONNECT"
        self._old = old
        self._persist = old and fields.keep_alive and not fields.close
        if fields.close or (old and not fields.keep_alive):
            self.closing = True
        if self._is_connect:
            if chunked or fields.length > 0:
                word = "transfer_encoding_not_allowed" if chunked else "content_length_not_allowed"
                raise refuse("CONNECT with a body", word)
            request.end = False
        elif fields.upgrade and not old and not chunked and fields.length <= 0:
            # With a body, the offer is not taken up (RFC 9110, 7.8 lets us ignore it).
            request.upgrade = fields.upgrade
            request.end = False
        return request, chunked

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
            self._is_head = False
            self._is_connect = False
            self._old = False
        return Fault(error)

    # writing

    def encode_response(self, request: Request, response: Response) -> bytes:
        """The head and ``response.body``; ``connection: close`` when this is the last response."""
        if self._writing != _IDLE:
            raise LocalProtocolError("cannot begin a response inside another", status=500)
        status = response.status
        fields = encode_fields(response.headers, RESPONSE_PREFIXES, "http1 response")
        body = response.body
        if status == 101 or (self._is_connect and 200 <= status < 300):
            return self._accept(request, response, fields)
        if status < 200:
            raise LocalProtocolError(f"status {status} is not that of a response", status=500)
        ended = response.end
        state = self._state
        if ended and state == _BODY:
            # The rest of the request would have to be read through to find the next one.
            self.closing = True
        first = STATUS_LINES.get(status) or _other_status_line(response)
        if self._old:
            first = b"HTTP/1.0" + first[8:]
        framing = b"\r\ncontent-length: %d" % len(body)
        if self._is_head or status == 204 or status == 304:
            body = b""
            framing = b"" if status == 204 else _declared(response)
            self._writing = _NOTHING
        elif not ended or response.trailers is not None:
            framing, body = self._begin_body(response, body)
        if self.closing:
            framing += b"\r\nconnection: close"
        elif self._persist:
            framing += b"\r\nconnection: keep-alive"
        head = b"%b%b%b\r\n\r\n%b" % (first, fields, framing, body)
        if ended:
            self._end_of_response()
        return head

    def _begin_body(self, response: Response, body: bytes) -> tuple[bytes, bytes]:
        """The framing field of a body that is not whole, and its first piece as it is written."""
        declared = response.headers.find(b"content-length")
        trailers = response.trailers if self._options.enable_trailers and not self._old else None
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
        if self._old:
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
        if self._state != _OFFER or (response.status == 101) == self._is_connect:
            raise LocalProtocolError(f"status {response.status} to a request that offered no upgrade", status=500)
        head = (STATUS_LINES.get(response.status) or _other_status_line(response)) + fields
        if not self._is_connect:
            protocol = response.headers.find(b"upgrade") or request.upgrade
            check_sendable(protocol)
            head += b"\r\nconnection: upgrade\r\nupgrade: " + protocol
        self._state = _TUNNEL
        self._writing = _UNTIL_CLOSE
        self.closing = True
        return b"%b\r\n\r\n%b" % (head, response.body)

    def encode_interim(self, request: Request, status: int, headers: Headers) -> bytes:
        """An informational head; nothing for HTTP/1.0, which has none."""
        if self._old:
            return b""
        if self._writing != _IDLE or not 100 <= status < 200 or status == 101:
            raise LocalProtocolError(f"cannot send an interim response with status {status} here", status=500)
        first = STATUS_LINES.get(status) or b"HTTP/1.1 %d Unknown" % status
        return b"%b%b\r\n\r\n" % (first, encode_fields(headers, RESPONSE_PREFIXES, "http1 response"))

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
        self._is_head = False
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
