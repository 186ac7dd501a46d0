"""HTTP/2 that would be read as something else in HTTP/1.1, through Plait and through Envoy: the same is refused.

What is let through says the same to the upstream. Where anything differs, it says why.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple

import pytest
from hpack import Decoder

from tests.interop.http2_sidecars import bootstrap, cluster, listener, manager
from tests.interop.peers import proxy, telling_service
from tests.running import free_ports

Field = tuple[bytes, bytes]
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
METHOD, SCHEME, PATH = (b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/a")
AUTHORITY = (b":authority", b"shop.test")
GET = [METHOD, SCHEME, PATH, AUTHORITY]
POST = [(b":method", b"POST"), SCHEME, PATH, AUTHORITY]
SMUGGLED = b"GET /admin HTTP/1.1\r\nhost: a\r\n\r\n"


def but(field: Field, *more: Field) -> list[Field]:
    """A GET in which ``field`` stands for the one of its name."""
    return [field if name == field[0] else (name, value) for name, value in GET] + list(more)


# Fields, and a body or None.
CASES: dict[str, tuple[list[Field], bytes | None]] = {
    "plain": (GET, None),
    "a body": (POST, b"body"),
    "a body and its length": ([*POST, (b"content-length", b"4")], b"body"),
    "a length that is too small": ([*POST, (b"content-length", b"0")], SMUGGLED),
    "a length that is too large": ([*POST, (b"content-length", b"100")], SMUGGLED),
    "a length and no body": ([*POST, (b"content-length", b"4")], None),
    "two lengths": ([*POST, (b"content-length", b"4"), (b"content-length", b"4")], b"body"),
    "two lengths that differ": ([*POST, (b"content-length", b"4"), (b"content-length", b"0")], b"body"),
    "a list of lengths": ([*POST, (b"content-length", b"4, 4")], b"body"),
    "a length with a sign": ([*POST, (b"content-length", b"+4")], b"body"),
    "a length with a space": ([*POST, (b"content-length", b"4 ")], b"body"),
    "chunked": ([*POST, (b"transfer-encoding", b"chunked")], b"0\r\n\r\n" + SMUGGLED),
    "chunked with CR LF in the name": ([*POST, (b"x: y\r\ntransfer-encoding", b"chunked")], b"0\r\n\r\n"),
    "chunked with CR LF in the value": ([*POST, (b"x", b"y\r\ntransfer-encoding: chunked")], b"0\r\n\r\n"),
    "a request in a value": (but(METHOD, (b"x", b"y\r\n\r\n" + SMUGGLED)), None),
    "LF in a value": ([*GET, (b"x", b"y\nz: a")], None),
    "CR in a value": ([*GET, (b"x", b"y\rz: a")], None),
    "NUL in a value": ([*GET, (b"x", b"y\0z")], None),
    "a space in front of a value": ([*GET, (b"x", b" y")], None),
    "a space in a name": ([*GET, (b"x y", b"z")], None),
    "a space behind a name": ([*GET, (b"transfer-encoding ", b"chunked")], None),
    "a colon in a name": ([*GET, (b"x:y", b"z")], None),
    "upper case in a name": ([*GET, (b"X-Upper", b"z")], None),
    "connection": ([*GET, (b"connection", b"close")], None),
    "keep-alive": ([*GET, (b"keep-alive", b"timeout=5")], None),
    "proxy-connection": ([*GET, (b"proxy-connection", b"keep-alive")], None),
    "upgrade": ([*GET, (b"upgrade", b"websocket")], None),
    "upgrade with its connection": ([*GET, (b"connection", b"upgrade"), (b"upgrade", b"h2c")], None),
    "te trailers": ([*GET, (b"te", b"trailers")], None),
    "te gzip": ([*GET, (b"te", b"gzip")], None),
    "http2-settings": ([*GET, (b"http2-settings", b"AAMAAABk")], None),
    "CR LF in the path": (but((b":path", b"/a HTTP/1.1\r\nhost: b\r\n\r\n")), None),
    "a space in the path": (but((b":path", b"/a HTTP/1.1")), None),
    "NUL in the path": (but((b":path", b"/a\0b")), None),
    "more than ASCII in the path": (but((b":path", b"/\xc3\xa4")), None),
    "an empty path": (but((b":path", b"")), None),
    "a path without its slash": (but((b":path", b"a")), None),
    "an absolute path": (but((b":path", b"http://other.test/a")), None),
    "a path of two slashes": (but((b":path", b"//other.test/a")), None),
    "* of a GET": (but((b":path", b"*")), None),
    "* of OPTIONS": ([(b":method", b"OPTIONS"), SCHEME, (b":path", b"*"), AUTHORITY], None),
    "a fragment": (but((b":path", b"/a#b")), None),
    "dots": (but((b":path", b"/../../etc/passwd")), None),
    "no path": ([METHOD, SCHEME, AUTHORITY], None),
    "two paths": ([*GET[:3], PATH, AUTHORITY], None),
    "a path behind the fields": ([METHOD, SCHEME, AUTHORITY, (b"x", b"y"), PATH], None),
    "a user in the authority": (but((b":authority", b"me@shop.test")), None),
    "a path in the authority": (but((b":authority", b"shop.test/a")), None),
    "a space in the authority": (but((b":authority", b"shop.test b")), None),
    "CR LF in the authority": (but((b":authority", b"shop.test\r\nx: y")), None),
    "an empty authority": (but((b":authority", b"")), None),
    "no authority": (GET[:3], None),
    "a host and no authority": ([*GET[:3], (b"host", b"shop.test")], None),
    "a host that is the authority": ([*GET, (b"host", b"shop.test")], None),
    "a host that is another": ([*GET, (b"host", b"other.test")], None),
    "two hosts and no authority": ([*GET[:3], (b"host", b"shop.test"), (b"host", b"other.test")], None),
    "two authorities": ([*GET, AUTHORITY], None),
    "a method with a space": (but((b":method", b"GET /admin HTTP/1.1\r\nx:")), None),
    "a method in lower case": (but((b":method", b"get")), None),
    "an empty method": (but((b":method", b"")), None),
    "no method": (GET[1:], None),
    "no scheme": ([METHOD, PATH, AUTHORITY], None),
    "another scheme": (but((b":scheme", b"ftp")), None),
    "a scheme with CR LF": (but((b":scheme", b"http\r\nx: y")), None),
    "a status": ([*GET, (b":status", b"200")], None),
    "an unknown pseudo-field": ([(b":x", b"y"), *GET], None),
    "CONNECT": ([(b":method", b"CONNECT"), (b":authority", b"shop.test:443")], None),
    "CONNECT with a path": ([(b":method", b"CONNECT"), PATH, (b":authority", b"shop.test:443")], None),
    "extended CONNECT that is not offered": (
        [(b":method", b"CONNECT"), (b":protocol", b"websocket"), SCHEME, PATH, AUTHORITY],
        None,
    ),
    ":protocol of a GET": ([*GET, (b":protocol", b"websocket")], None),
    "crumbs of cookies": ([*GET, (b"cookie", b"a=b"), (b"cookie", b"c=d")], None),
    "a body of a GET": (GET, b"body"),
}
# Where Plait differs on purpose: its outcome, Envoy's, and why.
ON_PURPOSE: dict[str, tuple[object, object, str]] = {
    "a space in front of a value": ("refused", 200, "RFC 9113, 8.2.1 calls it malformed"),
    "more than ASCII in the path": ("refused", 200, "RFC 3986, 2: a path has none; others may read it otherwise"),
    "an empty authority": (400, "refused", "it is well-formed: the request is answered and its connection goes on"),
    "no authority": (400, "refused", "the same"),
    "another scheme": ("refused", 200, "nothing but HTTP is spoken here, as with absolute targets of HTTP/1.1"),
    "http2-settings": (200, 200, "RFC 7540, 3.2.1: it is for one hop; Envoy hands it on"),
}


class Outcome(NamedTuple):
    """A status with what the upstream was asked, or ``refused``: RST_STREAM or GOAWAY."""

    status: object
    asked: object = None


def block(fields: list[Field]) -> bytes:
    """A header block of literals."""
    return b"".join(b"\0" + _string(name) + _string(value) for name, value in fields)


def _string(text: bytes) -> bytes:
    assert len(text) < 127
    return bytes([len(text)]) + text


def frame(kind: int, flags: int, id: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + id.to_bytes(4, "big") + payload


def ask(port: int, fields: list[Field], body: bytes | None) -> Outcome:
    """What becomes of a request, which is all that its connection carries."""
    text = PREFACE + frame(4, 0, 0) + frame(1, 4 | (body is None), 1, block(fields))
    if body is not None:
        text += frame(0, 1, 1, body)
    status, answer, seen = 0, b"", b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(text)
        while True:
            while len(seen) < 9 or len(seen) < 9 + int.from_bytes(seen[:3], "big"):
                read = client.recv(1 << 16)
                if not read:
                    return Outcome("refused")
                seen += read
            size, kind, flags = int.from_bytes(seen[:3], "big"), seen[3], seen[4]
            id, payload = int.from_bytes(seen[5:9], "big"), seen[9 : 9 + size]
            seen = seen[9 + size :]
            if kind == 7 or (kind == 3 and id == 1 and not status):
                return Outcome("refused")
            if kind == 1 and id == 1 and not status:
                status = _status(payload)
            elif kind == 0:
                answer += payload
            if kind in (0, 1) and id == 1 and flags & 1:
                return Outcome(status, _told(answer) if status == 200 else None)


def _status(head: bytes) -> int:
    """The status, which both proxies write first."""
    return int(dict(Decoder().decode(head, raw=True))[b":status"])


def _told(answer: bytes) -> object:
    """Of what the upstream saw, all that says where the request goes, and the body that it took for the request's.

    A length and chunks say the same of that: Envoy writes chunks where it was told no length.
    """
    told = json.loads(answer)
    said = {"host", "connection", "upgrade", "te", "cookie", "x", "http2-settings"}
    headers = [field for field in told["headers"] if field[0] in said]
    return told["line"], headers, told["body"]


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """Both proxies, each in front of a service of HTTP/1.1."""
    directory = tmp_path_factory.mktemp("borders")
    found: dict[str, int] = {}
    with ExitStack() as stack:
        upstream = stack.enter_context(telling_service("up"))
        for name in ("plait", "envoy"):
            port, admin = free_ports(2)
            hcm = manager("in", [{"match": {"prefix": "/"}, "route": {"cluster": "up"}}])
            config = bootstrap(admin, [listener("in", port, hcm)], [cluster("up", upstream, 1)])
            stack.enter_context(proxy(name, config, directory / name, port, admin))
            found[name] = port
        yield found


@pytest.mark.parametrize("case", CASES)
def test_requests_at_the_border_to_http1_are_taken_as_by_envoy(ports: dict[str, int], case: str) -> None:
    fields, body = CASES[case]
    ours, theirs = (ask(ports[name], fields, body) for name in ("plait", "envoy"))
    if case in ON_PURPOSE:
        status, envoys, _ = ON_PURPOSE[case]
        assert (ours.status, theirs.status) == (status, envoys)
        assert ours != theirs
    else:
        assert ours == theirs
    assert ask(ports["plait"], GET, None).status == 200, "the next connection is none the worse"
