"""Bodies of HTTP/1 messages: the chunked coding (RFC 9112, 7.1), read and written.

::

    chunked-body = *chunk last-chunk trailer-section CRLF
    chunk        = chunk-size [ chunk-ext ] CRLF  chunk-data CRLF
    chunk-size   = 1*HEXDIG
    last-chunk   = 1*"0" [ chunk-ext ] CRLF

Every byte is looked at once; what is kept between two reads is one incomplete line or the trailer section, both
limited. Chunk extensions are checked and dropped.
"""

from __future__ import annotations

import re

from plait.api import Headers
from plait_protocol_http1.fields import (
    RESPONSE_KEY,
    RESPONSE_PREFIXES,
    Field,
    encode_fields,
    has_bare_newline,
    parse_lines,
    refuse,
)

LAST_CHUNK = b"0\r\n\r\n"

_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
_CHUNK_LINE_LIMIT_BYTES = 4096
_EXTENSIONS_LIMIT_BYTES = 16384

_SIZE = 0
_DATA = 1
_DATA_END = 2
_TRAILERS = 3
_DONE = 4

# Fields that must not come late: framing, routing, authentication (RFC 9110, 6.5.1).
_NOT_TRAILERS = frozenset(
    {
        b"authorization",
        b"connection",
        b"content-encoding",
        b"content-length",
        b"content-range",
        b"content-type",
        b"cookie",
        b"expect",
        b"host",
        b"keep-alive",
        b"proxy-authorization",
        b"proxy-connection",
        b"set-cookie",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)


def encode_chunk(data: bytes) -> bytes:
    """One chunk; ``data`` is not empty."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def encode_trailers(trailers: Headers) -> bytes:
    """The last chunk and the trailers behind it; raises LocalProtocolError."""
    lines = encode_fields(
        Headers([field for field in trailers.raw if field[0] not in _NOT_TRAILERS]), RESPONSE_PREFIXES, RESPONSE_KEY
    )
    return b"0%b\r\n\r\n" % lines


class ChunkedDecoder:
    """Reads one chunked body. ``take`` gives what came; ``done`` turns true behind the last CRLF."""

    done: bool = False
    trailers: Headers | None = None
    _state: int = _SIZE
    _left: int = 0
    _extensions: int = 0
    _kept: bytearray | None = None

    def __init__(self, trailers_limit_bytes: int, trailers_limit: int) -> None:
        self._trailers_limit_bytes = trailers_limit_bytes
        self._trailers_limit = trailers_limit
        self._pieces: list[bytes] = []

    def take(self) -> bytes:
        """The data read since the last call."""
        pieces = self._pieces
        if not pieces:
            return b""
        self._pieces = []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def feed(self, data: bytes, at: int) -> int:
        """Read from ``data[at:]``; the place behind what was read. Raises RemoteProtocolError."""
        size = len(data)
        while at < size:
            state = self._state
            if state == _SIZE:
                end, line = self._line(data, at)
                if line is None:
                    return size
                at = end
                self._begin(line)
            elif state == _DATA:
                end = at + self._left
                if end > size:
                    self._left = end - size
                    self._pieces.append(data[at:] if at else data)
                    return size
                self._pieces.append(data[at:end])
                if data.startswith(b"\r\n", end):
                    at = end + 2
                    self._state = _SIZE
                else:
                    at = end
                    self._state = _DATA_END
                    self._left = 2
            elif state == _DATA_END:
                # self._left counts what is still to come of CR LF.
                if data[at] != (13 if self._left == 2 else 10):
                    raise refuse("chunk data is longer than its chunk-size", "invalid_chunk_size")
                at += 1
                self._left -= 1
                if not self._left:
                    self._state = _SIZE
            elif state == _TRAILERS:
                at = self._read_trailers(data, at)
            else:
                return at
        return at

    def _line(self, data: bytes, at: int) -> tuple[int, bytes | None]:
        kept = self._kept
        newline = data.find(b"\n", at)
        if newline < 0:
            if kept is None:
                kept = self._kept = bytearray()
            kept += data[at:]
            if len(kept) > _CHUNK_LINE_LIMIT_BYTES:
                raise refuse("chunk-size line is too long", "invalid_chunk_size")
            # Refused at once rather than after a line that may never end.
            if not _may_begin_chunk(kept):
                raise refuse(f"chunk-size line {bytes(kept[:64])!r} is malformed", "invalid_chunk_size")
            return len(data), None
        line = data[at:newline]
        if kept is not None:
            line = bytes(kept) + line
            self._kept = None
        if line[-1:] != b"\r":
            raise refuse("chunk-size line ends without CR", "invalid_chunk_size")
        return newline + 1, line[:-1]

    def _begin(self, line: bytes) -> None:
        if len(line) > _CHUNK_LINE_LIMIT_BYTES:
            raise refuse("chunk-size line is too long", "invalid_chunk_size")
        match = _CHUNK_LINE.fullmatch(line)
        if match is None:
            raise refuse(f"chunk-size line {line[:64]!r} is malformed", "invalid_chunk_size")
        digits = match[1]
        self._extensions += len(line) - len(digits)
        if self._extensions > _EXTENSIONS_LIMIT_BYTES:
            raise refuse("chunk extensions are too long", "invalid_chunk_extension")
        if len(digits) > 15:
            raise refuse(f"chunk-size {digits!r} is too large", "invalid_chunk_size")
        self._left = int(digits, 16)
        self._state = _DATA if self._left else _TRAILERS

    def _read_trailers(self, data: bytes, at: int) -> int:
        kept = self._kept
        if kept is None:
            if data.startswith(b"\r\n", at):
                self._finish()
                return at + 2
            kept = self._kept = bytearray()
        before = len(kept)
        limit = self._trailers_limit_bytes
        kept += data[at : at + limit + 4 - before]
        if kept.startswith(b"\r\n"):
            self._finish()
            return at + 2 - before
        end = kept.find(b"\r\n\r\n", max(0, before - 3))
        if end < 0:
            if len(kept) > limit:
                raise refuse(f"trailers are longer than {limit} bytes", "headers_too_large", 431)
            if has_bare_newline(kept, before):
                raise refuse("bare LF in the trailers", "invalid_characters")
            return len(data)
        raw = parse_lines(bytes(kept[:end]), self._trailers_limit)
        self._finish(raw)
        return at + end + 4 - before

    def _finish(self, raw: list[Field] | None = None) -> None:
        self._kept = None
        self._state = _DONE
        self.done = True
        if raw:
            allowed = [field for field in raw if field[0] not in _NOT_TRAILERS]
            if allowed:
                self.trailers = Headers(allowed)


def _may_begin_chunk(line: bytearray) -> bool:
    head = line[:-1] if line.endswith(b"\r") else line
    return not head or _CHUNK_LINE.fullmatch(head) is not None or not head.strip(b"0123456789abcdefABCDEF \t")
