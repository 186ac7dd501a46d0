"""Decoding: vectors, values that are cut off or wrong, and bombs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from plait_protocol_hessian import (
    Decoder,
    Dialect,
    HessianError,
    HessianObject,
    Key,
    Limits,
    Long,
    Truncated,
    TypedList,
    dumps,
    loads,
)

TABLE = Path(__file__).with_name("vectors.txt").read_text().splitlines()
ROWS = [line.split(" | ", 3) for line in TABLE if line and not line.startswith("#")]
DIALECTS = {"hessian2": [Dialect.HESSIAN2], "sofa3": [Dialect.SOFA3], "both": list(Dialect)}
VECTORS = [(dialect, bytes.fromhex(row[2]), row[3]) for row in ROWS for dialect in DIALECTS[row[0]]]

H, S = Dialect.HESSIAN2, Dialect.SOFA3


@pytest.mark.parametrize(("dialect", "data", "values"), VECTORS)
def test_bytes_are_the_values_that_they_are(dialect: Dialect, data: bytes, values: str) -> None:
    assert repr(loads(data, dialect)) == values


@pytest.mark.parametrize(("dialect", "data", "values"), VECTORS)
def test_a_value_that_is_cut_off_is_truncated_wherever_it_is_cut(dialect: Dialect, data: bytes, values: str) -> None:
    ends = [0]
    decoder = Decoder(data, dialect=dialect)
    while not decoder.done:
        decoder.read()
        ends.append(decoder.at)
    for end in range(len(data)):
        if end in ends:
            loads(data[:end], dialect)
        else:
            with pytest.raises(Truncated):
                loads(data[:end], dialect)
    assert ends[-1] == len(data)


def test_values_are_read_one_after_the_other_from_any_offset() -> None:
    data = b"\xda\xbb" + dumps("a", 7, {"b": Long(1)}) + b"\x4c"
    for given in (data, bytearray(data), memoryview(data)):
        decoder = Decoder(given, 2)
        assert (decoder.read_str(), decoder.read_int(), decoder.read()) == ("a", 7, {"b": Long(1)})
        assert decoder.at == len(data) - 1
        assert not decoder.done


def test_nothing_is_left_of_no_bytes() -> None:
    assert Decoder(b"").done
    assert loads(b"") == []
    with pytest.raises(Truncated):
        Decoder(b"").read()
    with pytest.raises(Truncated):
        Decoder(b"\x90", 5).skip()
    with pytest.raises(ValueError, match="offset"):
        Decoder(b"\x90", -1)


@pytest.mark.parametrize("text", ["", "a" * 31, "é" * 31, "a" * 1000, "😀" * 40_000])
@pytest.mark.parametrize("dialect", Dialect)
def test_read_str_takes_every_form_of_a_string(dialect: Dialect, text: str) -> None:
    assert Decoder(dumps(text, dialect=dialect), dialect=dialect).read_str() == text


@pytest.mark.parametrize("data", ["4e", "90", "2161", "79 0161", "52000161 90"])
def test_read_str_refuses_what_is_no_string(data: str) -> None:
    with pytest.raises(HessianError, match="no string") as caught:
        Decoder(bytes.fromhex(data)).read_str()
    assert not isinstance(caught.value, Truncated)


@pytest.mark.parametrize("data", ["4e", "e0", "0137", "5c"])
def test_read_int_refuses_what_is_no_int(data: str) -> None:
    with pytest.raises(HessianError, match="no int"):
        Decoder(bytes.fromhex(data)).read_int()


@pytest.mark.parametrize("data", ["05 61", "c8", "49 000000", "3001", "52 0001"])
def test_read_str_and_read_int_tell_that_bytes_are_missing(data: str) -> None:
    read = Decoder.read_int if data[0] in "c4" else Decoder.read_str
    with pytest.raises(Truncated):
        read(Decoder(bytes.fromhex(data)))


def test_a_reference_is_the_object_itself() -> None:
    (pair,) = loads(bytes.fromhex("7a 790161 5191"))
    assert isinstance(pair, list)
    assert pair[0] is pair[1]
    (knot,) = loads(bytes.fromhex("56 6e02 4e 4a00 7a"), S)
    assert isinstance(knot, list)
    assert knot[1] is knot


def test_references_reach_into_earlier_values_of_the_message() -> None:
    first, second = loads(bytes.fromhex("790161 5190"))
    assert first is second


def test_an_entry_whose_key_python_takes_for_another_is_not_lost() -> None:
    (found,) = loads(bytes.fromhex("48 91 0161 e1 0162 5c 0163 54 0164 5a"))
    assert isinstance(found, dict)
    assert list(found.values()) == ["a", "b", "c", "d"]
    keys = [key.value if isinstance(key, Key) else key for key in found]
    assert [type(key) for key in keys] == [int, Long, float, bool]


def test_of_two_fields_with_one_name_the_later_value_stays() -> None:
    assert loads(bytes.fromhex("43 0141 92 0161 0161 60 91 92")) == [HessianObject("A", {"a": 2})]


WRONG = [
    (H, "40", "a tag that is none"),
    (S, "30", "a string of SOFA's with Hessian 2.0's tag"),
    (S, "48 5a", "a map of SOFA's with Hessian 2.0's tag"),
    (S, "72 00", "XML and remote objects are not served"),
    (S, "58 000161", "XML and remote objects are not served"),
    (H, "60", "a class that is not defined"),
    (H, "4f 8f", "a class before the first"),
    (H, "43 0141 90 61", "a class behind the last"),
    (S, "6f 90", "a class that is not defined"),
    (H, "43 91", "a class whose name is no string"),
    (H, "43 0141 8f 60", "a class with less than no fields"),
    (H, "43 0141 e1", "a number of fields that is a long"),
    (S, "4f 8f 90", "a class with less than no name"),
    (H, "43 0141 90 5a", "a definition with nothing behind it"),
    (H, "51 90", "a reference to nothing"),
    (H, "79 51 8f", "a reference before the first"),
    (H, "79 51 91", "a reference behind the last"),
    (H, "51 4e", "a reference that is no number"),
    (S, "4a 00", "a reference to nothing"),
    (S, "4b 0000", "a reference to nothing"),
    (S, "52 ffffffff", "a reference before the first"),
    (H, "56 90 90", "a type that was not told"),
    (H, "56 8f 90", "a type before the first"),
    (H, "4d 4e 5a", "a type that is null"),
    (S, "4d 75 90 7a", "a type that was not told"),
    (S, "76 90 90", "a type that was not told"),
    (H, "58 8f", "a list with less than no items"),
    (H, "58 49 80000000", "a list with less than no items"),
    (S, "56 6c ffffffff", "a list with less than no items"),
    (S, "56 6e01 90 91 7a", "a list with more items than it says"),
    (S, "56 6e02 90 7a", "a list with fewer items than it says"),
    (H, "48 90 5a", "a map that ends behind a key"),
    (S, "4d 90 7a", "a map that ends behind a key"),
    (H, "5a", "an end of nothing"),
    (H, "79 5a", "an end of a list of fixed length"),
    (H, "01 80", "text that begins with a continuation"),
    (H, "01 c080", "text in an overlong form"),
    (H, "02 c341", "text with a lead and no continuation"),
    (H, "01 f09f9880", "half a pair in four bytes"),
    (H, "01 ff", "a byte that is in no text"),
    (H, "02 808080808080808080", "text of continuations"),
    (H, "52 0001 61 20", "a chunk of text and one of bytes"),
    (H, "41 0001 61 01 61", "a chunk of bytes and one of text"),
    (S, "73 0001 61 30 01 61", "a chunk with another dialect's tag"),
]


@pytest.mark.parametrize(("dialect", "data", "_why"), WRONG)
def test_wrong_bytes_are_refused_and_are_not_called_truncated(dialect: Dialect, data: str, _why: str) -> None:
    with pytest.raises(HessianError) as caught:
        loads(bytes.fromhex(data), dialect)
    assert not isinstance(caught.value, Truncated)


@pytest.mark.parametrize(
    ("dialect", "data"),
    [
        (H, "58 49 7fffffff 90909090"),
        (H, "56 0161 49 7fffffff 90909090"),
        (H, "43 0141 49 7fffffff 0161"),
        (H, "53 ffff 61"),
        (H, "42 ffff 61"),
        (S, "56 6c 7fffffff 90909090 7a"),
        (S, "56 740001617a 76 90 49 7fffffff 90"),
        (S, "4f 49 7fffffff 61"),
    ],
)
def test_more_than_the_bytes_can_hold_is_refused_at_once(dialect: Dialect, data: str) -> None:
    with pytest.raises(Truncated):
        loads(bytes.fromhex(data), dialect)


NESTING = {
    "lists": (H, b"\x57", b"", b"\x5a"),
    "lists of one": (H, b"\x79", b"\x4e", b""),
    "maps": (H, b"\x48\x90", b"\x4e", b"\x5a"),
    "keys": (H, b"\x48", b"\x4e", b"\x90\x5a"),
    "sofa's lists": (S, b"\x56\x6e\x01", b"\x4e", b"\x7a"),
    "sofa's maps": (S, b"\x4d\x90", b"\x4e", b"\x7a"),
}


@pytest.mark.parametrize("kind", NESTING)
def test_depth_is_limited(kind: str) -> None:
    dialect, begin, middle, end = NESTING[kind]
    for depth, limits in ((64, Limits()), (256, Limits(depth=256)), (1, Limits(depth=1))):
        Decoder(begin * depth + middle + end * depth, dialect=dialect, limits=limits).read()
        decoder = Decoder(begin * (depth + 1) + middle + end * (depth + 1), dialect=dialect, limits=limits)
        with pytest.raises(HessianError, match="inside each other"):
            decoder.read()


def test_depth_is_counted_anew_for_every_value() -> None:
    decoder = Decoder(b"\x79\x79\x90" * 100, limits=Limits(depth=2))
    while not decoder.done:
        decoder.read()


def test_no_limit_of_depth_can_reach_the_interpreters_own() -> None:
    assert sys.getrecursionlimit() >= 1000
    for depth in (0, -1, 257):
        with pytest.raises(ValueError, match="depth"):
            Limits(depth=depth)


def test_definitions_one_after_the_other_do_not_recurse() -> None:
    data = b"\x43\x00\x90" * 4000 + b"\x4f" + dumps(3999)
    assert loads(data) == [HessianObject("", {})]


def test_objects_are_counted() -> None:
    limits = Limits(objects=3)
    assert Decoder(b"\x7a\x78\x78", limits=limits).read() == [[], []]
    for data in (b"\x7b\x78\x78\x78", b"\x7b\x48\x5a\x48\x5a\x48\x5a", b"\x7b\x43\x00\x90\x60\x60\x60"):
        with pytest.raises(HessianError, match="more than 3 lists"):
            Decoder(data, limits=limits).read()


def test_classes_and_their_fields_are_counted() -> None:
    limits = Limits(classes=2, fields=2)
    Decoder(bytes.fromhex("43 0141 92 0161 0162 43 0142 90 60 90 90"), limits=limits).read()
    with pytest.raises(HessianError, match="class definitions"):
        Decoder(bytes.fromhex("43 0141 90 43 0142 90 43 0143 90 60"), limits=limits).read()
    with pytest.raises(HessianError, match="has 3 fields"):
        Decoder(bytes.fromhex("43 0141 93 0161 0162 0163 60 90 90 90"), limits=limits).read()


@pytest.mark.parametrize("data", ["7b 0161 0161 0161", "72 0161 0161 0161", "52 0001 61 02 6161", "03 616161"])
def test_all_text_of_a_message_is_counted(data: str) -> None:
    raw = bytes.fromhex(data)
    Decoder(raw, limits=Limits(text_length=3)).read()
    with pytest.raises(HessianError, match="more than 2 characters"):
        Decoder(raw, limits=Limits(text_length=2)).read()


def test_keys_that_are_numbers_are_counted() -> None:
    limits = Limits(number_keys=2)
    Decoder(dumps({1: 0, 2.5: 0, "3": 0, "4": 0}), limits=limits).read()
    for message in ({1: 0, 2.5: 0, Long(3): 0}, [{1: 0}, {1: 0}, {1: 0}]):
        with pytest.raises(HessianError, match="keys"):
            Decoder(dumps(message), limits=limits).read()


def test_a_class_without_fields_can_be_there_as_often_as_objects_may() -> None:
    (found,) = loads(b"\x43\x01A\x90" + b"\x58\x49" + (50_000).to_bytes(4, "big") + b"\x60" * 50_000)
    assert isinstance(found, list)
    assert len(found) == 50_000


def test_types_are_told_from_lists_without_one() -> None:
    found = loads(bytes.fromhex("71 00 90 71 90 90"))  # an empty type, and a reference to it
    assert found == [[0], [0]]
    assert [type(one) for one in found] == [list, list]
    assert isinstance(loads(bytes.fromhex("710161 90"))[0], TypedList)
