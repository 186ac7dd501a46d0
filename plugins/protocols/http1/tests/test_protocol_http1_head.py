"""Bad requests: each line of the table is refused, read at once or byte by byte, and with the right status."""

from __future__ import annotations

import pytest

from plait.api import Fault
from plait_protocol_http1 import Http1Options, Http1Server

HOST = b"Host: a\r\n"

BAD: list[tuple[str, int, bytes]] = [
    ("garbage", 400, b"garbage\r\n\r\n"),
    ("no version", 400, b"GET /\r\n\r\n"),
    ("two spaces", 400, b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("space behind the version", 400, b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n"),
    ("space in the target", 400, b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("tab for a space", 400, b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("lower-case version", 400, b"GET / http/1.1\r\n" + HOST + b"\r\n"),
    ("odd version", 400, b"GET / HTTP/11\r\n" + HOST + b"\r\n"),
    ("version 1.2", 505, b"GET / HTTP/1.2\r\n" + HOST + b"\r\n"),
    ("version 0.9", 505, b"GET / HTTP/0.9\r\n" + HOST + b"\r\n"),
    ("HTTP/2 preface", 505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("TLS", 400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    ("method is no token", 400, b"G(T / HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("empty method", 400, b" / HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("control character in the target", 400, b"GET /\x07 HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("DEL in the target", 400, b"GET /\x7f HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("bytes beyond ASCII in the target", 400, b"GET /\xc3\xa9 HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("relative target", 400, b"GET hello HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("asterisk for GET", 400, b"GET * HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("other scheme", 400, b"GET ftp://a/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("user in the authority", 400, b"GET http://u@a/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("empty authority", 400, b"GET http:///x HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("CONNECT to a path", 400, b"CONNECT / HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("CONNECT without port", 400, b"CONNECT a HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("CONNECT with a length", 400, b"CONNECT a:1 HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\n\r\n"),
    ("CONNECT with chunks", 400, b"CONNECT a:1 HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"),
    ("no host", 400, b"GET / HTTP/1.1\r\nA: b\r\n\r\n"),
    ("no fields", 400, b"GET / HTTP/1.1\r\n\r\n"),
    ("two hosts", 400, b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n"),
    ("host with a path", 400, b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    ("host with a user", 400, b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    ("host with a space", 400, b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    ("list of hosts", 400, b"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n"),
    ("bare LF", 400, b"GET / HTTP/1.1\nHost: a\n\n"),
    ("bare LF in a field", 400, b"GET / HTTP/1.1\r\n" + HOST + b"A: b\nC: d\r\n\r\n"),
    ("bare CR in a field", 400, b"GET / HTTP/1.1\r\n" + HOST + b"A: b\rC: d\r\n\r\n"),
    ("bare CR in the request line", 400, b"GET / HTTP/1.1\rHost: a\r\n\r\n"),
    ("CR CR LF", 400, b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\r\n\r\n"),
    ("NUL in a value", 400, b"GET / HTTP/1.1\r\n" + HOST + b"A: \0\r\n\r\n"),
    ("control character in a value", 400, b"GET / HTTP/1.1\r\n" + HOST + b"A: \x0b\r\n\r\n"),
    ("folded line", 400, b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n c\r\n\r\n"),
    ("folded first line", 400, b"GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    ("tab-folded line", 400, b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n\tc: d\r\n\r\n"),
    ("space before the colon", 400, b"GET / HTTP/1.1\r\n" + HOST + b"A : b\r\n\r\n"),
    ("space before the colon of a length", 400, b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length : 5\r\n\r\nhello"),
    ("no colon", 400, b"GET / HTTP/1.1\r\n" + HOST + b"A\r\n\r\n"),
    ("empty name", 400, b"GET / HTTP/1.1\r\n" + HOST + b": b\r\n\r\n"),
    ("name with high bytes", 400, b"GET / HTTP/1.1\r\n" + HOST + b"\xc3\xa9: b\r\n\r\n"),
    (
        "length and chunks",
        400,
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    ("two lengths", 400, b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n"),
    ("the same length twice", 400, b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\n"),
    ("list of lengths", 400, b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3, 3\r\n\r\n"),
    ("empty length", 400, b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length:\r\n\r\n"),
    ("signed length", 400, b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: +3\r\n\r\n"),
    ("negative length", 400, b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: -3\r\n\r\n"),
    ("hexadecimal length", 400, b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 0x3\r\n\r\n"),
    ("length with underscore", 400, b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1_0\r\n\r\n"),
    ("huge length", 400, b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n"),
    ("unknown coding", 501, b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip\r\n\r\n"),
    ("coding before chunked", 501, b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n"),
    ("chunked not last", 400, b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked, gzip\r\n\r\n"),
    (
        "chunked twice",
        400,
        b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    ("empty coding", 400, b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding:\r\n\r\n"),
    ("disguised chunked", 400, b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: \x0bchunked\r\n\r\n"),
    ("misspelt chunked", 501, b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n"),
    ("quoted chunked", 400, b"POST / HTTP/1.1\r\n" + HOST + b'Transfer-Encoding: "chunked"\r\n\r\n'),
    ("chunks in HTTP/1.0", 400, b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"),
    ("too many fields", 431, b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n" * 100 + b"\r\n"),
    ("oversized head", 431, b"GET / HTTP/1.1\r\n" + HOST + b"A: " + b"x" * 61440 + b"\r\n\r\n"),
    ("endless head", 431, b"GET /" + b"x" * 61500),
]

CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

BAD_CHUNKS: list[tuple[str, bytes]] = [
    ("no size", b"\r\n"),
    ("not hexadecimal", b"g\r\n"),
    ("signed size", b"+5\r\n"),
    ("prefixed size", b"0x5\r\n"),
    ("negative size", b"-1\r\n"),
    ("size with underscore", b"1_0\r\n"),
    ("space before the size", b" 5\r\nhello\r\n"),
    ("space behind the size", b"5 \r\nhello\r\n"),
    ("overlong size", b"00000000000000001\r\n"),
    ("too large size", b"ffffffffffffffff\r\n"),
    ("bare LF behind the size", b"5\nhello\r\n"),
    ("bare LF in an extension", b"5;a\nb\r\nhello\r\n"),
    ("bare CR in an extension", b"5;a\rb\r\nhello\r\n"),
    ("NUL in an extension", b"5;a\0\r\nhello\r\n"),
    ("overlong extension", b"5;" + b"a" * 5000 + b"\r\nhello\r\n"),
    ("extensions without end", (b"1;" + b"a" * 1000 + b"\r\nx\r\n") * 20),
    ("data longer than its size", b"3\r\nhello\r\n"),
    ("data ends with LF", b"5\r\nhello\n0\r\n\r\n"),
    ("data ends with CR alone", b"5\r\nhello\r0\r\n\r\n"),
    ("trailer without colon", b"0\r\nabc\r\n\r\n"),
    ("trailer with bare LF", b"0\r\na: b\n\n"),
    ("folded trailer", b"0\r\na: b\r\n c\r\n\r\n"),
    ("oversized trailers", b"0\r\na: " + b"x" * 70000 + b"\r\n\r\n"),
    ("too many trailers", b"0\r\n" + b"a: b\r\n" * 101 + b"\r\n"),
]


def last_event(data: bytes, step: int) -> object:
    codec = Http1Server(Http1Options(accept_http_10=True))
    for place in range(0, len(data), step):
        events = codec.feed(data[place : place + step])
        if any(isinstance(event, Fault) for event in events):
            assert codec.closing
            assert not codec.held
            assert codec.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") == ()
            return events[-1]
    return None


@pytest.mark.parametrize(("status", "data"), [pytest.param(status, data, id=name) for name, status, data in BAD])
def test_bad_request_is_a_fault_with_its_status(status: int, data: bytes) -> None:
    event = last_event(data, len(data))
    assert isinstance(event, Fault), event
    assert event.error.status == status
    assert event.error.counter.startswith("http1.")
    assert event.error.survives is False
    assert str(event.error)[:1].islower() or "HTTP" in str(event.error) or "CONNECT" in str(event.error)


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, _, data in BAD])
def test_bad_request_byte_by_byte_is_a_fault(data: bytes) -> None:
    assert isinstance(last_event(data, 1), Fault)


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in BAD_CHUNKS])
def test_bad_chunks_are_a_fault(body: bytes, step: int) -> None:
    event = last_event(CHUNKED + body, step)
    assert isinstance(event, Fault)
    assert event.error.status in (400, 431)


def test_garbage_is_refused_before_a_line_ends() -> None:
    assert isinstance(last_event(b"\x16", 1), Fault)
    assert isinstance(last_event(b"GET / HTTP/1.1\nHo", 1), Fault)


def test_chunked_wins_over_length_when_allowed() -> None:
    codec = Http1Server(Http1Options(allow_chunked_length=True))
    data = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
    for _ in range(2):  # the second is read from what the connection remembers
        (request,) = codec.feed(data)
        assert request.headers.find(b"content-length") is None  # type: ignore[attr-defined]
        assert request.body == b"x"  # type: ignore[attr-defined]
        codec = Http1Server(Http1Options(allow_chunked_length=True))


def test_strange_but_valid_requests_are_read() -> None:
    for data in (
        b"OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n",
        b"M-SEARCH /%C3%A9?a=b|c HTTP/1.1\r\nhOsT:a:80\t \r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: [::1]:80\r\nX:\r\nY: \xff\t\r\n\r\n",
        b"CONNECT [::1]:80 HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 000\r\n\r\n",
    ):
        (event,) = Http1Server().feed(data)
        assert not isinstance(event, Fault), event.error
