"""What is written to one connection, frame by frame: nothing comes between the pieces of a frame.

A frame whose content comes in pieces owns the connection from its head to its last byte. Whatever else is to be written
meanwhile waits in order, and goes out with that last byte. What waits is bounded.

A frame that is begun and cannot be ended takes the connection with it. Filling it up with zeros would keep the other
calls, but the peer could not tell the filling from content: a cut inside a byte array or a string is a valid call with
other arguments. Executing that is worse than a connection that closes.
"""

from __future__ import annotations

from collections import deque
from zlib import crc32

from plait.api import LocalProtocolError

# what ``cancel`` found
NOTHING = 0
WAITING = 1
BEGUN = 2


class _Frame:
    """A frame that is written in pieces, or a whole one that waits (``id`` -1)."""

    __slots__ = ("crc", "id", "left", "pieces")

    def __init__(self, id: int, head: bytes, left: int, crc: int) -> None:
        self.id = id
        self.pieces: list[bytes] = [head]
        self.left = left  # bytes of content that are still to come
        self.crc = crc  # of all so far, -1 where the frame has none


class FrameWriter:
    """See the module. ``busy`` is true while a frame owns the connection."""

    def __init__(self, limit_bytes: int) -> None:
        self.busy: bool = False
        self._limit: int = limit_bytes
        self._current: _Frame | None = None
        self._waiting: deque[_Frame] = deque()
        self._size: int = 0  # bytes in ``_waiting``

    @property
    def full(self) -> bool:
        """Whether no more may wait."""
        return self._size > self._limit

    def whole(self, frame: bytes) -> bytes:
        """A whole frame; empty when it has to wait. Raises LocalProtocolError when too much does."""
        if not self.busy:
            return frame
        self._take(len(frame))
        self._waiting.append(_Frame(-1, frame, 0, -1))
        return b""

    def begin(self, id: int, head: bytes, length: int, checked: bool) -> bytes:
        """The head of a frame with ``length`` bytes of content to come."""
        frame = _Frame(id, head, length, crc32(head) if checked else -1)
        if self.busy:
            self._take(len(head))
            self._waiting.append(frame)
            return b""
        self.busy = True
        self._current = frame
        frame.pieces.clear()
        return head

    def piece(self, id: int, data: bytes, end: bool) -> bytes:
        """A piece of a content; with the last one goes what waited. Nothing for a frame that nobody began."""
        frame = self._current
        if frame is not None and frame.id == id:
            self._add(frame, data, end)
            if not end:
                return data
            tail = [data]
            if frame.crc >= 0:
                tail.append(frame.crc.to_bytes(4, "big"))
            self._next(tail)
            return b"".join(tail) if len(tail) > 1 else data
        for waiting in self._waiting:
            if waiting.id == id:
                self._take(len(data))
                self._add(waiting, data, end)
                waiting.pieces.append(data)
                if end:
                    if waiting.crc >= 0:
                        waiting.pieces.append(waiting.crc.to_bytes(4, "big"))
                    waiting.id = -1
                break
        return b""

    def cancel(self, id: int) -> int:
        """Give a frame up: ``WAITING`` when nothing of it was written, ``BEGUN`` when the peer waits for its end."""
        if self._current is not None and self._current.id == id:
            return BEGUN
        for waiting in self._waiting:
            if waiting.id == id:
                self._waiting.remove(waiting)
                self._size -= sum(map(len, waiting.pieces))
                return WAITING
        return NOTHING

    def _take(self, size: int) -> None:
        if self._size + size > self._limit:
            raise LocalProtocolError(
                f"{self._size} bytes wait behind a frame that is still being written, and {size} more do not fit",
                status=503,
            )
        self._size += size

    def _add(self, frame: _Frame, data: bytes, end: bool) -> None:
        frame.left -= len(data)
        if frame.left < 0 or (end and frame.left):
            what = f"{-frame.left} bytes more" if frame.left < 0 else f"{frame.left} bytes less"
            raise LocalProtocolError(f"a content has {what} than its frame said", status=500)
        if frame.crc >= 0:
            frame.crc = crc32(data, frame.crc)

    def _next(self, out: list[bytes]) -> None:
        """Write what waits, up to the first frame that is not all there."""
        self._current = None
        self.busy = False
        waiting = self._waiting
        while waiting:
            frame = waiting.popleft()
            out += frame.pieces
            self._size -= sum(map(len, frame.pieces))
            if frame.id >= 0:
                frame.pieces.clear()
                self._current = frame
                self.busy = True
                break
