"""Bytes that no client should send, through Plait and through Envoy: the same answers, and where not, why."""

from __future__ import annotations

import pytest

from tests.interop.conftest import Pair
from tests.interop.peers import exchange, raw_exchange

HOST = b"Host: clusters.test\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST
POST = b"POST / HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

CASES: dict[str, bytes] = {
    "plain": GET + b"\r\n",
    "line ends before the request": b"\r\n\r\n" + GET + b"\r\n",
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 10 + b"\r\n\r\n",
    "zeros": bytes(64),
    "no version": b"GET /\r\n\r\n",
    "unknown version": b"GET / HTTP/3.0\r\n" + HOST + b"\r\n",
    "version 1.2": b"GET / HTTP/1.2\r\n" + HOST + b"\r\n",
    "version in lower case": b"GET / http/1.1\r\n" + HOST + b"\r\n",
    "HTTP/1.0": b"GET / HTTP/1.0\r\n" + HOST + b"\r\n",
    "HTTP/1.0 without a host": b"GET / HTTP/1.0\r\n\r\n",
    "two spaces": b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n",
    "tab for a space": b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "space in the target": b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n",
    "control in the target": b"GET /a\x01b HTTP/1.1\r\n" + HOST + b"\r\n",
    "DEL in the target": b"GET /a\x7fb HTTP/1.1\r\n" + HOST + b"\r\n",
    "bytes beyond ASCII in the target": b"GET /\xc3\xa9 HTTP/1.1\r\n" + HOST + b"\r\n",
    "target without a slash": b"GET a HTTP/1.1\r\n" + HOST + b"\r\n",
    "target empty": b"GET  HTTP/1.1\r\n" + HOST + b"\r\n",
    "star for GET": b"GET * HTTP/1.1\r\n" + HOST + b"\r\n",
    "fragment": b"GET /a#b HTTP/1.1\r\n" + HOST + b"\r\n",
    "method in lower case": b"get / HTTP/1.1\r\n" + HOST + b"\r\n",
    "method that is no token": b"GE(T / HTTP/1.1\r\n" + HOST + b"\r\n",
    "no method": b" / HTTP/1.1\r\n" + HOST + b"\r\n",
    "CONNECT": b"CONNECT clusters.test:80 HTTP/1.1\r\n" + HOST + b"\r\n",
    "CONNECT to a path": b"CONNECT / HTTP/1.1\r\n" + HOST + b"\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "empty host": b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "two hosts": GET + b"Host: clusters.test\r\n\r\n",
    "two hosts that differ": GET + b"Host: other.test\r\n\r\n",
    "host with a space": b"GET / HTTP/1.1\r\nHost: clusters test\r\n\r\n",
    "host with a slash": b"GET / HTTP/1.1\r\nHost: clusters/test\r\n\r\n",
    "host with a user": b"GET / HTTP/1.1\r\nHost: me@clusters.test\r\n\r\n",
    "bare LF": GET.replace(b"\r\n", b"\n") + b"\n",
    "bare CR in a value": GET + b"x: a\rb\r\n\r\n",
    "NUL in a value": GET + b"x: a\0b\r\n\r\n",
    "control in a value": GET + b"x: a\x01b\r\n\r\n",
    "bytes beyond ASCII in a value": GET + b"x: \xff\xfe\r\n\r\n",
    "no colon": GET + b"header\r\n\r\n",
    "empty name": GET + b": value\r\n\r\n",
    "space before the colon": GET + b"x : y\r\n\r\n",
    "space in a name": GET + b"x y: z\r\n\r\n",
    "name with an underscore": GET + b"x_y: z\r\n\r\n",
    "name that is no token": GET + b"x(y): z\r\n\r\n",
    "bytes beyond ASCII in a name": GET + b"x\xe9: z\r\n\r\n",
    "folded line": GET + b"x: a\r\n b\r\n\r\n",
    "folded first line": b"GET / HTTP/1.1\r\n Host: clusters.test\r\n\r\n",
    "name with a colon": GET + b":path: /\r\n\r\n",
    "long head": GET + b"x: " + b"y" * 70_000 + b"\r\n\r\n",
    "long target": b"GET /" + b"y" * 70_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "long head in many fields": GET + b"".join(b"x%d: %b\r\n" % (n, b"y" * 1000) for n in range(80)) + b"\r\n",
    "101 fields": GET + b"".join(b"x%d: y\r\n" % n for n in range(101)) + b"\r\n",
    "length that is no number": POST + b"Content-Length: abc\r\n\r\n",
    "negative length": POST + b"Content-Length: -1\r\n\r\n",
    "signed length": POST + b"Content-Length: +1\r\n\r\na",
    "hexadecimal length": POST + b"Content-Length: 0x1\r\n\r\na",
    "empty length": POST + b"Content-Length:\r\n\r\n",
    "length beyond 64 bits": POST + b"Content-Length: 99999999999999999999\r\n\r\n",
    "two equal lengths": POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
    "two lengths that differ": POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "list of equal lengths": POST + b"Content-Length: 1, 1\r\n\r\na",
    "list of lengths that differ": POST + b"Content-Length: 1, 2\r\n\r\nab",
    "length and chunked": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked in two fields": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding unknown": POST + b"Transfer-Encoding: gzip\r\n\r\n",
    "chunked and something else": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked not last": POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "identity": POST + b"Transfer-Encoding: identity\r\n\r\n",
    "chunked in capitals": POST + b"Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n",
    "chunked with a tail": POST + b"Transfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n",
    "chunked after a tab": POST + b"Transfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n",
    "chunked after a vertical tab": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks": CHUNKED + b"3\r\nabc\r\n0\r\n\r\n",
    "chunk extension": CHUNKED + b"3;a=b\r\nabc\r\n0\r\n\r\n",
    "chunk extension in quotes": CHUNKED + b'3;a="b;c"\r\nabc\r\n0\r\n\r\n',
    "trailer": CHUNKED + b"3\r\nabc\r\n0\r\nx-after: 1\r\n\r\n",
    "trailer that frames": CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n",
    "chunk size that is no number": CHUNKED + b"x\r\nabc\r\n0\r\n\r\n",
    "chunk size with a sign": CHUNKED + b"+3\r\nabc\r\n0\r\n\r\n",
    "chunk size with 0x": CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n",
    "chunk size empty": CHUNKED + b"\r\nabc\r\n0\r\n\r\n",
    "chunk size with a space behind": CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n",
    "chunk longer than it says": CHUNKED + b"2\r\nabc\r\n0\r\n\r\n",
    "chunk with bare LF": CHUNKED + b"3\nabc\n0\n\n",
    "chunk extension with bare LF": CHUNKED + b"3;a\nabc\r\n0\r\n\r\n",
    "trailer that is no field": CHUNKED + b"0\r\nno field\r\n\r\n",
    "body for GET": GET + b"Content-Length: 3\r\n\r\nabc",
    "two requests at once": GET + b"\r\n" + GET + b"\r\n",
    "bytes behind the last request": GET + b"Connection: close\r\n\r\nmore",
    "HTTP/2 without an offer": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    "upgrade to HTTP/2": GET
    + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
    "expectation unknown": POST + b"Expect: 200-maybe\r\nContent-Length: 0\r\n\r\n",
    "range of timeouts that is no number": GET + b"x-envoy-upstream-rq-timeout-ms: abc\r\n\r\n",
    "path that leaves the root": b"GET /../../etc/passwd HTTP/1.1\r\n" + HOST + b"\r\n",
    "NUL escaped in the path": b"GET /a%00b HTTP/1.1\r\n" + HOST + b"\r\n",
    "escape that is none": b"GET /a%zz HTTP/1.1\r\n" + HOST + b"\r\n",
    "absolute form": b"GET http://clusters.test/ HTTP/1.1\r\nHost: other.test\r\n\r\n",
    "absolute form without a host": b"GET http:///a HTTP/1.1\r\n" + HOST + b"\r\n",
    "absolute form of another scheme": b"GET ftp://clusters.test/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "absolute form with a user": b"GET http://me:secret@clusters.test/ HTTP/1.1\r\n" + HOST + b"\r\n",
}
TRUNCATED: dict[str, bytes] = {
    "head": GET + b"x: y",
    "request line": b"GET / HT",
    "body": POST + b"Content-Length: 10\r\n\r\nabc",
    "chunk": CHUNKED + b"5\r\nab",
    "trailers": CHUNKED + b"0\r\nx: y\r\n",
    "nothing but a line end": b"\r\n\r\n",
}

# Where Plait differs on purpose: its status, Envoy's, and why.
ON_PURPOSE: dict[str, tuple[int, int, str]] = {
    "no version": (400, 426, "it is malformed (RFC 9112, 3); an upgrade would not help"),
    "unknown version": (505, 426, "RFC 9110, 15.6.6"),
    "version 1.2": (505, 426, "RFC 9110, 15.6.6"),
    "HTTP/2 without an offer": (505, 400, "the connection speaks HTTP/1.1 only; RFC 9110, 15.6.6"),
    "two spaces": (400, 200, "a request line has single spaces (RFC 9112, 3); others may read it otherwise"),
    "tab for a space": (400, 200, "the same"),
    "method in lower case": (501, 400, "any token is a method (RFC 9110, 9.1): the upstream refuses this one"),
    "two hosts": (400, 200, "RFC 9112, 3.2 says 400"),
    "two hosts that differ": (400, 200, "RFC 9112, 3.2 says 400"),
    "host with a user": (400, 200, "a host has no user (RFC 9110, 7.2)"),
    "absolute form with a user": (400, 200, "RFC 9110, 4.2.4 says to treat it as an error"),
    "bare LF": (400, 200, "smuggling: others end the line elsewhere"),
    "bare CR in a value": (400, 200, "RFC 9110, 5.5: smuggling"),
    "folded line": (400, 200, "RFC 9112, 5.2 says 400"),
    "chunked twice": (400, 501, "a sender must not (RFC 9112, 6.1)"),
    "chunked in two fields": (400, 501, "a sender must not (RFC 9112, 6.1)"),
    "chunked not last": (400, 501, "RFC 9112, 6.3 says 400"),
    "chunk longer than it says": (400, 200, "smuggling: a chunk ends with CRLF (RFC 9112, 7.1)"),
    "chunk size with a space behind": (400, 200, "smuggling: the grammar has none (RFC 9112, 7.1)"),
}
# A request cut short by the end of the connection: Envoy mostly closes without a word, we say what was wrong.
ON_PURPOSE_TRUNCATED = {
    "head",
    "request line",
    "body",
    "chunk",
    "trailers",
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_answered_as_by_envoy(routing: Pair, case: str) -> None:
    statuses = {name: raw_exchange(port, CASES[case]).status for name, port in routing.ports.items()}
    if case in ON_PURPOSE:
        ours, theirs, _ = ON_PURPOSE[case]
        assert statuses == {"plait": ours, "envoy": theirs}
    else:
        assert statuses["plait"] == statuses["envoy"]


@pytest.mark.parametrize("case", TRUNCATED)
def test_truncated_input_is_answered_as_by_envoy(routing: Pair, case: str) -> None:
    statuses = {
        name: raw_exchange(port, TRUNCATED[case], half_close=True).status for name, port in routing.ports.items()
    }
    if case in ON_PURPOSE_TRUNCATED:
        assert statuses == {"plait": 400, "envoy": 0}
    else:
        assert statuses["plait"] == statuses["envoy"]


def test_others_are_served_after_all_of_that(routing: Pair) -> None:
    assert exchange(routing.ports["plait"], "/", "clusters.test").status == 200
