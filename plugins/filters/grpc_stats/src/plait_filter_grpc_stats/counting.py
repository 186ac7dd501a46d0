"""How many messages a stream of gRPC has carried.

Frame, after "gRPC over HTTP2" (PROTOCOL-HTTP2.md, Length-Prefixed-Message)::

    offset  size  what
    0       1     whether the message is compressed
    1       4     its length, big-endian
    5       …     the message

A message counts once its five bytes are there. Nothing is kept but the beginning of a frame that was cut.
"""

from __future__ import annotations

_PREFIX_BYTES = 5


class MessageCounter:
    """Counts the messages of one direction; give it every piece of the body."""

    __slots__ = ("_cut", "_left", "count")

    def __init__(self) -> None:
        self.count = 0
        self._left = 0  # bytes of the current message that have not come
        self._cut = b""  # of the next frame's prefix

    def feed(self, data: bytes) -> int:
        """How many messages began in ``data``."""
        before, at, size = self.count, 0, len(data)
        left = self._left
        while at < size:
            if left:
                passed = min(left, size - at)
                left -= passed
                at += passed
                continue
            needed = _PREFIX_BYTES - len(self._cut)
            prefix = self._cut + data[at : at + needed]
            at += needed
            if len(prefix) < _PREFIX_BYTES:
                self._cut = prefix
                break
            self._cut = b""
            left = int.from_bytes(prefix[1:], "big")
            self.count += 1
        self._left = left
        return self.count - before
