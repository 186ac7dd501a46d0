"""The side that reads requests and writes responses."""

from __future__ import annotations

from collections.abc import Sequence

from plait.api import Event, Request, Response, ServerCodec
from plait_protocol_bolt.answers import RESPONSE_CLASS, SUCCESS, code_of, local_response
from plait_protocol_bolt.block import EMPTY
from plait_protocol_bolt.frame import (
    GOAWAY_COMMAND,
    HESSIAN,
    REQUEST_TYPE,
    RESPONSE_COMMAND,
    RESPONSE_TYPE,
    V1,
    V2_CRC,
    BoltFrame,
    checked,
    head_of,
)
from plait_protocol_bolt.messages import BoltRequest, BoltResponse
from plait_protocol_bolt.options import BoltOptions
from plait_protocol_bolt.outgoing import Outgoing, changed
from plait_protocol_bolt.reader import FrameReader
from plait_protocol_bolt.writer import BEGUN, WAITING

_DEFAULTS = BoltOptions()


class BoltServer(ServerCodec):
    """The downstream side of Bolt: any number of requests at once, answered in the version that each came in."""

    def __init__(self, options: BoltOptions | None = None) -> None:
        self.output: list[bytes] = []
        self.closing = False
        self.held = False
        self._options: BoltOptions = options or _DEFAULTS
        self._outgoing = Outgoing(self._options.max_frame_bytes)
        self._writer = self._outgoing.writer
        self._reader = FrameReader(self._options, False, self.output, self._writer)

    def feed(self, data: bytes) -> Sequence[Event]:
        """Requests, and the pieces of those that are long.

        Requests are told after ``drain`` too: Bolt cannot ask its callers to stop, and each that is dropped is a call
        that fails. The core closes the connection a moment later, when no request is under way.
        """
        events = self._reader.read(data)
        if self._reader.broken:
            self.closing = True
        return events

    def eof(self) -> Sequence[Event]:
        """A fault when the caller's end cuts a frame short."""
        return self._reader.eof()

    def encode_response(self, request: Request, response: Response) -> bytes:
        """A response under the caller's id and in the caller's version; none to one-way requests.

        Raises LocalProtocolError.
        """
        if request.oneway:
            return b""
        if type(request) is BoltRequest:
            request.answered = True
            layout = request.layout
        else:
            layout = self._reader.layout
        body = response.body
        if (
            type(response) is BoltResponse
            and response.layout == layout
            and body is response.raw
            and (response.made_headers is None or not response.made_headers.changed)
            and not self._writer.busy
        ):
            written = b"".join((response.front, request.id.to_bytes(4), response.rest, body))
            return written if layout != V2_CRC else checked(written, b"")
        frame = response.native
        if type(frame) is not BoltFrame:
            return self._encode_foreign(request, response, layout)
        length = len(body) if response.end else frame.content_length
        same = (layout == V1) == (frame.layout == V1)
        if not same or length != frame.content_length or response.headers.changed:
            frame = changed(response, frame, frame.layout if same else layout, length)
        return self._outgoing.message(frame, request.id, body, response.end, True)

    def _encode_foreign(self, request: Request, response: Response, layout: int) -> bytes:
        """A response that another protocol brought: its status in Bolt's terms, its body as the content."""
        asked = request.native
        codec = asked.codec if isinstance(asked, BoltFrame) else HESSIAN
        code = response.code if response.protocol == "bolt" else code_of(response.status)
        length = len(response.body) if response.end else 0
        head = head_of(layout, RESPONSE_TYPE, RESPONSE_COMMAND, 0, codec, code, RESPONSE_CLASS, b"", length)
        frame = BoltFrame(head, layout, length, EMPTY)
        if len(response.headers):
            response.headers.changed = True
            frame = changed(response, frame, layout, length)
        return self._outgoing.message(frame, request.id, response.body, response.end, False)

    def encode_data(self, request: Request, data: bytes, end: bool) -> bytes:
        """A piece of a response's content. Raises LocalProtocolError when it has not the length that was said."""
        return self._outgoing.data(request.id, data, end)

    def encode_reset(self, request: Request, reason: str) -> bytes | None:
        """An error in place of a response that has not begun; None inside one: see ``plait_protocol_bolt.writer``.

        What is left of a request that is given up is read and dropped, which the core does with data of no stream.
        """
        found = self._writer.cancel(request.id)
        if found == BEGUN:
            return None
        gathered = self._outgoing.forget(request.id)
        answered = type(request) is BoltRequest and request.answered
        if request.oneway or (answered and found != WAITING and not gathered):
            return b""
        return self.encode_response(request, local_response(request, 500, b"", reason))

    def drain(self) -> bytes:
        """A goaway where the options allow it or the caller has sent one itself; nothing otherwise."""
        if not (self._options.enable_bolt_goaway or self._reader.goaway_known):
            return b""
        layout = self._reader.layout
        head = head_of(layout, REQUEST_TYPE, GOAWAY_COMMAND, 0, HESSIAN, SUCCESS)
        return self._writer.whole(checked(head, b"") if layout == V2_CRC else head)
