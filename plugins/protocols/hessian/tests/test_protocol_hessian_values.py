"""The values that Python has no own word for."""

from __future__ import annotations

import pytest

from plait_protocol_hessian import Date, HessianObject, Key, Long, Skipped, TypedList, TypedMap


def test_a_long_is_the_int_of_its_value() -> None:
    assert Long(5) == 5
    assert Long(5) + 1 == 6
    assert repr(Long(5)) == "Long(5)"
    assert str(Long(5)) == f"{Long(5)}" == "5"


@pytest.mark.parametrize(
    ("one", "same", "others"),
    [
        (Date(1), Date(1), [Date(2), 1]),
        (Skipped(1), Skipped(1), [Skipped(2), 1]),
        (HessianObject("A", {"a": 1}), HessianObject("A", {"a": 1}), [HessianObject("B", {"a": 1}), {"a": 1}]),
        (TypedMap("A", {"a": 1}), TypedMap("A", {"a": 1}), [TypedMap("B", {"a": 1}), TypedMap("A"), {}, 1]),
        (TypedList("A", [1]), TypedList("A", [1]), [TypedList("B", [1]), TypedList("A"), [], 1]),
    ],
    ids=lambda value: repr(value),
)
def test_values_are_equal_by_what_they_hold(one: object, same: object, others: list[object]) -> None:
    assert one == same
    assert (one != same) is False
    assert [other for other in others if one == other or other == one or (one != other) is False] == []


def test_typed_collections_equal_plain_ones_with_the_same_inside() -> None:
    assert TypedMap("A", {"a": 1}) == {"a": 1}
    assert TypedList("A", [1]) == [1]
    assert TypedList("A", [1]) == [1]


def test_what_can_change_has_no_hash() -> None:
    for value in (HessianObject("A", {}), TypedMap("A"), TypedList("A")):
        with pytest.raises(TypeError, match="unhashable"):
            hash(value)
    assert len({Date(1), Date(1), Skipped(1), Skipped(1)}) == 2


def test_a_key_is_itself_alone() -> None:
    assert Key(1) != Key(1)
    assert len({Key([]): 1, Key([]): 2}) == 2


def test_values_that_hold_themselves_can_be_shown() -> None:
    knot = HessianObject("A", {})
    knot.fields["self"] = knot
    tied = TypedList("[A", [])
    tied.append(tied)
    mapped = TypedMap("M")
    mapped[Key(mapped)] = mapped
    shown = [repr(value) for value in (knot, tied, mapped)]
    assert shown == [
        "HessianObject('A', {'self': ...})",
        "TypedList('[A', [...])",
        "TypedMap('M', {Key(...): ...})",
    ]
