"""What gRPC says in the headers of HTTP: content types, status, message and timeout. Not its frames.

Source: "gRPC over HTTP2" (PROTOCOL-HTTP2.md) and "HTTP to gRPC Status Code Mapping" of gRPC; where they leave a choice,
Envoy's. A response that has its ``grpc-status`` in the head and nothing behind it is called trailers-only.
"""

from __future__ import annotations

from plait.api.headers import Headers
from plait.api.message import Response

CONTENT_TYPE = b"application/grpc"
STATUS = b"grpc-status"
MESSAGE = b"grpc-message"
TIMEOUT = b"grpc-timeout"

OK = 0
CANCELLED = 1
UNKNOWN = 2
DEADLINE_EXCEEDED = 4
PERMISSION_DENIED = 7
RESOURCE_EXHAUSTED = 8
UNIMPLEMENTED = 12
INTERNAL = 13
UNAVAILABLE = 14
UNAUTHENTICATED = 16

_OF_HTTP = {
    400: INTERNAL,
    401: UNAUTHENTICATED,
    403: PERMISSION_DENIED,
    404: UNIMPLEMENTED,
    429: UNAVAILABLE,
    502: UNAVAILABLE,
    503: UNAVAILABLE,
    504: UNAVAILABLE,
}
_UNITS_S = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_DIGITS = 8  # the most that a timeout has
_LARGEST = 10**_DIGITS - 1
_UNITS_MS = ((1, b"m"), (1000, b"S"), (60_000, b"M"), (3_600_000, b"H"))


def is_grpc(headers: Headers) -> bool:
    """Whether a message is gRPC's own: ``application/grpc`` or a form of it (``+proto``), and not gRPC-Web's."""
    value = headers.find(b"content-type")
    return value is not None and (value == CONTENT_TYPE or value.startswith(b"application/grpc+"))


def code_of_http(status: int) -> int:
    """The gRPC status that an HTTP status stands for where none came with it."""
    return OK if status == 200 else _OF_HTTP.get(status, UNKNOWN)


def status_in(headers: Headers | None) -> int | None:
    """The ``grpc-status`` of a head or of trailers; None when there is none, or none that is a number."""
    value = None if headers is None else headers.find(STATUS)
    return int(value) if value is not None and value.isdigit() and len(value) < 10 else None


def status_of(response: Response) -> int | None:
    """The ``grpc-status`` of a response as far as it has come: of its trailers, else of its head."""
    found = status_in(response.trailers)
    return status_in(response.headers) if found is None else found


def percent_encode(message: bytes) -> bytes:
    """As ``grpc-message`` takes it: printable ASCII stays, but for the percent sign."""
    if message.isascii() and message.decode("ascii").isprintable() and b"%" not in message:
        return message
    return b"".join([b"%c" % byte if 0x20 <= byte <= 0x7E and byte != 0x25 else b"%%%02X" % byte for byte in message])


def timeout_s(headers: Headers) -> float | None:
    """What ``grpc-timeout`` says in seconds; None when it is not there or says nothing that can be understood."""
    value = headers.find(TIMEOUT)
    if value is None:
        return None
    number, unit = value[:-1], _UNITS_S.get(value[-1:])
    if unit is None or not number.isdigit() or len(number) > _DIGITS:
        return None
    return int(number) * unit


def encode_timeout(limit_s: float) -> bytes:
    """``grpc-timeout`` for so many seconds: whole milliseconds, or the finest unit that has room for them."""
    limit_ms = max(1, round(limit_s * 1000))
    for size, unit in _UNITS_MS:
        if limit_ms // size <= _LARGEST:
            return b"%d%b" % (limit_ms // size, unit)
    return b"%dH" % _LARGEST
