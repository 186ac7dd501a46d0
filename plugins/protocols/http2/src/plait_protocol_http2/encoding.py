"""Headers of Plait to header blocks: which fields go on, and what is kept of it for the next message.

What is made of a block of fields is kept with that block (``Block.encoded``), so a message whose fields came from a
codec that remembers its blocks is not encoded again; fields that were added on the way are encoded each time.
"""

from __future__ import annotations

from plait.api import Headers, LocalProtocolError
from plait_protocol_http2.fields import CONNECTION_FIELDS, NOT_TRAILERS, Field, is_good, is_token
from plait_protocol_http2.hpack import LENGTHS, encode_field, encode_integer, encode_name

_NAMES_LIMIT = 1024

REQUEST_KEY = "http2 request"
RESPONSE_KEY = "http2 response"
TRAILERS_KEY = "http2 trailers"

# What stays behind: HTTP/1's connection fields, and those that the codec writes itself.
_REQUEST_DROPS = CONNECTION_FIELDS | {b"content-length", b"host", b"http2-settings"}
_RESPONSE_DROPS = CONNECTION_FIELDS | {b"content-length", b"te"}
_TRAILER_DROPS = CONNECTION_FIELDS | NOT_TRAILERS


class Prefixes(dict[bytes, bytes]):
    """Names to the beginning of their literals, or to nothing for those that stay behind; refuses what is no name."""

    def __init__(self, drops: frozenset[bytes]) -> None:
        super().__init__(dict.fromkeys(drops, b""))
        self._drops = drops

    def __missing__(self, name: bytes) -> bytes:
        if not is_token(name):
            raise LocalProtocolError(f"cannot send a field with the name {name[:64]!r}, it is not a token", status=500)
        lower = name.lower()
        prefix = b"" if lower in self._drops else encode_name(lower)
        if len(self) < _NAMES_LIMIT:
            self[name] = prefix
        return prefix


REQUEST_PREFIXES = Prefixes(_REQUEST_DROPS)
RESPONSE_PREFIXES = Prefixes(_RESPONSE_DROPS)
TRAILER_PREFIXES = Prefixes(_TRAILER_DROPS)


def encode_headers(headers: Headers, prefixes: Prefixes, key: str) -> bytes:
    """The representations of the fields that go on; raises LocalProtocolError.

    ``prefixes`` and ``key`` are of the direction.
    """
    encoded = headers.block.encoded
    text = encoded.get(key)
    if text is None:
        text = encoded[key] = _encode(headers.block.raw, prefixes)
    added = headers.added
    if not added:
        return text
    parts = [text]
    for name, value in added.items():
        prefix = prefixes[name]
        if prefix:
            size = len(value)
            parts.append(b"%b%b%b" % (prefix, LENGTHS[size] if size < 1024 else encode_integer(size, 0x7F), value))
    values = b"".join(added.values())  # the lengths of strings may look like anything
    if 10 in values or 13 in values or 0 in values or b"te" in added:
        parts = [text, _encode(list(added.items()), prefixes)]
    return b"".join(parts)


def _encode(fields: list[Field], prefixes: Prefixes) -> bytes:
    parts: list[bytes] = []
    for name, value in fields:
        if not prefixes[name]:
            continue
        name = name.lower()
        if 10 in value or 13 in value or 0 in value:
            raise LocalProtocolError(f"cannot send CR, LF or NUL in the field {name[:64]!r}", status=500)
        if name == b"te" and value.lower() != b"trailers":
            continue  # for the next hop alone, but for this word
        if not is_good(name, value):
            value = _mend(value)
        parts.append(encode_field(name, value))
    return b"".join(parts)


def _mend(value: bytes) -> bytes:
    """A value without what only HTTP/1 lets through: white space at its ends, and control characters."""
    return bytes([byte for byte in value if (byte >= 0x20 and byte != 0x7F) or byte == 9]).strip(b" \t")


def encode_pseudo(name: bytes, value: bytes) -> bytes:
    """A pseudo-field; raises LocalProtocolError where filters put in what would be read as something else."""
    if not is_good(name, value) or 32 in value:
        raise LocalProtocolError(f"cannot send {value[:64]!r} as {name.decode()}", status=500)
    return encode_field(name, value)


class Statuses(dict[int, bytes]):
    """Statuses to the beginning of a response's block."""

    def __missing__(self, status: int) -> bytes:
        if not 100 <= status <= 999 or status == 101:
            raise LocalProtocolError(f"cannot send the status {status}", status=500)
        block = self[status] = encode_field(b":status", b"%d" % status)
        return block


STATUSES = Statuses()
_CONTENT_LENGTH = encode_name(b"content-length")


def encode_length(length: int) -> bytes:
    """The field content-length."""
    digits = b"%d" % length
    return b"%b%b%b" % (_CONTENT_LENGTH, LENGTHS[len(digits)], digits)
