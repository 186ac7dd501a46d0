"""What a field may look like (RFC 9113, 8.2), whichever block it came in; reading the block is ``hpack``'s business.

Names are lower-case tokens, or one of the pseudo-fields. Values have neither control characters but HTAB, nor white
space at either end: an HTTP/1 peer behind us would read such a value in another way.
"""

from __future__ import annotations

from plait_protocol_http2.errors import malformed

Field = tuple[bytes, bytes]

_LOWER = b"0123456789abcdefghijklmnopqrstuvwxyz"
_ALPHANUMERIC = _LOWER + b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ABOVE_ASCII = bytes(range(0x80, 0x100))


def _allow(characters: bytes) -> bytes:
    """A table for ``bytes.translate`` that turns any byte but these into 0."""
    return bytes([1 if byte in characters else 0 for byte in range(256)])


_NAME = _allow(b"!#$%&'*+-.^_`|~" + _LOWER)
_TOKEN = _allow(b"!#$%&'*+-.^_`|~" + _ALPHANUMERIC)
_HOST = _allow(b"-._~%!$&'()*+;=:[]" + _ALPHANUMERIC)
_VALUE = _allow(b"\t " + bytes(range(0x21, 0x7F)) + _ABOVE_ASCII)
_TARGET = _allow(bytes(range(0x21, 0x7F)))

REQUEST_PSEUDO = frozenset({b":method", b":scheme", b":authority", b":path", b":protocol"})
RESPONSE_PSEUDO = frozenset({b":status"})
PSEUDO = REQUEST_PSEUDO | RESPONSE_PSEUDO
# Fields about a connection of HTTP/1 (RFC 9113, 8.2.2). TE may be there, with the value "trailers".
CONNECTION_FIELDS = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})
# Fields that must not come late: framing, routing, authentication (RFC 9110, 6.5.1).
NOT_TRAILERS = frozenset(
    {
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-range",
        b"content-type",
        b"cookie",
        b"expect",
        b"host",
        b"proxy-authorization",
        b"set-cookie",
        b"te",
        b"trailer",
    }
)
# Different in every message, or not ours to keep: no table remembers them.
NOT_REMEMBERED = frozenset(
    {
        b"authorization",
        b"b3",
        b"cookie",
        b"grpc-timeout",
        b"proxy-authorization",
        b"set-cookie",
        b"traceparent",
        b"tracestate",
        b"x-api-key",
        b"x-b3-parentspanid",
        b"x-b3-spanid",
        b"x-b3-traceid",
        b"x-request-id",
    }
)


def is_token(text: bytes) -> bool:
    """Whether ``text`` is a token of RFC 9110, 5.6.2."""
    return bool(text) and 0 not in text.translate(_TOKEN)


def is_host(text: bytes) -> bool:
    """Whether ``text`` holds only what a host and port are written with: no user names, no white space."""
    return 0 not in text.translate(_HOST)


def is_target(text: bytes) -> bool:
    """Whether ``text`` could stand in the first line of an HTTP/1 request."""
    return 0 not in text.translate(_TARGET)


def is_good(name: bytes, value: bytes) -> bool:
    """Whether a field may be in a message at all."""
    if not name or (0 in name.translate(_NAME) and name not in PSEUDO) or 0 in value.translate(_VALUE):
        return False
    return not value or not (value[0] in b" \t" or value[-1] in b" \t")


def check_fields(fields: list[Field]) -> None:
    """Raise Violation for the first field that may not be there."""
    for name, value in fields:
        if not is_good(name, value):
            raise malformed(f"field {name[:64]!r} has a name or a value that is not allowed")
