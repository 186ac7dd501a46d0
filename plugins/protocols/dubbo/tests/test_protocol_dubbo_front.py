"""The front of a request in each serialization that has one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait_protocol_dubbo.forms import FORMS
from plait_protocol_dubbo.front import FRONT_BYTES, UNREADABLE, BrokenFront, read_front

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@pytest.mark.parametrize("serialization", FORMS)
@given(texts=st.tuples(TEXT, TEXT, TEXT, TEXT), behind=st.binary(max_size=20))
def test_front_is_read_as_it_was_written(serialization: int, texts: tuple[str, ...], behind: bytes) -> None:
    form = FORMS[serialization]
    written = b"".join(form.encode_str(text.encode()) for text in texts)
    if len(written) > FRONT_BYTES:
        return
    data = b"before" + written + behind
    for _ in range(2):  # read, and then known
        front = read_front(serialization, data, 6, len(data))
        assert (front.dubbo_version, front.path, front.version, front.method) == tuple(t.encode() for t in texts)
        assert front.raw == written


def test_repeated_front_is_the_same_object() -> None:
    data = b"\x052.0.2\x01P\x051.0.0\x01mrest"
    assert read_front(2, data, 0, len(data)) is read_front(2, data + b"more", 0, len(data) + 4)


def test_null_is_empty() -> None:
    data = b"\x052.0.2\x01PN\x01m"
    front = read_front(2, data, 0, len(data))
    assert (front.path, front.version, front.method) == (b"P", b"", b"m")


def test_front_ends_with_its_body() -> None:
    data = b"\x052.0.2\x01P\x051.0.0\x01m"
    read_front(2, data, 0, len(data))  # it is known from here on
    for end in range(len(data)):
        with pytest.raises(BrokenFront):
            read_front(2, data, 0, end)


def test_front_that_is_too_long_is_refused() -> None:
    text = FORMS[2].encode_str(b"x" * FRONT_BYTES)
    data = text * 4
    with pytest.raises(BrokenFront):
        read_front(2, data, 0, len(data))


@pytest.mark.parametrize("serialization", [8, 22, 31])
def test_serialization_that_is_not_read_has_no_front(serialization: int) -> None:
    assert read_front(serialization, b"anything", 0, 8) is UNREADABLE


def test_protobuf_json_is_read_only_where_it_is_lines_of_strings() -> None:
    lines = b'"2.0.2"\n"P"\n"1.0.0"\n"m"\n'
    assert read_front(21, lines, 0, len(lines)).method == b"m"
    assert read_front(21, b"2.0.2\nP\n", 0, 8) is UNREADABLE


@pytest.mark.parametrize("serialization", [*FORMS, 3, 4, 7])
@given(data=st.binary(max_size=60))
def test_no_bytes_raise_anything_else(serialization: int, data: bytes) -> None:
    try:
        read_front(serialization, data, 0, len(data))
    except BrokenFront:
        pass


def test_deep_json_is_refused() -> None:
    with pytest.raises(BrokenFront):
        read_front(6, b"[" * 4000 + b"\n", 0, 4001)
