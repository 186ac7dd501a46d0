"""A response with a long body that came in one read: the body is cut out of that only if somebody looks at it.

Most proxied responses change in their head alone. Their body then goes out from where it was read to, without the two
copies that cutting it out and joining it to the new head would take.
"""

from __future__ import annotations

from plait.api import Headers, Response
from plait_protocol_http1.head import ResponseHead

LONG_BODY_BYTES = 16 * 1024  # below that, a second buffer to write costs more than the copies


class UncutResponse(Response):
    """``data`` from ``at`` on is the body, all of it."""

    __slots__ = ("_at", "_body", "_data")

    def __init__(self, head: ResponseHead, id: int, data: bytes, at: int) -> None:
        # What Response.__init__ does, but for the body.
        self.status = head.status
        self.headers = Headers(head.block)
        self.id = id
        self.end = True
        self.trailers = None
        self.raw = None
        self.native = None
        self.protocol = head.protocol
        self.code = 0
        self.reason = head.reason
        self._data = data
        self._at = at
        self._body: bytes | None = None

    @property
    def body(self) -> bytes:
        """The body, cut out at the first look."""
        if self._body is None:
            self._body = self._data[self._at :]
        return self._body

    @body.setter
    def body(self, value: bytes) -> None:
        self._body = value

    @property
    def body_size(self) -> int:
        return len(self._data) - self._at if self._body is None else len(self._body)

    def uncut(self) -> memoryview | None:
        """The body where it was read to; None once it was looked at or replaced."""
        return memoryview(self._data)[self._at :] if self._body is None else None
