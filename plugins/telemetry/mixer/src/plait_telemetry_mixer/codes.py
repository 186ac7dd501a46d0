"""google.rpc.Code: the names of its numbers, and the HTTP status that says each (googleapis' google/rpc/code.proto)."""

from __future__ import annotations

OK = 0
PERMISSION_DENIED = 7
INTERNAL = 13

NAMES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
_HTTP = (200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401)


def http_status(code: int) -> int:
    """The HTTP status of a code; 500 for a number that is none."""
    return _HTTP[code] if 0 <= code < len(_HTTP) else 500


def code_number(code: int | str) -> int:
    """A code by number or name. Raises ``ValueError``."""
    if isinstance(code, str) and code in NAMES:
        return NAMES.index(code)
    if isinstance(code, int) and 0 <= code < len(NAMES):
        return code
    raise ValueError(f"{code!r} is not a google.rpc.Code such as PERMISSION_DENIED or 7")
