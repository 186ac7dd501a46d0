"""Requests and responses as the codec reads them: what it says of a frame is an object only when asked for.

Most calls pass with nobody looking at their headers, and go on as they came but for the id. So a message keeps its
head in two pieces, ``front`` of the id and the ``rest`` behind it; ``headers`` and ``native`` are made late.

``FrameReader`` makes a message of each frame and sets what the frame says; ``__init__`` sets the rest. It takes no
arguments, because handing them over would cost as much as reading the frame.
"""

from __future__ import annotations

from plait.api import Headers, LazyRequest, LazyResponse
from plait_protocol_bolt.block import BoltBlock
from plait_protocol_bolt.content import SOFA_REQUEST, method_of
from plait_protocol_bolt.frame import HESSIAN, V1, BoltFrame


class BoltRequest(LazyRequest):
    """A request. Its content is in ``body``, and as it came in ``raw``.

    Of a content that comes in pieces nothing is in ``body``; ``raw`` is its beginning where the method stands in there,
    and None elsewhere. ``answered`` is set by the codec.
    """

    __slots__ = ("_method", "answered", "block", "front", "layout", "rest")
    layout: int
    front: bytes
    rest: bytes
    block: BoltBlock

    def __init__(self) -> None:
        self.made_headers = None
        self.made_native = None
        self.end = True
        self.trailers = None
        self.protocol = "bolt"
        self.raw_method = b""
        self.raw_scheme = b""
        self.upgrade = b""
        self.oneway = False
        self.timeout_s = 0.0
        self.answered: bool = False
        self._method: bytes | None = None

    @property
    def raw_path(self) -> bytes:
        """The method, for which the content is read where no header names it; empty where nothing does."""
        method = self._method
        if method is None:
            method = self._method = self.block.method or self._method_in_content()
        return method

    @raw_path.setter
    def raw_path(self, value: bytes) -> None:
        self._method = value or None

    def _method_in_content(self) -> bytes:
        rest = self.rest
        at = 5 if self.layout == V1 else 6
        class_at = at + 8
        class_length = int.from_bytes(rest[at : at + 2])
        if rest[0] != HESSIAN or rest[class_at : class_at + class_length] != SOFA_REQUEST:
            return b""
        return method_of(self.body if self.end else self.raw or b"")

    def make_headers(self) -> Headers:
        return Headers(self.block)

    def make_native(self) -> BoltFrame:
        frame = _frame(self, 9)
        if not self.end:
            frame.beginning = self.raw or b""
        return frame


class BoltResponse(LazyResponse):
    """A response with its content as that of a request, but without a beginning; ``code`` is the frame's status."""

    __slots__ = ("block", "front", "layout", "rest")
    layout: int
    front: bytes
    rest: bytes
    block: BoltBlock

    def __init__(self) -> None:
        self.made_headers = None
        self.made_native = None
        self.end = True
        self.trailers = None
        self.protocol = "bolt"
        self.reason = b""

    def make_headers(self) -> Headers:
        return Headers(self.block)

    def make_native(self) -> BoltFrame:
        return _frame(self, 7)


def _frame(message: BoltRequest | BoltResponse, length_at: int) -> BoltFrame:
    """The frame of a message, in whose ``rest`` the content's length stands at ``length_at``; v2 has a byte more."""
    if message.layout != V1:
        length_at += 1
    head = b"".join((message.front, message.id.to_bytes(4), message.rest))
    length = int.from_bytes(message.rest[length_at : length_at + 4])
    return BoltFrame(head, message.layout, length, message.block)
