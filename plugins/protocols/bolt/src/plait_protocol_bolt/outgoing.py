"""How messages become frames, the same on both sides: as they came, or written anew where something was changed.

Untouched, a head is patched with another id and its content follows; a checksum is renewed. A change of headers, of the
service or method, of the content's length or of the version rebuilds the head alone.

A message that came in pieces goes out in pieces, because its length is known from its frame. One of another protocol,
whose length nobody knows, is *gathered* first.
"""

from __future__ import annotations

from plait.api import Headers, LocalProtocolError, Message, Request
from plait_protocol_bolt.block import METHOD, SERVICE, TARGET_SERVICE, encode_headers
from plait_protocol_bolt.frame import V1, BoltFrame, rebuilt, whole, with_id
from plait_protocol_bolt.writer import FrameWriter


class _Gathered:
    __slots__ = ("frame", "pieces", "size")

    def __init__(self, frame: BoltFrame) -> None:
        self.frame = frame
        self.pieces: list[bytes] = []
        self.size = 0


class Outgoing:
    """The frames of a connection that are written in more than one call. ``writer`` keeps them in order."""

    def __init__(self, limit_bytes: int) -> None:
        self.writer = FrameWriter(limit_bytes)
        self._limit = limit_bytes
        self._gathered: dict[int, _Gathered] = {}

    def message(self, frame: BoltFrame, id: int, body: bytes, end: bool, length_known: bool) -> bytes:
        """A message as far as it is there. ``frame`` says the right length if that is known."""
        if end:
            written = whole(frame.head, frame.layout, id, body)
            return self.writer.whole(written) if self.writer.busy else written
        if not length_known:
            self._gathered[id] = _Gathered(frame)
            return self.data(id, body, False) if body else b""
        begun = self.writer.begin(id, with_id(frame.head, frame.layout, id), frame.content_length, frame.layout > 2)
        return begun + self.writer.piece(id, body, False) if body else begun

    def data(self, id: int, data: bytes, end: bool) -> bytes:
        """A piece of a message's content. Raises LocalProtocolError when it has not the length that was said."""
        gathered = self._gathered.get(id)
        if gathered is None:
            return self.writer.piece(id, data, end)
        gathered.size += len(data)
        if gathered.size > self._limit:
            del self._gathered[id]
            raise LocalProtocolError(f"a content of unknown length is longer than {self._limit} bytes", status=413)
        gathered.pieces.append(data)
        if not end:
            return b""
        del self._gathered[id]
        frame = rebuilt(gathered.frame, gathered.frame.layout, _block_bytes(gathered.frame), gathered.size)
        return self.writer.whole(whole(frame.head, frame.layout, id, b"".join(gathered.pieces)))

    def forget(self, id: int) -> bool:
        """Drop what was gathered; whether there was anything."""
        return self._gathered.pop(id, None) is not None


def _block_bytes(frame: BoltFrame) -> bytes:
    """The header block at the end of a head."""
    head = frame.head
    fixed = (20 if frame.layout == V1 else 22) + (2 if frame.type else 0)
    length = int.from_bytes(head[fixed - 6 : fixed - 4], "big")
    return head[len(head) - length :] if length else b""


def changed(message: Message, frame: BoltFrame, layout: int, length: int, status: int = -1) -> BoltFrame:
    """The frame of a message that is not as it came."""
    headers = message.headers
    if not headers.changed:
        block = _block_bytes(frame)
    else:
        if isinstance(message, Request):
            headers = _routed(message, frame)
        block = encode_headers(headers, frame.block)
    return rebuilt(frame, layout, block, length, status)


def _routed(request: Request, frame: BoltFrame) -> Headers:
    """Headers that name the service and the method which filters chose."""
    headers = request.headers
    origin = frame.block
    wanted = {}
    authority = request.raw_authority
    if authority != (origin.service or frame.raw_class_name):
        for name in (SERVICE, TARGET_SERVICE):
            if headers.find(name) is not None or name == SERVICE:
                wanted[name] = authority
    if origin.method and request.raw_path != origin.method:
        wanted[METHOD] = request.raw_path
    if not wanted:
        return headers
    copy = headers.copy()
    for name, value in wanted.items():
        copy.put(name, value)
    return copy
