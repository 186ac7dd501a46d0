"""The side that reads requests and writes responses.

Going away takes two steps (RFC 9113, 6.8): ``drain`` tells the peer that no more requests are wanted, and asks for an
answer; when that comes, everything has come that was on its way, and the last stream that is served can be named.
"""

from __future__ import annotations

import base64
import binascii

from plait.api import Event, Fault, Headers, LocalProtocolError, Request, Response, ServerCodec
from plait_protocol_http2 import frames
from plait_protocol_http2.connection import REMEMBERED_BYTES, Connection
from plait_protocol_http2.encoding import (
    RESPONSE_KEY,
    RESPONSE_PREFIXES,
    STATUSES,
    TRAILER_PREFIXES,
    TRAILERS_KEY,
    encode_headers,
    encode_length,
)
from plait_protocol_http2.errors import (
    CANCEL,
    CONNECT_ERROR,
    ENHANCE_YOUR_CALM,
    INTERNAL_ERROR,
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    Violation,
    malformed,
)
from plait_protocol_http2.head import CONNECT, HEAD, PLAIN, UPGRADE, RequestHead
from plait_protocol_http2.options import PREFACE, Http2Options
from plait_protocol_http2.streams import HALF_LOCAL, HALF_REMOTE, OPEN, RESET, Stream, Tunnel

_HEADS_LIMIT = 128
_PREMATURE_AMONG = 500  # Envoy's overload.premature_reset_total_stream_count
_LAST_CALL = b"lastcall"


class Http2Server(Connection, ServerCodec):
    """The downstream side of HTTP/2."""

    flow_controlled = True

    def __init__(self, options: Http2Options | None = None) -> None:
        super().__init__(options, [])
        self.closing = False
        self.held = False
        options = self._options
        self._withholds = True  # who sends a body that is read slowly waits with all of its connection
        self._preface: bytes = PREFACE
        self._max_streams: int = options.max_concurrent_streams
        self._heads: dict[bytes, RequestHead] = {}  # what blocks say while the dynamic table stays as it is
        self._accepted: list[Event] = []
        self._draining: bool = False
        self._final_id: int = -1  # the last stream that is served, once that is said
        settings = [(frames.MAX_CONCURRENT_STREAMS, options.max_concurrent_streams)]
        if options.allow_connect:
            settings.append((frames.ENABLE_CONNECT_PROTOCOL, 1))
        self.output.append(self._greeting(settings))

    def adopt(self, request: Request, settings: bytes) -> bool:
        """Begin with a request that another protocol read: h2c by an upgrade (RFC 7540, 3.2).

        ``settings`` is the value of its field HTTP2-Settings; False where that is not what it must be. The request
        becomes stream 1, which its sender has ended; the preface and frames of the peer follow.
        """
        if b"+" in settings or b"/" in settings:  # the other alphabet, which the decoder lets through
            return False
        try:
            payload = base64.b64decode(settings + b"=" * (-len(settings) % 4), altchars=b"-_", validate=True)
            window = self._apply(frames.read_settings(payload, 0, len(payload)))
        except (binascii.Error, Violation):
            return False
        if window >= 0:
            self._peer_window = window
        kind = HEAD if request.raw_method == b"HEAD" else PLAIN
        stream = self._streams[1] = Stream(1, kind, self._peer_window, self._stream_window)
        stream.state = HALF_REMOTE
        self._last_id = 1
        self._opened = 1
        request.id = 1
        request.protocol = "HTTP/2"
        return True

    # reading

    def feed(self, data: bytes) -> list[Event]:
        """Requests and what belongs to them, in the order of the frames."""
        if not self.held:
            return super().feed(data)  # type: ignore[return-value]
        accepted = self._accepted
        self._accepted = []
        self.held = False
        return [*accepted, *super().feed(data)] if data else accepted

    def _begin(self, data: bytes) -> int:
        preface = self._preface
        if not preface:
            return 0
        if not data.startswith(preface):
            if not preface.startswith(data):
                self._preface = b""
                raise Violation(PROTOCOL_ERROR, "the connection does not begin with the preface", "invalid_preface")
            self._wait(data, 0, len(data) + 1)
            return len(data)
        self._preface = b""
        return len(preface)

    def _peers_last_id(self) -> int:
        return self._last_id

    def _on_block(self, id: int, block: bytes, ended: bool) -> None:
        stream = self._streams.get(id)
        if stream is not None:
            self._on_trailers(stream, block, ended)
            return
        head = self._heads.get(block)
        error: Violation | None = None
        if head is None:
            try:
                head = self._parse(block)
            except Violation as found:
                if not found.survives:
                    raise
                error = found
        else:
            head.block.repeats = True
        if id <= self._last_id or not id & 1:
            self._stray(frames.HEADERS, id)
            return
        self._last_id = id
        if 0 <= self._final_id < id:
            self._gone.add(id, RESET)
            return
        self._opened += 1
        if len(self._streams) >= self._max_streams:
            error = Violation(REFUSED_STREAM, f"more than {self._max_streams} streams at once", survives=True)
        if error is not None and error.status != 431:
            self._break_stream(id, error)
        elif head is None:
            self._answer_unread(id, error, ended)
        else:
            self._open(id, head, ended)

    def _forget(self) -> None:
        super()._forget()
        self._heads.clear()

    def _parse(self, block: bytes) -> RequestHead:
        head = RequestHead(self._decode(block, 431), self._options)
        if not self._decoder.changed and head.kind != UPGRADE and len(block) <= REMEMBERED_BYTES:
            if len(self._heads) >= _HEADS_LIMIT:
                self._heads.clear()
            self._heads[block] = head
        return head

    def _open(self, id: int, head: RequestHead, ended: bool) -> None:
        kind = head.kind
        request = Request(Headers(head.block), id, head.method, head.path, head.authority, "HTTP/2")
        request.raw_scheme = head.scheme
        stream = Stream(id, kind, self._peer_window, self._stream_window)
        if head.status:
            self._streams[id] = stream
            self._refuse(stream, Violation(PROTOCOL_ERROR, head.refusal, head.refusal, status=head.status), ended)
            return
        if kind >= CONNECT:
            request.upgrade = head.upgrade
            request.end = False
            stream.tunnel = Tunnel()
            if ended:
                stream.tunnel.end = True
                stream.state = HALF_REMOTE
        elif ended:
            if head.length > 0:
                self._break_stream(id, malformed("a content-length without a body"))
                return
            stream.state = HALF_REMOTE
        else:
            request.end = False
            stream.left = head.length
            stream.event = request
            self._touched.append(stream)
        self._streams[id] = stream
        self._events.append(request)

    def _answer_unread(self, id: int, error: Violation | None, ended: bool) -> None:
        """A request that is too large to be read is answered, and the connection goes on."""
        stream = self._streams[id] = Stream(id, PLAIN, self._peer_window, self._stream_window)
        self._refuse(stream, error or malformed("a request that cannot be read"), ended)

    def _refuse(self, stream: Stream, error: Violation, ended: bool) -> None:
        error.survives = True
        stream.refused = True
        if ended:
            stream.state = HALF_REMOTE
        self._events.append(Fault(error, stream.id))

    def _stream_ended(self) -> None:
        self._closed += 1
        if self._final_id >= 0 and not self._streams:
            self.closing = True

    def _count_closed(self, premature: bool) -> None:
        """Who gives up most of what it asks for, or has us give it up, makes us work for nothing (CVE-2023-44487)."""
        if not premature:
            return
        self._premature += 1
        if 2 * self._premature >= max(self._closed, _PREMATURE_AMONG):
            what = f"{self._premature} of {self._closed} streams were given up before they were answered"
            raise Violation(ENHANCE_YOUR_CALM, what, "too_many_premature_resets")

    def _on_pong(self, payload: bytes) -> bool:
        if not self._draining or self._final_id >= 0 or payload != _LAST_CALL:
            return False
        self._final_id = self._last_id
        self._put(frames.goaway(self._last_id, NO_ERROR))
        if not self._streams:
            self.closing = True
        return True

    def _die(self) -> None:
        super()._die()
        self.closing = True

    # writing

    def encode_response(self, request: Request, response: Response) -> bytes:
        """The head and ``response.body``; nothing where the stream is gone. Raises LocalProtocolError."""
        stream = self._streams.get(request.id)
        if stream is None:
            return b""
        if stream.answered or stream.state not in (OPEN, HALF_REMOTE):
            raise LocalProtocolError("cannot begin a response inside another", status=500)
        status = response.status
        headers = response.headers
        end = response.end
        body = response.body
        fields = encode_headers(headers, RESPONSE_PREFIXES, RESPONSE_KEY)
        trailers = None
        if response.trailers is not None and end:
            trailers = encode_headers(response.trailers, TRAILER_PREFIXES, TRAILERS_KEY) or None
        if stream.kind or status < 200 or status == 204 or status == 304:
            status, fields, body, trailers = self._odd_response(stream, response, fields, trailers)
        else:
            declared = headers.find(b"content-length")
            if declared is not None:
                if end:
                    fields += encode_length(len(body))
                else:
                    self._declare(stream, declared, len(body))
                    fields += encode_length(int(declared))
        block = b"\x88" + fields if status == 200 else STATUSES[status] + fields
        if self._peer_header_limit >= 0:
            self._check_block(block)
        stream.answered = True
        frame = self._message(stream, block, body, end, trailers)
        if self._late:
            frame += self._end_late()
        return self._ordered(frame) if self.output else frame

    def _odd_response(
        self, stream: Stream, response: Response, fields: bytes, trailers: bytes | None
    ) -> tuple[int, bytes, bytes, bytes | None]:
        """Status, fields, body and trailers of a response without a body, or to a request that asked for a tunnel."""
        status = response.status
        kind = stream.kind
        if kind >= CONNECT:
            accepted = status == 101 if kind == UPGRADE else 200 <= status < 300
            if accepted and not response.end:
                return 200 if kind == UPGRADE else status, self._open_tunnel(stream, response), response.body, None
            if 200 <= status < 300 or status == 101:
                # to the peer, any of these would open the tunnel
                raise LocalProtocolError(f"status {status} does not answer a request for a tunnel", status=502)
        if status < 200:
            raise LocalProtocolError(f"status {status} is not that of a response", status=500)
        declared = response.headers.find(b"content-length")
        if kind != HEAD and status != 204 and status != 304:
            if declared is not None:
                if not response.end:
                    self._declare(stream, declared, len(response.body))
                fields += encode_length(len(response.body) if response.end else int(declared))
            return status, fields, response.body, trailers
        stream.kind = HEAD
        if declared is not None and status != 204:
            if not declared.isdigit() or len(declared) > 18:
                raise LocalProtocolError(f"cannot send the content-length {declared[:64]!r}", status=500)
            fields += encode_length(int(declared))
        return status, fields, b"", None

    def _open_tunnel(self, stream: Stream, response: Response) -> bytes:
        """The fields of a response that accepts a tunnel. What came early for it is told with the next ``feed``."""
        tunnel = stream.tunnel
        if tunnel is not None:
            tunnel.accepted = True
            self._accepted += self._accept(stream)
            self.held = bool(self._accepted)
        kept = [field for field in response.headers.raw if field[0] != b"sec-websocket-accept"]
        return encode_headers(Headers(kept), RESPONSE_PREFIXES, RESPONSE_KEY)

    def encode_interim(self, request: Request, status: int, headers: Headers) -> bytes:
        """An informational head."""
        stream = self._streams.get(request.id)
        if stream is None:
            return b""
        if stream.answered or not 100 <= status < 200:
            raise LocalProtocolError(f"cannot send an interim response with status {status} here", status=500)
        block = STATUSES[status] + encode_headers(headers, RESPONSE_PREFIXES, RESPONSE_KEY)
        frame = self._message(stream, block, b"", False, None)
        return self._ordered(frame) if self.output else frame

    def encode_data(self, request: Request, data: bytes, end: bool) -> bytes:
        """A piece of the body, as much of it as the windows let out."""
        stream = self._streams.get(request.id)
        if stream is None:
            return b""
        if not stream.answered:
            raise LocalProtocolError("cannot send a body without a head", status=500)
        if stream.kind == HEAD:
            data = b""
        elif stream.unsent >= 0:
            self._count(stream, len(data), end)
        if not data and not end:
            return b""
        frame = self._data(stream, data, end)
        if self._late:
            frame += self._end_late()
        return self._ordered(frame) if self.output else frame

    def encode_trailers(self, request: Request, trailers: Headers) -> bytes:
        """The end of the response, with trailers."""
        block = encode_headers(trailers, TRAILER_PREFIXES, TRAILERS_KEY)
        stream = self._streams.get(request.id)
        if not block or stream is None or stream.kind >= HEAD:
            return self.encode_data(request, b"", True)
        if not stream.answered:
            raise LocalProtocolError("cannot send trailers without a head", status=500)
        self._count(stream, 0, True)
        frame = self._trailers(stream, block)
        if self._late:
            frame += self._end_late()
        return self._ordered(frame) if self.output else frame

    def encode_reset(self, request: Request, reason: str) -> bytes:
        """RST_STREAM. Behind a whole response it only stops the request: NO_ERROR, and not before all is sent."""
        stream = self._streams.get(request.id)
        if stream is None:
            return b""
        if stream.state == HALF_LOCAL:
            return self._ordered(self._reset(stream, NO_ERROR))
        if stream.held is not None and stream.held.end and reason == "response_complete_before_request":
            stream.refused = True
            return b""
        return self._ordered(self._reset(stream, _code_of(stream, reason)))

    def drain(self) -> bytes:
        """GOAWAY that names no stream yet; the one that does goes out with the answer to the ping beside it."""
        if self._draining or self._dead:
            return b""
        self._draining = True
        return self._ordered(frames.goaway(frames.LARGEST_ID, NO_ERROR) + frames.ping(_LAST_CALL))


def _code_of(stream: Stream, reason: str) -> int:
    """The error code for why the core gives a stream up."""
    if "protocol_error" in reason and "local" not in reason:
        return PROTOCOL_ERROR
    if "timeout" in reason or "idle" in reason:
        return CANCEL
    if stream.kind >= CONNECT:
        return CONNECT_ERROR
    return INTERNAL_ERROR
