"""Answers of our own to gRPC requests."""

from __future__ import annotations

from typing import Any

import pytest

from plait import Headers, ProtocolType, Request, Response
from plait_protocol_http.local import with_grpc


def plain(request: Request, status: int, body: bytes, details: str) -> Response:
    response = Response(status, Headers([(b"content-type", b"text/plain")]), request.id, body=body)
    response.protocol = "plain"
    return response


def unused(*arguments: object) -> Any:
    raise NotImplementedError


def answer(content_type: bytes, status: int, body: bytes = b"", details: str = "") -> Response:
    protocol = with_grpc(ProtocolType("some", unused, unused, plain))
    return protocol.local_response(Request(Headers([(b"content-type", content_type)]), 7), status, body, details)


def test_answer_to_grpc_is_trailers_only() -> None:
    response = answer(b"application/grpc+proto", 503, b"no healthy upstream")
    assert response.status == 200
    assert response.headers.raw == [
        (b"content-type", b"application/grpc"),
        (b"grpc-status", b"14"),
        (b"grpc-message", b"no healthy upstream"),
    ]
    assert (response.body, response.end, response.id, response.protocol) == (b"", True, 7, "plain")


def test_answer_without_a_text_has_no_message() -> None:
    response = answer(b"application/grpc", 404)
    assert response.headers.raw == [(b"content-type", b"application/grpc"), (b"grpc-status", b"12")]


@pytest.mark.parametrize("details", ["response_timeout", "upstream_per_try_timeout", "request_overall_timeout"])
def test_timeout_is_deadline_exceeded(details: str) -> None:
    assert answer(b"application/grpc", 504, b"late", details).headers.get("grpc-status") == "4"


def test_other_requests_are_answered_by_the_codec() -> None:
    response = answer(b"application/grpc-web", 503, b"no healthy upstream")
    assert (response.status, response.body) == (503, b"no healthy upstream")
    assert response.headers.raw == [(b"content-type", b"text/plain")]
