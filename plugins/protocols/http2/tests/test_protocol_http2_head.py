"""Heads: what makes a request or a response, and the form they have inside."""

from __future__ import annotations

import pytest

from plait_protocol_http2.errors import PROTOCOL_ERROR, Violation
from plait_protocol_http2.fields import Field, check_fields
from plait_protocol_http2.head import (
    CONNECT,
    HEAD,
    PLAIN,
    UPGRADE,
    RequestHead,
    ResponseHead,
    check_size,
    read_trailers,
)
from plait_protocol_http2.options import Http2Options

OPTIONS = Http2Options(allow_connect=True)
METHOD, SCHEME, PATH = (b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/")
AUTHORITY = (b":authority", b"a.example:80")
GET = [METHOD, SCHEME, PATH, AUTHORITY]


def read(fields: list[Field], options: Http2Options = OPTIONS) -> RequestHead:
    check_fields(fields)
    return RequestHead(list(fields), options)


def but(field: Field, *more: Field) -> list[Field]:
    """A GET in which ``field`` stands for the one of its name."""
    return [field if name == field[0] else (name, value) for name, value in GET] + list(more)


def test_a_request_inside_is_what_http1_makes_of_it() -> None:
    head = read([*GET, (b"accept", b"*/*"), (b"te", b"trailers"), (b"content-length", b"7")])
    assert (head.method, head.scheme, head.path, head.authority) == (b"GET", b"http", b"/", b"a.example:80")
    assert (head.kind, head.length, head.status, head.upgrade) == (PLAIN, 7, 0, b"")
    assert head.block.raw == [
        *((b"host", b"a.example:80"), (b"accept", b"*/*")),
        *((b"te", b"trailers"), (b"content-length", b"7")),
    ]
    assert head.block.index[b"host"] == b"a.example:80"


MALFORMED = {
    "no fields": [],
    "no method": GET[1:],
    "no scheme": [METHOD, PATH, AUTHORITY],
    "no path": [METHOD, SCHEME, AUTHORITY],
    "an empty path": but((b":path", b"")),
    "a path without its slash": but((b":path", b"a")),
    "an absolute path": but((b":path", b"http://a/")),
    "* of a GET": but((b":path", b"*")),
    "a space in the path": but((b":path", b"/a HTTP/1.1")),
    "a tab in the path": but((b":path", b"/a\tb")),
    "LF in the path": but((b":path", b"/a\nb")),
    "NUL in the path": but((b":path", b"/a\0b")),
    "more than ASCII in the path": but((b":path", b"/\xc3\xa4")),
    "a method that is no token": but((b":method", b"GE T")),
    "an empty method": but((b":method", b"")),
    "another scheme": but((b":scheme", b"ftp")),
    "an empty scheme": but((b":scheme", b"")),
    "a user in the authority": but((b":authority", b"me@a")),
    "a path in the authority": but((b":authority", b"a/b")),
    "a space in the authority": but((b":authority", b"a b")),
    "LF in the authority": but((b":authority", b"a\nb")),
    "two methods": [METHOD, *GET],
    "two paths": [*GET[:3], PATH, AUTHORITY],
    "a status": [*GET, (b":status", b"200")],
    "an unknown pseudo-field": [(b":unknown", b"x"), *GET],
    "a pseudo-field behind the others": [*GET[:3], (b"accept", b"*/*"), AUTHORITY],
    "a pseudo-field twice, once behind": [*GET, (b"accept", b"*/*"), PATH],
    "upper case in a name": [*GET, (b"Accept", b"*/*")],
    "a space in a name": [*GET, (b"a b", b"c")],
    "a colon in a name": [*GET, (b"a:b", b"c")],
    "CR in a name": [*GET, (b"a\rb", b"c")],
    "an empty name": [*GET, (b"", b"c")],
    "more than ASCII in a name": [*GET, (b"\xc3\xa4", b"c")],
    "CR in a value": [*GET, (b"a", b"b\rc: d")],
    "LF in a value": [*GET, (b"a", b"b\nc: d")],
    "CR LF in a value": [*GET, (b"a", b"b\r\n\r\nGET /admin HTTP/1.1")],
    "NUL in a value": [*GET, (b"a", b"b\0c")],
    "DEL in a value": [*GET, (b"a", b"b\x7fc")],
    "a space in front of a value": [*GET, (b"a", b" b")],
    "a tab behind a value": [*GET, (b"a", b"b\t")],
    "connection": [*GET, (b"connection", b"close")],
    "keep-alive": [*GET, (b"keep-alive", b"5")],
    "proxy-connection": [*GET, (b"proxy-connection", b"keep-alive")],
    "transfer-encoding": [*GET, (b"transfer-encoding", b"chunked")],
    "upgrade": [*GET, (b"upgrade", b"h2c")],
    "te with more than trailers": [*GET, (b"te", b"trailers, deflate")],
    "te twice": [*GET, (b"te", b"trailers"), (b"te", b"gzip")],
    "two lengths": [*GET, (b"content-length", b"1"), (b"content-length", b"1")],
    "a list of lengths": [*GET, (b"content-length", b"1, 1")],
    "a length with a sign": [*GET, (b"content-length", b"+1")],
    "an empty length": [*GET, (b"content-length", b"")],
    "a length without end": [*GET, (b"content-length", b"9" * 19)],
    "two hosts and no authority": [*GET[:3], (b"host", b"a"), (b"host", b"b")],
    "a host with a user": [*GET[:3], (b"host", b"me@a")],
    "CONNECT with a path": [(b":method", b"CONNECT"), PATH, AUTHORITY],
    "CONNECT with a scheme": [(b":method", b"CONNECT"), SCHEME, AUTHORITY],
    "CONNECT without a port": [(b":method", b"CONNECT"), (b":authority", b"a")],
    "CONNECT without an authority": [(b":method", b"CONNECT")],
    ":protocol of a GET": [*GET, (b":protocol", b"websocket")],
    "extended CONNECT without a path": [(b":method", b"CONNECT"), (b":protocol", b"websocket"), SCHEME, AUTHORITY],
    "extended CONNECT of no token": [*but((b":method", b"CONNECT")), (b":protocol", b"web socket")],
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_request_is_malformed(name: str) -> None:
    with pytest.raises(Violation) as caught:
        read(MALFORMED[name])
    error = caught.value
    assert (error.code, error.survives, error.counter) == (PROTOCOL_ERROR, True, "http2.rx_messaging_error")


def test_host_stands_in_for_an_authority_and_gives_way_to_one() -> None:
    head = read([*GET[:3], (b"accept", b"*/*"), (b"host", b"b")])
    assert (head.authority, head.block.raw) == (b"b", [(b"host", b"b"), (b"accept", b"*/*")])
    head = read([*GET, (b"host", b"other"), (b"host", b"another")])
    assert (head.authority, head.block.raw) == (b"a.example:80", [(b"host", b"a.example:80")])


def test_a_request_to_nowhere_is_well_formed_and_yet_refused() -> None:
    assert (read(GET[:3]).status, read(GET[:3]).refusal) == (400, "missing_host_header")
    assert read(but((b":authority", b""))).status == 400


def test_crumbs_of_cookies_are_put_together() -> None:
    head = read([*GET, (b"cookie", b"a=b"), (b"accept", b"*/*"), (b"cookie", b"c=d")])
    assert head.block.raw[1:] == [(b"cookie", b"a=b; c=d"), (b"accept", b"*/*")]


def test_methods_say_what_the_response_may_have() -> None:
    assert read(but((b":method", b"HEAD"))).kind == HEAD
    assert read(but((b":method", b"PROPFIND"))).kind == PLAIN
    head = read([(b":method", b"OPTIONS"), SCHEME, (b":path", b"*"), AUTHORITY])
    assert (head.method, head.path) == (b"OPTIONS", b"*")


def test_connect_names_where_the_tunnel_goes() -> None:
    head = read([(b":method", b"CONNECT"), (b":authority", b"[::1]:443"), (b"content-length", b"3")])
    assert (head.kind, head.authority, head.path, head.length) == (CONNECT, b"[::1]:443", b"", -1)
    assert head.block.raw == [(b"host", b"[::1]:443")]


def test_extended_connect_is_an_upgrade_inside() -> None:
    fields = [(b":method", b"CONNECT"), SCHEME, PATH, AUTHORITY, (b":protocol", b"WebSocket")]
    head = read([*fields, (b"sec-websocket-version", b"13")])
    assert (head.kind, head.method, head.upgrade) == (UPGRADE, b"GET", b"websocket")
    assert len(head.block.index[b"sec-websocket-key"]) == 24
    assert head.block.raw[1] == (b"sec-websocket-version", b"13")
    assert read([*fields, (b"sec-websocket-key", b"mine")]).block.index[b"sec-websocket-key"] == b"mine"
    with pytest.raises(Violation, match="not offered"):
        read(fields, Http2Options())


def test_http2_settings_are_for_this_hop_alone() -> None:
    assert read([*GET, (b"http2-settings", b"AAMAAABk")]).block.raw == [(b"host", b"a.example:80")]


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [(b"a", b"b")],
        [(b":status", b"20")],
        [(b":status", b"2000")],
        [(b":status", b"2 0")],
        [(b":status", b"099")],
        [(b":status", b"101")],
        [(b":status", b"200"), (b":status", b"200")],
        [(b":status", b"200"), (b":path", b"/")],
        [(b"a", b"b"), (b":status", b"200")],
        [(b":status", b"200"), (b"connection", b"close")],
        [(b":status", b"200"), (b"transfer-encoding", b"chunked")],
        [(b":status", b"200"), (b"content-length", b"1"), (b"content-length", b"2")],
    ],
)
def test_what_is_no_response_is_malformed(fields: list[Field]) -> None:
    with pytest.raises(Violation):
        ResponseHead(fields)


def test_a_response_inside() -> None:
    head = ResponseHead([(b":status", b"404"), (b"content-length", b"12"), (b"a", b"b")])
    assert (head.status, head.length, head.block.raw) == (404, 12, [(b"content-length", b"12"), (b"a", b"b")])


def test_limits_count_fields_and_their_bytes() -> None:
    fields = [(b"abc", b"de")] * 10
    assert not check_size(fields, 50, 10)
    assert "more than 9" in check_size(fields, 50, 9)
    assert "more than 49 bytes" in check_size(fields, 49, 10)


def test_trailers_that_come_too_late_are_dropped() -> None:
    assert read_trailers([(b"x-sum", b"1"), (b"content-length", b"5"), (b"host", b"a")]) == [(b"x-sum", b"1")]
    with pytest.raises(Violation):
        read_trailers([(b"x-sum", b"1"), (b":path", b"/")])
    with pytest.raises(Violation):
        read_trailers([(b"connection", b"x")])
