"""The downstream codec: what requests become, what responses are written as, and in which order."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from plait.api import Data, Event, Fault, Headers, LocalProtocolError, Request, Response, Switch, Trailers
from plait.testing import check_codec
from plait_protocol_http1 import Http1Options, Http1Server, expects_continue, local_response

GET = b"GET /hello?x=1 HTTP/1.1\r\nHost: shop\r\nX-Name: Value\r\n\r\n"


def request_of(events: Sequence[Event]) -> Request:
    assert events, "no event came"
    request = events[0]
    assert isinstance(request, Request), request
    return request


def ask(codec: Http1Server, data: bytes) -> Request:
    return request_of(codec.feed(data))


def response(status: int = 200, body: bytes = b"", *fields: tuple[bytes, bytes], end: bool = True) -> Response:
    made = Response(status, Headers(list(fields)))
    made.body = body
    made.end = end
    return made


def test_request_without_body_is_one_event() -> None:
    request = ask(Http1Server(), GET)
    assert (request.raw_method, request.raw_path, request.raw_authority) == (b"GET", b"/hello?x=1", b"shop")
    assert request.headers.raw == [(b"host", b"shop"), (b"x-name", b"Value")]
    assert request.headers.changed is False
    assert (request.end, request.body, request.protocol, request.raw_scheme) == (True, b"", "HTTP/1.1", b"")


def test_request_with_whole_body_is_one_event() -> None:
    request = ask(Http1Server(), b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
    assert (request.end, request.body) == (True, b"hello")


def test_body_that_comes_later_is_data() -> None:
    codec = Http1Server()
    events = codec.feed(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")
    assert request_of(events).end is False
    first, second = events[1], codec.feed(b"llo")[0]
    assert isinstance(first, Data)
    assert isinstance(second, Data)
    assert [(first.data, first.end), (second.data, second.end)] == [(b"he", False), (b"llo", True)]


def test_whole_chunked_body_is_joined() -> None:
    data = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
    request = ask(Http1Server(), data)
    assert (request.end, request.body, request.trailers) == (True, b"hello", None)


def test_trailers_are_given_only_when_enabled() -> None:
    data = (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Sum: 7\r\nHost: evil\r\n\r\n"
    )
    request = ask(Http1Server(Http1Options(enable_trailers=True)), data)
    assert request.trailers is not None
    assert request.trailers.raw == [(b"x-sum", b"7")]
    assert ask(Http1Server(), data).trailers is None


def test_late_trailers_are_an_event() -> None:
    codec = Http1Server(Http1Options(enable_trailers=True))
    codec.feed(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
    (event,) = codec.feed(b"0\r\nX-Sum: 7\r\n\r\n")
    assert isinstance(event, Trailers)
    assert event.headers.raw == [(b"x-sum", b"7")]


def test_empty_lines_before_a_request_are_skipped() -> None:
    codec = Http1Server()
    assert codec.feed(b"\r\n") == ()
    assert codec.feed(b"\r") == ()
    assert ask(codec, b"\n\r\n" + GET).raw_method == b"GET"


def test_absolute_target_becomes_path_and_authority() -> None:
    request = ask(Http1Server(), b"GET HTTP://other:81?x HTTP/1.1\r\nHost: a\r\nB: c\r\n\r\n")
    assert (request.raw_path, request.raw_authority, request.raw_scheme) == (b"/?x", b"other:81", b"http")
    assert request.headers.raw == [(b"host", b"other:81"), (b"b", b"c")]


def test_absolute_target_is_refused_when_switched_off() -> None:
    (event,) = Http1Server(Http1Options(allow_absolute_url=False)).feed(b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n")
    assert isinstance(event, Fault)


def test_filters_of_one_request_do_not_change_the_next() -> None:
    codec = Http1Server()
    first = ask(codec, GET)
    first.headers.set("x-name", "changed")
    first.headers.raw.append((b"x-new", b"1"))
    codec.encode_response(first, response())
    assert ask(codec, GET).headers.raw == [(b"host", b"shop"), (b"x-name", b"Value")]


def test_pipelined_requests_wait_for_their_turn() -> None:
    codec = Http1Server()
    post = b"POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab"
    request = ask(codec, GET + post + GET[:20])
    assert codec.held
    assert codec.feed(GET[20:]) == ()
    assert codec.encode_response(request, response(200, b"1")).endswith(b"\r\n\r\n1")
    assert codec.held
    request = ask(codec, b"")
    assert (request.raw_path, request.body, request.id) == (b"/2", b"ab", 2)
    codec.encode_response(request, response())
    request = ask(codec, b"")
    assert (request.raw_path, codec.held) == (b"/hello?x=1", False)


def test_thousands_of_pipelined_requests_are_answered_in_order() -> None:
    codec = Http1Server()
    count = 5000
    data = b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(count))
    request = ask(codec, data)
    for number in range(count):
        assert request.raw_path == b"/%d" % number
        codec.encode_response(request, response())
        if codec.held:
            request = ask(codec, b"")
    assert not codec.held


def test_connection_close_ends_the_connection() -> None:
    codec = Http1Server()
    request = ask(codec, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n" + GET)
    assert codec.closing
    assert not codec.held
    assert b"\r\nconnection: close\r\n" in codec.encode_response(request, response())
    assert codec.feed(GET) == ()


def test_drain_says_close_in_the_next_response() -> None:
    codec = Http1Server()
    request = ask(codec, GET)
    assert codec.drain() == b""
    assert b"\r\nconnection: close\r\n" in codec.encode_response(request, response())


def test_old_clients_are_told_to_upgrade_by_default() -> None:
    (event,) = Http1Server().feed(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
    assert isinstance(event, Fault)
    assert event.error.status == 426


def test_old_client_gets_an_old_response_and_the_close() -> None:
    codec = Http1Server(Http1Options(accept_http_10=True))
    request = ask(codec, b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
    assert request.protocol == "HTTP/1.0"
    assert codec.closing
    head = codec.encode_response(request, response(end=False))
    assert head == b"HTTP/1.0 200 OK\r\nconnection: close\r\n\r\n"
    assert codec.encode_data(request, b"abc", False) == b"abc"
    assert codec.encode_data(request, b"", True) == b""


def test_old_client_that_keeps_alive_is_kept() -> None:
    codec = Http1Server(Http1Options(accept_http_10=True, default_host_for_http_10="none.example"))
    request = ask(codec, b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert request.raw_authority == b"none.example"
    answer = codec.encode_response(request, response(200, b"hi"))
    assert answer == b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nhi"
    assert not codec.closing


def test_old_client_without_host_is_refused() -> None:
    (event,) = Http1Server(Http1Options(accept_http_10=True)).feed(b"GET / HTTP/1.0\r\n\r\n")
    assert isinstance(event, Fault)


def test_interim_is_not_for_old_clients() -> None:
    codec = Http1Server(Http1Options(accept_http_10=True))
    request = ask(codec, b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
    assert codec.encode_interim(request, 103, Headers([])) == b""


def test_continue_is_expected_once_and_written_before_the_response() -> None:
    codec = Http1Server()
    request = ask(codec, b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n")
    assert expects_continue(request)
    assert codec.encode_interim(request, 100, Headers([])) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert not expects_continue(ask(Http1Server(), GET))


def test_response_has_the_length_of_its_body() -> None:
    codec = Http1Server()
    request = ask(codec, GET)
    answer = codec.encode_response(request, response(404, b"gone", (b"content-length", b"99"), (b"server", b"x")))
    assert answer == b"HTTP/1.1 404 Not Found\r\nserver: x\r\ncontent-length: 4\r\n\r\ngone"


def test_hop_by_hop_fields_stay_behind() -> None:
    codec = Http1Server()
    request = ask(codec, GET)
    fields = [
        (b"connection", b"keep-alive"),
        (b"keep-alive", b"timeout=5"),
        (b"proxy-connection", b"x"),
        (b"transfer-encoding", b"chunked"),
        (b"upgrade", b"x"),
        (b"te", b"x"),
        (b"a", b"b"),
    ]
    answer = codec.encode_response(request, response(200, b"", *fields))
    assert answer == b"HTTP/1.1 200 OK\r\na: b\r\ncontent-length: 0\r\n\r\n"


def test_streamed_response_with_length_is_not_chunked() -> None:
    codec = Http1Server()
    request = ask(codec, GET)
    head = codec.encode_response(request, response(200, b"a", (b"content-length", b"3"), end=False))
    assert head == b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\na"
    assert codec.encode_data(request, b"bc", True) == b"bc"
    assert ask(codec, GET).id == 2


def test_streamed_response_without_length_is_chunked() -> None:
    codec = Http1Server()
    request = ask(codec, GET)
    head = codec.encode_response(request, response(200, b"", end=False))
    assert head == b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    assert codec.encode_data(request, b"", False) == b""
    assert codec.encode_data(request, b"hello world, hello", False) == b"12\r\nhello world, hello\r\n"
    assert codec.encode_data(request, b"!", True) == b"1\r\n!\r\n0\r\n\r\n"


def test_response_trailers_go_out_when_enabled() -> None:
    codec = Http1Server(Http1Options(enable_trailers=True))
    request = ask(codec, GET)
    codec.encode_response(request, response(end=False))
    trailers = Headers([(b"x-sum", b"7"), (b"content-length", b"1")])
    assert codec.encode_trailers(request, trailers) == b"0\r\nx-sum: 7\r\n\r\n"
    request = ask(codec, GET)
    whole = response(200, b"hi")
    whole.trailers = trailers
    assert codec.encode_response(request, whole).endswith(b"chunked\r\n\r\n2\r\nhi\r\n0\r\nx-sum: 7\r\n\r\n")


def test_response_trailers_are_dropped_otherwise() -> None:
    codec = Http1Server()
    request = ask(codec, GET)
    codec.encode_response(request, response(end=False))
    assert codec.encode_trailers(request, Headers([(b"x-sum", b"7")])) == b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("status", "method", "expected"),
    [
        (200, b"HEAD", b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n"),
        (304, b"GET", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n"),
        (204, b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
    ],
)
def test_response_without_body_keeps_only_its_length(status: int, method: bytes, expected: bytes) -> None:
    codec = Http1Server()
    request = ask(codec, method + b" / HTTP/1.1\r\nHost: a\r\n\r\n")
    request.raw_method = b"POST"  # whatever filters do to it, the caller sent the method it sent
    assert codec.encode_response(request, response(status, b"ignored", (b"content-length", b"7"))) == expected
    request = ask(codec, method + b" / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert codec.encode_response(request, response(status, b"", (b"content-length", b"7"), end=False)) == expected
    assert codec.encode_data(request, b"ignored", True) == b""
    assert ask(codec, GET).raw_method == b"GET"


def test_local_response_is_plain_text() -> None:
    codec = Http1Server()
    request = ask(codec, GET)
    answer = codec.encode_response(request, local_response(request, 503, b"no healthy upstream", "no_healthy_upstream"))
    assert answer == (
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\ncontent-length: 19\r\n\r\nno healthy upstream"
    )


def test_fault_is_answered_with_close() -> None:
    codec = Http1Server()
    request = ask(codec, b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    codec.encode_response(request, response())
    (event,) = codec.feed(b"nonsense\r\n\r\n")
    assert isinstance(event, Fault)
    assert codec.closing
    unbegun = Request(Headers([]))
    answer = codec.encode_response(unbegun, local_response(unbegun, 400, b"Bad Request", "x"))
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert answer.endswith(b"connection: close\r\n\r\nBad Request")
    assert codec.feed(GET) == ()


def test_answer_before_the_whole_request_closes() -> None:
    codec = Http1Server()
    request = ask(codec, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")
    assert b"\r\nconnection: close\r\n" in codec.encode_response(request, response(413))
    assert codec.closing
    assert codec.feed(b"llo" + GET) == ()


def test_response_that_ends_before_the_request_closes() -> None:
    codec = Http1Server()
    request = ask(codec, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")
    codec.encode_response(request, response(end=False))
    codec.encode_data(request, b"x", True)
    assert codec.closing
    assert codec.feed(b"llo") == ()


def test_close_inside_a_request_is_a_fault() -> None:
    for data in (GET[:10], b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe"):
        codec = Http1Server()
        codec.feed(data)
        (event,) = codec.eof()
        assert isinstance(event, Fault)
        assert event.error.status == 400


def test_close_between_requests_is_none() -> None:
    codec = Http1Server()
    assert codec.eof() == ()
    codec.feed(GET)
    assert codec.eof() == ()


UPGRADE = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n"


def test_accepted_upgrade_makes_a_tunnel() -> None:
    codec = Http1Server()
    request = ask(codec, UPGRADE + b"early")
    assert (request.upgrade, request.end) == (b"websocket", False)
    answer = codec.encode_response(request, response(101, b"", (b"upgrade", b"websocket"), (b"a", b"b"), end=False))
    assert answer == b"HTTP/1.1 101 Switching Protocols\r\na: b\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    (data,) = codec.feed(b" bird")
    assert isinstance(data, Data)
    assert (data.data, data.end) == (b"early bird", False)
    assert codec.encode_data(request, b"\0raw", False) == b"\0raw"
    (last,) = codec.eof()
    assert isinstance(last, Data)
    assert last.end


def test_refused_upgrade_goes_on_with_the_next_request() -> None:
    codec = Http1Server()
    request = ask(codec, UPGRADE + GET)
    codec.encode_response(request, response(403))
    assert not codec.closing
    assert codec.encode_reset(request, "over") == b""
    assert ask(codec, b"").raw_path == b"/hello?x=1"


def h2c(*lines: bytes, method: bytes = b"GET") -> bytes:
    """A request that offers to go on in HTTP/2, with these lines for the usual ones."""
    usual = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk")
    return b"\r\n".join((method + b" /hello?x=1 HTTP/1.1", b"Host: a", *(lines or usual), b"", b""))


def test_an_offer_to_go_on_in_http2_is_told_with_its_request() -> None:
    codec = Http1Server()
    for _ in range(2):  # the second head is one that was read before
        (offer,) = codec.feed(h2c())
        assert isinstance(offer, Switch)
        assert (offer.protocol, offer.settings) == (b"h2c", b"AAMAAABk")
        assert offer.answer == b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
        request = offer.request
        assert (request.upgrade, request.end, request.raw_path) == (b"", True, b"/hello?x=1")
        assert request.headers.find(b"http2-settings") is None
        # nobody took it up
        assert codec.encode_response(request, response(200)).startswith(b"HTTP/1.1 200 OK\r\n")


def test_what_comes_behind_an_offer_goes_to_the_next_protocol_or_is_the_next_request() -> None:
    codec = Http1Server()
    (offer,) = codec.feed(h2c() + b"PRI")
    codec.feed(b" *")
    assert codec.leave() == b"PRI *"
    assert not codec.held
    (offer,) = (codec := Http1Server()).feed(h2c() + GET)
    assert isinstance(offer, Switch)
    codec.encode_response(offer.request, response(200))
    assert isinstance(codec.feed(b"")[0], Request)
    check_codec(Http1Server, h2c() + b"PRI")


USUAL = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk")


@pytest.mark.parametrize(
    "text",
    [
        h2c(b"Connection: Upgrade", *USUAL[1:]),
        h2c(b"Connection: HTTP2-Settings", *USUAL[1:]),
        h2c(*USUAL[1:]),
        h2c(*USUAL[:2]),
        h2c(*USUAL, b"HTTP2-Settings: AAMAAABk"),
        h2c(b"Connection: Upgrade, HTTP2-Settings, close", *USUAL[1:]),
        h2c(*USUAL[::2], b"Upgrade: h2"),
        h2c(*USUAL[::2], b"Upgrade: h2c, websocket"),
        h2c(*USUAL, b"Content-Length: 1", method=b"POST") + b"a",
        h2c(*USUAL, b"Transfer-Encoding: chunked", method=b"POST") + b"0\r\n\r\n",
        h2c(*USUAL).replace(b"HTTP/1.1", b"HTTP/1.0"),
        b"CONNECT a:80" + h2c(*USUAL)[14:],
    ],
)
def test_other_offers_are_not_for_http2(text: bytes) -> None:
    (request, *_) = Http1Server(Http1Options(accept_http_10=True)).feed(text)
    assert isinstance(request, Request)
    assert request.upgrade in (b"", b"h2", b"websocket")


def test_no_offer_is_told_while_the_connection_is_ending() -> None:
    codec = Http1Server()
    codec.drain()
    assert isinstance(codec.feed(h2c())[0], Request)


def test_upgrade_with_a_body_is_not_offered() -> None:
    body = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 1\r\n\r\na"
    request = ask(Http1Server(), body)
    assert (request.upgrade, request.end, request.body) == (b"", True, b"a")


def test_connect_makes_a_tunnel() -> None:
    codec = Http1Server()
    request = ask(codec, b"CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n")
    assert (request.raw_method, request.raw_path, request.raw_authority) == (b"CONNECT", b"", b"db:5432")
    assert codec.encode_response(request, response(200, end=False)) == b"HTTP/1.1 200 OK\r\n\r\n"
    (data,) = codec.feed(b"x")
    assert isinstance(data, Data)


def test_switching_protocols_unasked_is_refused() -> None:
    codec = Http1Server()
    with pytest.raises(LocalProtocolError):
        codec.encode_response(ask(codec, GET), response(101))


@pytest.mark.parametrize(
    "field",
    [
        (b"a", b"b\r\nx: y"),
        (b"a", b"b\nx"),
        (b"a", b"\0"),
        (b"a b", b"c"),
        (b"", b"c"),
        (b"a:", b"c"),
        (b"a\r\nb", b"c"),
    ],
)
def test_response_field_that_breaks_the_head_is_refused(field: tuple[bytes, bytes]) -> None:
    codec = Http1Server()
    request = ask(codec, GET)
    with pytest.raises(LocalProtocolError):
        codec.encode_response(request, response(200, b"", field))
    assert codec.encode_response(request, response(500)).startswith(b"HTTP/1.1 500 ")


def test_body_of_another_length_than_declared_is_refused() -> None:
    codec = Http1Server()
    request = ask(codec, GET)
    codec.encode_response(request, response(200, b"", (b"content-length", b"3"), end=False))
    with pytest.raises(LocalProtocolError):
        codec.encode_data(request, b"four", False)
    codec = Http1Server()
    request = ask(codec, GET)
    codec.encode_response(request, response(200, b"", (b"content-length", b"3"), end=False))
    with pytest.raises(LocalProtocolError):
        codec.encode_data(request, b"2", True)


def test_writing_out_of_turn_is_refused() -> None:
    codec = Http1Server()
    request = ask(codec, GET)
    with pytest.raises(LocalProtocolError):
        codec.encode_data(request, b"x", False)
    codec.encode_response(request, response(end=False))
    with pytest.raises(LocalProtocolError):
        codec.encode_response(request, response())


def test_unknown_status_has_a_reason() -> None:
    codec = Http1Server()
    assert codec.encode_response(ask(codec, GET), response(599)).startswith(b"HTTP/1.1 599 Unknown\r\n")
    with pytest.raises(LocalProtocolError):
        codec.encode_response(ask(codec, GET), response(1000))


@pytest.mark.parametrize(
    "data",
    [
        GET,
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_block_knows_that_its_head_came_again(data: bytes) -> None:
    codec = Http1Server()
    first = ask(codec, data)
    assert not first.headers.block.repeats
    codec.encode_response(first, response())
    second = ask(codec, data)
    assert second.headers.block.repeats
    assert (second.body, second.end) == (first.body, True)
