"""Text counted in UTF-16 units."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait_protocol_hessian.errors import HessianError, Truncated
from plait_protocol_hessian.text import decode_text, encode_text, split_astral, text_end

texts = st.text(st.characters(codec=None, categories=None), max_size=60)  # surrogates are among them


def java(text: str) -> str:
    """The text as Java has it, in which surrogates that meet are a character."""
    return text.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "surrogatepass")


@given(texts)
def test_text_comes_back_as_java_has_it(text: str) -> None:
    assert decode_text(encode_text(split_astral(text))) == java(text)


@given(texts, texts)
def test_the_end_of_a_text_is_found_whatever_is_behind_it(text: str, behind: str) -> None:
    split = split_astral(text)
    raw = encode_text(split)
    assert text_end(b"??" + raw + encode_text(split_astral(behind)), 2, len(split)) == len(raw) + 2


@given(st.text(max_size=60), texts)
def test_four_bytes_of_utf_8_count_as_two_units(text: str, behind: str) -> None:
    raw = text.encode()
    assert text_end(raw + encode_text(split_astral(behind)), 0, len(split_astral(text))) == len(raw)
    assert decode_text(raw) == text


@given(texts.filter(bool))
def test_a_text_that_is_cut_off_is_truncated(text: str) -> None:
    split = split_astral(text)
    raw = encode_text(split)
    for end in range(len(raw)):
        with pytest.raises(Truncated):
            text_end(raw[:end], 0, len(split))


@given(st.binary(max_size=60), st.integers(0, 70))
def test_any_bytes_have_an_end_behind_them_or_are_refused(raw: bytes, units: int) -> None:
    try:
        end = text_end(raw, 0, units)
    except HessianError:
        return
    assert units <= end <= min(len(raw), 3 * units)


def test_continuations_without_end_are_refused_early() -> None:
    with pytest.raises(HessianError, match="no UTF-8"):
        text_end(b"\x80" * 1_000_000, 0, 100)


@pytest.mark.parametrize("raw", [b"\xff", b"\xc0\x80", b"\xc3", b"\xed\xa0", b"\xf5\x80\x80\x80"])
def test_what_is_no_text_is_refused(raw: bytes) -> None:
    with pytest.raises(HessianError, match="no UTF-8"):
        decode_text(raw)
