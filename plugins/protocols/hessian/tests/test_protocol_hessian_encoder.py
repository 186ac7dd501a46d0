"""Encoding: the shortest forms, references, and what Hessian cannot say."""

from __future__ import annotations

import enum
import math
from pathlib import Path

import pytest

from plait_protocol_hessian import (
    Date,
    Dialect,
    Encoder,
    HessianError,
    HessianObject,
    Key,
    Long,
    Skipped,
    TypedList,
    TypedMap,
    dumps,
    loads,
)

TABLE = Path(__file__).with_name("vectors.txt").read_text().splitlines()
ROWS = [line.split(" | ", 3) for line in TABLE if line and not line.startswith("#")]
DIALECTS = {"hessian2": [Dialect.HESSIAN2], "sofa3": [Dialect.SOFA3], "both": list(Dialect)}
VECTORS = [(dialect, row[1], bytes.fromhex(row[2]), row[3]) for row in ROWS for dialect in DIALECTS[row[0]]]
NAMES = {"inf": math.inf} | {
    kind.__name__: kind for kind in (Date, HessianObject, Key, Long, TypedList, TypedMap)
}  # what the table is written in

H, S = Dialect.HESSIAN2, Dialect.SOFA3


@pytest.mark.parametrize(("dialect", "shortest", "data", "values"), VECTORS)
def test_what_was_decoded_is_encoded_to_the_same_bytes_if_they_were_the_shortest(
    dialect: Dialect, shortest: str, data: bytes, values: str
) -> None:
    again = dumps(*loads(data, dialect), dialect=dialect)
    assert (again == data) is (shortest == "=")
    assert repr(loads(again, dialect)) == values


@pytest.mark.parametrize(
    ("dialect", "data", "values"), [(row[0], *row[2:]) for row in VECTORS if row[1] == "=" and "..." not in row[3]]
)
def test_values_are_the_bytes_that_they_are(dialect: Dialect, data: bytes, values: str) -> None:
    made = eval(values, NAMES.copy())  # the table is a file of this repository
    if b"\x51\x91" not in data and b"\x4a\x01" not in data:  # references, which equal values do not become
        assert dumps(*made, dialect=dialect) == data


@pytest.mark.parametrize("dialect", Dialect)
def test_a_message_can_be_taken_in_parts(dialect: Dialect) -> None:
    shared = ["a"]
    encoder = Encoder(dialect=dialect)
    encoder.write_str("name")
    encoder.write_int(5)
    encoder.write(shared)
    first = encoder.take()
    encoder.write_map({"b": shared})
    second = encoder.take()
    assert encoder.take() == b""
    assert first + second == dumps("name", 5, shared, {"b": shared}, dialect=dialect)
    assert len(second) < 8


@pytest.mark.parametrize("dialect", Dialect)
def test_what_is_written_again_is_a_reference(dialect: Dialect) -> None:
    shared = HessianObject("A", {"a": TypedList("[a", []), "b": {}})
    message = [shared, shared.fields["a"], (shared.fields["b"], shared)]
    (found,) = loads(dumps(message, dialect=dialect), dialect)
    assert isinstance(found, list)
    assert found[1] is found[0].fields["a"]
    assert found[2][0] is found[0].fields["b"]
    assert found[2][1] is found[0]


@pytest.mark.parametrize("dialect", Dialect)
def test_a_value_that_holds_itself_comes_back_holding_itself(dialect: Dialect) -> None:
    knot: dict[object, object] = {}
    knot["self"] = [knot]
    knot[Key(knot)] = 1
    (found,) = loads(dumps(knot, dialect=dialect), dialect)
    assert isinstance(found, dict)
    inner = found["self"]
    assert isinstance(inner, list)
    assert inner[0] is found
    assert [key.value is found for key in found if isinstance(key, Key)] == [True]


@pytest.mark.parametrize("dialect", Dialect)
def test_references_are_told_apart_far_beyond_one_byte(dialect: Dialect) -> None:
    lists: list[object] = [[] for _ in range(70_000)]
    (found,) = loads(dumps([*lists, lists[100], lists[1000], lists[-1]], dialect=dialect), dialect)
    assert isinstance(found, list)
    for behind, ahead in ((-3, 100), (-2, 1000), (-1, 69_999)):
        assert found[behind] is found[ahead]


def test_an_object_that_is_gone_is_not_mistaken_for_the_next_in_its_place() -> None:
    encoder = Encoder()
    for number in range(100):
        encoder.write([number])
    assert loads(encoder.take()) == [[number] for number in range(100)]


@pytest.mark.parametrize("dialect", Dialect)
def test_objects_of_one_class_with_other_fields_have_a_definition_of_their_own(dialect: Dialect) -> None:
    values = [HessianObject("A", {"a": 1}), HessianObject("A", {"b": 1, "a": 2}), HessianObject("A", {"a": 3})]
    data = dumps(*values, dialect=dialect)
    assert loads(data, dialect) == values
    assert data.count(b"A") == 2


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("length", [31, 32, 0x3FF, 0x400, 0x8000, 0x8001, 0x8020, 0x10000, 100_000])
def test_long_strings_and_long_binary_data_come_in_chunks(dialect: Dialect, length: int) -> None:
    for text in ("a" * length, "é" * length, "你" * length, "😀" * (length // 2) + "a" * (length % 2)):
        data = dumps(text, dialect=dialect)
        assert loads(data, dialect) == [text]
        assert len(data) <= len(text.encode("utf-16", "surrogatepass")) * 3 // 2 + 16
    raw = bytes(range(256)) * (length // 256 + 1)
    assert loads(dumps(raw[:length], dialect=dialect), dialect) == [raw[:length]]


@pytest.mark.parametrize("dialect", Dialect)
def test_no_chunk_ends_between_the_halves_of_a_character(dialect: Dialect) -> None:
    text = "a" * 0x7FFF + "😀" + "b" * 10
    data = dumps(text, dialect=dialect)
    assert data[1:3] == b"\x7f\xff"
    assert loads(data, dialect) == [text]


def test_sofas_readers_are_not_led_to_take_true_for_a_type() -> None:
    for first in (True, Key(True)):
        data = dumps({first: 1}, dialect=S)
        assert data == bytes.fromhex("4d 740000 54 91 7a")
        assert loads(data, S) == [{True: 1}]
    assert dumps({"a": 1, True: 1}, dialect=S) == bytes.fromhex("4d 0161 91 54 91 7a")
    assert dumps({True: 1}) == bytes.fromhex("48 54 91 5a")


def test_an_int_too_large_for_one_is_a_long() -> None:
    assert loads(dumps(2**31 - 1, 2**31, -(2**31), -(2**31) - 1)) == [2**31 - 1, 2**31, -(2**31), -(2**31) - 1]
    assert [type(value) for value in loads(dumps(2**31 - 1, 2**31, -(2**31), -(2**31) - 1))] == [int, Long, int, Long]


def test_kinds_that_python_has_besides_are_written_as_what_they_are() -> None:
    class Colour(enum.IntEnum):
        RED = 1

    class Name(str):
        pass

    values = (Colour.RED, Name("a"), (1, 2), bytearray(b"a"), memoryview(b"bb")[::2])
    assert loads(dumps(*values)) == [1, "a", [1, 2], b"a", b"b"]


@pytest.mark.parametrize("value", [0.0, -0.0, 1.0, -1.0, 0.1, 1e300, 5e-324, math.inf, -math.inf, 2147483.647, 1 / 3])
@pytest.mark.parametrize("dialect", Dialect)
def test_no_double_loses_anything(dialect: Dialect, value: float) -> None:
    (found,) = loads(dumps(value, dialect=dialect), dialect)
    assert repr(found) == repr(value)


@pytest.mark.parametrize("dialect", Dialect)
def test_what_is_no_number_stays_so(dialect: Dialect) -> None:
    (found,) = loads(dumps(math.nan, dialect=dialect), dialect)
    assert isinstance(found, float)
    assert math.isnan(found)


@pytest.mark.parametrize(
    "value",
    [
        object(),
        1j,
        {1, 2},
        Skipped(1),
        2**63,
        -(2**63) - 1,
        Long(2**63),
        Date(2**63),
        HessianObject("A", {1: 2}),  # type: ignore[dict-item]
        [object()],
    ],
)
@pytest.mark.parametrize("dialect", Dialect)
def test_what_hessian_cannot_say_is_refused(dialect: Dialect, value: object) -> None:
    with pytest.raises(HessianError):
        dumps(value, dialect=dialect)


def test_write_int_takes_no_long() -> None:
    for value in (2**31, -(2**31) - 1, Long(2**40)):
        with pytest.raises(HessianError, match="32 bits"):
            Encoder().write_int(value)


def test_a_type_of_sofas_has_a_name_of_two_bytes_of_length() -> None:
    with pytest.raises(HessianError, match="name of 65536"):
        dumps(TypedMap("a" * 0x10000), dialect=S)
    for value in (TypedMap("a" * 0xFFFF), TypedMap("a" * 0x10000), HessianObject("a" * 0x10000, {})):
        assert loads(dumps(value)) == [value]


def test_values_too_deep_for_python_are_refused() -> None:
    deep: list[object] = []
    for _ in range(255):
        deep = [deep]
    dumps(deep)
    with pytest.raises(HessianError, match="inside each other"):
        dumps([deep])
