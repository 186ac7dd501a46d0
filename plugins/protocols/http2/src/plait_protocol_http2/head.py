"""Heads of HTTP/2 messages: the fields of a block to what they ask for (RFC 9113, 8.3), in the form HTTP/1 has too.

A request that extended CONNECT makes a tunnel of (RFC 8441) is a GET with ``upgrade`` inside, as HTTP/1 writes it; so
that a WebSocket can change its protocol on the way. An authority is also the field ``host``, which filters know.
"""

from __future__ import annotations

import base64
import re
import secrets

from plait.api import Block
from plait_protocol_http2.errors import Violation, malformed
from plait_protocol_http2.fields import (
    CONNECTION_FIELDS,
    NOT_TRAILERS,
    PSEUDO,
    REQUEST_PSEUDO,
    RESPONSE_PSEUDO,
    Field,
    is_host,
    is_target,
    is_token,
)
from plait_protocol_http2.options import Http2Options

# What a request asks of its response.
PLAIN = 0
HEAD = 1
CONNECT = 2
UPGRADE = 3

_METHODS = frozenset({b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"})
_AUTHORITY = re.compile(rb"(?:[^:\[\]]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}")
_LENGTH_LIMIT_DIGITS = 18
_LOOKED_AT = CONNECTION_FIELDS | PSEUDO | {b"content-length", b"cookie", b"host", b"te", b"http2-settings"}
_WEBSOCKET_KEY = b"sec-websocket-key"


def _split(fields: list[Field], known: frozenset[bytes]) -> tuple[dict[bytes, bytes], list[Field]]:
    """The pseudo-fields in front, and the rest; raises Violation for one that is not ``known`` or comes twice."""
    pseudo: dict[bytes, bytes] = {}
    at = 0
    for name, value in fields:
        if name[0] != 58:
            break
        if name not in known or name in pseudo:
            raise malformed(f"pseudo-field {name!r} is not of this message, or there twice")
        pseudo[name] = value
        at += 1
    return pseudo, fields[at:]


def _parse_length(rest: list[Field]) -> int:
    """The one content-length among ``rest``; raises Violation for several, lists, signs and absurd ones."""
    (value, *more) = [value for name, value in rest if name == b"content-length"]
    if more or not value.isdigit() or len(value) > _LENGTH_LIMIT_DIGITS:
        raise malformed(f"content-length {value[:64]!r} is not one number")
    return int(value)


def _check_special(special: frozenset[bytes], rest: list[Field]) -> None:
    """Refuse what must not stand behind the pseudo-fields."""
    for name in special:
        if name in PSEUDO:
            raise malformed(f"pseudo-field {name!r} behind a field that is none")
        if name in CONNECTION_FIELDS:
            raise malformed(f"field {name!r} is about a connection of HTTP/1")
    if b"te" in special and any(name == b"te" and value.lower() != b"trailers" for name, value in rest):
        raise malformed("field 'te' with anything but trailers")


def _join_cookies(rest: list[Field]) -> list[Field]:
    """Cookies may come in crumbs (8.2.3); everything but HTTP/2 wants one field."""
    crumbs = [value for name, value in rest if name == b"cookie"]
    if len(crumbs) < 2:
        return rest
    first = next(index for index, field in enumerate(rest) if field[0] == b"cookie")
    joined = [field for field in rest if field[0] != b"cookie"]
    joined.insert(first, (b"cookie", b"; ".join(crumbs)))
    return joined


class RequestHead:
    """A request's head with all that follows from it; a connection keeps those that may come again.

    ``length`` is the declared one or -1. ``status`` is not 0 where the request is well-formed and yet not for us: it is
    then what to answer, for the reason ``refusal``.
    """

    __slots__ = ("authority", "block", "kind", "length", "method", "path", "refusal", "scheme", "status", "upgrade")

    def __init__(self, fields: list[Field], options: Http2Options) -> None:
        """Raises Violation for fields that make no request."""
        pseudo, rest = _split(fields, REQUEST_PSEUDO)
        self.method: bytes = pseudo.get(b":method", b"")
        self.scheme: bytes = pseudo.get(b":scheme", b"")
        self.path: bytes = pseudo.get(b":path", b"")
        self.authority: bytes = pseudo.get(b":authority", b"")
        self.upgrade: bytes = b""
        self.kind: int = PLAIN
        self.length: int = -1
        self.status: int = 0
        self.refusal: str = ""
        index = dict(rest[::-1])
        special = _LOOKED_AT.intersection(index)
        if special:
            _check_special(special, rest)
            if b"content-length" in special:
                self.length = _parse_length(rest)
            if b"cookie" in special:
                rest = _join_cookies(rest)
            if b"http2-settings" in special:
                rest = [field for field in rest if field[0] != b"http2-settings"]
            if b"host" in special:
                rest = self._take_host(rest)
            index = dict(rest[::-1])
        if self.method not in _METHODS:
            if not is_token(self.method):
                raise malformed(f"method {self.method[:64]!r} is not a token")
            if self.method == b"CONNECT":
                rest = self._read_connect(pseudo, rest, options)
                index = dict(rest[::-1])
            elif self.method == b"HEAD":
                self.kind = HEAD
        if b":protocol" in pseudo and self.kind != UPGRADE:
            raise malformed("pseudo-field ':protocol' without CONNECT")
        if self.kind != CONNECT:
            self._check_target()
        authority = self.authority
        if not authority:
            self.refuse(400, "missing_host_header")
        elif not is_host(authority):
            raise malformed(f"authority {authority[:64]!r} is not a host")
        rest.insert(0, (b"host", authority))
        index[b"host"] = authority
        self.block: Block = Block(rest, index)

    def refuse(self, status: int, refusal: str) -> None:
        """Have the request answered with ``status``."""
        if not self.status:
            self.status = status
            self.refusal = refusal

    def _take_host(self, rest: list[Field]) -> list[Field]:
        """Host says what an absent authority would have; beside one it is dropped, as Envoy does."""
        if not self.authority:
            (host, *more) = [value for name, value in rest if name == b"host"]
            if more:
                raise malformed("more than one host field")
            self.authority = host
        return [field for field in rest if field[0] != b"host"]

    def _check_target(self) -> None:
        scheme, path = self.scheme, self.path
        if scheme != b"http" and scheme != b"https":
            raise malformed(f"scheme {scheme[:64]!r} is not http or https")
        if path[:1] != b"/" and not (path == b"*" and self.method == b"OPTIONS"):
            raise malformed(f"path {path[:64]!r} does not begin with /")
        if not is_target(path):
            raise malformed(f"path {path[:64]!r} is malformed")

    def _read_connect(self, pseudo: dict[bytes, bytes], rest: list[Field], options: Http2Options) -> list[Field]:
        """CONNECT, plain or extended. Neither has a body with a length: data go through a tunnel."""
        self.length = -1
        rest = [field for field in rest if field[0] != b"content-length"]
        if b":protocol" not in pseudo:
            if b":scheme" in pseudo or b":path" in pseudo:
                raise malformed("CONNECT with a scheme or a path")
            if not _AUTHORITY.fullmatch(self.authority):
                raise malformed(f"CONNECT to {self.authority[:64]!r}, which is not host:port")
            self.kind = CONNECT
            return rest
        protocol = pseudo[b":protocol"]
        if not options.allow_connect:
            raise malformed("extended CONNECT, which was not offered")
        if not is_token(protocol):
            raise malformed(f"protocol {protocol[:64]!r} is not a token")
        self.kind = UPGRADE
        self.upgrade = protocol.lower()
        self.method = b"GET"
        if self.upgrade == b"websocket" and not any(name == _WEBSOCKET_KEY for name, _ in rest):
            # HTTP/1 wants one (RFC 6455, 4.1); RFC 8441 has none. Nobody but the next hop looks at it.
            rest = [*rest, (_WEBSOCKET_KEY, base64.b64encode(secrets.token_bytes(16)))]
        return rest


class ResponseHead:
    """A response's head with all that follows from it; ``length`` is the declared one or -1."""

    __slots__ = ("block", "length", "status")

    def __init__(self, fields: list[Field]) -> None:
        """Raises Violation for fields that make no response."""
        pseudo, rest = _split(fields, RESPONSE_PSEUDO)
        status = pseudo.get(b":status", b"")
        if len(status) != 3 or not status.isdigit() or status[0] == 48:
            raise malformed(f"status {status[:64]!r} is none")
        self.status: int = int(status)
        if self.status == 101:
            raise malformed("status 101, which HTTP/2 does not have")
        self.length: int = -1
        index = dict(rest[::-1])
        special = _LOOKED_AT.intersection(index)
        if special:
            _check_special(special, rest)
            if b"content-length" in special:
                self.length = _parse_length(rest)
        self.block: Block = Block(rest, index)


def check_size(fields: list[Field], limit_bytes: int, limit: int) -> str:
    """Nothing, or what there is too much of. Fields of the tables cost no memory, however often a block names them."""
    if len(fields) > limit:
        return f"more than {limit} header fields"
    if sum([len(name) + len(value) for name, value in fields]) > limit_bytes:
        return f"more than {limit_bytes} bytes of header fields"
    return ""


def read_trailers(fields: list[Field]) -> list[Field]:
    """The trailers that may come late; raises Violation."""
    for name, _ in fields:
        if name in PSEUDO or name in CONNECTION_FIELDS:
            raise malformed(f"field {name!r} in trailers")
    return [field for field in fields if field[0] not in NOT_TRAILERS]


def header_overflow(what: str, status: int) -> Violation:
    """The error for a head (or trailers) over the limits."""
    return Violation(11, what, "header_overflow", status=status, survives=True)
