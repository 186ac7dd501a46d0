"""Stepping over values: it lands where reading lands, and what comes behind is read all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from plait_protocol_hessian import Decoder, Dialect, HessianError, HessianObject, Limits, Skipped, Truncated, TypedList

TABLE = Path(__file__).with_name("vectors.txt").read_text().splitlines()
ROWS = [line.split(" | ", 3) for line in TABLE if line and not line.startswith("#")]
DIALECTS = {"hessian2": [Dialect.HESSIAN2], "sofa3": [Dialect.SOFA3], "both": list(Dialect)}
VECTORS = [(dialect, bytes.fromhex(row[2])) for row in ROWS for dialect in DIALECTS[row[0]]]

H, S = Dialect.HESSIAN2, Dialect.SOFA3


@pytest.mark.parametrize(("dialect", "data"), VECTORS)
def test_skipping_lands_where_reading_lands(dialect: Dialect, data: bytes) -> None:
    reading, skipping = Decoder(data, dialect=dialect), Decoder(data, dialect=dialect)
    while not reading.done:
        reading.read()
        skipping.skip()
        assert skipping.at == reading.at
        assert (skipping.classes, skipping.types) == (reading.classes, reading.types)
        assert len(skipping.refs) == len(reading.refs)
    assert skipping.done


@pytest.mark.parametrize(("dialect", "data"), VECTORS)
def test_a_value_that_is_cut_off_is_truncated_wherever_it_is_cut(dialect: Dialect, data: bytes) -> None:
    decoder = Decoder(data, dialect=dialect)
    ends = []
    while not decoder.done:
        decoder.skip()
        ends.append(decoder.at)
    for end in range(len(data)):
        cut = Decoder(data[:end], dialect=dialect)
        for whole in ends:
            if whole <= end:
                cut.skip()
                assert cut.at == whole
        with pytest.raises(Truncated):
            cut.skip()


@pytest.mark.parametrize(
    ("dialect", "data", "value"),
    [
        (H, "43 0141 91 0161 60 90  60 91", HessianObject("A", {"a": 1})),
        (H, "72 0161 90 91  71 90 92", TypedList("a", [2])),
        (H, "79 790161  79 5192", [["..."]]),
        (H, "7a 78 78  51 91", Skipped(1)),
        (S, "4f 9141 91 0161 6f90 90  6f90 91", HessianObject("A", {"a": 1})),
        (S, "56 74000161 6e01 90 7a  76 90 91 92", TypedList("a", [2])),
        (S, "56 6e01 4d 7a 7a  4a 01", Skipped(1)),
        (S, "56 4d 0161 4d 7a 7a 7a  4b 0002", Skipped(2)),
    ],
)
def test_what_comes_behind_is_read_as_if_nothing_had_been_skipped(dialect: Dialect, data: str, value: object) -> None:
    decoder = Decoder(bytes.fromhex(data), dialect=dialect)
    decoder.skip()
    found = decoder.read()
    assert decoder.done
    if value == [["..."]]:
        assert isinstance(found, list)
        assert found[0] is found
    else:
        assert found == value


def test_what_was_read_before_can_be_referred_to_behind_what_was_skipped() -> None:
    decoder = Decoder(bytes.fromhex("790161 78 7a 5190 5191"))
    first = decoder.read()
    decoder.skip()
    second = decoder.read()
    assert second == [["a"], Skipped(1)]
    assert isinstance(second, list)
    assert second[0] is first


@pytest.mark.parametrize(
    ("dialect", "data"),
    [
        (H, "40"), (H, "60"), (H, "51 90"), (H, "79 51 91"), (H, "56 90 90"), (H, "58 8f"), (H, "48 90 5a"), (H, "5a"),
        (H, "79 5a"), (H, "43 0141 90 5a"), (H, "57 43 0141 90 5a"), (H, "48 43 0141 90 5a"), (H, "43 0141 8f 60"),
        (H, "52 0001 61 20"), (H, "41 0001 61 01 61"), (H, "48 90 79 5a"), (S, "30"), (S, "48 7a"), (S, "6f 90"),
        (S, "4a 00"), (S, "76 90 90"), (S, "56 6e01 90 91 7a"), (S, "56 6e02 90 7a"), (S, "4d 90 7a"), (S, "7a"),
        (S, "56 6c ffffffff"),
    ],
)  # fmt: skip
def test_wrong_bytes_are_refused_and_are_not_called_truncated(dialect: Dialect, data: str) -> None:
    with pytest.raises(HessianError) as caught:
        Decoder(bytes.fromhex(data), dialect=dialect).skip()
    assert not isinstance(caught.value, Truncated)


def test_depth_is_no_matter() -> None:
    deep = 90_000
    for dialect, begin, middle, end in (
        (H, b"\x57", b"", b"\x5a"),
        (H, b"\x79", b"\x4e", b""),
        (H, b"\x48\x90", b"\x4e", b"\x5a"),
        (S, b"\x56\x6e\x01", b"\x4e", b"\x7a"),
        (S, b"\x4d\x90", b"\x4e", b"\x7a"),
    ):
        decoder = Decoder(begin * deep + middle + end * deep + b"\x91", dialect=dialect)
        decoder.skip()
        assert decoder.read() == 1


def test_objects_are_counted() -> None:
    Decoder(b"\x7a\x78\x78", limits=Limits(objects=3)).skip()
    with pytest.raises(HessianError, match="more than 2 lists"):
        Decoder(b"\x7a\x78\x78", limits=Limits(objects=2)).skip()


def test_text_is_stepped_over_unseen() -> None:
    decoder = Decoder(bytes.fromhex("02 c341") + b"\x91", limits=Limits(text_length=0))
    decoder.skip()
    assert decoder.read_int() == 1


def test_a_list_of_a_million_is_stepped_over() -> None:
    data = b"\x58\x49" + (1_000_000).to_bytes(4, "big") + b"\x90" * 1_000_000 + b"\x91"
    decoder = Decoder(data)
    decoder.skip()
    assert decoder.read_int() == 1
