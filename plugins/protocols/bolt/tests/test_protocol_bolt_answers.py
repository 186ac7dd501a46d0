"""Statuses in both directions, and what an answer of our own looks like."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plait.api import Headers, Request
from plait_protocol_bolt import BoltFrame, BoltServer, local_response
from plait_protocol_bolt.answers import STATUSES, code_of, exception, result
from plait_protocol_hessian import Decoder, Dialect, HessianObject

FRAMES: dict[str, Any] = json.loads((Path(__file__).parent / "frames.json").read_text())


def request(name: str) -> Request:
    event = BoltServer().feed(bytes.fromhex(FRAMES[name]["frames"][0]))[0]
    assert isinstance(event, Request)
    return event


def read(content: bytes) -> HessianObject:
    decoder = Decoder(content, dialect=Dialect.SOFA3)
    value = decoder.read()
    assert isinstance(value, HessianObject)
    assert decoder.at == len(content)
    return value


@pytest.mark.parametrize(
    ("status", "details", "code"),
    [
        (404, "route_not_found", 6),
        (408, "", 7),
        (504, "response_timeout", 7),
        (429, "rate_limited", 4),
        (503, "overflow", 4),
        (503, "upstream_reset_before_response_started{overflow}", 4),
        (503, "upstream_reset_before_response_started{connection_termination}", 0x10),
        (503, "no_healthy_upstream", 0x10),
        (503, "cluster_not_found", 0x10),
        (502, "upstream_reset_before_response_started{protocol_error}", 5),
        (500, "filter_error", 2),
        (403, "denied", 2),
        (400, "bolt.bad_header_block", 9),
        (413, "bolt.frame_too_large", 9),
        (200, "direct_response", 0),
    ],
)
def test_an_answer_has_the_status_that_clients_understand(status: int, details: str, code: int) -> None:
    assert code_of(status, details) == code
    response = local_response(request("java_sofarpc_say"), status, b"why", details)
    assert (response.status, response.code) == (status, code)
    assert isinstance(response.native, BoltFrame)
    assert response.native.status == code


def test_a_status_that_came_and_goes_again_is_the_same() -> None:
    for code in (0, 2, 4, 5, 6, 7, 9):
        assert code_of(STATUSES.get(code, 500)) == code


def test_an_error_carries_its_text_whatever_the_codec_of_the_request() -> None:
    for name in ("java_sofarpc_say", "anthunder_protobuf_v1", "javabolt_v2ver2crc"):
        response = local_response(request(name), 403, "not for you, \N{PILE OF POO} \xfc".encode(), "denied")
        frame = response.native
        assert isinstance(frame, BoltFrame)
        assert (frame.codec, frame.class_name) == (1, "com.alipay.remoting.rpc.exception.RpcServerException")
        value = read(response.body)
        assert value.type_name == frame.class_name
        assert list(value.fields) == ["detailMessage", "stackTrace"]
        assert value.fields["detailMessage"] == "not for you, ? \xfc"


def test_an_error_without_a_text_says_where_it_came_from() -> None:
    error = read(local_response(Request(Headers([])), 500, b"", "filter_error").body)
    assert error.fields["detailMessage"] == "filter_error"


def test_the_exception_begins_as_java_writes_it() -> None:
    java = bytes.fromhex(FRAMES["javabolt_v1_noprocessor"]["frames"][1])[20 + 0x34 :]
    name = b"O\xc8\x34com.alipay.remoting.rpc.exception.RpcServerException"
    assert java.startswith(name + b"\x94\x0ddetailMessage\x05cause")
    text = b"S\x00\x28" + b"x" * 40
    stack = b"Vt\x00\x1c[java.lang.StackTraceElementn\x00z"
    assert exception("x" * 40) == name + b"\x92\x0ddetailMessage\x0astackTraceo\x90" + text + stack


def test_a_long_text_is_cut() -> None:
    assert len(read(exception("x" * 10000)).fields["detailMessage"]) == 4096  # type: ignore[arg-type]  # it is a string


def test_a_direct_response_is_a_result() -> None:
    response = local_response(request("java_sofarpc_say"), 200, b"hello", "direct_response")
    assert read(response.body) == HessianObject(
        "com.alipay.sofa.rpc.core.response.SofaResponse",
        {"isError": False, "errorMsg": None, "appResponse": "hello", "responseProps": None},
    )
    captured = bytes.fromhex(FRAMES["java_sofarpc_say"]["frames"][1])[20 + 0x2E :]
    assert result("hello mesh3") == captured
    protobuf = local_response(request("anthunder_protobuf_v1"), 200, b"\x0a\x01x", "direct_response")
    assert isinstance(protobuf.native, BoltFrame)
    assert (protobuf.body, protobuf.native.codec) == (b"\x0a\x01x", 11)
