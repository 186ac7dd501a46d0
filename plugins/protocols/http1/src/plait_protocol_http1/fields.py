"""Header blocks of HTTP/1 (RFC 9112, 5): bytes to fields and what they say about framing, and fields to bytes.

A block is the lines between the first line and the empty one::

    field-line   = field-name ":" OWS field-value OWS
    field-name   = 1*tchar
    block        = *( field-line CRLF )

Neither line folding, nor white space before the colon, nor control characters but HTAB are let through.
Most field lines that a proxy sees it has seen before, so lines are remembered: a line found in the table costs one
look-up instead of a parse. The table is bounded and keeps no long lines, no credentials and no identifiers.
"""

from __future__ import annotations

from plait.api import Block, Headers, LocalProtocolError, RemoteProtocolError

Field = tuple[bytes, bytes]

_ALPHANUMERIC = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ABOVE_ASCII = bytes(range(0x80, 0x100))


def allow(characters: bytes) -> bytes:
    """A table for ``bytes.translate`` that turns any byte but these into 0: ``0 in text.translate(table)`` is the
    quickest way to find a byte that is not allowed."""
    return bytes([1 if byte in characters else 0 for byte in range(256)])


_TOKEN = allow(b"!#$%&'*+-.^_`|~" + _ALPHANUMERIC)
_HOST = allow(b"-._~%!$&'()*+;=:[]" + _ALPHANUMERIC)
_VALUE = allow(b"\t " + bytes(range(0x21, 0x7F)) + _ABOVE_ASCII)
VISIBLE = allow(bytes(range(0x21, 0x7F)) + _ABOVE_ASCII)

_NAMES_LIMIT = 1024
_LINES_LIMIT = 2048
_LINE_LIMIT_BYTES = 160
_LENGTH_LIMIT_DIGITS = 18

# Different in every message, or not ours to keep.
_NOT_REMEMBERED = frozenset(
    {
        b"authorization",
        b"b3",
        b"cookie",
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
_HOST_ALONE = frozenset({b"host"})
_HOP_BY_HOP = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade"})
_LOOKED_AT = _HOP_BY_HOP | {b"content-length", b"host"}
REQUEST_KEY = "http1 request"
RESPONSE_KEY = "http1 response"
# What Connection may not take away from us: the fields that say where a message goes, who sent it and how long it is.
_NEVER_NOMINATED = frozenset(
    {
        b"authorization",
        b"content-length",
        b"cookie",
        b"forwarded",
        b"host",
        b"transfer-encoding",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-proto",
        b"x-request-id",
    }
)


def refuse(what: str, word: str, status: int = 400) -> RemoteProtocolError:
    """The error for what a peer sent; ``word`` is Envoy's for the cause where it has one."""
    return RemoteProtocolError(what, status=status, counter="http1." + word)


def is_token(text: bytes) -> bool:
    """Whether ``text`` is a token of RFC 9110, 5.6.2."""
    return bool(text) and 0 not in text.translate(_TOKEN)


def is_host(text: bytes) -> bool:
    """Whether ``text`` holds only what a host and port are written with."""
    return 0 not in text.translate(_HOST)


def has_bare_newline(buffer: bytearray, start: int) -> bool:
    """Whether a LF without its CR is in what was added to ``buffer`` at ``start``."""
    if start and buffer[start - 1] == 13:
        start -= 1
    return buffer.count(10, start) != buffer.count(b"\r\n", start)


class _Names(dict[bytes, bytes]):
    """Field names as peers write them, to lower case; only valid ones are kept."""

    def __missing__(self, name: bytes) -> bytes:
        if not is_token(name):
            raise refuse(f"field name {name[:64]!r} is not a token", "invalid_characters")
        lower = name.lower()
        if len(self) < _NAMES_LIMIT:
            self[name] = lower
        return lower


_NAMES = _Names()


class _Lines(dict[bytes, Field]):
    """Field lines to fields; only valid ones are kept."""

    def __missing__(self, line: bytes) -> Field:
        name, colon, value = line.partition(b":")
        if not colon:
            raise refuse(f"field line {line[:64]!r} has no colon", "invalid_characters")
        name = _NAMES[name]
        value = value.strip(b" \t")
        if 0 in value.translate(_VALUE):
            raise refuse(f"control character in the value of {name[:64]!r}", "invalid_characters")
        if name == b"host" and not is_host(value):
            raise refuse(f"host {value[:64]!r} is not a host", "invalid_host")
        field = (name, value)
        if len(line) <= _LINE_LIMIT_BYTES and name not in _NOT_REMEMBERED:
            if len(self) >= _LINES_LIMIT:
                self.clear()
            self[line] = field
        return field


_LINES = _Lines()


class Fields:
    """A parsed block. ``length`` is the Content-Length or -1; ``codings`` the Transfer-Encoding, None without one.

    Fields that Connection nominates are gone from ``raw`` already: doing it here keeps a peer from naming what filters
    add later. ``block`` is what messages share.
    """

    length: int = -1
    codings: bytes | None = None
    close: bool = False
    keep_alive: bool = False
    upgrade: bytes = b""
    http2_settings: bytes | None = None  # of an offer to go on in HTTP/2

    def __init__(
        self, raw: list[Field], index: dict[bytes, bytes] | None, host: bytes | None = None, plain: Block | None = None
    ) -> None:
        self.raw = raw
        self.host = host
        self.plain = plain  # the block, where nothing in it but a host concerns this connection
        self._index = index
        self._block = plain

    @property
    def block(self) -> Block:
        """The fields to give away; ``raw`` must not change after this."""
        if self._block is None:
            self._block = Block(self.raw, self._index)
        return self._block

    def replace(self, raw: list[Field]) -> None:
        """Go on with other fields than came."""
        self.raw = raw
        self._index = None


def parse_lines(block: bytes, limit: int) -> list[Field]:
    """The fields of a block without its last CRLF; raises RemoteProtocolError."""
    if not block:
        return []
    return _fields_of(block.split(b"\r\n"), limit)


def _fields_of(lines: list[bytes], limit: int) -> list[Field]:
    if len(lines) > limit:
        raise refuse(f"more than {limit} header fields", "too_many_headers", 431)
    return list(map(_LINES.__getitem__, lines))


def parse_fields(block: bytes, limit: int) -> Fields:
    """A block without its last CRLF, with what its fields say about framing; raises RemoteProtocolError."""
    if not block:
        return Fields([], {})
    lines = block.split(b"\r\n")
    raw = _fields_of(lines, limit)
    index = dict(raw)
    if len(index) == len(raw):
        names = _LOOKED_AT.intersection(index)
        if names == _HOST_ALONE:
            return _plain_fields(lines, raw, index)
        looked_at = [(name, index[name]) for name in names]
    else:
        index = dict(raw[::-1])  # the first value counts
        looked_at = [field for field in raw if field[0] in _LOOKED_AT]
    fields = Fields(raw, index)
    upgrade = b""
    connection: bytes | None = None
    for name, value in looked_at:
        if name == b"host":
            if fields.host is not None:
                raise refuse("more than one host field", "invalid_host")
            fields.host = value
        elif name == b"content-length":
            if fields.length >= 0:
                raise refuse("more than one content-length field", "invalid_content_length")
            fields.length = parse_length(value)
        elif name == b"connection":
            connection = value if connection is None else connection + b"," + value
        elif name == b"transfer-encoding":
            value = value.lower()
            fields.codings = value if fields.codings is None else fields.codings + b"," + value
        elif name == b"upgrade":
            upgrade = value if not upgrade else upgrade + b"," + value
        elif name == b"te" and value != b"trailers":
            _keep_trailers_only(fields)
    if connection is not None:
        _read_connection(fields, connection.lower(), upgrade)
    return fields


def _plain_fields(lines: list[bytes], raw: list[Field], index: dict[bytes, bytes]) -> Fields:
    """A request's fields of which none but host concerns this connection: the other lines go on as they came."""
    host = index[b"host"]
    block = Block(raw, index)
    del lines[raw.index((b"host", host))]
    lines.insert(0, b"")
    block.encoded[REQUEST_KEY] = b"\r\n".join(lines) if len(lines) > 1 else b""
    return Fields(raw, index, host, block)


def parse_length(value: bytes) -> int:
    """A Content-Length: digits alone, no list, no sign; raises RemoteProtocolError."""
    if not value.isdigit():
        raise refuse(f"content-length {value[:64]!r} is not a number", "invalid_content_length")
    if len(value) > _LENGTH_LIMIT_DIGITS:
        raise refuse(f"content-length {value[:64]!r} is too large", "invalid_content_length")
    return int(value)


def _keep_trailers_only(fields: Fields) -> None:
    """TE is for the next hop alone, but for the word ``trailers``, which every hop may hand on."""
    options = b",".join([value for name, value in fields.raw if name == b"te"]).lower().split(b",")
    raw = [field for field in fields.raw if field[0] != b"te"]
    if b"trailers" in [option.strip(b" \t") for option in options]:
        raw.append((b"te", b"trailers"))
    fields.replace(raw)


def _read_connection(fields: Fields, value: bytes, upgrade: bytes) -> None:
    if value == b"keep-alive":
        fields.keep_alive = True
        return
    if value == b"close":
        fields.close = True
        return
    nominated: set[bytes] = set()
    http2 = False
    for option in value.split(b","):
        option = option.strip(b" \t")
        if option == b"close":
            fields.close = True
        elif option == b"keep-alive":
            fields.keep_alive = True
        elif option == b"upgrade":
            for protocol in upgrade.lower().split(b","):
                protocol = protocol.strip(b" \t")
                if protocol == b"h2c":
                    http2 = True
                elif protocol:
                    fields.upgrade = protocol
                    break
        elif option and option not in _NEVER_NOMINATED and option not in _HOP_BY_HOP:
            nominated.add(option)
    if http2 and not fields.upgrade and b"http2-settings" in nominated:
        settings = [value for name, value in fields.raw if name == b"http2-settings"]
        if len(settings) == 1:
            fields.http2_settings = settings[0]
    if nominated:
        fields.replace([field for field in fields.raw if field[0] not in nominated])


def is_chunked(fields: Fields, allow_length: bool) -> bool:
    """Whether the body is chunked; raises for any other coding and for a length beside one (RFC 9112, 6.1 and 6.3)."""
    codings = fields.codings
    if codings is None:
        return False
    if codings != b"chunked":
        names = [coding.strip(b" \t") for coding in codings.split(b",")]
        if names[-1] != b"chunked" or names.count(b"chunked") != 1:
            # Where the body ends cannot be known.
            known = b"chunked" in names or not all(is_token(name) for name in names)
            raise refuse(
                f"transfer-encoding {codings[:64]!r} does not end with one chunked",
                "invalid_transfer_encoding",
                400 if known else 501,
            )
        raise refuse(f"transfer-encoding {codings[:64]!r} is not known", "invalid_transfer_encoding", 501)
    if fields.length >= 0:
        if not allow_length:
            raise refuse("both content-length and transfer-encoding", "content_length_and_chunked_not_allowed")
        fields.length = -1
        fields.replace([field for field in fields.raw if field[0] != b"content-length"])
    return True


class Prefixes(dict[bytes, bytes]):
    """Names of fields to ``name: ``, or to nothing for those that stay behind; refuses names that are no token."""

    def __missing__(self, name: bytes) -> bytes:
        if not is_token(name):
            raise LocalProtocolError(f"cannot send a field with the name {name[:64]!r}, it is not a token", status=500)
        lower = name.lower()
        prefix = b"" if lower in _HOP_BY_HOP or lower == b"content-length" else b"\r\n" + lower + b": "
        if len(self) < _NAMES_LIMIT:
            self[name] = prefix
        return prefix


# Both directions write content-length themselves; a request also writes its host.
RESPONSE_PREFIXES = Prefixes()
REQUEST_PREFIXES = Prefixes({b"host": b"", b"te": b"\r\nte: "})


def encode_fields(headers: Headers, prefixes: Prefixes, key: str) -> bytes:
    """The fields that go on, each line behind a CRLF; raises LocalProtocolError.

    ``prefixes`` and ``key`` are of the direction. What is made of a block is kept with it.
    """
    block = headers.block
    text = block.encoded.get(key)
    if text is None:
        text = block.encoded[key] = _encode_block(block, prefixes, key)
    added = headers.added
    for name in added:
        prefix = prefixes[name]
        if prefix:
            value = added[name]
            if 10 in value or 13 in value or 0 in value:  # an integer is looked for with memchr, a byte string is not
                raise LocalProtocolError("cannot send a head with CR, LF or NUL in a field", status=500)
            text += prefix + value
    return text


def _encode_block(block: Block, prefixes: Prefixes, key: str) -> bytes:
    if block.base is None or block.extra is None:
        return _lines(block.raw, prefixes)
    # the lines of the block it was made of go on as their sender spelt them
    return encode_fields(Headers(block.base), prefixes, key) + _lines(list(block.extra.fields.items()), prefixes)


def _lines(fields: list[Field], prefixes: Prefixes) -> bytes:
    """Fields as lines, each with its CRLF in front (it is part of every prefix), without those that stay behind."""
    lines = [prefix + value for name, value in fields if (prefix := prefixes[name])]
    text = b"".join(lines)
    if 0 in text or text.count(10) != len(lines) or text.count(13) != len(lines):
        raise LocalProtocolError("cannot send a head with CR, LF or NUL in a field", status=500)
    return text


def check_sendable(text: bytes) -> None:
    """Refuse what would end a line: filters can put anything into a field; raises LocalProtocolError."""
    # An integer is looked for with memchr, a byte string is not.
    if 10 in text or 13 in text or 0 in text:
        raise LocalProtocolError("cannot send a head with CR, LF or NUL in a field, path or authority", status=500)
