"""What is read of a content for routing, what it costs at most, and the names that filters and routes have for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plait.api import Request
from plait_protocol_bolt import BoltOptions, BoltServer
from plait_protocol_bolt.block import field
from plait_protocol_bolt.content import SOFA_REQUEST, fields_of, method_of
from plait_protocol_bolt.frame import V1, head_of
from plait_protocol_hessian import Dialect, HessianObject, TypedMap, dumps

CLASS = SOFA_REQUEST.decode()
TRACE = {"sofaTraceId": "0a0f1234", "sofaRpcId": "0.1", "sofaCallerApp": "web"}


def sofa(**fields: Any) -> bytes:
    return dumps(HessianObject(CLASS, {"methodName": "say", **fields}), "an argument", dialect=Dialect.SOFA3)


def request(
    content: bytes, headers: dict[str, str] | None = None, codec: int = 1, options: BoltOptions | None = None
) -> Request:
    block = b"".join(field(name.encode(), value.encode()) for name, value in (headers or {"service": "S:1.0"}).items())
    head = head_of(V1, 1, 1, 7, codec, 3000, SOFA_REQUEST, block, len(content))
    made = BoltServer(options).feed(head + content)[0]
    assert isinstance(made, Request)
    return made


CONTENT = sofa(targetAppName="shop", requestProps={"app": "web-content", "rpc_trace_context": TRACE})
HEADERS = {
    "service": "S:1.0",
    "sofa_head_target_app": "stock",
    "app": "web-header",
    "rpc_trace_context.sofaTraceId": "ffff",
    "rpc_trace_context.sofaRpcId": "0.7",
}


def test_names_are_found_in_the_content_where_headers_do_not_say() -> None:
    made = request(CONTENT)
    assert made.pseudo(b":target-app") == b"shop"
    assert made.pseudo(b":caller-app") == b"web-content"
    assert made.pseudo(b":trace-id") == b"0a0f1234"
    assert made.pseudo(b":rpc-id") == b"0.1"
    assert request(sofa(requestProps={"rpc_trace_context": TRACE})).pseudo(b":caller-app") == b"web"
    typed = TypedMap("java.util.HashMap", TRACE)
    assert request(sofa(requestProps={"rpc_trace_context": typed})).pseudo(b":trace-id") == b"0a0f1234"


def test_names_in_headers_come_first() -> None:
    made = request(CONTENT, HEADERS)
    said = [made.pseudo(name) for name in (b":target-app", b":caller-app", b":trace-id", b":rpc-id")]
    assert said == [b"stock", b"web-header", b"ffff", b"0.7"]
    made.headers.set("sofa_head_target_app", "another")
    assert made.pseudo(b":target-app") == b"another", "as filters left it"


def test_an_empty_header_says_nothing() -> None:
    """Python's clients write the target application whether they know it or not."""
    assert request(CONTENT, {"service": "S:1.0", "sofa_head_target_app": ""}).pseudo(b":target-app") == b"shop"


def test_names_of_a_long_call_are_read_from_its_beginning() -> None:
    made = request(CONTENT + b"x" * 5000, options=BoltOptions(stream_threshold_bytes=100))
    assert (made.end, made.path, made.pseudo(b":trace-id")) == (False, "say", b"0a0f1234")


@pytest.mark.parametrize("codec", [2, 11, 12, 20])
def test_a_content_that_is_no_hessian_is_not_looked_at(codec: int) -> None:
    assert request(CONTENT, codec=codec).pseudo(b":trace-id") is None
    assert request(CONTENT, HEADERS, codec=codec).pseudo(b":trace-id") == b"ffff"


def test_what_is_no_text_is_not_there() -> None:
    odd = sofa(targetAppName=7, requestProps={"rpc_trace_context": "none", "app": ["a"]})
    assert [request(odd).pseudo(name) for name in (b":target-app", b":trace-id", b":caller-app")] == [None] * 3
    assert request(sofa(requestProps=None)).pseudo(b":trace-id") is None


def test_a_method_whose_name_no_text_can_be_is_read_all_the_same() -> None:
    """Java's strings may hold half a pair of surrogates."""
    made = request(dumps(HessianObject(CLASS, {"methodName": "a\ud800"}), dialect=Dialect.SOFA3))
    assert made.raw_path == b"a\xed\xa0\x80"


DEEP: Any = "x"
for _ in range(60):
    DEEP = [DEEP]
LOOP: dict[str, Any] = {}
LOOP["rpc_trace_context"] = LOOP
_BEGIN = sofa()[: sofa().index(b"\x03say")]


@pytest.mark.parametrize(
    "content",
    [
        sofa(requestProps={"deep": DEEP}),
        sofa(requestProps={f"k{number}": {} for number in range(2000)}),
        sofa(requestProps={"text": "x" * 70_000}),
        sofa(requestProps=dict.fromkeys(range(100), "x")),
        _BEGIN + b"V" * 100_000,
        _BEGIN + b"Vl\x7f\xff\xff\xff",
        _BEGIN + b"O\x9f" * 50_000,
        _BEGIN + b"J\x00",
        _BEGIN + b"K\xff\xff",
    ],
    ids=["deep", "objects", "text", "numbers", "open lists", "count", "classes", "itself", "unknown reference"],
)
def test_a_bomb_in_front_of_the_arguments_names_no_method(content: bytes) -> None:
    assert method_of(content) == b""
    made = request(content)
    assert (made.path, made.pseudo(b":trace-id"), made.body) == ("", None, content)


def test_an_object_that_holds_itself_is_read_to_its_names() -> None:
    assert request(sofa(requestProps=LOOP)).pseudo(b":trace-id") is None
    assert request(sofa(requestProps=LOOP)).path == "say"


def test_what_is_no_object_has_no_fields() -> None:
    for content in (b"", b"N", dumps("text", dialect=Dialect.SOFA3), dumps({"methodName": "x"}, dialect=Dialect.SOFA3)):
        assert fields_of(content) == {}
        assert method_of(content) == b""


def test_frames_of_node_have_their_names() -> None:
    frames = json.loads((Path(__file__).parent / "frames.json").read_text())["node_v1"]["frames"]
    (made,) = BoltServer().feed(bytes.fromhex(frames[0]))
    assert isinstance(made, Request)
    assert fields_of(made.body)["requestProps"] == {"a": "b"}
    assert made.pseudo(b":target-app") is None
