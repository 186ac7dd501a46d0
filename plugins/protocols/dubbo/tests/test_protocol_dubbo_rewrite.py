"""Attachments that filters change: only those are written anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.api import LocalProtocolError, Request, Response
from plait_protocol_dubbo import DubboCall, DubboClient, DubboServer
from plait_protocol_dubbo.forms import FORMS
from plait_protocol_dubbo.frame import HEAD, HEAD_BYTES, MAGIC

FRAMES = {
    name: bytes.fromhex(text)
    for name, text in (
        line.split(" ")
        for line in Path(__file__).with_name("frames.txt").read_text().splitlines()
        if line and line[0] != "#"
    )
}
READ = [
    name for name in FRAMES if name.endswith("_request") and not name.startswith(("java_", "javabig", "nativejava"))
]


def read(frame: bytes) -> Request:
    request = DubboServer().feed(frame)[0]
    assert isinstance(request, Request)
    return request


def answer(frame: bytes) -> Response:
    response = DubboClient().feed(frame)[0]
    assert isinstance(response, Response)
    return response


def written(request: Request) -> bytes:
    id = HEAD.unpack_from(FRAME_OF_7)[3]
    return DubboClient().encode_request(request, id)


FRAME_OF_7 = HEAD.pack(MAGIC, 0xC2, 0, 7, 0)


def with_id_7(frame: bytes) -> bytes:
    return frame[:4] + FRAME_OF_7[4:12] + frame[12:]


@pytest.mark.parametrize("name", READ)
def test_unchanged_request_is_forwarded_byte_for_byte(name: str) -> None:
    assert written(read(FRAMES[name])) == with_id_7(FRAMES[name])


@pytest.mark.parametrize("name", READ)
def test_attachment_can_be_added_and_removed(name: str) -> None:
    request = read(FRAMES[name])
    before = list(request.headers)
    request.headers.add("x-tag", "canary é")
    changed = read(written(request))
    assert list(changed.headers) == [*before, ("x-tag", "canary é")]
    assert isinstance(changed.native, DubboCall)
    assert isinstance(request.native, DubboCall)
    assert changed.native.arguments() == request.native.arguments()
    changed.headers.remove("x-tag")
    assert written(changed) == with_id_7(FRAMES[name])


@pytest.mark.parametrize("name", READ)
def test_attachment_is_set_where_it_stood(name: str) -> None:
    request = read(FRAMES[name])
    names = [key for key, _ in request.headers]
    request.headers.set("version", "2.0.0")
    changed = read(written(request))
    assert [key for key, _ in changed.headers] == names
    assert changed.headers.get("version") == "2.0.0"


@pytest.mark.parametrize("name", ["java33_objects_request", "fastjson2_objects_request"])
def test_objects_among_attachments_stay_as_they_are(name: str) -> None:
    request = read(FRAMES[name])
    request.headers.remove("k1")
    request.headers.set("num", "43")
    changed = read(written(request))
    assert isinstance(changed.native, DubboCall)
    found, before = changed.native.found(), read(FRAMES[name]).native.found()  # type: ignore[attr-defined]
    assert found is not None
    kept = {entry.name: entry.raw for entry in found.entries if not entry.simple}
    assert kept == {entry.name: entry.raw for entry in before.entries if not entry.simple}
    assert set(kept) == {b"pers", b"lst"}
    assert changed.headers.get("num") == "43"


@pytest.mark.parametrize("name", ["java33_objects_request", "fastjson2_objects_request"])
def test_object_is_removed_only_when_none_follows(name: str) -> None:
    last = read(FRAMES[name])
    last.headers.remove("lst")
    assert [key for key, _ in read(written(last)).headers if key in ("pers", "lst")] == ["pers"]
    first = read(FRAMES[name])
    first.headers.remove("pers")
    with pytest.raises(LocalProtocolError, match="pers"):
        written(first)


@pytest.mark.parametrize("name", ["java33_say_request", "fastjson2_say_request", "node_hello_request"])
def test_service_and_method_can_be_changed(name: str) -> None:
    request = read(FRAMES[name])
    request.authority, request.path = "demo.Other", "tell"
    changed = read(written(request))
    assert (changed.authority, changed.path) == ("demo.Other", "tell")
    assert list(changed.headers) == list(request.headers)


def test_names_keep_their_spelling() -> None:
    form = FORMS[2]
    body = b"\x052.0.2\x01P\x051.0.0\x01m\x00" + form.encode_map([form.encode_entry(b"traceId", b"1")])
    request = read(HEAD.pack(MAGIC, 0xC2, 0, 7, len(body)) + body)
    assert request.headers.get("traceid") == "1"
    request.headers.set("TraceId", "2")
    request.headers.set("userId", "3")
    request.headers.set("Plain", "4")
    assert isinstance(request.native, DubboCall)
    request.native.spell("userId")
    changed = read(written(request)).native
    assert isinstance(changed, DubboCall)
    assert changed.attachments == {"traceId": "2", "userId": "3", "plain": "4"}


def test_what_follows_the_attachments_stays() -> None:
    body = b"\x052.0.2\x01P\x051.0.0\x01m\x00HZN"  # Go ends its bodies with a null
    request = read(HEAD.pack(MAGIC, 0xC2, 0, 7, len(body)) + body)
    request.headers.set("a", "b")
    assert written(request)[HEAD_BYTES:] == body[:-2] + b"\x01a\x01bZN"


@pytest.mark.parametrize("serialization", FORMS)
def test_null_attachments_become_a_map(serialization: int) -> None:
    form = FORMS[serialization]
    front = b"".join(form.encode_str(text) for text in (b"2.0.2", b"P", b"1.0.0", b"m", b""))
    body = front + form.null
    request = read(HEAD.pack(MAGIC, 0xC0 | serialization, 0, 7, len(body)) + body)
    assert list(request.headers) == []
    request.headers.set("a", "b")
    assert list(read(written(request)).headers) == [("a", "b")]


NAMES = st.text("abcxyz", min_size=1, max_size=3)
VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@pytest.mark.parametrize("serialization", FORMS)
@given(
    attachments=st.lists(st.tuples(NAMES, VALUES), max_size=6),
    changes=st.lists(st.tuples(st.sampled_from(["set", "add", "remove"]), NAMES, VALUES), max_size=6),
)
def test_any_changes_arrive(
    serialization: int, attachments: list[tuple[str, str]], changes: list[tuple[str, str, str]]
) -> None:
    form = FORMS[serialization]
    front = b"".join(form.encode_str(text) for text in (b"2.0.2", b"P", b"1.0.0", b"m", b""))
    body = front + form.encode_map([form.encode_entry(name.encode(), value.encode()) for name, value in attachments])
    request = read(HEAD.pack(MAGIC, 0xC0 | serialization, 0, 7, len(body)) + body)
    assert list(request.headers) == attachments
    for verb, name, value in changes:
        if verb == "remove":
            request.headers.remove(name)
        else:
            getattr(request.headers, verb)(name, value)
    assert sorted(read(written(request)).headers) == sorted(request.headers)


def test_body_that_a_filter_wrote_is_sent() -> None:
    other = read(FRAMES["java33_older_request"])
    request = read(FRAMES["java33_say_request"])
    request.body = other.body
    request.headers.changed = True
    request.raw_path = other.raw_path
    assert written(request) == with_id_7(FRAMES["java33_older_request"])


def test_body_that_is_no_request_any_more_is_refused() -> None:
    request = read(FRAMES["java33_say_request"])
    request.body = b"\x90"
    request.headers.changed = True
    with pytest.raises(LocalProtocolError):
        written(request)


# responses


@pytest.mark.parametrize("name", ["java33_say_response", "fastjson2_say_response", "fastjson2_nothing_response"])
def test_response_attachment_can_be_added(name: str) -> None:
    response = answer(FRAMES[name])
    before = list(response.headers)
    response.headers.set("x-served-by", "a")
    frame = DubboServer().encode_response(read(FRAMES["java33_say_request"]), response)
    assert list(answer(frame).headers) == [*before, ("x-served-by", "a")]


@pytest.mark.parametrize(
    ("version", "kind"),
    [(b"2.0.2", 4), (b"2.0.9", 4), (b"2.0.1", 1), (b"2.0.10", 1), (b"2.6.2", 1), (b"2.7.23", 1), (b"", 1)],
)
def test_response_gets_attachments_only_where_the_caller_knows_them(version: bytes, kind: int) -> None:
    body = FORMS[2].encode_str(version) + b"\x01P\x051.0.0\x01m\x00HZ"
    request = read(HEAD.pack(MAGIC, 0xC2, 0, 7, len(body)) + body)
    response = answer(FRAMES["python_hello_response"])
    response.headers.set("a", "b")
    changed = answer(DubboServer().encode_response(request, response))
    assert changed.native.kind == kind  # type: ignore[attr-defined]
    assert changed.native.value() == "hello mesh"  # type: ignore[attr-defined]
    assert list(changed.headers) == ([("a", "b")] if kind == 4 else [])
