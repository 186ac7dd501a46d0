"""The order of frames on one connection: one may be written in pieces, and what comes meanwhile waits behind it.

A frame says its length first, so nothing may be written between its pieces. When one ends, what waits is let out in the
order in which it came: whole frames, and of the next one in pieces what is there of it, which is then the one being
written.

When the rest of a frame will never come, closing the connection would hurt every call on it, and Java then refuses
calls for up to a minute. So the frame is filled up with bytes ff instead, where its reader is sure to refuse it: every
request, and a response of kind 3, 4 or 5, ends with a map, which such bytes are not in Hessian and JSONB. (Zeros would
not do: they are valid in strings.) A response without attachments could end in binary data that is cut short and looks
whole; there, and where too much is missing, closing is the only honest end.
"""

from __future__ import annotations

from plait.api import LocalProtocolError


class _Waiting:
    """A frame behind the one that is being written: what is there of it, and how much is still to come."""

    __slots__ = ("left", "may_pad", "pieces", "size")

    def __init__(self, frame: bytes, left: int, may_pad: bool) -> None:
        self.pieces = [frame]
        self.size = len(frame)
        self.left = left
        self.may_pad = may_pad


class Writer:
    """See the module. While ``streaming`` is None whole frames need not come here."""

    __slots__ = ("_left", "_limit_bytes", "_may_pad", "_padding_bytes", "_waiting", "_waiting_bytes", "streaming")

    def __init__(self, limit_bytes: int, padding_bytes: int) -> None:
        self.streaming: int | None = None
        self._left = 0
        self._may_pad = False
        self._waiting: dict[object, _Waiting] = {}
        self._waiting_bytes = 0
        self._limit_bytes = limit_bytes
        self._padding_bytes = padding_bytes

    def has(self, id: int) -> bool:
        """Whether the frame of a stream is begun and not ended."""
        return id == self.streaming or (id in self._waiting and self._waiting[id].left > 0)

    def waiting_bytes(self, id: int) -> int:
        """How much of a stream waits."""
        waiting = self._waiting.get(id)
        return 0 if waiting is None else waiting.size

    def whole(self, frame: bytes, id: int | None = None, small: bool = False) -> bytes:
        """Write a frame, or put it behind the one being written. ``small`` ones are let through in any case."""
        if self.streaming is None:
            return frame
        if not small:
            self._check(len(frame))
        self._waiting[object() if id is None else id] = _Waiting(frame, 0, False)
        self._waiting_bytes += len(frame)
        return b""

    def begin(self, id: int, frame: bytes, left: int, may_pad: bool) -> bytes:
        """Write the beginning of a frame of which ``left`` bytes are still to come."""
        if self.streaming is None:
            self.streaming = id
            self._left = left
            self._may_pad = may_pad
            return frame
        self._check(len(frame))
        self._waiting[id] = _Waiting(frame, left, may_pad)
        self._waiting_bytes += len(frame)
        return b""

    def piece(self, id: int, data: bytes, end: bool) -> bytes:
        """Write a piece; raises LocalProtocolError when a frame would not have the length it said."""
        if id != self.streaming:
            waiting = self._waiting.get(id)
            if waiting is None or not waiting.left:
                return b""
            self._check(len(data))
            waiting.left = self._checked(waiting.left, data, end)
            waiting.pieces.append(data)
            waiting.size += len(data)
            self._waiting_bytes += len(data)
            return b""
        self._left = self._checked(self._left, data, end)
        return data if self._left else data + self._ended()

    def give_up(self, id: int) -> bytes | None:
        """The rest of a frame will not come; None where that takes closing the connection."""
        if id != self.streaming:
            waiting = self._waiting.pop(id)
            self._waiting_bytes -= waiting.size
            return b""
        if not self._may_pad or self._left > self._padding_bytes:
            return None
        return b"\xff" * self._left + self._ended()

    def _check(self, size: int) -> None:
        if self._waiting_bytes + size > self._limit_bytes:
            raise LocalProtocolError("too much waits behind a large message", status=503)

    def _checked(self, left: int, data: bytes, end: bool) -> int:
        left -= len(data)
        if left < 0 or (end and left):
            raise LocalProtocolError("a large message has not the length that it had; a filter changed it", status=500)
        return left

    def _ended(self) -> bytes:
        """The frame is written: what waited, up to one that is not whole."""
        self.streaming = None
        out: list[bytes] = []
        while self._waiting:
            id = next(iter(self._waiting))
            waiting = self._waiting.pop(id)
            self._waiting_bytes -= waiting.size
            out += waiting.pieces
            if waiting.left and isinstance(id, int):
                self.streaming = id
                self._left = waiting.left
                self._may_pad = waiting.may_pad
                break
        return b"".join(out)
