"""Calls through the filter, in both forms."""

from __future__ import annotations

import base64
from typing import cast

import pytest

from plait import Headers, Response
from plait.testing import FakeContext, FakeStream, run_filter
from plait_filter_grpc_web import GrpcWebFilter, GrpcWebSettings

MESSAGE = b"\0\0\0\0\x02hi"
TRAILERS = b"\x80\0\0\0\x0fgrpc-status:0\r\n"
TEXT = "application/grpc-web-text"


def called(
    content_type: str,
    *body: bytes,
    accept: str = "",
    response: Response | None = None,
    pieces: tuple[bytes, ...] = (MESSAGE,),
) -> tuple[FakeStream, dict[str, int]]:
    context = cast("FakeContext", FakeContext().for_chain("http.in"))
    headers = {"content-type": content_type, "content-length": "7", **({"accept": accept} if accept else {})}
    stream = FakeStream("POST", "/a.B/C", headers=headers, body=body or [MESSAGE])
    if response is None:
        response = Response(200, Headers([(b"content-type", b"application/grpc+proto")]))
        response.trailers = Headers([(b"grpc-status", b"0")])
    run_filter(GrpcWebFilter(GrpcWebSettings(), context), stream, response, pieces, context=context)
    return stream, context.fake_stats.values()


def test_binary_call_becomes_grpc_and_trailers_its_last_frame() -> None:
    stream, stats = called("application/grpc-web+proto")
    headers = stream.request.headers
    assert headers.get("content-type") == "application/grpc+proto"
    assert headers.get("te") == "trailers"
    assert headers.get("grpc-accept-encoding") == "identity,deflate,gzip"
    assert headers.get("content-length") == "7"
    assert stream.forwarded_body == MESSAGE
    assert stream.response is not None
    assert stream.response.headers.get("content-type") == "application/grpc-web+proto"
    assert stream.response.trailers is None
    assert stream.returned_body == MESSAGE + TRAILERS
    assert stats == {"http.in.grpc_web.rq_total": 1}


def test_text_call_is_decoded_and_answered_in_text() -> None:
    text = base64.b64encode(MESSAGE[:4]) + base64.b64encode(MESSAGE[4:])
    stream, _ = called(TEXT, text[:5], text[5:], pieces=(MESSAGE, MESSAGE))
    assert stream.request.headers.get("content-type") == "application/grpc"
    assert stream.request.headers.get("content-length") is None
    assert stream.forwarded_body == MESSAGE
    assert stream.response is not None
    assert stream.response.headers.get("content-type") == TEXT
    assert stream.returned_body == base64.b64encode(MESSAGE) * 2 + base64.b64encode(TRAILERS)


@pytest.mark.parametrize(("asked", "accept"), [("application/grpc-web", TEXT), (TEXT, "application/grpc-web")])
def test_caller_chooses_the_form_of_the_response(asked: str, accept: str) -> None:
    body = base64.b64encode(MESSAGE) if asked == TEXT else MESSAGE
    stream, _ = called(asked, body, accept=accept)
    assert stream.response is not None
    assert stream.response.headers.get("content-type") == accept
    whole = MESSAGE + TRAILERS
    assert stream.returned_body == (base64.b64encode(MESSAGE) + base64.b64encode(TRAILERS) if accept == TEXT else whole)


def test_response_that_is_trailers_only_stays_one() -> None:
    head = Headers([(b"content-type", b"application/grpc"), (b"grpc-status", b"5")])
    stream, _ = called("application/grpc-web", response=Response(200, head), pieces=())
    assert stream.response is not None
    assert stream.response.headers.get("content-type") == "application/grpc-web"
    assert stream.response.headers.get("grpc-status") == "5"
    assert stream.returned_body == b""


@pytest.mark.parametrize(("status", "code"), [(503, "14"), (404, "12"), (200, "2")])
def test_response_that_is_not_grpc_gets_a_status(status: int, code: str) -> None:
    response = Response(status, Headers([(b"content-type", b"text/html")]))
    stream, _ = called(TEXT, base64.b64encode(MESSAGE), response=response, pieces=(b"<html>",))
    assert stream.response is not None
    assert stream.response.headers.get("grpc-status") == code
    assert stream.response.headers.get("content-type") == "text/html"
    assert stream.returned_body == b"<html>"


@pytest.mark.parametrize("body", [b"****", b"AAAAA"])
def test_text_that_is_no_base64_is_refused(body: bytes) -> None:
    stream, stats = called(TEXT, body)
    assert stream.replied
    assert stream.response is not None
    assert stream.response.status == 400
    assert stream.details == "grpc_base_64_decode_failed"
    assert stats["http.in.grpc_web.rq_bad_base64"] == 1


@pytest.mark.parametrize("content_type", ["application/grpc", "application/json"])
def test_other_requests_pass_as_they_are(content_type: str) -> None:
    stream, stats = called(content_type)
    assert stream.request.headers.get("content-type") == content_type
    assert stream.response is not None
    assert stream.response.trailers is not None
    assert stream.returned_body == MESSAGE
    assert stats == {}
