"""What the natives of messages say: golden frames of real peers, and bodies that are not what they should be."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.api import Headers, Request, Response
from plait_protocol_dubbo import DubboCall, DubboClient, DubboResult, DubboServer
from plait_protocol_dubbo.forms import FORMS, HESSIAN
from plait_protocol_dubbo.frame import HEAD, MAGIC

FRAMES = {
    name: bytes.fromhex(text)
    for name, text in (
        line.split(" ")
        for line in Path(__file__).with_name("frames.txt").read_text().splitlines()
        if line and line[0] != "#"
    )
}
REQUESTS = [name for name in FRAMES if name.endswith("_request")]
UNREAD = ("java_", "javabig_", "nativejava_")
RESPONSES = [name for name in FRAMES if name.endswith("_response")]


def call_of(frame: bytes) -> tuple[Request, DubboCall]:
    request = DubboServer().feed(frame)[0]
    assert isinstance(request, Request)
    assert isinstance(request.native, DubboCall)
    return request, request.native


def result_of(frame: bytes) -> tuple[Response, DubboResult]:
    response = DubboClient().feed(frame)[0]
    assert isinstance(response, Response)
    assert isinstance(response.native, DubboResult)
    return response, response.native


def request_frame(body: bytes, flag: int = 0xC2, id: int = 7) -> bytes:
    return HEAD.pack(MAGIC, flag, 0, id, len(body)) + body


FRONT = b"\x052.0.2\x01P\x051.0.0\x01m"


@pytest.mark.parametrize(
    ("name", "service", "method", "version", "group", "types"),
    [
        ("java31_hello_request", "D$Greeter", "hello", "1.0.0", "g1", "Ljava/lang/String;"),
        ("java31_echo_request", "D$Greeter", "echo", "1.0.0", "g1", "Ljava/util/Map;Ljava/util/List;I"),
        ("node_hello_request", "org.apache.dubbojs.service.HelloService", "hello", "0.0.0", "", "Ljava/lang/String;"),
        ("python_hello_request", "org.apache.dubbojs.service.HelloService", "hello", "0.0.0", "", "Ljava/lang/String;"),
        ("java33_many_request", "demo.Api", "many", "1.0.0", "g1", "Ljava/util/Map;Ljava/util/List;JD"),
        ("fastjson2_many_request", "demo.Api", "many", "1.0.0", "g1", "Ljava/util/Map;Ljava/util/List;JD"),
        ("fastjson2_nothing_request", "demo.Api", "nothing", "1.0.0", "g1", ""),
        ("java_request", "demo.Api", "say", "1.0.0", "", ""),
        ("nativejava_request", "demo.Api", "say", "1.0.0", "", ""),
        ("javabig_request", "demo.Api" + "x" * 300, "say", "1.0.0", "", ""),
    ],
)
def test_request_of_a_peer_says_where_it_goes(
    name: str, service: str, method: str, version: str, group: str, types: str
) -> None:
    request, call = call_of(FRAMES[name])
    assert (request.authority, request.path) == (call.interface, call.method) == (service, method)
    assert (call.service_version, call.group, call.parameter_types) == (version, group, types)
    assert call.two_way
    assert not request.oneway


@pytest.mark.parametrize("name", REQUESTS)
def test_attachments_of_a_peer_are_headers(name: str) -> None:
    request, call = call_of(FRAMES[name])
    assert request.headers.get("path") == request.headers.get("interface") == call.interface
    assert request.headers.get("version") == call.service_version
    if call.serialization in ("java", "nativejava"):  # of those no more is known
        assert call.attachments == {}
        assert call.arguments() is None
    else:
        assert call.attachments["interface"] == call.interface
        assert isinstance(call.arguments(), list)
    assert not call.broken


@pytest.mark.parametrize("name", ["java33_objects_request", "fastjson2_objects_request"])
def test_attachments_that_are_no_strings_show_as_text_when_simple(name: str) -> None:
    request, call = call_of(FRAMES[name])
    assert request.headers.get("num") == "42"
    assert request.headers.get("pers") == request.headers.get("lst") == ""
    assert call.timeout_s == 3.0
    assert call.arguments() == ["x中😀"]


@pytest.mark.parametrize("name", ["java33_oneway_request", "fastjson2_oneway_request"])
def test_request_without_answer_is_oneway(name: str) -> None:
    request, call = call_of(FRAMES[name])
    assert request.oneway
    assert not call.two_way


@pytest.mark.parametrize(
    ("name", "status", "code", "kind"),
    [
        ("java31_hello_response", 200, 20, 4),
        ("java31_boom_response", 200, 20, 3),
        ("python_hello_response", 200, 20, 1),
        ("java33_nothing_response", 200, 20, 5),
        ("java33_not_found_response", 400, 40, -1),
        ("fastjson2_say_response", 200, 20, 4),
        ("fastjson2_nothing_response", 200, 20, 5),
        ("fastjson2_boom_response", 200, 20, 3),
    ],
)
def test_response_of_a_peer_says_how_it_went(name: str, status: int, code: int, kind: int) -> None:
    response, result = result_of(FRAMES[name])
    assert (response.status, response.code, result.kind) == (status, code, kind)
    assert result.is_exception == (kind == 3)
    assert response.headers.get("dubbo") == ("2.0.2" if kind > 2 else None)
    assert not result.broken


@pytest.mark.parametrize("name", ["java33_say_response", "fastjson2_say_response"])
def test_response_tells_its_value(name: str) -> None:
    response, result = result_of(FRAMES[name])
    assert result.value() == "hello x中😀"
    assert response.headers.get("resp-k") == "resp-v"


@pytest.mark.parametrize("name", [name for name in (*REQUESTS, *RESPONSES) if not name.startswith(UNREAD)])
def test_quick_reading_finds_what_thorough_reading_finds(name: str) -> None:
    native = call_of(FRAMES[name])[1] if name in REQUESTS else result_of(FRAMES[name])[1]
    found = native.found()
    assert native.raw == ([] if found is None else [(entry.lower, entry.value) for entry in found.entries])


@given(st.binary(max_size=40), st.integers(0, 2))
def test_quick_reading_finds_no_more_than_thorough_reading(data: bytes, count: int) -> None:
    body = b"\x01a" * count + b"H\x01a\x01b" + data + b"Z"
    fields = HESSIAN.quick_fields(body, 0, count)
    if fields is not None:
        found = HESSIAN.attachments(body, 0, count)
        assert fields == [(entry.lower, entry.value) for entry in found.entries]


BROKEN = {
    "no descriptor": FRONT,
    "an object for a descriptor": FRONT + b"\x90",
    "a descriptor that is none": FRONT + b"\x03foo\x01aHZ",
    "fewer arguments than types": FRONT + b"\x01IHZ",
    "no attachments": FRONT + b"\x01I\x90",
    "a list for attachments": FRONT + b"\x00\x78",
    "attachments without an end": FRONT + b"\x00H\x01a\x01b",
    "a name that is no string": FRONT + b"\x00H\x90\x01bZ",
    "deep nesting that never ends": FRONT + b"\x00H\x01a" + b"\x79" * 5000,
    "a huge count": FRONT + b"\x00H\x01a\x58I\x7f\xff\xff\xffZ",
    "a class that nobody defined": FRONT + b"\x00H\x01a\x60Z",
    "a class with a huge number of fields": FRONT + b"\x00H\x01aC\x01xI\x7f\xff\xff\xffZ",
    "more attachments than there may be": FRONT + b"\x00H" + b"\x01a\x01b" * 1025 + b"Z",
    "a string that is no UTF-8": FRONT + b"\x00H\x01a\x01\xffZ",
    "an argument that is a bomb": FRONT + b"\x12Ljava/lang/Object;" + b"\x79" * 5000 + b"HZ",
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_broken_body_has_no_attachments_and_is_forwarded(body: bytes) -> None:
    request, call = call_of(request_frame(body))
    assert list(request.headers) == []
    assert request.headers.get("group") is None
    assert call.group == ""
    assert call.timeout_s == 0.0
    assert call.broken
    request.headers.set("x", "y")
    assert DubboClient().encode_request(request, 7) == request_frame(body)


def test_deep_arguments_are_stepped_over_but_not_built() -> None:
    body = FRONT + b"\x12Ljava/lang/Object;" + b"\x79" * 5000 + b"\x90" + b"H\x05group\x01gZ"
    call = call_of(request_frame(body))[1]
    assert call.group == "g"
    assert call.arguments() is None
    assert call.broken


@pytest.mark.parametrize("serialization", FORMS)
@given(data=st.binary(max_size=80))
def test_natives_never_raise(serialization: int, data: bytes) -> None:
    form = FORMS[serialization]
    front = b"".join(form.encode_str(text) for text in (b"2.0.2", b"P", b"1.0.0", b"m"))
    call = call_of(request_frame(front + data, 0xC0 | serialization))[1]
    assert isinstance(call.raw, list)
    assert isinstance(call.attachments, dict)
    assert isinstance(call.parameter_types, str)
    assert call.timeout_s >= 0
    call.arguments()
    result = result_of(HEAD.pack(MAGIC, serialization, 20, 7, len(data)) + data)[1]
    assert isinstance(result.raw, list)
    assert -1 <= result.kind <= 5
    result.value()


@pytest.mark.parametrize(
    ("text", "timeout_s"), [("1500", 1.5), ("", 0.0), ("-1", 0.0), ("9" * 5000, 0.0), ("1e3", 0.0)]
)
def test_timeout_is_a_number_of_milliseconds(text: str, timeout_s: float) -> None:
    entries = [HESSIAN.encode_entry(b"timeout", text.encode())]
    assert call_of(request_frame(FRONT + b"\x00" + HESSIAN.encode_map(entries)))[1].timeout_s == timeout_s


def test_what_the_frame_says_has_names() -> None:
    request, _ = call_of(FRAMES["java31_hello_request"])
    said = {name: request.pseudo(name) for name in (b":path", b":authority", b":dubbo-version", b":service-version")}
    assert said == {
        b":path": b"hello",
        b":authority": b"D$Greeter",
        b":dubbo-version": b"2.0.2",
        b":service-version": b"1.0.0",
    }
    assert request.pseudo(b":parameter-types") == b"Ljava/lang/String;"
    assert request.pseudo(b":serialization") == b"hessian2"
    assert request.pseudo(b":unknown") is None


@pytest.mark.parametrize(("kind", "said"), [(b"\x90", b"true"), (b"\x93", b"true"), (b"\x91", None), (b"\x95", None)])
def test_whether_a_method_raised_has_a_name(kind: bytes, said: bytes | None) -> None:
    response = Response(200, Headers([]))
    response.native = DubboResult(0x02, kind + b"\x01xHZ", 5, 20)
    assert response.pseudo(b":exception") == said
    assert response.pseudo(b":serialization") == b"hessian2"
