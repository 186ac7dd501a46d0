"""First lines of HTTP/1 messages (RFC 9112, 3 and 4), and the gathering of a head that comes in pieces.

::

    request-line = method SP request-target SP HTTP-version
    status-line  = HTTP-version SP 3DIGIT SP [ reason-phrase ]

Fields are in ``fields``.
"""

from __future__ import annotations

import http
import re

from plait.api import Block
from plait_protocol_http1.fields import VISIBLE, Fields, has_bare_newline, is_chunked, is_host, is_token, refuse
from plait_protocol_http1.options import Http1Options

_ORDINARY = frozenset({b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"})
_METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH"})
_VERSION = re.compile(rb"HTTP/[0-9]\.[0-9]")
_ABSOLUTE = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)(.*)", re.DOTALL)
_AUTHORITY = re.compile(rb"(?:[^:\[\]]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}")
_STATUS_LINE = re.compile(rb"HTTP/([0-9]\.[0-9]) ([1-9][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*))?")
_STATUS_LINES_LIMIT = 256

STATUS_LINES = {status.value: b"HTTP/1.1 %d %b" % (status, status.phrase.encode()) for status in http.HTTPStatus}


# Method, path, whether it is HTTP/1.0, then scheme and authority of an absolute target (else empty).
RequestLine = tuple[bytes, bytes, bool, bytes, bytes]


def parse_request_line(line: bytes, options: Http1Options) -> RequestLine:
    """A request line without CRLF; raises RemoteProtocolError."""
    parts = line.split(b" ")
    if len(parts) != 3:
        raise refuse(f"request line {line[:64]!r} is malformed", "codec_error")
    method, target, version = parts
    if method not in _METHODS and not is_token(method):
        raise refuse(f"method {method[:64]!r} is not a token", "invalid_method")
    old = False
    if version != b"HTTP/1.1":
        old = version == b"HTTP/1.0"
        if not old:
            if _VERSION.fullmatch(version):
                raise refuse(f"version {version!r} is not supported", "unsupported_version", 505)
            raise refuse(f"version {version[:64]!r} is malformed", "codec_error")
        if not options.accept_http_10:
            raise refuse("HTTP/1.0 is not accepted", "low_version", 426)
    if not target or 0 in target.translate(VISIBLE) or not target.isascii():
        raise refuse(f"request target {target[:64]!r} is malformed", "invalid_url")
    if method == b"CONNECT":
        if not is_host(target) or not _AUTHORITY.fullmatch(target):
            raise refuse(f"CONNECT target {target[:64]!r} is not host:port", "invalid_url")
        return method, b"", old, b"", target
    if target[0] == 47:
        return method, target, old, b"", b""
    if target == b"*":
        if method != b"OPTIONS":
            raise refuse("only OPTIONS may have the target *", "invalid_url")
        return method, target, old, b"", b""
    return _absolute(method, target, old, options)


def _absolute(method: bytes, target: bytes, old: bool, options: Http1Options) -> RequestLine:
    match = _ABSOLUTE.fullmatch(target) if options.allow_absolute_url else None
    if match is None:
        raise refuse(f"request target {target[:64]!r} does not begin with /", "invalid_url")
    scheme = match[1].lower()
    if scheme not in (b"http", b"https"):
        raise refuse(f"scheme {scheme[:64]!r} is not http or https", "invalid_scheme")
    authority, path = match[2], match[3]
    if not authority or not is_host(authority):
        raise refuse(f"authority {authority[:64]!r} is not a host", "invalid_url")
    if not path:
        path = b"*" if method == b"OPTIONS" else b"/"
    elif path[0] != 47:
        path = b"/" + path
    return method, path, old, scheme, authority


# Status, reason phrase, whether it is HTTP/1.0.
StatusLine = tuple[int, bytes, bool]


class StatusLines(dict[bytes, StatusLine]):
    """Status lines without CRLF to what they say; a connection keeps those it has seen. Raises RemoteProtocolError."""

    def __missing__(self, line: bytes) -> StatusLine:
        match = _STATUS_LINE.fullmatch(line)
        if match is None:
            raise refuse(f"status line {line[:64]!r} is malformed", "codec_error")
        version, status, reason = match.groups()
        if version not in (b"1.1", b"1.0"):
            raise refuse(f"version {version!r} is not supported", "unsupported_version")
        parsed = (int(status), reason or b"", version == b"1.0")
        if len(line) <= 64:
            if len(self) >= _STATUS_LINES_LIMIT:
                self.clear()
            self[line] = parsed
        return parsed


class HeadBuffer:
    """A head that comes in pieces: each byte is searched once and copied twice.

    ``beginning`` is what the head must begin with; without one it must begin with a token, behind any empty lines
    (RFC 9112, 2.2).
    """

    def __init__(self, limit_bytes: int, beginning: bytes = b"") -> None:
        self._limit_bytes = limit_bytes
        self._beginning = beginning
        self._buffer = bytearray()

    @property
    def gathering(self) -> bool:
        """Whether a head has begun and not ended."""
        return bool(self._buffer)

    def add(self, data: bytes) -> bytes | None:
        """Everything gathered once it holds the end of a head; raises RemoteProtocolError when it cannot become one."""
        buffer = self._buffer
        before = len(buffer)
        buffer += data
        if not self._beginning:
            empty = 0
            while buffer.startswith(b"\r\n", empty):
                empty += 2
            if empty:
                del buffer[:empty]
                before = 0
            if not buffer or buffer == b"\r":
                return None
        # Beginnings at most three bytes earlier: the end may lie across two reads.
        if buffer.find(b"\r\n\r\n", max(0, before - 3)) >= 0:
            self._buffer = bytearray()
            return bytes(buffer)
        if len(buffer) > self._limit_bytes:
            raise refuse(f"head is longer than {self._limit_bytes} bytes", "headers_too_large", 431)
        if has_bare_newline(buffer, before) or 0 in data:
            raise refuse("bare LF or NUL in the head", "invalid_characters")
        beginning = self._beginning
        if not (beginning.startswith(buffer[: len(beginning)]) if beginning else is_token(bytes(buffer[:1]))):
            raise refuse(f"{bytes(buffer[:16])!r} does not begin a message", "codec_error")
        return None


class RequestHead:
    """A request's head with all that follows from it; a connection keeps the last one, because callers repeat it.

    ``plain`` says that nothing special is asked: a response with a length is the whole answer.
    """

    __slots__ = (
        "authority",
        "block",
        "bodiless",
        "chunked",
        "closes",
        "http2_settings",
        "is_connect",
        "is_head",
        "length",
        "method",
        "old",
        "path",
        "persist",
        "plain",
        "protocol",
        "scheme",
        "upgrade",
    )

    def __init__(self, start: RequestLine, fields: Fields, options: Http1Options) -> None:
        """Raises RemoteProtocolError for a line and fields that do not go together."""
        self.method, self.path, self.old, self.scheme, authority = start
        self.upgrade = b""
        self.http2_settings: bytes | None = None
        if fields.plain is not None and self.method in _ORDINARY and not (self.old or authority):
            self.block = fields.plain
            self.authority = fields.host or b""
            self.protocol = "HTTP/1.1"
            self.length = -1
            self.chunked = self.closes = self.persist = self.is_head = self.is_connect = False
            self.plain = self.bodiless = True
            return
        old = self.old
        self.chunked = fields.codings is not None and is_chunked(fields, options.allow_chunked_length)
        self.length = fields.length
        host = fields.host
        if old:
            if fields.codings is not None:
                raise refuse("transfer-encoding in an HTTP/1.0 request", "transfer_encoding_not_allowed")
            if host is None:
                host = options.default_host_for_http_10.encode("latin-1") or None
        if host is None:
            raise refuse("no host field", "missing_host_header")
        self.block = fields.block
        self.authority = host
        if authority:
            self.authority = authority
            self.block = Block([(b"host", authority) if field[0] == b"host" else field for field in fields.raw])
        self.protocol = "HTTP/1.0" if old else "HTTP/1.1"
        self.is_head = self.method == b"HEAD"
        self.is_connect = self.method == b"CONNECT"
        self.persist = old and fields.keep_alive and not fields.close
        self.closes = fields.close or (old and not fields.keep_alive)
        if self.is_connect:
            if self.chunked or self.length > 0:
                word = "transfer_encoding_not_allowed" if self.chunked else "content_length_not_allowed"
                raise refuse("CONNECT with a body", word)
        elif not (old or self.chunked or self.length > 0):
            # With a body, the offer is not taken up (RFC 9110, 7.8 lets us ignore it).
            self.upgrade = fields.upgrade
            if not fields.close:
                self.http2_settings = fields.http2_settings
        special = self.is_head or self.is_connect or self.upgrade or self.scheme or self.http2_settings is not None
        self.plain = not (old or special)
        self.bodiless = self.plain and not self.closes and not self.chunked and self.length <= 0
        """The head is all of the request, and nothing special about it."""


def no_head() -> RequestHead:
    """What stands for the head of a request that never was one."""
    return RequestHead((b"GET", b"/", False, b"", b""), Fields([(b"host", b"")], None, b""), Http1Options())


class ResponseHead:
    """A response's head with all that follows from it; a connection keeps the last one, because servers repeat it
    while their clock shows the same second.
    """

    __slots__ = ("block", "chunked", "fields", "length", "plain_size", "protocol", "reason", "reusable", "status")

    def __init__(self, line: StatusLine, fields: Fields, allow_chunked_length: bool) -> None:
        """Raises RemoteProtocolError for a line and fields that do not go together."""
        self.status, self.reason, old = line
        self.fields = fields
        self.chunked = fields.codings is not None and is_chunked(fields, allow_chunked_length)
        if self.chunked and old:
            raise refuse("transfer-encoding in an HTTP/1.0 response", "transfer_encoding_not_allowed")
        self.block = fields.block
        self.length = fields.length
        self.protocol = "HTTP/1.0" if old else "HTTP/1.1"
        self.reusable = not (fields.close or (old and not fields.keep_alive))
        plain = self.reusable and self.length >= 0 and self.status >= 200 and self.status not in (204, 304)
        self.plain_size = self.length + 4 if plain else -1
        """Bytes from the head's last field to the end of the message, -1 where more decides that."""
