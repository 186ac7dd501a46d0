"""JSONB: golden documents of fastjson2, and what no document may do."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait_protocol_dubbo.jsonb import MAX_NUMBER_KEYS, Decoder, JsonbError, Reference, Typed, encode_str

GOLDEN = {
    name: bytes.fromhex(text)
    for name, text in (
        line.rsplit(" ", 1) for line in Path(__file__).with_name("jsonb.txt").read_text().splitlines() if line[0] != "#"
    )
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_document_is_read_to_its_end(name: str) -> None:
    read, skipped = Decoder(GOLDEN[name]), Decoder(GOLDEN[name])
    value = read.read()
    skipped.skip()
    assert read.at == skipped.at == len(GOLDEN[name])
    kind, _, text = name.partition(":")
    if kind in ("int", "long"):
        assert value == int(text)
    elif kind in ("double", "float"):
        assert value == float(text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("null", None),
        ("true", True),
        ("short", -2),
        ("byte", -2),
        ("char2", "中"),
        ("str:latin", "café"),
        ("str:zh", "中文"),
        ("str:emoji", "😀"),
        ("str:mixed", "a中" * 60),
        ("bigintbig", 123456789012345678901234567890),
        ("decimal", (2, 1234)),
        ("bytes", Typed("[B", b"\x01\x02\x03")),
        ("imap", {1: "one", 2: "two"}),
        ("person", Typed("demo.Person", {"age": 30, "name": "ann"})),
        ("persons", [Typed("demo.Person", {"age": 30 + n, "name": name}) for n, name in enumerate(("ann", "bob"))]),
        ("refs", [Typed("demo.Person", {"age": 30, "name": "ann"}), Reference("$[0]")]),
        ("list20", list(range(20))),
    ],
)
def test_golden_value(name: str, value: object) -> None:
    assert Decoder(GOLDEN[name]).read() == value


@pytest.mark.parametrize("name", GOLDEN)
def test_document_cut_short_is_refused(name: str) -> None:
    for size in range(len(GOLDEN[name])):
        with pytest.raises(JsonbError):
            Decoder(GOLDEN[name][:size]).read()
        with pytest.raises(JsonbError):
            Decoder(GOLDEN[name][:size]).skip()


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    for what in ("read", "skip", "read_str", "read_int"):
        decoder = Decoder(data)
        try:
            getattr(decoder, what)()
        except JsonbError:
            continue
        assert decoder.at <= len(data)


@given(st.binary(max_size=100))
def test_what_is_read_can_be_skipped(data: bytes) -> None:
    decoder, skipping = Decoder(data), Decoder(data)
    try:
        decoder.read()
    except JsonbError:
        return
    skipping.skip()
    assert skipping.at == decoder.at


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=3000))
def test_string_comes_back(text: str) -> None:
    encoded = encode_str(text.encode())
    decoder = Decoder(encoded)
    assert decoder.read_str() == text
    assert decoder.at == len(encoded)


@pytest.mark.parametrize("length", [0, 47, 48, 2047, 2048, 0x3FFFF, 0x40000])
def test_string_of_each_length_comes_back(length: int) -> None:
    for letter in ("a", "é"):
        text = letter * (length // len(letter.encode()))
        assert Decoder(encode_str(text.encode())).read_str() == text


def test_deep_document_is_refused_and_skipped() -> None:
    data = b"\x95" * 50_000 + b"\x00"
    with pytest.raises(JsonbError, match="too deep"):
        Decoder(data).read()
    decoder = Decoder(data)
    decoder.skip()
    assert decoder.at == len(data)


@pytest.mark.parametrize("tag", [b"\xa4", b"\x91", b"\x79", b"\xbb"])
def test_count_beyond_the_bytes_is_refused(tag: bytes) -> None:
    for count in (b"\x48\x7f\xff\xff\xff", b"\x48\xff\xff\xff\xff"):
        with pytest.raises(JsonbError):
            Decoder(tag + count + b"\0\0").read()
        with pytest.raises(JsonbError):
            Decoder(tag + count + b"\0\0").skip()


def test_many_numbers_for_keys_are_refused() -> None:
    entry = b"\x48\x7f\x00\x00\x00\xaf"
    with pytest.raises(JsonbError, match="no strings"):
        Decoder(b"\xa6" + entry * (MAX_NUMBER_KEYS + 1) + b"\xa5").read()


def test_symbol_that_nobody_defined_is_refused() -> None:
    with pytest.raises(JsonbError, match="not defined"):
        Decoder(b"\x7f\x05").read()
