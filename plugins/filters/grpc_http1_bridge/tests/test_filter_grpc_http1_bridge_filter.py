"""Calls of HTTP/1.1 clients through the bridge."""

from __future__ import annotations

from typing import Any, cast

import pytest
from envoy.extensions.filters.http.grpc_http1_bridge.v3.config_pb2 import Config
from google.protobuf.json_format import ParseDict

from plait import Headers, Response
from plait.testing import FakeContext, FakeStream, run_filter
from plait_filter_grpc_http1_bridge import BridgeSettings, GrpcHttp1Bridge
from plait_filter_grpc_http1_bridge.filter import LIMIT_BYTES
from plait_filter_grpc_http1_bridge.translate import bridge

MESSAGE = b"\0\0\0\0\x02hi"
FRAMING = BridgeSettings(upgrade_protobuf_to_grpc=True)


def grpc_response(*trailers: tuple[bytes, bytes], head: tuple[tuple[bytes, bytes], ...] = ()) -> Response:
    response = Response(200, Headers([(b"content-type", b"application/grpc"), *head]))
    response.trailers = Headers(list(trailers)) if trailers else None
    return response


def called(
    response: Response,
    *pieces: bytes,
    settings: BridgeSettings | None = None,
    content_type: str = "application/grpc",
    protocol: str = "HTTP/1.1",
    path: str = "/a.B/C?x=1",
    body: bytes = MESSAGE,
) -> FakeStream:
    context = FakeContext()
    stream = FakeStream("POST", path, headers={"content-type": content_type}, body=body, protocol=protocol)
    run_filter(GrpcHttp1Bridge(settings or BridgeSettings(), context), stream, response, pieces, context=context)
    return stream


def test_status_moves_to_the_head() -> None:
    stream = called(grpc_response((b"grpc-status", b"0"), (b"x", b"y")), MESSAGE[:3], MESSAGE[3:])
    response = stream.response
    assert response is not None
    assert response.status == 200
    assert response.headers.get("grpc-status") == "0"
    assert response.headers.get("content-length") == "7"
    assert response.headers.get("x") is None
    assert (stream.returned_body, response.trailers, response.end) == (MESSAGE, None, True)
    assert stream.forwarded_body == MESSAGE
    assert stream.request.headers.get("te") == "trailers"


def test_failure_is_503() -> None:
    response = called(grpc_response((b"grpc-status", b"5"), (b"grpc-message", b"gone")), MESSAGE).response
    assert response is not None
    assert response.status == 503
    assert response.headers.get("grpc-status") == "5"
    assert response.headers.get("grpc-message") == "gone"


def test_failure_that_is_trailers_only_is_503_too() -> None:
    response = called(grpc_response(head=((b"grpc-status", b"12"),))).response
    assert response is not None
    assert (response.status, response.headers.get("content-length")) == (503, "0")


@pytest.mark.parametrize("trailers", [(), ((b"grpc-status", b"x"),)])
def test_response_without_a_status_is_unknown(trailers: tuple[tuple[bytes, bytes], ...]) -> None:
    response = called(grpc_response(*trailers), MESSAGE).response
    assert response is not None
    assert (response.status, response.headers.get("grpc-status")) == (503, "2")


@pytest.mark.parametrize(
    ("content_type", "protocol"), [("application/grpc", "HTTP/2"), ("application/json", "HTTP/1.1")]
)
def test_who_sees_trailers_or_speaks_no_grpc_is_left_alone(content_type: str, protocol: str) -> None:
    stream = called(grpc_response((b"grpc-status", b"5")), MESSAGE, content_type=content_type, protocol=protocol)
    assert stream.response is not None
    assert stream.response.status == 200
    assert stream.response.trailers is not None
    assert "grpc-status" not in stream.response.headers


def test_bare_protobuf_is_framed_and_its_response_unframed() -> None:
    response = grpc_response((b"grpc-status", b"0"))
    stream = called(response, MESSAGE, settings=FRAMING, content_type="application/x-protobuf", body=b"hi")
    assert stream.request.headers.get("content-type") == "application/grpc"
    assert stream.request.headers.get("te") == "trailers"
    assert stream.request.body == MESSAGE
    assert stream.request.path == "/a.B/C?x=1"
    assert response.headers.get("content-type") == "application/x-protobuf"
    assert response.headers.get("content-length") == "2"
    assert stream.returned_body == b"hi"


def test_query_is_dropped_where_that_is_wanted() -> None:
    settings = BridgeSettings(upgrade_protobuf_to_grpc=True, ignore_query_parameters=True)
    stream = called(grpc_response((b"grpc-status", b"0")), settings=settings, content_type="application/x-protobuf")
    assert stream.request.path == "/a.B/C"


def test_bare_protobuf_passes_where_nobody_asked_for_a_frame() -> None:
    stream = called(grpc_response((b"grpc-status", b"0")), MESSAGE, content_type="application/x-protobuf", body=b"hi")
    assert stream.forwarded_body == b"hi"
    assert stream.request.headers.get("content-type") == "application/x-protobuf"


def test_response_that_is_not_grpc_keeps_its_status() -> None:
    plain = Response(404, Headers([(b"content-type", b"text/html")]))
    stream = called(plain, b"<html>", settings=FRAMING, content_type="application/x-protobuf")
    assert plain.status == 404
    assert stream.returned_body == b"<html>"


def test_response_that_is_too_long_is_refused() -> None:
    stream = called(grpc_response((b"grpc-status", b"0")), b"x" * (LIMIT_BYTES + 1))
    assert stream.details == "response_payload_too_large"


def test_everything_is_translated() -> None:
    message = ParseDict({"upgrade_protobuf_to_grpc": True, "ignore_query_parameters": True}, Config())
    assert bridge(message, cast("Any", None), cast("Any", None)) == BridgeSettings(True, True)
    assert bridge(Config(), cast("Any", None), cast("Any", None)) == BridgeSettings()
