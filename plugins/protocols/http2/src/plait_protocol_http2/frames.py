"""Frames (RFC 9113, 4.1 and 6): how they are laid out, which may come where, and those that say the same each time.

::

     0        3      4       5            9
     +--------+------+-------+------------+----------------
     | length | type | flags | R stream   | payload …          all big-endian; R is one bit, not used
     +--------+------+-------+------------+----------------

     DATA           [ pad length (8) ] data [ padding ]
     HEADERS        [ pad length (8) ] [ exclusive (1) dependency (31) weight (8) ] block [ padding ]
     PRIORITY       exclusive (1) dependency (31) weight (8)
     RST_STREAM     error code (32)
     SETTINGS       ( identifier (16) value (32) ) …
     PUSH_PROMISE   refused: we never allow it
     PING           opaque (64)
     GOAWAY         R (1) last stream (31) error code (32) debug data
     WINDOW_UPDATE  R (1) increment (31)
     CONTINUATION   block

What is a table here is looked up: ``RULES`` for the sizes and streams of frames, ``streams.VERDICTS`` for what a frame
means in each state of its stream.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from plait_protocol_http2.errors import FRAME_SIZE_ERROR, PROTOCOL_ERROR, Violation

DATA = 0
HEADERS = 1
PRIORITY = 2
RST_STREAM = 3
SETTINGS = 4
PUSH_PROMISE = 5
PING = 6
GOAWAY = 7
WINDOW_UPDATE = 8
CONTINUATION = 9

NAMES = (
    "DATA",
    "HEADERS",
    "PRIORITY",
    "RST_STREAM",
    "SETTINGS",
    "PUSH_PROMISE",
    "PING",
    "GOAWAY",
    "WINDOW_UPDATE",
    "CONTINUATION",
)

END_STREAM = 0x1
ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
WITH_PRIORITY = 0x20

HEADER_TABLE_SIZE = 1
ENABLE_PUSH = 2
MAX_CONCURRENT_STREAMS = 3
INITIAL_WINDOW_SIZE = 4
MAX_FRAME_SIZE = 5
MAX_HEADER_LIST_SIZE = 6
ENABLE_CONNECT_PROTOCOL = 8

LARGEST_WINDOW = (1 << 31) - 1
LARGEST_ID = (1 << 31) - 1
DEFAULT_WINDOW = 65535
DEFAULT_FRAME_SIZE = 16384

HEADER = struct.Struct(">IBI")
"""Length and type in one number, flags, stream."""
_SETTING = struct.Struct(">HI")
_WORD = struct.Struct(">I")
_TWO_WORDS = struct.Struct(">II")

# Whether a type is about a stream (1), the connection (0) or either (-1), its least size and its largest (-1: any).
_Rule = tuple[int, int, int]
RULES: tuple[_Rule, ...] = (
    (1, 0, -1),
    (1, 0, -1),
    (1, 0, -1),  # a PRIORITY of another size than 5 is an error of its stream alone (6.3)
    (1, 4, 4),
    (0, 0, -1),
    (1, 0, -1),
    (0, 8, 8),
    (0, 8, -1),
    (-1, 4, 4),
    (1, 0, -1),
)

PING_ACK = HEADER.pack(8 << 8 | PING, ACK, 0)
SETTINGS_ACK = HEADER.pack(SETTINGS, ACK, 0)


def check(kind: int, id: int, size: int) -> None:
    """Raise Violation for a frame of a known type that is on the wrong stream or of the wrong size."""
    on_stream, least, largest = RULES[kind]
    if on_stream >= 0 and bool(id) != bool(on_stream):
        raise Violation(PROTOCOL_ERROR, f"{NAMES[kind]} on stream {id}")
    if size < least or 0 <= largest < size:
        raise Violation(FRAME_SIZE_ERROR, f"{NAMES[kind]} of {size} bytes")


def read_word(data: bytes, at: int) -> int:
    """An unsigned number of 32 bits."""
    return int(_WORD.unpack_from(data, at)[0])


def read_settings(data: bytes, start: int, end: int) -> Iterable[tuple[int, int]]:
    """Identifiers and values, in order; raises Violation for a size that is none of settings."""
    if (end - start) % 6:
        raise Violation(FRAME_SIZE_ERROR, f"SETTINGS of {end - start} bytes")
    return _SETTING.iter_unpack(data[start:end])


def settings_frame(settings: Iterable[tuple[int, int]]) -> bytes:
    """A SETTINGS frame."""
    payload = b"".join([_SETTING.pack(identifier, value) for identifier, value in settings])
    return HEADER.pack(len(payload) << 8 | SETTINGS, 0, 0) + payload


def rst_stream(id: int, code: int) -> bytes:
    """A RST_STREAM frame."""
    return HEADER.pack(4 << 8 | RST_STREAM, 0, id) + _WORD.pack(code)


def window_update(id: int, increment: int) -> bytes:
    """A WINDOW_UPDATE frame; ``id`` 0 for the connection."""
    return HEADER.pack(4 << 8 | WINDOW_UPDATE, 0, id) + _WORD.pack(increment)


def ping(payload: bytes) -> bytes:
    """A PING frame with eight bytes."""
    return HEADER.pack(8 << 8 | PING, 0, 0) + payload


def goaway(last_id: int, code: int, why: bytes = b"") -> bytes:
    """A GOAWAY frame."""
    return HEADER.pack(8 + len(why) << 8 | GOAWAY, 0, 0) + _TWO_WORDS.pack(last_id, code) + why


def head_frames(id: int, block: bytes, flags: int, limit: int) -> bytes:
    """A header block as HEADERS, and as CONTINUATION what is above ``limit``."""
    size = len(block)
    if size <= limit:
        return HEADER.pack(size << 8 | HEADERS, flags | END_HEADERS, id) + block
    parts = [HEADER.pack(limit << 8 | HEADERS, flags, id), block[:limit]]
    for at in range(limit, size, limit):
        piece = block[at : at + limit]
        last = END_HEADERS if at + limit >= size else 0
        parts += (HEADER.pack(len(piece) << 8 | CONTINUATION, last, id), piece)
    return b"".join(parts)
