"""Requests and responses as the codec reads them: what is behind the front of a body is an object only when asked for.

Most calls pass with nobody looking at their attachments, so ``native`` (``plait_protocol_dubbo.call``) and ``headers``,
which are those attachments, are made late: each object that a call does not need is a twentieth of what it costs.
"""

from __future__ import annotations

from typing import cast

from plait.api import Headers, LazyRequest, LazyResponse
from plait_protocol_dubbo.call import DubboCall, DubboResult
from plait_protocol_dubbo.frame import TWO_WAY
from plait_protocol_dubbo.front import Front
from plait_protocol_dubbo.local import STATUSES

_status = STATUSES.get


class DubboRequest(LazyRequest):
    """A request. ``raw`` is the body as it came, ``length`` the whole of it; ``flag`` is the frame's."""

    __slots__ = ("flag", "front", "length")

    def __init__(self, flag: int, id: int, body: bytes, length: int, front: Front) -> None:
        # What Request.__init__ does, without the call: this runs for every request.
        self.made_headers = None
        self.made_native = None
        self.id = id
        self.body = self.raw = body
        self.end = len(body) == length
        self.trailers = None
        self.protocol = "dubbo"
        self.raw_method = b""
        self.raw_path = front.method
        self.raw_authority = front.path
        self.raw_scheme = b""
        self.upgrade = b""
        if flag & TWO_WAY:
            self.oneway = False
            self.timeout_s = -1.0  # an attachment, which the call says when it is asked
        else:
            self.oneway = True
            self.timeout_s = 0.0
        self.flag: int = flag
        self.front: Front = front
        self.length: int = length

    @property
    def call(self) -> DubboCall:
        """``native``, by its type."""
        return cast("DubboCall", self.native)

    def make_native(self) -> DubboCall:
        return DubboCall(self.flag, self.raw or b"", self.length, self.front)

    def make_headers(self) -> Headers:
        return Headers(self.call)


class DubboResponse(LazyResponse):
    """A response; ``raw``, ``flag`` and ``length`` as those of requests, ``code`` is the frame's status."""

    __slots__ = ("flag", "length")

    def __init__(self, flag: int, id: int, body: bytes, length: int, code: int) -> None:
        self.made_headers = None
        self.made_native = None
        self.id = id
        self.body = self.raw = body
        self.end = len(body) == length
        self.trailers = None
        self.protocol = "dubbo"
        self.status = _status(code, 500)
        self.code = code
        self.reason = b""
        self.flag: int = flag
        self.length: int = length

    @property
    def result(self) -> DubboResult:
        """``native``, by its type."""
        return cast("DubboResult", self.native)

    def make_native(self) -> DubboResult:
        return DubboResult(self.flag, self.raw or b"", self.length, self.code)

    def make_headers(self) -> Headers:
        return Headers(self.result)
