"""Requests and responses as the codec reads them: what is behind the front of a body is an object only when asked for.

Most calls pass with nobody looking at their attachments, so ``native`` (``plait_protocol_dubbo.call``) and ``headers``,
which are those attachments, are made late: each object that a call does not need is a twentieth of what it costs.

The codecs make a message of each frame and set what the frame says; ``__init__`` sets the rest. It takes no arguments,
because handing them over would cost as much as reading the frame.
"""

from __future__ import annotations

from typing import cast

from plait.api import Headers, LazyRequest, LazyResponse
from plait_protocol_dubbo.call import DubboCall, DubboResult
from plait_protocol_dubbo.front import Front


class DubboRequest(LazyRequest):
    """A request. ``raw`` is the body as it came, ``lead`` are magic and flags.

    Of a body that comes in pieces, ``raw`` is the first one, and ``native`` is there at once, with the length of all.
    """

    __slots__ = ("front", "lead")
    front: Front
    lead: bytes

    def __init__(self) -> None:
        self.made_headers = None
        self.made_native = None
        self.end = True
        self.trailers = None
        self.protocol = "dubbo"
        self.raw_method = b""
        self.raw_scheme = b""
        self.upgrade = b""
        self.oneway = False
        self.timeout_s = -1.0  # an attachment, which the call says when it is asked

    @property
    def flag(self) -> int:
        """The frame's flags."""
        return self.lead[2]

    @property
    def call(self) -> DubboCall:
        """``native``, by its type."""
        return cast("DubboCall", self.native)

    def make_native(self) -> DubboCall:
        raw = self.raw or b""
        return DubboCall(self.flag, raw, len(raw), self.front)

    def make_headers(self) -> Headers:
        return Headers(self.call)


class DubboResponse(LazyResponse):
    """A response; ``raw`` and ``lead`` as those of requests, ``code`` is the frame's status."""

    __slots__ = ("lead",)
    lead: bytes

    def __init__(self) -> None:
        self.made_headers = None
        self.made_native = None
        self.end = True
        self.trailers = None
        self.protocol = "dubbo"
        self.reason = b""

    @property
    def result(self) -> DubboResult:
        """``native``, by its type."""
        return cast("DubboResult", self.native)

    def make_native(self) -> DubboResult:
        raw = self.raw or b""
        return DubboResult(self.lead[2], raw, len(raw), self.code)

    def make_headers(self) -> Headers:
        return Headers(self.result)
