"""Python's side of Hessian's values, for what Python has no own word.

==================  ==============================================
null, boolean       ``None``, ``bool``
int, double         ``int``, ``float``
long                `Long`
date                `Date`
string, binary      ``str``, ``bytes``
list                ``list``, or `TypedList` when a type is named
map                 ``dict``, or `TypedMap` when a type is named
object              `HessianObject`; a Java enum is one whose only field is ``name``
reference           the very object it refers to, so cycles are cycles
==================  ==============================================

A list, map or object stands for itself: two that are the same one in Java are the same one in Python.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from reprlib import recursive_repr
from typing import Any


class Long(int):
    """A Hessian long; it is equal to the ``int`` of its value."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Long({int(self)})"

    __str__ = int.__repr__


class Date:
    """A moment, as milliseconds since 1970 in UTC; the whole range of a Java long, which ``datetime`` has not."""

    __slots__ = ("ms",)

    def __init__(self, ms: int) -> None:
        self.ms = ms

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Date) and self.ms == other.ms

    def __hash__(self) -> int:
        return hash(("Date", self.ms))  # the text makes it one that peers cannot foresee

    def __repr__(self) -> str:
        return f"Date({self.ms})"


class HessianObject:
    """An instance of a Java class: its name and its fields, in the order of the class definition.

    Where a definition names a field twice (a subclass that hides a field), the later value stays, as in Java.
    """

    __slots__ = ("fields", "type_name")

    def __init__(self, type_name: str, fields: dict[str, object]) -> None:
        self.type_name = type_name
        self.fields = fields

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HessianObject) and self.type_name == other.type_name and self.fields == other.fields

    __hash__ = None  # type: ignore[assignment]  # its fields may change

    @recursive_repr()
    def __repr__(self) -> str:
        return f"HessianObject({self.type_name!r}, {self.fields!r})"


class TypedMap(dict[object, object]):
    """A map that names its Java type; it equals a ``dict`` with the same entries, and no map of another type."""

    __slots__ = ("type_name",)

    def __init__(self, type_name: str, items: Mapping[Any, object] | Iterable[tuple[object, object]] = ()) -> None:
        super().__init__(items)
        self.type_name = type_name

    def __eq__(self, other: object) -> bool:
        return dict.__eq__(self, other) is True and getattr(other, "type_name", self.type_name) == self.type_name

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None

    @recursive_repr()
    def __repr__(self) -> str:
        return f"TypedMap({self.type_name!r}, {super().__repr__()})"


class TypedList(list[object]):
    """A list or array that names its Java type; it equals a ``list`` of the same items, and none of another type."""

    __slots__ = ("type_name",)

    def __init__(self, type_name: str, items: Iterable[object] = ()) -> None:
        super().__init__(items)
        self.type_name = type_name

    def __eq__(self, other: object) -> bool:
        return list.__eq__(self, other) is True and getattr(other, "type_name", self.type_name) == self.type_name

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None

    @recursive_repr()
    def __repr__(self) -> str:
        return f"TypedList({self.type_name!r}, {super().__repr__()})"


class Key:
    """What stands in a ``dict`` for a key that cannot be there as itself: unhashable, or equal to one before it.

    Java tells ``1``, ``1L`` and ``1.0`` apart, and takes lists for keys. Each `Key` is equal to itself alone.
    """

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value

    @recursive_repr()
    def __repr__(self) -> str:
        return f"Key({self.value!r})"


class Skipped:
    """What is read for a reference to something that was skipped: how many lists, maps and objects came before it."""

    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index = index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Skipped) and self.index == other.index

    def __hash__(self) -> int:
        return hash(("Skipped", self.index))

    def __repr__(self) -> str:
        return f"Skipped({self.index})"
