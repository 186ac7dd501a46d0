"""Our own answers, the sniffer, and what the plugin registers."""

from __future__ import annotations

import pytest

from plait.api import Request, Response, Sniff
from plait.testing import check_plugin
from plait_protocol_dubbo import DubboClient, DubboServer, local_response, sniff
from plait_protocol_dubbo.forms import FORMS
from plait_protocol_dubbo.frame import HEAD, MAGIC

STATUSES = [(400, 40), (404, 60), (408, 31), (413, 40), (429, 70), (500, 80), (502, 50), (503, 80), (504, 31)]


def asked(serialization: int, version: bytes = b"2.0.2") -> Request:
    form = FORMS.get(serialization) or FORMS[2]
    body = b"".join(form.encode_str(text) for text in (version, b"P", b"1.0.0", b"m", b"")) + form.encode_map([])
    made = DubboServer().feed(HEAD.pack(MAGIC, 0xC0 | serialization, 0, 7, len(body)) + body)[0]
    assert isinstance(made, Request)
    return made


def told(request: Request, response: Response) -> Response:
    (answer,) = DubboClient().feed(DubboServer().encode_response(request, response))
    assert isinstance(answer, Response)
    assert answer.id == 7
    return answer


def test_the_plugin_is_what_it_says() -> None:
    check_plugin("protocols:dubbo")


@pytest.mark.parametrize("serialization", FORMS)
@pytest.mark.parametrize(("status", "code"), STATUSES)
def test_error_is_a_status_with_a_text(serialization: int, status: int, code: int) -> None:
    request = asked(serialization)
    answer = told(request, local_response(request, status, "nein, ñ".encode(), "details"))
    assert answer.code == code
    assert FORMS[serialization].string(answer.body, 0, len(answer.body))[0] == "nein, ñ".encode()


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("serialization", FORMS)
def test_refusal_is_an_exception_that_java_throws_and_does_not_try_again(serialization: int, status: int) -> None:
    request = asked(serialization)
    local = local_response(request, status, b"not you", "rbac")
    assert local.status == status
    answer = told(request, local)
    assert (answer.code, answer.native.kind, answer.native.is_exception) == (20, 0, True)  # type: ignore[attr-defined]
    assert "not you" in repr(vars_of(answer))


def vars_of(answer: Response) -> object:
    value = answer.native.value()  # type: ignore[attr-defined]
    return getattr(value, "fields", None) or getattr(value, "value", value)


def test_refusal_reads_as_a_runtime_exception() -> None:
    request = asked(2)
    error = told(request, local_response(request, 403, b"no", "")).native.value()  # type: ignore[attr-defined]
    assert error.type_name == "java.lang.RuntimeException"
    assert error.fields == {"detailMessage": "no", "stackTrace": []}


def test_error_without_a_body_says_its_details() -> None:
    request = asked(2)
    assert told(request, local_response(request, 503, b"", "no_healthy_upstream")).body == b"\x13no_healthy_upstream"


@pytest.mark.parametrize(("body", "kind", "value"), [(b"hello", 1, "hello"), (b"", 2, None)])
@pytest.mark.parametrize("serialization", FORMS)
def test_early_answer_is_a_value(serialization: int, body: bytes, kind: int, value: object) -> None:
    request = asked(serialization)
    answer = told(request, local_response(request, 200, body, ""))
    assert (answer.code, answer.native.kind, answer.native.value()) == (20, kind, value)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("version", "kind"), [(b"2.0.2", 4), (b"2.6.2", 1)])
def test_headers_of_an_early_answer_are_attachments_where_the_caller_knows_them(version: bytes, kind: int) -> None:
    request = asked(2, version)
    response = local_response(request, 200, b"hello", "")
    response.headers.set("a", "b")
    answer = told(request, response)
    assert answer.native.kind == kind  # type: ignore[attr-defined]
    assert list(answer.headers) == ([("a", "b")] if kind == 4 else [])


@pytest.mark.parametrize("serialization", [3, 8, 22])
def test_caller_with_another_serialization_is_answered_in_hessian(serialization: int) -> None:
    body = bytes.fromhex("aced0005770c") + b"\0\0\0\x012\0\0" if serialization != 3 else b""
    front = bytes.fromhex("aced00057711") + b"".join(n.to_bytes(4) + n.to_bytes(2) + b"x" * n for n in (1, 1, 1, 1))
    body = front if serialization == 3 else body
    body = body[:5] + bytes([28]) + body[6:] if serialization == 3 else body
    made = DubboServer().feed(HEAD.pack(MAGIC, 0xC0 | serialization, 0, 7, len(body)) + body)[0]
    assert isinstance(made, Request)
    frame = DubboServer().encode_response(made, local_response(made, 404, b"no", ""))
    assert frame == HEAD.pack(MAGIC, 2, 60, 7, 3) + b"\x02no"


@pytest.mark.parametrize(
    ("prefix", "said"),
    [
        (b"", Sniff.MORE),
        (b"\xda", Sniff.MORE),
        (b"\xda\xbb", Sniff.MORE),
        (b"\xda\xbb\xc2", Sniff.YES),
        (b"\xda\xbb\xe2\x00", Sniff.YES),
        (b"\xda\xbb\x02\x14", Sniff.NO),
        (b"\xdb", Sniff.NO),
        (b"GET / HTTP/1.1", Sniff.NO),
        (b"\x01\x01", Sniff.NO),
    ],
)
def test_sniffer_knows_a_request(prefix: bytes, said: Sniff) -> None:
    assert sniff(prefix) is said
