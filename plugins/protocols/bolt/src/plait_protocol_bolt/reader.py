"""What comes from one connection, frame by frame, for either side of it.

One ``read`` makes events of every frame in it, without cutting the rest off again each time. What is left of a frame is
kept in pieces and joined when as much is there as the next step needs, so that work stays proportional to bytes.

=====================================  ==============================================================================
what comes                             what becomes of it
=====================================  ==============================================================================
unknown protocol, type or ver1         ``Fault`` of the connection: nobody knows how long such a frame is
wrong checksum                         ``Fault`` of the connection: the lengths may be as wrong as the rest
a response to a server                 ``Fault``, counted and skipped: nothing was asked, and the frame is sound
longer than ``max_frame_bytes``        skipped; a server answers the request, a client resets the stream
a header block that lies about itself  the same: the frame around it is sound
an unknown command                     the same
heartbeat                              answered through ``output``; the acknowledgement of ours is a ``Ping``
goaway                                 ``GoAway`` on the client's side; a server notes that its peer knows the command
a request to a client                  refused through ``output``: there is nobody behind a client to serve it
=====================================  ==============================================================================
"""

from __future__ import annotations

from zlib import crc32

from plait.api import (
    Data,
    Event,
    Fault,
    GoAway,
    LocalProtocolError,
    Ping,
    RemoteProtocolError,
    Reset,
)
from plait_protocol_bolt.answers import APPLICATION_EXCEPTION, CODEC_EXCEPTION, NO_PROCESSOR, STATUSES
from plait_protocol_bolt.block import EMPTY, BlockError, BoltBlock, block_of
from plait_protocol_bolt.content import LOOKED_AT_BYTES, SOFA_REQUEST
from plait_protocol_bolt.frame import (
    GOAWAY_COMMAND,
    HEARTBEAT,
    HESSIAN,
    ONEWAY_TYPE,
    REQUEST_COMMAND,
    RESPONSE_COMMAND,
    RESPONSE_TYPE,
    V1,
    V1_ANSWER,
    V1_CALL,
    V1_ONEWAY_CALL,
    V1_REQUEST,
    V1_RESPONSE,
    V2,
    V2_CRC,
    V2_REQUEST,
    V2_RESPONSE,
    WHOLE_REQUEST,
    WHOLE_RESPONSE,
    BoltFrame,
    checked,
    head_of,
)
from plait_protocol_bolt.messages import BoltRequest, BoltResponse
from plait_protocol_bolt.options import BoltOptions
from plait_protocol_bolt.writer import FrameWriter

_NONE: list[Event] = []
_status = STATUSES.get
_unpack_request = WHOLE_REQUEST.unpack_from
_unpack_response = WHOLE_RESPONSE.unpack_from
_LONGEST_HEAD = 22 + 2 * 0xFFFF


class FrameReader:
    """See the module. ``output`` and ``writer`` are the codec's own; ``layout`` is that of the last frame."""

    def __init__(self, options: BoltOptions, client: bool, output: list[bytes], writer: FrameWriter) -> None:
        self.layout: int = V1
        self.goaway_known: bool = False
        self._client: bool = client
        self._output: list[bytes] = output
        self._writer: FrameWriter = writer
        self._limit: int = options.max_frame_bytes
        self._threshold: int = options.stream_threshold_bytes
        self._whole_to: int = min(self._threshold, self._limit - _LONGEST_HEAD)
        self._parts: list[bytes] = []
        self._have: int = 0
        self._need: int = 0
        self._skip: int = 0  # bytes of a refused frame that are still to come
        # the content that comes in pieces
        self._streaming: bool = False
        self._id: int = 0
        self._left: int = 0
        self._crc: int = -1
        self.broken: bool = False
        self._block: BoltBlock = EMPTY  # of the last whole request of v1

    @property
    def inside(self) -> bool:
        """Whether a frame has begun and not ended."""
        return not self.broken and (self._have > 0 or self._streaming or self._skip > 0)

    def read(self, data: bytes) -> list[Event]:
        """The events that ``data`` completes."""
        if self.broken:
            return _NONE
        if self._have:
            self._parts.append(data)
            self._have += len(data)
            if self._have < self._need:
                return _NONE
            data = b"".join(self._parts)
            self._parts.clear()
            self._have = 0
            self._need = 0
        events: list[Event] = []
        at, end = 0, len(data)
        if not (self._skip or self._streaming):
            at = (self._responses if self._client else self._requests)(data, events)
        while at < end:
            if self._skip:
                step = min(self._skip, end - at)
                self._skip -= step
                at += step
                continue
            if self._streaming:
                at = self._pass(data, at, events)
                if self._need:
                    break
                continue
            left = end - at
            protocol = data[at]
            type_at = at + protocol
            if protocol != 1 and protocol != 2:
                self._break(events, f"protocol {protocol} is not Bolt's", "bolt.unknown_protocol")
                return events
            if type_at >= end:
                self._need = protocol + 1
                break
            type = data[type_at]
            if type > ONEWAY_TYPE:
                self._break(events, f"command type {type} is unknown", "bolt.unknown_type")
                return events
            # All that is in the fixed part, in one go.
            if protocol == 1:
                layout = V1
                if type != RESPONSE_TYPE:
                    if left < 22:
                        self._need = 22
                        break
                    fixed = 22
                    _, _, command, _, id, codec, extra, class_length, block_length, length = V1_REQUEST.unpack_from(
                        data, at
                    )
                else:
                    if left < 20:
                        self._need = 20
                        break
                    fixed = 20
                    _, _, command, _, id, codec, extra, class_length, block_length, length = V1_RESPONSE.unpack_from(
                        data, at
                    )
                trailer = 0
            else:
                fixed = 22 if type == RESPONSE_TYPE else 24
                if left < fixed:
                    self._need = fixed
                    break
                _, ver1, _, command, _, id, codec, switch, extra, class_length, block_length, length = (
                    V2_RESPONSE if type == RESPONSE_TYPE else V2_REQUEST
                ).unpack_from(data, at)
                if ver1 != 1 and ver1 != 2:
                    self._break(events, f"version {ver1} inside Bolt v2 is unknown", "bolt.unknown_version", id)
                    return events
                layout, trailer = (V2_CRC, 4) if ver1 == 2 and switch & 1 else (V2, 0)
            self.layout = layout
            content_at = fixed + class_length + block_length
            size = content_at + length + trailer
            if size > self._limit:
                what = f"a frame of {size} bytes is longer than {self._limit}"
                self._refuse(events, layout, type, command, id, what, "bolt.frame_too_large", 413)
                self._skip = size
                continue
            streamed = length > self._threshold
            block_at = at + fixed + class_length
            if streamed:
                size = content_at
                lazy = type != RESPONSE_TYPE and codec == HESSIAN
                if lazy:  # the method may have to be looked for there
                    size += min(length, LOOKED_AT_BYTES)
            if left < size:
                self._need = size
                break
            content_begin = at + content_at
            if layout == V2_CRC and not streamed:
                last = content_begin + length
                if crc32(data[at:last]).to_bytes(4, "big") != data[last : last + 4]:
                    self._break(events, "the checksum of a frame is wrong", "bolt.wrong_checksum", id)
                    return events
            if command != REQUEST_COMMAND and command != RESPONSE_COMMAND:
                self._small(events, layout, type, command, id, data[at : at + fixed])
                if streamed:
                    self._skip = content_at + length + trailer
                else:
                    at += size
                continue
            try:
                block = block_of(data[block_at:content_begin])
            except BlockError as error:
                self._refuse(events, layout, type, command, id, str(error), "bolt.bad_header_block", 400)
                self._skip = content_at + length + trailer
                continue
            id_at = at + 5 if layout == V1 else at + 6
            front = data[at:id_at]
            rest = data[id_at + 4 : content_begin]
            asked = type != RESPONSE_TYPE
            if asked == self._client or command != (REQUEST_COMMAND if asked else RESPONSE_COMMAND):
                self._small(events, layout, type, command, id, data[at:content_begin])
                self._skip = content_at + length + trailer
                continue
            content = None if streamed else data[content_begin : content_begin + length]
            message = BoltRequest() if asked else BoltResponse()
            message.layout = layout
            message.front = front
            message.id = id
            message.rest = rest
            message.body = content or b""
            message.raw = content
            message.block = block
            if isinstance(message, BoltRequest):
                class_name = data[at + fixed : block_at]
                message.raw_authority = block.service or class_name
                if type == ONEWAY_TYPE:
                    message.oneway = True
                if extra > 0:
                    message.timeout_s = extra / 1000
                if streamed and not block.method and codec == HESSIAN and class_name == SOFA_REQUEST:
                    message.raw = data[content_begin : content_begin + LOOKED_AT_BYTES]
            else:
                message.code = extra
                message.status = _status(extra, 500)
                if block.failed and not extra:
                    message.reason = APPLICATION_EXCEPTION
            events.append(message)
            if not streamed:
                at += size
                continue
            message.end = False
            self._streaming = True
            self._id = id
            self._left = length
            self._crc = crc32(data[at:content_begin]) if layout == V2_CRC else -1
            at = content_begin
        else:
            return events
        self._parts.append(data[at:] if at else data)
        self._have = end - at
        return events

    def _requests(self, data: bytes, events: list[Event]) -> int:
        """The common case of ``read``: whole requests of v1, up to anything else; where that begins."""
        at, end, whole_to = 0, len(data), self._whole_to
        last = end - 22
        block = self._block  # callers repeat themselves
        while at <= last:
            front, id, timeout_ms, class_length, block_length, length = _unpack_request(data, at)
            block_at = at + 22 + class_length
            content_at = block_at + block_length
            behind = content_at + length
            if length > whole_to or behind > end or (front != V1_CALL and front != V1_ONEWAY_CALL):
                break
            if len(block.source) != block_length or not data.startswith(block.source, block_at):
                try:
                    block = block_of(data[block_at:content_at])
                except BlockError:
                    break
            request = BoltRequest()
            request.layout = V1
            request.front = front
            request.id = id
            request.rest = data[at + 9 : content_at]
            request.body = request.raw = data[content_at:behind]
            request.block = block
            request.raw_authority = block.service or data[at + 22 : block_at]
            if front != V1_CALL:
                request.oneway = True
            if timeout_ms > 0:
                request.timeout_s = timeout_ms / 1000
            events.append(request)
            at = behind
        if at:
            self.layout = V1
            self._block = block
        return at

    def _responses(self, data: bytes, events: list[Event]) -> int:
        """The same for a client: whole responses of v1, most of which have no headers."""
        at, end, whole_to = 0, len(data), self._whole_to
        last = end - 20
        while at <= last:
            front, id, status, class_length, block_length, length = _unpack_response(data, at)
            block_at = at + 20 + class_length
            content_at = block_at + block_length
            behind = content_at + length
            if length > whole_to or behind > end or front != V1_ANSWER:
                break
            block = EMPTY
            if block_length:
                try:
                    block = block_of(data[block_at:content_at])
                except BlockError:
                    break
            response = BoltResponse()
            response.layout = V1
            response.front = front
            response.id = id
            response.rest = data[at + 9 : content_at]
            response.body = response.raw = data[content_at:behind]
            response.block = block
            response.code = status
            response.status = _status(status, 500) if status else 200
            if block.failed and not status:
                response.reason = APPLICATION_EXCEPTION
            events.append(response)
            at = behind
        if at:
            self.layout = V1
        return at

    def _pass(self, data: bytes, at: int, events: list[Event]) -> int:
        """Hand on what is there of a content that comes in pieces; where the next frame begins, or is to be read on."""
        piece = data[at : at + self._left] if at or len(data) > self._left else data
        self._left -= len(piece)
        at += len(piece)
        if self._crc >= 0:
            self._crc = crc32(piece, self._crc)
            if piece:
                events.append(Data(piece, False, self._id))
            if self._left:
                return at
            if len(data) - at < 4:  # the end is not told before the checksum is seen
                if at < len(data):
                    self._need = 4
                return at
            if self._crc.to_bytes(4, "big") != data[at : at + 4]:
                self._break(events, "the checksum of a frame is wrong", "bolt.wrong_checksum", self._id)
                return len(data)
            events.append(Data(b"", True, self._id))
            at += 4
        else:
            events.append(Data(piece, not self._left, self._id))
            if self._left:
                return at
        self._streaming = False
        return at

    # what is no message

    def _small(self, events: list[Event], layout: int, type: int, command: int, id: int, head: bytes) -> None:
        """A frame that is neither a request for a server nor a response for a client."""
        if command == HEARTBEAT:
            if type == RESPONSE_TYPE:
                events.append(Ping(True, id))
            elif type != ONEWAY_TYPE:
                self._acknowledge(layout, id, head)
        elif command == GOAWAY_COMMAND and type != RESPONSE_TYPE:
            self.goaway_known = True
            if self._client:
                events.append(GoAway(-1, "bolt.goaway"))
        elif command == REQUEST_COMMAND and type != RESPONSE_TYPE:
            if type != ONEWAY_TYPE:
                self._answer(layout, id, NO_PROCESSOR)
        elif command == RESPONSE_COMMAND and type == RESPONSE_TYPE:
            what = "a response that nobody asked for"
            self._refuse(events, layout, type, command, id, what, "bolt.unexpected_response", 0)
        else:
            what = f"command {command} of type {type} is unknown"
            self._refuse(events, layout, type, command, id, what, "bolt.unknown_command", 400)

    def _acknowledge(self, layout: int, id: int, head: bytes) -> None:
        frame = BoltFrame(head, layout, 0, EMPTY)
        switch = frame.switch if layout > V1 else -1
        ver1 = frame.ver1 if layout > V1 else 0
        self._send(layout, head_of(layout, RESPONSE_TYPE, HEARTBEAT, id, frame.codec, 0, ver1=ver1, switch=switch))

    def _answer(self, layout: int, id: int, status: int) -> None:
        """Refuse what an upstream asks of us: there is nobody to be told of it."""
        self._send(layout, head_of(layout, RESPONSE_TYPE, RESPONSE_COMMAND, id, HESSIAN, status))

    def _send(self, layout: int, head: bytes) -> None:
        try:
            frame = self._writer.whole(checked(head, b"") if layout == V2_CRC else head)
        except LocalProtocolError:
            return  # too much waits already: a heartbeat that is not answered is the least that can be lost
        if frame:
            self._output.append(frame)

    def _refuse(
        self, events: list[Event], layout: int, type: int, command: int, id: int, what: str, counter: str, status: int
    ) -> None:
        """One frame is broken, and the connection is not."""
        if not self._client:
            if type == RESPONSE_TYPE or command == HEARTBEAT:
                status = 0  # nobody to answer
            error = RemoteProtocolError(
                what, status=0 if type == ONEWAY_TYPE else status, counter=counter, survives=True
            )
            events.append(Fault(error, id))
        elif type == RESPONSE_TYPE:
            events.append(Reset(counter, id))
        elif type != ONEWAY_TYPE:
            self._answer(layout, id, CODEC_EXCEPTION)

    def _break(self, events: list[Event], what: str, counter: str, id: int = 0) -> None:
        """Framing is lost, or cannot be trusted any more."""
        self.broken = True
        self._streaming = False
        self._parts.clear()
        self._have = 0
        events.append(Fault(RemoteProtocolError(what, status=502 if self._client else 400, counter=counter), id))

    def eof(self) -> list[Event]:
        """The peer sends no more: a fault inside a frame."""
        if not self.inside:
            return _NONE
        events: list[Event] = []
        self._break(events, "the connection closed inside a frame", "bolt.truncated_frame")
        return events
