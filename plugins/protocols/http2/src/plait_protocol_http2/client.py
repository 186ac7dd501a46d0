"""The side that writes requests and reads responses."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

from plait.api import (
    ClientCodec,
    Event,
    Headers,
    Interim,
    LocalProtocolError,
    Request,
    Reset,
    Response,
    Window,
)
from plait_protocol_http2 import frames
from plait_protocol_http2.connection import REMEMBERED_BYTES, Connection
from plait_protocol_http2.encoding import (
    REQUEST_KEY,
    REQUEST_PREFIXES,
    TRAILER_PREFIXES,
    TRAILERS_KEY,
    encode_headers,
    encode_length,
    encode_pseudo,
)
from plait_protocol_http2.errors import CANCEL, NO_ERROR, PROTOCOL_ERROR, Violation, malformed
from plait_protocol_http2.fields import is_token
from plait_protocol_http2.head import CONNECT, HEAD, PLAIN, UPGRADE, ResponseHead
from plait_protocol_http2.options import PREFACE, Http2Options
from plait_protocol_http2.streams import CUT, HALF_LOCAL, HALF_REMOTE, OPEN, RESET, Stream, Tunnel

_HEADS_LIMIT = 128
_TARGETS_LIMIT = 256
_FIRST_STREAMS = 100  # what a peer is thought to allow until it says so: the least that RFC 9113, 6.5.2 recommends
_ACCEPT_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 4.2.2
_KINDS = {b"HEAD": HEAD, b"CONNECT": CONNECT}


class Http2Client(Connection, ClientCodec):
    """The upstream side of HTTP/2."""

    flow_controlled = True

    def __init__(self, options: Http2Options | None = None) -> None:
        super().__init__(options, [])
        self.reusable = True
        self._wanted: int = self._options.max_concurrent_streams
        self.max_streams = min(_FIRST_STREAMS, self._wanted)
        self._limited: bool = False
        self._heads: dict[bytes, ResponseHead] = {}  # what blocks say while the dynamic table stays as it is
        self._targets: dict[tuple[bytes, bytes, bytes, bytes], bytes] = {}
        # What may not go out before the peer's settings are here: an extended CONNECT, and all behind it.
        self._gate: list[tuple[int, bytes]] | None = None
        keepalive = self._options.connection_keepalive
        if keepalive is not None:
            self.heartbeat_s = keepalive.interval_s
            self.heartbeat_timeout_s = keepalive.timeout_s
        self.output.append(PREFACE + self._greeting([(frames.ENABLE_PUSH, 0)]))

    # reading

    def _on_block(self, id: int, block: bytes, ended: bool) -> None:
        head = self._heads.get(block)
        stream = self._streams.get(id)
        if stream is not None and stream.answered:
            self._on_trailers(stream, block, ended)
            return
        try:
            if head is None:
                head = self._parse(block)
            else:
                head.block.repeats = True
            if stream is None or (stream.state != OPEN and stream.state != HALF_LOCAL):
                self._stray(frames.HEADERS, id)
            else:
                self._on_head(stream, head, ended)
        except Violation as error:
            if error.survives and stream is None:
                self._stray(frames.HEADERS, id)
            else:
                self._break_stream(id, error)

    def _forget(self) -> None:
        super()._forget()
        self._heads.clear()

    def _parse(self, block: bytes) -> ResponseHead:
        head = ResponseHead(self._decode(block, 502))
        if not self._decoder.changed and len(block) <= REMEMBERED_BYTES:
            if len(self._heads) >= _HEADS_LIMIT:
                self._heads.clear()
            self._heads[block] = head
        return head

    def _on_head(self, stream: Stream, head: ResponseHead, ended: bool) -> None:
        status = head.status
        if status < 200:
            if ended:
                raise malformed(f"status {status} ends the stream")
            self._events.append(Interim(status, Headers(head.block), stream.id))
            return
        stream.answered = True
        kind = stream.kind
        response = Response(status, Headers(head.block), stream.id, b"", "HTTP/2")
        if kind >= CONNECT and status < 300:
            self._open_tunnel(stream, response, ended)
            return
        bodiless = kind == HEAD or status == 204 or status == 304
        self._events.append(response)
        if ended:
            if head.length > 0 and not bodiless:
                self._events.pop()
                raise malformed("a content-length without a body")
            self._got_end(stream)
            return
        response.end = False
        stream.left = 0 if bodiless else head.length
        stream.event = response
        self._touched.append(stream)

    def _open_tunnel(self, stream: Stream, response: Response, ended: bool) -> None:
        """The server accepted a tunnel; inside, that is a 101 to a request with ``upgrade``."""
        response.end = False
        tunnel = stream.tunnel
        if stream.kind == UPGRADE:
            response.status = 101
            if tunnel is not None and tunnel.key:
                digest = hashlib.sha1(tunnel.key + _ACCEPT_SUFFIX, usedforsecurity=False).digest()
                response.headers.put(b"sec-websocket-accept", base64.b64encode(digest))
        self._events.append(response)
        if tunnel is not None:
            tunnel.accepted = True
            if ended:
                tunnel.end = True
                self._got_end(stream)
            self._events += self._accept(stream)

    def _is_idle(self, id: int) -> bool:
        return id > self._last_id or not id & 1

    def _check_push(self, value: int) -> None:
        if value:
            raise Violation(PROTOCOL_ERROR, f"enable push {value} from a server")

    def _limit_streams(self, value: int) -> None:
        self._limited = True
        self._allow_streams(min(value, self._wanted))

    def _allow_streams(self, count: int) -> None:
        grown = count > self.max_streams
        self.max_streams = count
        if grown:
            self._events.append(Window(0))

    def _on_greeted(self, first: bool) -> None:
        if first and not self._limited:
            self._allow_streams(self._wanted)
        gate = self._gate
        if gate is None:
            return
        self._gate = None
        for id, frame in gate:
            stream = self._streams.get(id)
            if stream is not None and stream.kind == UPGRADE and not self._peer_connects:
                self._remove(stream, RESET)
                self._events.append(Reset("extended_connect_not_supported", id))
            if self._gone.state(id) != RESET:
                self.output.append(frame)

    def _on_going(self, last_id: int) -> None:
        self.reusable = False
        for id in [id for id in self._streams if id > last_id]:
            self._remove(self._streams[id], CUT)

    def _die(self) -> None:
        super()._die()
        self.reusable = False

    def eof(self) -> Sequence[Event]:
        """The server sends no more: a fault when that cuts a response short."""
        events = super().eof()
        self._die()
        return events

    # writing

    def next_id(self) -> int:
        """The next odd number; the connection is of no more use when they are used up."""
        id = self._last_id + 2 if self._last_id else 1
        if id >= frames.LARGEST_ID - 2:
            self.reusable = False
        return id

    def encode_request(self, request: Request, id: int) -> bytes:
        """The head with ``request.body``, as much of it as the windows let out; raises LocalProtocolError."""
        if self._dead:
            raise LocalProtocolError("the connection is at its end", status=503)
        method = request.raw_method
        headers = request.headers
        body = request.body
        end = request.end
        fields = encode_headers(headers, REQUEST_PREFIXES, REQUEST_KEY)
        trailers = None
        if end:
            if request.trailers is not None:
                trailers = encode_headers(request.trailers, TRAILER_PREFIXES, TRAILERS_KEY) or None
        elif request.upgrade and method == b"GET":
            return self._ask_upgrade(request, id)
        target = (method, request.raw_scheme, request.raw_authority, request.raw_path)
        pseudo = self._targets.get(target)
        if pseudo is None:
            pseudo = self._encode_target(target)
        kind = _KINDS.get(method, PLAIN)
        stream = Stream(id, kind, self._peer_window, self._stream_window)
        if kind == CONNECT:
            stream.tunnel = Tunnel()
        else:
            declared = headers.find(b"content-length")
            if declared is not None:
                if end:
                    fields += encode_length(len(body))
                else:
                    self._declare(stream, declared, len(body))
                    fields += encode_length(int(declared))
        return self._begin_stream(stream, pseudo + fields, body, end, trailers)

    def _begin_stream(self, stream: Stream, block: bytes, body: bytes, end: bool, trailers: bytes | None) -> bytes:
        if self._peer_header_limit >= 0:
            self._check_block(block)
        id = stream.id
        self._last_id = id
        self._opened += 1
        self._streams[id] = stream
        frame = self._message(stream, block, body, end, trailers)
        return frame if self._gate is None and not self.output else self._pass(id, frame)

    def _pass(self, id: int, frame: bytes) -> bytes:
        """A frame that may be written, behind what is to go before it; or nothing while the gate is shut."""
        if self._gate is None:
            return self._ordered(frame)
        self._gate.append((id, frame))
        return b""

    def _encode_target(self, target: tuple[bytes, bytes, bytes, bytes]) -> bytes:
        """The pseudo-fields of a request, kept for the next one to the same place."""
        method, scheme, authority, path = target
        if not is_token(method):
            raise LocalProtocolError(f"cannot send the method {method[:64]!r}, it is not a token", status=500)
        parts = [encode_pseudo(b":method", method)]
        if method != b"CONNECT":
            parts.append(encode_pseudo(b":scheme", scheme or b"http"))
            parts.append(encode_pseudo(b":path", path or b"/"))
        if authority:
            parts.append(encode_pseudo(b":authority", authority))
        pseudo = b"".join(parts)
        if len(self._targets) >= _TARGETS_LIMIT:
            self._targets.clear()
        if len(pseudo) <= REMEMBERED_BYTES:
            self._targets[target] = pseudo
        return pseudo

    def _ask_upgrade(self, request: Request, id: int) -> bytes:
        """Extended CONNECT (RFC 8441), not before the peer said that it knows that."""
        if self._greeted and not self._peer_connects:
            raise LocalProtocolError("the upstream does not take extended CONNECT", status=502)
        headers = request.headers
        key = headers.find(b"sec-websocket-key") or b""
        kept = [field for field in headers.raw if field[0] not in (b"sec-websocket-key", b"content-length")]
        block = b"".join(
            [
                encode_pseudo(b":method", b"CONNECT"),
                encode_pseudo(b":protocol", request.upgrade),
                encode_pseudo(b":scheme", request.raw_scheme or b"http"),
                encode_pseudo(b":path", request.raw_path or b"/"),
                encode_pseudo(b":authority", request.raw_authority),
                encode_headers(Headers(kept), REQUEST_PREFIXES, REQUEST_KEY),
            ]
        )
        if not self._greeted and self._gate is None:
            self._gate = []
        stream = Stream(id, UPGRADE, self._peer_window, self._stream_window)
        stream.tunnel = Tunnel(key if request.upgrade == b"websocket" else b"")
        return self._begin_stream(stream, block, request.body, False, None)

    def encode_data(self, id: int, data: bytes, end: bool) -> bytes:
        """A piece of the body, as much of it as the windows let out; nothing where the stream is gone."""
        stream = self._streams.get(id)
        if stream is None or not (data or end):
            return b""
        if stream.unsent >= 0:
            self._count(stream, len(data), end)
        frame = self._data(stream, data, end)
        return frame if self._gate is None and not self.output else self._pass(id, frame)

    def encode_trailers(self, id: int, trailers: Headers) -> bytes:
        """The end of the request, with trailers."""
        block = encode_headers(trailers, TRAILER_PREFIXES, TRAILERS_KEY)
        stream = self._streams.get(id)
        if not block or stream is None or stream.tunnel is not None:
            return self.encode_data(id, b"", True)
        self._count(stream, 0, True)
        frame = self._trailers(stream, block)
        return frame if self._gate is None and not self.output else self._pass(id, frame)

    def encode_reset(self, id: int, reason: str) -> bytes:
        """RST_STREAM; nothing where the stream is gone."""
        stream = self._streams.get(id)
        if stream is None:
            return b""
        frame = self._reset(stream, NO_ERROR if stream.state == HALF_REMOTE else CANCEL)
        if self._gate is None:
            return self._ordered(frame)
        self._gate = [entry for entry in self._gate if entry[0] != id]  # it was never begun
        return b""
