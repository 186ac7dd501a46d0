"""The side that reads requests and writes responses."""

from __future__ import annotations

from collections.abc import Sequence

from plait.api import (
    Data,
    Event,
    Fault,
    LocalProtocolError,
    Ping,
    RemoteProtocolError,
    Request,
    Response,
    ServerCodec,
)
from plait_protocol_dubbo.call import DubboCall
from plait_protocol_dubbo.forms import FORMS, HESSIAN
from plait_protocol_dubbo.frame import (
    EVENT,
    FASTJSON2,
    HEAD,
    HEAD_BYTES,
    HESSIAN2,
    LONGEST_BODY,
    MAGIC,
    MAGIC_BYTES,
    OK,
    READONLY,
    REQUEST,
    REQUEST_HEAD,
    RESPONSE_HEAD,
    SERIALIZATION,
    SERVER_ERROR,
    TWO_WAY,
    WITH_ATTACHMENTS,
)
from plait_protocol_dubbo.front import FRONT_BYTES, UNREADABLE, BrokenFront, read_front
from plait_protocol_dubbo.local import encode_local
from plait_protocol_dubbo.messages import DubboRequest, DubboResponse
from plait_protocol_dubbo.options import DubboOptions
from plait_protocol_dubbo.reader import Reader, fault, not_dubbo
from plait_protocol_dubbo.rewrite import response_body
from plait_protocol_dubbo.writer import Writer

_unpack = REQUEST_HEAD.unpack_from
_pack = HEAD.pack
_pack_response = RESPONSE_HEAD.pack
_DEFAULTS = DubboOptions()
_REFUSED_AT_MOST = 1024


class DubboServer(ServerCodec):
    """The downstream side of Dubbo 2."""

    def __init__(self, options: DubboOptions | None = None) -> None:
        super().__init__()
        options = options or _DEFAULTS
        self._reader = Reader(options)
        self._writer = Writer(options.max_queued_bytes, options.max_padding_bytes)
        self._between = False  # a frame is begun and not whole
        self._dead = False
        self._longest = options.max_frame_bytes
        self._whole_to = self._reader.whole_to
        self._front = UNREADABLE  # of the last request; callers repeat themselves
        self._lead = b""  # of the last request, when it is one to compare the next one with
        self._serialization = HESSIAN2  # of the last request
        self._refused: dict[int, int] = {}  # the flags of requests that are answered with an error, by their ids
        self._early = False  # the request that is being read in pieces is answered
        self._events = 0  # sent

    # reading

    def feed(self, data: bytes) -> Sequence[Event]:
        """Requests, and the pieces of large ones."""
        return self._feed_more(data) if self._between else self._read(data, 0)

    def _read(self, data: bytes, at: int) -> list[Event]:
        events: list[Event] = []
        size, whole_to = len(data), self._whole_to
        last = size - HEAD_BYTES
        front, known = self._front, self._lead
        oneway, beginning = False, front.raw
        while at <= last:
            lead, id, length = _unpack(data, at)
            body_at = at + HEAD_BYTES
            end = body_at + length
            if length > whole_to or end > size:
                if not lead.startswith(MAGIC_BYTES) or length > LONGEST_BODY:
                    events.append(self._lost(not_dubbo()))
                    return events
                if length <= whole_to or (length <= self._longest and size - body_at < FRONT_BYTES):
                    break
                at = self._begin(events, data, body_at, lead, id, length)
                continue
            at = end
            body = data[body_at:end]
            if lead != known or not body.startswith(beginning):
                if not lead.startswith(MAGIC_BYTES):
                    events.append(self._lost(not_dubbo()))
                    return events
                flag = lead[2]
                if flag & (REQUEST | EVENT) != REQUEST:
                    self._other(events, flag, id, body)
                    continue
                try:
                    front = read_front(flag & SERIALIZATION, body, 0, length)
                except BrokenFront as error:
                    events.append(self._broken(flag, id, str(error)))
                    continue
                oneway, beginning = not flag & TWO_WAY, front.raw
                known = b"" if oneway or not beginning else lead
                self._front, self._lead = front, known
                self._serialization = flag & SERIALIZATION
            request = DubboRequest()
            request.id = id
            request.body = request.raw = body
            request.raw_authority = front.path
            request.raw_path = front.method
            request.front = front
            request.lead = lead
            if oneway:
                request.oneway = True
                request.timeout_s = 0.0
            events.append(request)
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
            self._early = False
            if taken < size:
                events += self._read(data, taken)
        return events

    def _begin(self, events: list[Event], data: bytes, at: int, lead: bytes, id: int, length: int) -> int:
        """A frame that is not gathered begins; where in ``data`` what is there of it ends."""
        end = min(at + length, len(data))
        flag = lead[2]
        reader = self._reader
        self._early = False
        piece = b""
        if length > self._longest:
            reader.dropped = True
            self._refuse(flag, id)
            what = f"a request of {length} bytes, with at most {self._longest} allowed"
            answered = flag & (REQUEST | EVENT | TWO_WAY) == REQUEST | TWO_WAY
            events.append(Fault(fault(what, "frame_too_large", 413 if answered else 0, survives=True), id))
        elif flag & (REQUEST | EVENT) != REQUEST:
            reader.dropped = True
            events.append(Fault(fault("a frame that is too large for its kind", "unexpected_frame", 0, True), id))
        else:
            try:
                front = read_front(flag & SERIALIZATION, data, at, at + length)
            except BrokenFront as error:
                reader.dropped = True
                events.append(self._broken(flag, id, str(error)))
            else:
                reader.dropped = False
                first = data[at : at + FRONT_BYTES]
                request = DubboRequest()
                request.id = id
                request.body = request.raw = first
                request.end = False
                request.raw_authority = front.path
                request.raw_path = front.method
                request.front = front
                request.lead = lead
                request.native = DubboCall(flag, first, length, front)
                if not flag & TWO_WAY:
                    request.oneway = True
                    request.timeout_s = 0.0
                events.append(request)
                piece = data[at + FRONT_BYTES : end]
        reader.id = id
        reader.left = length - (end - at)
        self._between = reader.left > 0
        if piece:
            events.append(Data(piece, not reader.left, id))
        return end

    def _other(self, events: list[Event], flag: int, id: int, body: bytes) -> None:
        """What is no request: heartbeats and other events, and the acknowledgements of ours."""
        if not flag & REQUEST:
            if flag & EVENT:
                events.append(Ping(True, id))
            else:
                events.append(Fault(fault("a response that nobody asked for", "unexpected_frame", 0, True), id))
            return
        if flag & TWO_WAY:
            frame = answer_event(flag, id, body)
            frame = self._writer.whole(frame, small=True)
            if frame:
                self.output.append(frame)
        events.append(Ping(False, id))

    def _broken(self, flag: int, id: int, what: str) -> Fault:
        self._refuse(flag, id)
        return Fault(fault(what, "bad_request", 400 if flag & TWO_WAY else 0, survives=True), id)

    def _refuse(self, flag: int, id: int) -> None:
        if flag & TWO_WAY:
            if len(self._refused) >= _REFUSED_AT_MOST:
                self._refused.clear()  # of streams that had an answer already; the others are answered in Hessian
            self._refused[id] = flag

    def _lost(self, error: RemoteProtocolError) -> Fault:
        self._dead = self._between = True
        self.closing = True
        self._reader.forget()
        return Fault(error)

    def eof(self) -> Sequence[Event]:
        """A fault when the caller ends inside a frame."""
        if self._between and not self._dead:
            return [self._lost(fault("connection closed inside a frame", "truncated_frame", 0))]
        return ()

    # writing

    def encode_response(self, request: Request, response: Response) -> bytes:
        """The response's frame under the id that the caller gave, or what is there of it."""
        if self._between and request.id == self._reader.id:
            self._early = True
        if type(response) is not DubboResponse:
            return self._encode_other(request, response)
        id, body = request.id, response.body
        if body is not response.raw or (response.made_headers is not None and response.made_headers.changed):
            body = response_body(request, response)
        if response.end:
            frame = _pack_response(response.lead, response.code, id, len(body)) + body
            return frame if self._writer.streaming is None else self._writer.whole(frame, id)
        result = response.result
        length = result.length - len(result.body) + len(body)
        head = _pack(MAGIC, result.flag, result.status, id, length)
        form = result.form
        may_pad = form is not None and form.padding and (result.status != OK or result.kind >= WITH_ATTACHMENTS)
        return self._writer.begin(id, head + body, length - len(body), may_pad)

    def _encode_other(self, request: Request, response: Response) -> bytes:
        """An answer of our own, or of an upstream that spoke something else."""
        refused = self._refused.pop(request.id, HESSIAN2) if self._refused else HESSIAN2
        if request.oneway:
            return b""
        if not response.end:
            raise LocalProtocolError("a response of another protocol has to be whole", status=500)
        flag = request.flag if type(request) is DubboRequest else refused
        serialization, status, body = encode_local(request, response, flag)
        return self._writer.whole(_pack(MAGIC, serialization, status, request.id, len(body)) + body, request.id, True)

    def encode_data(self, request: Request, data: bytes, end: bool) -> bytes:
        """A piece of a large response; with its last one comes what waited behind it."""
        return self._writer.piece(request.id, data, end)

    def encode_reset(self, request: Request, reason: str) -> bytes | None:
        """Fill up a response that is begun; answer a request that is not answered; read over the rest of it."""
        id = request.id
        early = False
        reader = self._reader
        if self._between and reader.left and reader.id == id:
            reader.dropped = True
            early = self._early
        if self._writer.has(id):
            waited = self._writer.streaming != id
            frame = self._writer.give_up(id)
            if frame is None or not waited:
                return frame
        elif early or request.oneway:
            return b""
        flag = request.flag if type(request) is DubboRequest else HESSIAN2
        form = FORMS.get(flag & SERIALIZATION)
        serialization = flag & SERIALIZATION if form is not None else HESSIAN2
        text = (form or HESSIAN).encode_str(reason.encode() or b"reset")
        return self._writer.whole(_pack(MAGIC, serialization, SERVER_ERROR, id, len(text)) + text, id, small=True)

    def drain(self) -> bytes:
        """The read-only event, as Java sends it: the caller asks other servers from now on."""
        self._events += 1
        serialization = FASTJSON2 if self._serialization == FASTJSON2 else HESSIAN2
        text = FORMS[serialization].encode_str(READONLY)
        frame = _pack(MAGIC, REQUEST | EVENT | serialization, 0, self._events, len(text)) + text
        return self._writer.whole(frame, small=True)

    def unsent(self, id: int) -> int:
        """Bytes of a large response that wait behind another one."""
        return self._writer.waiting_bytes(id)


def answer_event(flag: int, id: int, body: bytes) -> bytes:
    """The acknowledgement of an event: null in its own serialization."""
    form = FORMS.get(flag & SERIALIZATION)
    null = form.null if form is not None else body[:16]
    return _pack(MAGIC, EVENT | flag & SERIALIZATION, OK, id, len(null)) + null
