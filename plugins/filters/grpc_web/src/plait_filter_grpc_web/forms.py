"""The forms of gRPC-Web: content types, the text form of bodies, and the frame that trailers come in.

Frame of the trailers, after "gRPC Web" (PROTOCOL-WEB.md of gRPC); the frames of messages are gRPC's own::

    offset  size  what
    0       1     0x80: trailers, not compressed
    1       4     length of the rest, big-endian
    5       …     ``name:value`` CR LF, for each field

The text form is the same in base64 (RFC 4648, 4). It may be padded anywhere in between, for every piece that the other
side flushed; so each group of four characters stands for itself.
"""

from __future__ import annotations

import base64
import binascii
import re

from plait import Headers

WEB = b"application/grpc-web"
TEXT = b"application/grpc-web-text"

_TRAILERS = 0x80
_PADDED = re.compile(rb"[^=]*=*")


def subtype_of(content_type: bytes | None) -> tuple[bool, bytes] | None:
    """Whether it is the text form, and what follows (``+proto``, or nothing); None where it is not gRPC-Web."""
    if content_type is None:
        return None
    for form in (TEXT, WEB):
        rest = content_type[len(form) :]
        if content_type.startswith(form) and (not rest or rest[:1] in (b"+", b";")):
            return form is TEXT, rest
    return None


def trailers_frame(trailers: Headers) -> bytes:
    """Trailers as the last piece of a body."""
    text = b"".join([b"%b:%b\r\n" % field for field in trailers.raw])
    return b"%c%b%b" % (_TRAILERS, len(text).to_bytes(4, "big"), text)


class TextDecoder:
    """Takes the text form in pieces, cut anywhere."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = b""  # of a group that is not whole, at most three characters

    def feed(self, text: bytes) -> bytes:
        """What all whole groups so far stand for; raises ValueError where they are not base64."""
        text = self._left + text
        whole = len(text) & ~3
        self._left = text[whole:]
        decoded = []
        for part in _PADDED.findall(text[:whole]):
            try:
                decoded.append(base64.b64decode(part, validate=True))
            except binascii.Error as error:
                raise ValueError(f"no base64: {error}") from error
        return b"".join(decoded)

    @property
    def cut(self) -> bool:
        """Whether the text so far ends within a group."""
        return bool(self._left)


def encode_text(data: bytes) -> bytes:
    """The text form of a piece, padded so that it stands for itself."""
    return base64.b64encode(data)
