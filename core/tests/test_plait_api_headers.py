"""Blocks that are shared, shortened and grown, and the headers that stand on them."""

from __future__ import annotations

import pytest

from plait.api import UNGROWN, Block, Extra, Headers

FIELDS = [(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]


def test_grown_block_has_the_extra_fields_instead_of_those_of_the_same_name() -> None:
    block = Block(list(FIELDS))
    grown = block.grow(Extra({b"a": b"4", b"c": b"5"}))
    assert grown.raw == [(b"b", b"2"), (b"a", b"4"), (b"c", b"5")]
    assert grown.index == {b"b": b"2", b"a": b"4", b"c": b"5"}
    assert block.raw == FIELDS


def test_block_remembers_what_it_grew_to_for_one_extra_alone() -> None:
    block, extra = Block(list(FIELDS)), Extra({b"c": b"5"})
    assert block.grow(extra) is block.grow(extra)
    assert block.grow(Extra({b"c": b"5"})) is not block.grow(extra)


def test_block_remembers_no_more_than_a_few() -> None:
    block = Block(list(FIELDS))
    for number in range(100):
        block.grow(Extra({b"c": b"%d" % number}))
    assert 0 < len(block.grown) <= 32
    assert not UNGROWN


def test_shorter_block_has_nothing_of_the_name_and_is_remembered() -> None:
    block = Block(list(FIELDS))
    shorter = block.without(b"a")
    assert (shorter.raw, shorter.index) == ([(b"b", b"2")], {b"b": b"2"})
    assert block.without(b"a") is shorter
    assert block.without(b"z").raw == FIELDS
    assert (block.raw, block.index) == (FIELDS, {b"a": b"1", b"b": b"2"})


@pytest.mark.parametrize("repeats", [False, True])
@pytest.mark.parametrize("added", [{}, {"z": "9"}, {"c": "before"}])
def test_extending_headers_puts_each_field(repeats: bool, added: dict[str, str]) -> None:
    block = Block(list(FIELDS))
    block.repeats = repeats
    headers, put = Headers(block), Headers(block)
    for name, value in added.items():
        headers.set(name, value)
        put.set(name, value)
    headers.extend(Extra({b"a": b"4", b"c": b"5"}))
    put.put(b"a", b"4")
    put.put(b"c", b"5")
    assert headers.changed
    assert sorted(headers) == sorted(put)
    assert headers.get_all("c") == ["5"]
    assert block.raw == FIELDS


def test_blocks_that_do_not_repeat_are_not_grown() -> None:
    block = Block(list(FIELDS))
    Headers(block).extend(Extra({b"c": b"5"}))
    assert not block.grown
