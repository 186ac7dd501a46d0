"""What both codecs do with frames that are not whole in one read."""

from __future__ import annotations

from plait.api import RemoteProtocolError
from plait_protocol_dubbo.frame import HEAD, HEAD_BYTES, MAGIC
from plait_protocol_dubbo.front import FRONT_BYTES
from plait_protocol_dubbo.options import DubboOptions


class Reader:
    """Gathers a frame until it is whole, or until the front of one that passes in pieces is there.

    ``left`` is how much of such a frame is still to come, ``id`` whose it is; ``dropped`` when nobody wants it.
    """

    __slots__ = ("_gathered", "_missing", "dropped", "id", "left", "longest", "whole_to")

    def __init__(self, options: DubboOptions) -> None:
        self.longest = options.max_frame_bytes
        self.whole_to = min(max(options.max_buffered_bytes, FRONT_BYTES), options.max_frame_bytes)
        self._gathered = bytearray()
        self._missing = 0
        self.id = 0
        self.left = 0
        self.dropped = False

    def keep(self, data: bytes, at: int) -> RemoteProtocolError | None:
        """Keep the beginning of a frame; an error when it will be none."""
        self._gathered += data[at:] if at else data
        return self._look()

    def add(self, data: bytes) -> bytes | RemoteProtocolError | None:
        """Bytes behind those that are kept: all of them once they are enough."""
        self._gathered += data
        if len(self._gathered) < self._missing:
            return self._look() if self._missing == HEAD_BYTES else None
        if self._missing == HEAD_BYTES:  # the length was not known
            error = self._look()
            if error is not None:
                return error
            if len(self._gathered) < self._missing:
                return None
        whole = bytes(self._gathered)
        self._gathered = bytearray()
        return whole

    def forget(self) -> None:
        """Nothing more is read."""
        self._gathered = bytearray()
        self.left = 0

    def _look(self) -> RemoteProtocolError | None:
        """Find out how many bytes are enough."""
        kept = self._gathered
        self._missing = HEAD_BYTES
        if len(kept) < HEAD_BYTES:
            return None if b"\xda\xbb".startswith(kept[:2]) else not_dubbo()
        magic, _flag, _status, _id, length = HEAD.unpack_from(kept)
        if magic != MAGIC or length < 0:
            return not_dubbo()
        if length > self.longest:
            return None
        self._missing = HEAD_BYTES + (length if length <= self.whole_to else FRONT_BYTES)
        return None


def not_dubbo() -> RemoteProtocolError:
    """Where a frame should begin, there is none: what follows cannot be told apart."""
    return fault("a frame does not begin with da bb and a length", "bad_frame", 0)


def fault(what: str, counter: str, status: int = 400, survives: bool = False) -> RemoteProtocolError:
    """An error of the peer's, counted as ``dubbo.<counter>``; with status 0 it is not answered."""
    return RemoteProtocolError(what, status=status, counter=f"dubbo.{counter}", survives=survives)
