"""Any value comes back as it was, and any bytes are a value or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait_protocol_hessian import (
    Date,
    Decoder,
    Dialect,
    HessianError,
    HessianObject,
    Key,
    Limits,
    Long,
    Truncated,
    TypedList,
    TypedMap,
    dumps,
    loads,
)

TABLE = Path(__file__).with_name("vectors.txt").read_text().splitlines()
VECTORS = [bytes.fromhex(line.split(" | ", 3)[2]) for line in TABLE if line and not line.startswith("#")]

dialects = st.sampled_from(Dialect)
names = st.text("abc.$[é", max_size=5)
types = st.text("abc.$[é", min_size=1, max_size=5)
int64 = st.integers(-(2**63), 2**63 - 1)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**31), 2**31 - 1)
    | int64.map(Long)
    | st.integers(-300_000, 300_000).map(Long)
    | st.floats(allow_nan=False)
    | st.integers(-(10**6), 10**6).map(lambda thousandths: thousandths * 0.001)
    | st.floats(allow_nan=False, width=32)
    | int64.map(Date)
    | st.integers(-(2**40), 2**40).map(lambda minutes: Date(minutes * 60_000 % 2**63))
    | st.text()
    | st.text(min_size=30, max_size=40)
    | st.binary(max_size=40)
)


def keyed(entries: list[tuple[object, object]]) -> dict[object, object]:
    """A map as it is decoded."""
    made: dict[object, object] = {}
    for key, value in entries:
        try:
            made[Key(key) if key in made else key] = value
        except TypeError:
            made[Key(key)] = value
    return made


def containers(inside: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    items = st.lists(inside, max_size=10)
    entries = st.lists(st.tuples(inside, inside), max_size=5).map(keyed)
    fields = st.dictionaries(names, inside, max_size=4)
    return (
        items
        | st.builds(TypedList, types, items)
        | entries
        | st.builds(TypedMap, types, entries)
        | st.builds(HessianObject, names, fields)
        | inside.map(lambda one: [one, one])  # the second is a reference, if it can be one
    )


values = st.recursive(scalars, containers, max_leaves=20)


@settings(max_examples=500)
@given(dialects, st.lists(values, max_size=3))
def test_values_come_back_as_they_were_and_to_the_same_bytes(dialect: Dialect, message: list[object]) -> None:
    data = dumps(*message, dialect=dialect)
    found = loads(data, dialect)
    assert repr(found) == repr(message)
    assert dumps(*found, dialect=dialect) == data


@settings(max_examples=300)
@given(dialects, st.lists(values, min_size=1, max_size=3), st.integers(0, 1000))
def test_skipping_lands_where_reading_lands_and_cuts_are_noticed(
    dialect: Dialect, message: list[object], cut: int
) -> None:
    data = dumps(*message, dialect=dialect)
    reading, skipping = Decoder(data, dialect=dialect), Decoder(data, dialect=dialect)
    for _ in message:
        reading.read()
        skipping.skip()
        assert skipping.at == reading.at
        assert len(skipping.refs) == len(reading.refs)
    assert (skipping.classes, skipping.types) == (reading.classes, reading.types)
    first = Decoder(data, dialect=dialect)
    first.skip()
    cut %= first.at
    with pytest.raises(Truncated):
        Decoder(data[:cut], dialect=dialect).read()
    with pytest.raises(Truncated):
        Decoder(data[:cut], dialect=dialect).skip()


def tried(data: bytes, dialect: Dialect) -> None:
    """Read and skip: where both end well, they end at the same offset, and what was read can be encoded."""
    limits = Limits(depth=20, objects=1000, classes=50, fields=50, text_length=10_000, number_keys=50)
    reading, skipping = (Decoder(data, dialect=dialect, limits=limits) for _ in range(2))
    while not reading.done:
        try:
            value = reading.read()
        except HessianError:
            break
        skipping.skip()  # what can be read can be skipped
        assert skipping.at == reading.at
        dumps(value, dialect=dialect)
    try:
        while not skipping.done:
            skipping.skip()
    except HessianError:
        pass


@settings(max_examples=1000)
@given(dialects, st.binary(max_size=100))
def test_random_bytes_are_values_or_refused(dialect: Dialect, data: bytes) -> None:
    tried(data, dialect)


tags = st.sampled_from(b"\x00\x01\x20\x31\x41\x42\x43\x48\x4a\x4b\x4d\x4f\x51\x52\x53\x55\x56\x57\x58\x5a\x60\x62\x6c"
                       b"\x6e\x6f\x71\x73\x74\x75\x76\x78\x79\x7a\x90\x91\x92\xe1\xc8\xd4\x61\x54")  # fmt: skip


@settings(max_examples=1000)
@given(dialects, st.lists(tags, max_size=60).map(bytes))
def test_random_tags_are_values_or_refused(dialect: Dialect, data: bytes) -> None:
    tried(data, dialect)


changes = st.lists(
    st.tuples(st.integers(0, 4000), st.sampled_from(["change", "drop", "insert", "double"]), st.integers(0, 255)),
    min_size=1,
    max_size=4,
)


@settings(max_examples=1000)
@given(dialects, st.sampled_from(VECTORS), changes)
def test_broken_messages_are_values_or_refused(dialect: Dialect, data: bytes, how: list[tuple[int, str, int]]) -> None:
    for at, kind, byte in how:
        place = at % (len(data) + 1)
        kept = {"change": 1, "drop": 1, "insert": 0, "double": -8}[kind]
        added = b"" if kind == "drop" else bytes([byte])
        data = data[:place] + added + data[max(0, place + kept) :]
    tried(data, dialect)
