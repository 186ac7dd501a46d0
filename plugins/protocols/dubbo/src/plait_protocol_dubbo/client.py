"""The side that writes requests and reads responses."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from plait.api import (
    ClientCodec,
    Data,
    Event,
    Fault,
    GoAway,
    Headers,
    LocalProtocolError,
    Ping,
    RemoteProtocolError,
    Request,
    Response,
    Window,
)
from plait_protocol_dubbo.call import DubboResult
from plait_protocol_dubbo.forms import FORMS, HESSIAN
from plait_protocol_dubbo.frame import (
    BAD_REQUEST,
    EVENT,
    HEAD,
    HEAD_BYTES,
    HESSIAN2,
    LONGEST_BODY,
    MAGIC,
    MAGIC_BYTES,
    READONLY,
    REQUEST,
    REQUEST_HEAD,
    RESPONSE_HEAD,
    RESPONSE_LEADS,
    SERIALIZATION,
    TWO_WAY,
)
from plait_protocol_dubbo.front import FRONT_BYTES
from plait_protocol_dubbo.local import HTTP_STATUSES
from plait_protocol_dubbo.messages import DubboRequest, DubboResponse
from plait_protocol_dubbo.options import DubboOptions
from plait_protocol_dubbo.reader import Reader, fault, not_dubbo
from plait_protocol_dubbo.rewrite import request_body
from plait_protocol_dubbo.server import answer_event
from plait_protocol_dubbo.writer import Writer

_unpack = RESPONSE_HEAD.unpack_from
_pack = HEAD.pack
_pack_request = REQUEST_HEAD.pack
_DEFAULTS = DubboOptions()
_MANY = 1 << 30


class DubboClient(ClientCodec):
    """The upstream side of Dubbo 2.

    While a request is written in pieces, ``max_streams`` is 0: others take another connection rather than wait.
    """

    def __init__(self, options: DubboOptions | None = None) -> None:
        super().__init__()
        options = options or _DEFAULTS
        self.heartbeat_s = options.heartbeat_s
        self.heartbeat_timeout_s = options.heartbeat_timeout_s
        self._reader = Reader(options)
        self._writer = Writer(options.max_queued_bytes, options.max_padding_bytes)
        self._between = False  # a frame is begun and not whole
        self._dead = False
        self._longest = options.max_frame_bytes
        self._whole_to = self._reader.whole_to
        self._ids = count(1)
        self._widened = False  # streams are welcome again, and the core was not told

    # writing

    def next_id(self) -> int:
        """Ids count up; a connection does not live for the 2**63 that there are."""
        return next(self._ids)

    def encode_request(self, request: Request, id: int) -> bytes:
        """The request's frame under ``id``, or what is there of it."""
        if type(request) is not DubboRequest:
            raise LocalProtocolError("no Dubbo request", status=500)
        body = request.body
        if body is not request.raw or (request.made_headers is not None and request.made_headers.changed):
            body = request_body(request)
        if request.end:
            frame = _pack_request(request.lead, id, len(body)) + body
            return frame if self._writer.streaming is None else self._writer.whole(frame, id)
        call = request.call
        length = call.length - len(call.body) + len(body)
        form = call.form
        out = self._writer.begin(
            id, _pack(MAGIC, call.flag, 0, id, length) + body, length - len(body), form is not None and form.padding
        )
        self.max_streams = 0
        return out

    def encode_data(self, id: int, data: bytes, end: bool) -> bytes:
        """A piece of a large request; with its last one comes what waited behind it."""
        out = self._writer.piece(id, data, end)
        self._widen()
        return out

    def encode_reset(self, id: int, reason: str) -> bytes | None:
        """Fill up a request that is begun, and forget one that is not answered."""
        if self._between and self._reader.left and self._reader.id == id:
            self._reader.dropped = True
        if not self._writer.has(id):
            return b""
        frame = self._writer.give_up(id)
        self._widen()
        return frame

    def _widen(self) -> None:
        if self._writer.streaming is None and not self.max_streams:
            self.max_streams = _MANY
            self._widened = True

    def encode_ping(self) -> bytes:
        """A heartbeat; nothing while a frame is written in pieces."""
        if self._writer.streaming is not None:
            return b""
        return _pack(MAGIC, REQUEST | TWO_WAY | EVENT | HESSIAN2, 0, next(self._ids), 1) + b"N"

    def unsent(self, id: int) -> int:
        """Bytes of a large request that wait behind another one."""
        return self._writer.waiting_bytes(id)

    # reading

    def feed(self, data: bytes) -> Sequence[Event]:
        """Responses, and the pieces of large ones."""
        events = self._feed_more(data) if self._between else self._read(data, 0)
        if self._widened:
            self._widened = False
            return [*events, Window(0)] if not self._dead else events
        return events

    def _read(self, data: bytes, at: int) -> list[Event]:
        events: list[Event] = []
        size, whole_to = len(data), self._whole_to
        last = size - HEAD_BYTES
        while at <= last:
            lead, status, id, length = _unpack(data, at)
            body_at = at + HEAD_BYTES
            end = body_at + length
            if length > whole_to or end > size:
                if not lead.startswith(MAGIC_BYTES) or length > LONGEST_BODY:
                    events.append(self._lost(not_dubbo()))
                    return events
                if length <= whole_to or (length <= self._longest and size - body_at < FRONT_BYTES):
                    break
                at = self._begin(events, data, body_at, lead, status, id, length)
                continue
            if lead not in RESPONSE_LEADS:
                if not lead.startswith(MAGIC_BYTES):
                    events.append(self._lost(not_dubbo()))
                    return events
                self._other(events, lead[2], id, data[body_at:end])
                at = end
                continue
            response = DubboResponse()
            response.id = id
            response.body = response.raw = data[body_at:end]
            response.lead = lead
            response.code = status
            response.status = HTTP_STATUSES[status]
            events.append(response)
            at = end
        if at < size:
            self._between = True
            spoilt = self._reader.keep(data, at)
            if spoilt is not None:
                events.append(self._lost(spoilt))
        return events

    def _feed_more(self, data: bytes) -> Sequence[Event]:
        if self._dead:
            return ()
        reader = self._reader
        if not reader.left:
            gathered = reader.add(data)
            if gathered is None:
                return ()
            self._between = False
            return self._read(gathered, 0) if isinstance(gathered, bytes) else [self._lost(gathered)]
        size = len(data)
        taken = min(reader.left, size)
        reader.left -= taken
        events: list[Event] = []
        if not reader.dropped and taken:
            events.append(Data(data if taken == size else data[:taken], not reader.left, reader.id))
        if not reader.left:
            self._between = False
            if taken < size:
                events += self._read(data, taken)
        return events

    def _begin(self, events: list[Event], data: bytes, at: int, lead: bytes, status: int, id: int, length: int) -> int:
        """A frame that is not gathered begins; where in ``data`` what is there of it ends."""
        end = min(at + length, len(data))
        reader = self._reader
        reader.id = id
        reader.left = length - (end - at)
        reader.dropped = True
        self._between = reader.left > 0
        if lead not in RESPONSE_LEADS:
            return end
        if length > self._longest:
            text = f"a response of {length} bytes, with at most {self._longest} allowed"
            events.append(Response(502, Headers([]), id, b"", "dubbo", text.encode()))
            return end
        reader.dropped = False
        first = data[at : at + FRONT_BYTES]
        response = DubboResponse()
        response.id = id
        response.body = response.raw = first
        response.end = False
        response.lead = lead
        response.code = status
        response.status = HTTP_STATUSES[status]
        response.native = DubboResult(lead[2], first, length, status)
        events.append(response)
        if end > at + FRONT_BYTES:
            events.append(Data(data[at + FRONT_BYTES : end], not reader.left, id))
        return end

    def _other(self, events: list[Event], flag: int, id: int, body: bytes) -> None:
        """Heartbeats and other events, acknowledgements of ours, and requests from the server's side."""
        if not flag & REQUEST:
            events.append(Ping(True, id))
            return
        if flag & EVENT:
            frame = answer_event(flag, id, body)
        else:  # a callback: nobody here could take it
            form = FORMS.get(flag & SERIALIZATION)
            text = (form or HESSIAN).encode_str(b"callbacks do not pass a proxy")
            serialization = flag & SERIALIZATION if form is not None else HESSIAN2
            frame = _pack(MAGIC, serialization, BAD_REQUEST, id, len(text)) + text
        if flag & TWO_WAY:
            frame = self._writer.whole(frame, small=True)
            if frame:
                self.output.append(frame)
        if flag & EVENT:
            events.append(GoAway(reason="readonly") if _text(flag, body) == READONLY else Ping(False, id))

    def _lost(self, error: RemoteProtocolError) -> Fault:
        self._dead = self._between = True
        self.reusable = False
        self._reader.forget()
        return Fault(error)

    def eof(self) -> Sequence[Event]:
        """A fault when the server ends inside a frame."""
        if self._between and not self._dead:
            return [self._lost(fault("connection closed inside a frame", "truncated_frame", 0))]
        return ()


def _text(flag: int, body: bytes) -> bytes:
    """The string that an event is, or nothing."""
    form = FORMS.get(flag & SERIALIZATION)
    if form is None:
        return b""
    try:
        return form.string(body, 0, len(body))[0]
    except (IndexError, ValueError):
        return b""
