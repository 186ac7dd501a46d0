"""Requests and responses as the codec reads them: what it says of a frame is an object only when asked for.

Most calls pass with nobody looking at their headers, and go on as they came but for the id. So a message keeps its
head in two pieces, ``front`` of the id and the ``rest`` behind it; ``headers`` and ``native`` are made late.
"""

from __future__ import annotations

from plait.api import Headers, LazyRequest, LazyResponse
from plait_protocol_bolt.answers import APPLICATION_EXCEPTION, STATUSES
from plait_protocol_bolt.block import BoltBlock
from plait_protocol_bolt.content import method_of
from plait_protocol_bolt.frame import BoltFrame

_status = STATUSES.get


class BoltRequest(LazyRequest):
    """A request whose content has ``content_length`` bytes, all of them in ``body`` or none.

    ``told_method`` is None where the method stands in the content only: ``raw_path`` looks for it there when it is
    asked for, or in ``beginning`` of a content that comes in pieces. ``answered`` is set by the codec.
    """

    __slots__ = (
        "answered",
        "beginning",
        "block",
        "content_length",
        "front",
        "layout",
        "rest",
        "told_method",
    )

    def __init__(
        self,
        layout: int,
        front: bytes,
        id: int,
        rest: bytes,
        content: bytes,
        content_length: int,
        block: BoltBlock,
        service: bytes,
        method: bytes | None,
    ) -> None:
        # What Request.__init__ does, without the call: this runs for every request.
        self.made_headers = None
        self.made_native = None
        self.id = id
        self.body = content
        self.end = True
        self.trailers = None
        self.raw = None
        self.protocol = "bolt"
        self.raw_method = b""
        self.raw_authority = service
        self.raw_scheme = b""
        self.upgrade = b""
        self.oneway = False
        self.timeout_s = 0.0
        self.layout: int = layout
        self.front: bytes = front
        self.rest: bytes = rest
        self.content_length: int = content_length
        self.block: BoltBlock = block
        self.told_method: bytes | None = method
        self.beginning: bytes = b""
        self.answered: bool = False

    @property
    def raw_path(self) -> bytes:
        """The method; empty where nothing says."""
        method = self.told_method
        if method is None:
            method = self.told_method = method_of(self.beginning or self.body)
        return method

    @raw_path.setter
    def raw_path(self, value: bytes) -> None:
        self.told_method = value or None

    def make_headers(self) -> Headers:
        return Headers(self.block)

    def make_native(self) -> BoltFrame:
        frame = BoltFrame(_head(self), self.layout, self.content_length, self.block)
        frame.beginning = self.beginning
        return frame


class BoltResponse(LazyResponse):
    """A response with a content as that of requests; ``code`` is the frame's status."""

    __slots__ = ("block", "content_length", "front", "layout", "rest")

    def __init__(
        self,
        layout: int,
        front: bytes,
        id: int,
        rest: bytes,
        content: bytes,
        content_length: int,
        block: BoltBlock,
        code: int,
    ) -> None:
        self.made_headers = None
        self.made_native = None
        self.id = id
        self.body = content
        self.end = True
        self.trailers = None
        self.raw = None
        self.protocol = "bolt"
        self.status = _status(code, 500)
        self.code = code
        self.reason = APPLICATION_EXCEPTION if block.failed and not code else b""
        self.layout: int = layout
        self.front: bytes = front
        self.rest: bytes = rest
        self.content_length: int = content_length
        self.block: BoltBlock = block

    def make_headers(self) -> Headers:
        return Headers(self.block)

    def make_native(self) -> BoltFrame:
        return BoltFrame(_head(self), self.layout, self.content_length, self.block)


def _head(message: BoltRequest | BoltResponse) -> bytes:
    """Everything in front of the content, as it came."""
    return b"".join((message.front, message.id.to_bytes(4, "big"), message.rest))
