"""The side that writes requests and reads responses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from plait.api import ClientCodec, Event, Request
from plait_protocol_bolt.block import EMPTY, METHOD, SERVICE, TARGET_SERVICE
from plait_protocol_bolt.content import SOFA_REQUEST
from plait_protocol_bolt.frame import (
    HEARTBEAT,
    HESSIAN,
    NO_TIMEOUT,
    ONEWAY_TYPE,
    REQUEST_COMMAND,
    REQUEST_TYPE,
    V1,
    V2,
    V2_CRC,
    BoltFrame,
    checked,
    head_of,
)
from plait_protocol_bolt.messages import BoltRequest
from plait_protocol_bolt.options import BoltOptions
from plait_protocol_bolt.outgoing import Outgoing, changed
from plait_protocol_bolt.reader import FrameReader
from plait_protocol_bolt.writer import BEGUN

_DEFAULTS = BoltOptions()
_MANY = 1 << 30
_LAST_ID = 0x7FFFFFFF  # Java and Python clients read ids as signed numbers


class BoltClient(ClientCodec):
    """The upstream side of Bolt.

    While a request is written in pieces ``max_streams`` is 0: nothing may come between the pieces, so whoever comes now
    is better served by another connection than by waiting for a caller that may be slow.
    """

    def __init__(self, options: BoltOptions | None = None) -> None:
        self.output: list[bytes] = []
        self.reusable = True
        self.max_streams = _MANY
        self._options: BoltOptions = options or _DEFAULTS
        self.heartbeat_s = self._options.heartbeat_s
        self.heartbeat_timeout_s = self._options.heartbeat_timeout_s
        self._layout: int = {0: 0, 1: V1, 2: V2_CRC if self._options.crc else V2}[self._options.version]
        self._outgoing = Outgoing(self._options.max_frame_bytes)
        self._writer = self._outgoing.writer
        self._reader = FrameReader(self._options, True, self.output, self._writer)
        self._ids: Iterator[int] = iter(range(1, _LAST_ID))

    def feed(self, data: bytes) -> Sequence[Event]:
        """Responses, and the pieces of those that are long."""
        events = self._reader.read(data)
        if self._reader.broken:
            self.reusable = False
        return events

    def eof(self) -> Sequence[Event]:
        """A fault when the server's end cuts a frame short."""
        self.reusable = False
        return self._reader.eof()

    def next_id(self) -> int:
        """The next number: none comes twice on a connection, which retires after the last."""
        return next(self._ids, 0) or self._last_id()

    def _last_id(self) -> int:
        self.reusable = False
        self._ids = iter(range(1, _LAST_ID))
        return _LAST_ID

    def encode_request(self, request: Request, id: int) -> bytes:
        """A request under ``id``, in the cluster's version or its own. Raises LocalProtocolError."""
        layout, body = self._layout, request.body
        if (
            type(request) is BoltRequest
            and body is request.raw
            and (not layout or (layout == V1) == (request.layout == V1))
            and (request.made_headers is None or not request.made_headers.changed)
            and not self._writer.busy
        ):
            written = b"".join((request.front, id.to_bytes(4), request.rest, body))
            return written if request.layout != V2_CRC else checked(written, b"")
        frame = request.native
        if type(frame) is not BoltFrame:
            return self._encode_foreign(request, id)
        length = len(body) if request.end else frame.content_length
        same = not layout or (layout == V1) == (frame.layout == V1)
        if not same or length != frame.content_length or request.headers.changed:
            frame = changed(request, frame, frame.layout if same else layout, length)
        return self._written(frame, request, id, True)

    def _written(self, frame: BoltFrame, request: Request, id: int, length_known: bool) -> bytes:
        written = self._outgoing.message(frame, id, request.body, request.end, length_known)
        if self._writer.busy:
            self.max_streams = 0
        return written

    def _encode_foreign(self, request: Request, id: int) -> bytes:
        """A request that another protocol brought: service and method in headers, its body as the content."""
        layout = self._layout or V1
        type = ONEWAY_TYPE if request.oneway else REQUEST_TYPE
        timeout = int(request.caller_timeout_s() * 1000) or NO_TIMEOUT
        length = len(request.body) if request.end else 0
        head = head_of(layout, type, REQUEST_COMMAND, id, HESSIAN, timeout, SOFA_REQUEST, b"", length)
        headers = request.headers.copy()
        headers.put(SERVICE, request.raw_authority)
        headers.put(TARGET_SERVICE, request.raw_authority)
        headers.put(METHOD, request.raw_path)
        named = Request(headers, id, b"", request.raw_path, request.raw_authority)
        frame = changed(named, BoltFrame(head, layout, length, EMPTY), layout, length)
        return self._written(frame, request, id, False)

    def encode_data(self, id: int, data: bytes, end: bool) -> bytes:
        """A piece of a request's content. Raises LocalProtocolError when it has not the length that was said."""
        written = self._outgoing.data(id, data, end)
        if end:
            self.max_streams = 0 if self._writer.busy else _MANY
        return written

    def encode_reset(self, id: int, reason: str) -> bytes | None:
        """Nothing: the response is dropped when it comes. None inside a request: see ``plait_protocol_bolt.writer``."""
        if self._writer.cancel(id) == BEGUN:
            return None
        self._outgoing.forget(id)
        return b""

    def encode_ping(self) -> bytes:
        """A heartbeat under an id of its own, in the version of the cluster or of what came last; not in a frame."""
        if self._writer.busy:
            return b""
        layout = self._layout or self._reader.layout
        head = head_of(layout, REQUEST_TYPE, HEARTBEAT, self.next_id(), HESSIAN, NO_TIMEOUT)
        return checked(head, b"") if layout == V2_CRC else head
