"""The upstream codec: what requests are written as, and what responses become."""

from __future__ import annotations

import pytest

from plait.api import Data, Fault, Headers, Interim, LocalProtocolError, Request, Response, Trailers
from plait_protocol_http1 import Http1Client, Http1Options, Http1Server


def request(method: bytes = b"GET", body: bytes = b"", *fields: tuple[bytes, bytes], end: bool = True) -> Request:
    made = Request(Headers([(b"host", b"stale"), *fields]))
    made.raw_method = method
    made.raw_path = b"/x"
    made.raw_authority = b"shop:80"
    made.body = body
    made.end = end
    return made


def sent(method: bytes = b"GET", options: Http1Options | None = None) -> Http1Client:
    codec = Http1Client(options)
    codec.encode_request(request(method), codec.next_id())
    return codec


def whole(codec: Http1Client, data: bytes) -> Response:
    (event,) = codec.feed(data)
    assert isinstance(event, Response)
    assert event.end
    return event


def fault(codec: Http1Client, data: bytes) -> Fault:
    event = codec.feed(data)[-1]
    assert isinstance(event, Fault)
    assert event.error.status == 502
    assert not codec.reusable
    assert codec.feed(b"more") == ()
    return event


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (request(), b"GET /x HTTP/1.1\r\nhost: shop:80\r\n\r\n"),
        (
            request(b"GET", b"", (b"a", b"b"), (b"content-length", b"0")),
            b"GET /x HTTP/1.1\r\nhost: shop:80\r\na: b\r\n\r\n",
        ),
        (request(b"POST"), b"POST /x HTTP/1.1\r\nhost: shop:80\r\ncontent-length: 0\r\n\r\n"),
        (
            request(b"PUT", b"abc", (b"content-length", b"9"), (b"te", b"trailers"), (b"keep-alive", b"1")),
            b"PUT /x HTTP/1.1\r\nhost: shop:80\r\nte: trailers\r\ncontent-length: 3\r\n\r\nabc",
        ),
        (request(b"CONNECT", end=False), b"CONNECT shop:80 HTTP/1.1\r\nhost: shop:80\r\n\r\n"),
    ],
)
def test_request_is_written_with_its_own_framing(made: Request, expected: bytes) -> None:
    codec = Http1Client()
    assert codec.encode_request(made, codec.next_id()) == expected


def test_streamed_request_with_length_is_not_chunked() -> None:
    codec = Http1Client()
    head = codec.encode_request(request(b"PUT", b"a", (b"content-length", b"3"), end=False), 1)
    assert head == b"PUT /x HTTP/1.1\r\nhost: shop:80\r\ncontent-length: 3\r\n\r\na"
    assert codec.encode_data(1, b"bc", True) == b"bc"


def test_streamed_request_without_length_is_chunked() -> None:
    codec = Http1Client(Http1Options(enable_trailers=True))
    head = codec.encode_request(request(b"PUT", b"a", end=False), 1)
    assert head.endswith(b"\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n")
    assert codec.encode_data(1, b"bc", False) == b"2\r\nbc\r\n"
    assert codec.encode_trailers(1, Headers([(b"x", b"y")])) == b"0\r\nx: y\r\n\r\n"


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_request_without_a_path_asks_for_the_root(method: bytes) -> None:
    codec = Http1Client()
    for authority in (b"", b"a", b"b"):
        frame = codec.encode_request(Request(Headers([]), 1, method, b"", authority), 1)
        assert frame == b"%b / HTTP/1.1\r\nhost: %b\r\n\r\n" % (method, authority)
        codec.feed(b"HTTP/1.1 204 No Content\r\n\r\n")


def test_request_that_does_not_match_its_length_is_refused() -> None:
    codec = Http1Client()
    codec.encode_request(request(b"PUT", b"", (b"content-length", b"3"), end=False), 1)
    with pytest.raises(LocalProtocolError):
        codec.encode_data(1, b"ab", True)
    with pytest.raises(LocalProtocolError):
        Http1Client().encode_request(request(b"PUT", b"four", (b"content-length", b"3"), end=False), 1)


@pytest.mark.parametrize("path", [b"/a b", b"/\r\nX: y", b"/\n", b"/\0"])
def test_path_that_breaks_the_head_is_refused(path: bytes) -> None:
    made = request()
    made.raw_path = path
    codec = Http1Client()
    with pytest.raises(LocalProtocolError):
        codec.encode_request(made, 1)
    made.raw_path = b"/"
    made.raw_authority = path
    with pytest.raises(LocalProtocolError):
        codec.encode_request(made, 1)


@pytest.mark.parametrize("method", [b"", b"GE T", b"GET\r\n"])
def test_method_that_is_no_token_is_refused(method: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        Http1Client().encode_request(request(method), 1)


def test_field_that_breaks_the_head_is_refused_and_the_codec_stays_usable() -> None:
    codec = Http1Client()
    with pytest.raises(LocalProtocolError):
        codec.encode_request(request(b"GET", b"", (b"a", b"b\r\nc: d")), 1)
    assert codec.encode_request(request(), 2)


def test_second_request_waits_for_the_first_response() -> None:
    codec = sent()
    with pytest.raises(LocalProtocolError):
        codec.encode_request(request(), 2)


def test_whole_response_is_one_event_and_the_connection_is_free() -> None:
    codec = sent()
    response = whole(codec, b"HTTP/1.1 200 Fine\r\nContent-Length: 2\r\nX: y\r\n\r\nok")
    assert (response.status, response.reason, response.body, response.id) == (200, b"Fine", b"ok", 1)
    assert response.headers.raw == [(b"content-length", b"2"), (b"x", b"y")]
    assert codec.reusable
    assert codec.encode_request(request(), codec.next_id())
    assert whole(codec, b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n").id == 2


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
def test_response_that_has_no_body_ends_with_its_head(method: bytes, status: int) -> None:
    codec = sent(method)
    response = whole(codec, b"HTTP/1.1 %d x\r\nContent-Length: 7\r\n\r\n" % status)
    assert response.body == b""
    assert response.headers.find(b"content-length") == b"7"
    assert codec.reusable


def test_chunked_response_in_pieces() -> None:
    codec = sent(options=Http1Options(enable_trailers=True))
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
    first, data = codec.feed(head + b"2\r\nab")
    assert isinstance(first, Response)
    assert not first.end
    assert isinstance(data, Data)
    more, trailers = codec.feed(b"\r\n1\r\nc\r\n0\r\nA: b\r\n\r\n")
    assert isinstance(more, Data)
    assert (data.data, more.data, more.end) == (b"ab", b"c", False)
    assert isinstance(trailers, Trailers)
    assert codec.reusable


@pytest.mark.parametrize(
    "body",
    [
        b"content-length: 4\r\n\r\nbody",
        b"content-length: 8\r\n\r\nbody",
        b"transfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
    ],
)
def test_block_knows_that_its_head_came_again(body: bytes) -> None:
    codec, seen = Http1Client(), []
    for _ in range(3):
        codec.encode_request(request(), codec.next_id())
        first = codec.feed(b"HTTP/1.1 200 OK\r\nx-a: b\r\n" + body)[0]
        assert isinstance(first, Response)
        if not first.end:
            codec.feed(b"rest")
        seen.append(first.headers.block.repeats)
    assert seen == [False, True, True]


def test_response_without_length_lasts_until_the_close() -> None:
    codec = sent()
    first, data = codec.feed(b"HTTP/1.1 200 OK\r\n\r\nab")
    assert isinstance(first, Response)
    assert isinstance(data, Data)
    (more,) = codec.feed(b"c")
    (last,) = codec.eof()
    assert isinstance(more, Data)
    assert isinstance(last, Data)
    assert (data.data, more.data, last.data, last.end) == (b"ab", b"c", b"", True)
    assert not codec.reusable


@pytest.mark.parametrize(
    ("head", "reusable"),
    [
        (b"HTTP/1.1 200 OK\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection: foo, CLOSE\r\n", False),
        (b"HTTP/1.0 200 OK\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", True),
    ],
)
def test_reuse_follows_the_connection_field(head: bytes, reusable: bool) -> None:
    codec = sent()
    whole(codec, head + b"Content-Length: 0\r\n\r\n")
    assert codec.reusable is reusable


def test_interim_responses_come_before_the_response() -> None:
    codec = sent()
    data = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"
    first, second, response = codec.feed(data)
    assert isinstance(first, Interim)
    assert isinstance(second, Interim)
    assert isinstance(response, Response)
    assert (first.status, second.status, response.status) == (100, 103, 204)
    assert second.headers.raw == [(b"link", b"x")]


def test_thousands_of_interim_responses_are_told_one_by_one() -> None:
    events = sent().feed(b"HTTP/1.1 100 Continue\r\n\r\n" * 5000 + b"HTTP/1.1 204 No Content\r\n\r\n")
    assert len(events) == 5001
    assert isinstance(events[-1], Response)


def test_accepted_upgrade_makes_a_tunnel() -> None:
    codec = Http1Client()
    made = request(end=False)
    made.upgrade = b"websocket"
    assert codec.encode_request(made, 1).endswith(b"connection: upgrade\r\nupgrade: websocket\r\n\r\n")
    with pytest.raises(LocalProtocolError):
        codec.encode_data(1, b"early", False)
    response, data = codec.feed(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nhi")
    assert isinstance(response, Response)
    assert (response.status, response.end) == (101, False)
    assert isinstance(data, Data)
    assert data.data == b"hi"
    assert codec.encode_data(1, b"\0", False) == b"\0"
    assert not codec.reusable


def test_refused_upgrade_leaves_the_connection_usable() -> None:
    codec = Http1Client()
    made = request(end=False)
    made.upgrade = b"websocket"
    codec.encode_request(made, 1)
    whole(codec, b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    assert codec.encode_reset(1, "response_complete") == b""
    assert codec.reusable


def test_connect_makes_a_tunnel() -> None:
    codec = Http1Client()
    codec.encode_request(request(b"CONNECT", end=False), 1)
    response, data = codec.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef")
    assert isinstance(response, Response)
    assert isinstance(data, Data)
    assert data.data == b"abcdef"
    assert codec.encode_data(1, b"x", False) == b"x"


def test_early_response_spends_the_connection() -> None:
    codec = Http1Client()
    codec.encode_request(request(b"PUT", b"", (b"content-length", b"9"), end=False), 1)
    response = whole(codec, b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
    assert response.status == 413
    assert not codec.reusable
    assert codec.encode_data(1, b"123456789", True) == b""


def test_response_that_nobody_asked_for_is_a_fault() -> None:
    fault(Http1Client(), b"HTTP/1.1 408 Request Timeout\r\n\r\n")


def test_bytes_behind_the_response_are_a_fault() -> None:
    codec = sent()
    response = codec.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n")[0]
    assert isinstance(response, Response)
    assert response.body == b"ok"
    assert not codec.reusable
    for body in (b"Content-Length: 2\r\n\r\nok!", b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n!"):
        fault(sent(), b"HTTP/1.1 200 OK\r\n" + body)
    codec = sent()
    codec.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
    fault(codec, b"ok!")


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.2 200 OK\r\n\r\n",
        b"http/1.1 200 OK\r\n\r\n",
        b"\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 O\0K\r\n\r\n",
        b"HTTP/1.1 200 OK\nA: b\n\n",
        b"HTTP/1.1 200 OK\r\nA b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 101 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70000,
        b"\x16\x03\x01\x02\x00",
    ],
)
def test_bad_response_is_a_fault(data: bytes) -> None:
    fault(sent(), data)
    codec = sent()
    for place in range(len(data)):
        events = codec.feed(data[place : place + 1])
        if events and isinstance(events[-1], Fault):
            break
    else:
        pytest.fail("byte by byte there was no fault")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n",
    ],
)
def test_close_inside_a_response_is_a_fault(data: bytes) -> None:
    codec = sent()
    codec.feed(data)
    (event,) = codec.eof()
    assert isinstance(event, Fault)
    assert not codec.reusable


def test_close_between_responses_is_none() -> None:
    codec = Http1Client()
    assert codec.eof() == ()
    assert not codec.reusable


def test_lines_that_do_not_concern_the_connection_go_on_as_they_came() -> None:
    head = b"GET / HTTP/1.1\r\nUser-Agent:  me \r\nHost: a\r\nX-One: 1\r\nx-two:2\r\n\r\n"
    request = Http1Server().feed(head)[0]
    assert isinstance(request, Request)
    sent = Http1Client().encode_request(request, 1)
    assert sent == b"GET / HTTP/1.1\r\nhost: a\r\nUser-Agent:  me \r\nX-One: 1\r\nx-two:2\r\n\r\n"


def test_names_are_in_lower_case_once_anything_was_taken_away() -> None:
    head = b"GET / HTTP/1.1\r\nUser-Agent: me\r\nHost: a\r\nX-One: 1\r\n\r\n"
    request = Http1Server().feed(head)[0]
    assert isinstance(request, Request)
    request.headers.remove("x-one")
    assert Http1Client().encode_request(request, 1) == b"GET / HTTP/1.1\r\nhost: a\r\nuser-agent: me\r\n\r\n"
