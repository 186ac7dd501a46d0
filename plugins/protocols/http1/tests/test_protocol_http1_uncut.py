"""Long bodies that go on without being copied."""

from __future__ import annotations

import pytest

from plait import Headers, Request
from plait_protocol_http1 import Http1Client, Http1Options, Http1Server
from plait_protocol_http1.uncut import LONG_BODY_BYTES, UncutResponse

BODY = bytes(range(256)) * (LONG_BODY_BYTES // 256 + 1)
ANSWER = b"HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)


def _second_answer() -> UncutResponse:
    """The second of two equal responses: the client knows its head by then."""
    client = Http1Client()
    for _ in range(2):
        client.encode_request(Request(Headers([(b"host", b"h")]), 1, b"GET", b"/", b"h"), client.next_id())
        (response,) = client.feed(ANSWER)
    assert isinstance(response, UncutResponse)
    return response


def _served(response: UncutResponse) -> bytes:
    server = Http1Server()
    (request,) = server.feed(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
    assert isinstance(request, Request)
    frame = server.encode_response(request, response)
    written = b"".join(server.output) + frame
    server.output.clear()
    (again,) = server.feed(b"GET /again HTTP/1.1\r\nhost: h\r\n\r\n")
    assert isinstance(again, Request)
    return written


def test_long_body_is_written_from_where_it_was_read() -> None:
    response = _second_answer()
    assert response.body_size == len(BODY)
    assert _served(response) == ANSWER
    assert response.uncut() is not None


def test_body_that_was_looked_at_is_written_all_the_same() -> None:
    response = _second_answer()
    assert response.body == BODY
    assert response.uncut() is None
    assert _served(response) == ANSWER


def test_body_that_a_filter_replaced_goes_out_instead() -> None:
    response = _second_answer()
    response.body = b"short"
    assert response.body_size == 5
    assert _served(response).endswith(b"content-length: 5\r\n\r\nshort")


@pytest.mark.parametrize("line", [b"HEAD / HTTP/1.1", b"GET / HTTP/1.0"])
def test_special_requests_get_long_bodies_by_their_own_rules(line: bytes) -> None:
    server = Http1Server(Http1Options(accept_http_10=True))
    (request,) = server.feed(line + b"\r\nhost: h\r\n\r\n")
    assert isinstance(request, Request)
    written = server.encode_response(request, _second_answer())
    assert not server.output
    assert written.endswith(BODY) is not line.startswith(b"HEAD")
    assert written.startswith(line[-8:])
