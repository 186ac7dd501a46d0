"""TLS's ClientHello, as far as a proxy reads it: the server's name and the protocols that the client offers.

RFC 8446 sections 4.1.2 and 5.1, RFC 6066 section 3, RFC 7301 section 3.1; numbers are big-endian::

    record     0  type      22, handshake
               1  version   3, 1 to 3, 4
               3  length    2 bytes, 1 to 16384; a message may be cut over several records
    handshake  0  type      1, ClientHello
               1  length    3 bytes
    hello      0  version   2 bytes
               2  random    32 bytes
              34  session id, 1 byte of length; cipher suites, 2; compression methods, 1; extensions, 2
    extension  0  type      2 bytes: 0 server_name, 16 application_layer_protocol_negotiation
               2  length    2 bytes

A prefix is judged from its beginning each time that more of it has come. That costs as much as there are records, so
their number has a limit.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from plait import Sniff
from plait_filter_inspector.settings import MAX_CLIENT_HELLO_BYTES

_HANDSHAKE, _CLIENT_HELLO = 22, 1
_SERVER_NAME, _ALPN = 0, 16
_RECORD_BYTES = 1 << 14
_MAX_RECORDS = 64

MALFORMED = "client_hello_malformed"
TOO_LARGE = "client_hello_too_large"


@attrs.frozen
class ClientHello:
    """What a client wants; ``problem`` says why a message that began as one is none."""

    server_name: str = ""
    alpn: tuple[str, ...] = ()
    problem: str = ""


class _Malformed(ValueError):
    pass


def read_client_hello(prefix: bytes, limit_bytes: int = MAX_CLIENT_HELLO_BYTES) -> ClientHello | Sniff:
    """The ClientHello that a connection begins with; NO where it begins otherwise, MORE while that is not known."""
    if prefix[:1] not in (b"", b"\x16") or prefix[1:2] not in (b"", b"\x03"):
        return Sniff.NO
    try:
        message = _message(prefix, limit_bytes)
        if message is None:
            return Sniff.MORE
        return message if isinstance(message, ClientHello) else _read(message)
    except _Malformed:
        return ClientHello(problem=MALFORMED)


def _message(prefix: bytes, limit_bytes: int) -> bytes | ClientHello | None:
    """The body of the handshake message, put together from its records; None while some of it is missing."""
    at, records, wanted = 0, 0, 4
    parts: list[bytes] = []
    size = 0
    while True:
        if len(prefix) < at + 5:
            if prefix[at : at + 1] not in (b"", b"\x16") or prefix[at + 1 : at + 2] not in (b"", b"\x03"):
                raise _Malformed
            return None
        length = prefix[at + 3] << 8 | prefix[at + 4]
        records += 1
        wrong = prefix[at] != _HANDSHAKE or prefix[at + 1] != 3 or not 0 < length <= _RECORD_BYTES
        if wrong or records > _MAX_RECORDS:
            raise _Malformed
        part = prefix[at + 5 : at + 5 + length]
        parts.append(part)
        size += len(part)
        at += 5 + length
        if wanted == 4 and size >= 4:
            head = b"".join(parts)[:4]
            if head[0] != _CLIENT_HELLO:
                raise _Malformed
            wanted = 4 + int.from_bytes(head[1:], "big")
            if wanted > limit_bytes:
                return ClientHello(problem=TOO_LARGE)
        if size >= wanted > 4:
            return b"".join(parts)[4:wanted]
        if wanted == 4 and size >= 4:
            raise _Malformed  # an empty hello
        if len(part) < length:
            return None


def _read(hello: bytes) -> ClientHello:
    at = 34
    at = _skip(hello, at, 1)
    at = _skip(hello, at, 2)
    at = _skip(hello, at, 1)
    if at == len(hello):
        return ClientHello()  # TLS 1.2 may go without extensions
    start, end = _vector(hello, at, 2)
    server_name = ""
    alpn: tuple[str, ...] = ()
    while start < end:
        if start + 2 > end:
            raise _Malformed
        kind = hello[start] << 8 | hello[start + 1]
        inside, after = _vector(hello, start + 2, 2)
        if after > end:
            raise _Malformed
        if kind == _SERVER_NAME:
            server_name = _server_name(hello, inside, after) or server_name
        elif kind == _ALPN:
            alpn = tuple(_protocols(hello, inside, after))
        start = after
    return ClientHello(server_name, alpn)


def _vector(data: bytes, at: int, size: int) -> tuple[int, int]:
    """Where the contents of a vector begin and end; ``size`` is that of its length."""
    start = at + size
    if start > len(data):
        raise _Malformed
    end = start + int.from_bytes(data[at:start], "big")
    if end > len(data):
        raise _Malformed
    return start, end


def _skip(data: bytes, at: int, size: int) -> int:
    return _vector(data, at, size)[1]


def _server_name(data: bytes, at: int, limit: int) -> str:
    """The name of type host_name, in lower case; "" for one that is no ASCII."""
    start, end = _vector(data, at, 2)
    if end > limit:
        raise _Malformed
    while start < end:
        kind = data[start]
        inside, after = _vector(data, start + 1, 2)
        if after > end:
            raise _Malformed
        if kind == 0:
            name = data[inside:after]
            return name.decode("ascii").lower() if name.isascii() and b"\0" not in name else ""
        start = after
    return ""


def _protocols(data: bytes, at: int, limit: int) -> Iterator[str]:
    start, end = _vector(data, at, 2)
    if end > limit:
        raise _Malformed
    while start < end:
        inside, start = _vector(data, start, 1)
        if start > end or inside == start:
            raise _Malformed
        yield data[inside:start].decode("latin-1")
