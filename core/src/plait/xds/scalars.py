"""One value of a document as the value of a protobuf scalar, as liberal and as strict as Envoy's JSON parser.

Numbers may stand in quotes; enum names are taken in any case and as numbers; booleans also as the words that absl
reads. What cannot be taken raises ``Refused`` with what was expected; the caller knows the field and the place.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable
from typing import TypeAlias

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

from plait.xds.document import Plain
from plait.xds.positions import did_you_mean

Value: TypeAlias = bool | int | float | str | bytes
Convert: TypeAlias = Callable[[Plain], Value]

_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_HEX = re.compile(r"[+-]?0[xX][0-9a-fA-F]+")
_DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "infinity": math.inf}
_BOOLEANS = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0"), False),
}
_DURATION = re.compile(r"(-?)(\d+)(?:\.(\d{1,9}))?s", re.ASCII)
_DURATION_LIMIT_S = 315_576_000_000
_LONGEST_NUMBER = 400
_FLOAT32_MAX = 3.4028234663852886e38


class Refused(Exception):
    """A value that a field does not take; ``what`` replaces the description of the value if it is not empty."""

    def __init__(self, expected: str, hint: str = "", what: str = "") -> None:
        super().__init__(expected)
        self.expected = expected
        self.hint = hint
        self.what = what


def converter(field: FieldDescriptor) -> Convert:
    """Return the function that makes values of a scalar or enum field. Raises ``KeyError`` for a message field."""
    if field.enum_type is not None:
        return enum_of(field.enum_type)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return to_bytes
    return _BY_CPP_TYPE[field.cpp_type]


def to_text(value: Plain) -> str:
    """Take a string, and nothing that YAML made something else of."""
    if isinstance(value, str):
        return value
    raise Refused("a string", hint="" if value is None else "put it in quotes")


def to_bool(value: Plain) -> bool:
    """Take a boolean, or a string that absl takes for one."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _BOOLEANS:
        return _BOOLEANS[value.lower()]
    raise Refused("true or false")


def to_bytes(value: Plain) -> bytes:
    """Take base64, of either alphabet, with or without padding."""
    expected = "bytes in base64"
    if not isinstance(value, str):
        raise Refused(expected)
    bare = value.rstrip("=").translate(str.maketrans("-_", "+/"))
    padded = bare + "=" * (-len(bare) % 4)
    if len(value) not in (len(bare), len(padded)):
        raise Refused(expected)
    try:
        return base64.b64decode(padded, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(expected) from None


def to_float(value: Plain) -> float:
    """Take a number, in quotes too."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and len(value) <= _LONGEST_NUMBER:
        text = value.strip()
        if _DECIMAL.fullmatch(text):
            return float(text)
        if _HEX.fullmatch(text):
            return float(int(text, 16))
        name = text.lstrip("+-").lower()
        if name in _NOT_FINITE:
            return -_NOT_FINITE[name] if text.startswith("-") else _NOT_FINITE[name]
    raise Refused("a number")


def to_float32(value: Plain) -> float:
    """Take a number that a 32-bit float can hold."""
    number = to_float(value)
    if math.isfinite(number) and abs(number) > _FLOAT32_MAX:
        raise Refused("a number within the range of a 32-bit float")
    return number


def enum_of(enum: EnumDescriptor) -> Convert:
    """Return the function that makes numbers of an enum's names, in any case, and of numbers."""
    numbers = {value.name.upper(): value.number for value in enum.values}

    def convert(value: Plain) -> int:
        if isinstance(value, str):
            number = numbers.get(value.upper())
            if number is None and _WHOLE.fullmatch(value) and len(value) <= 12:
                number = int(value)
        elif isinstance(value, float) and value.is_integer():
            number = int(value)
        else:
            number = value if isinstance(value, int) and not isinstance(value, bool) else None
        if number is not None and -(2**31) <= number < 2**31:
            return number
        names = [known.name for known in enum.values]
        listed = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
        if isinstance(value, str):
            raise Refused(f"one of {listed}", did_you_mean(value, names), what=f"unknown value {value!r}")
        raise Refused(f"one of {listed}")

    return convert


def to_duration(value: Plain) -> tuple[int, int]:
    """Take "1.5s"; return seconds and nanoseconds, both with the sign."""
    expected = 'a duration in seconds such as "0.25s"'
    found = _DURATION.fullmatch(value) if isinstance(value, str) and len(value) < 64 else None
    if found is None:
        raise Refused(expected)
    sign = -1 if found[1] else 1
    seconds, nanos = int(found[2]), int((found[3] or "").ljust(9, "0"))
    if seconds > _DURATION_LIMIT_S:
        raise Refused(f"at most {_DURATION_LIMIT_S}s")
    return sign * seconds, sign * nanos


def _integer(low: int, high: int) -> Convert:
    expected = f"a whole number from {low} to {high}"

    def convert(value: Plain) -> int:
        number: int | float | None = None
        if isinstance(value, str) and len(value) <= _LONGEST_NUMBER:
            if _WHOLE.fullmatch(value):
                number = int(value)
            elif _HEX.fullmatch(value):
                number = int(value, 16)
            elif _DECIMAL.fullmatch(value):
                number = float(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            number = value
        if isinstance(number, float):
            number = int(number) if number.is_integer() else None
        if number is None or not low <= number <= high:
            raise Refused(expected)
        return number

    return convert


_BY_CPP_TYPE: dict[int, Convert] = {
    FieldDescriptor.CPPTYPE_BOOL: to_bool,
    FieldDescriptor.CPPTYPE_DOUBLE: to_float,
    FieldDescriptor.CPPTYPE_FLOAT: to_float32,
    FieldDescriptor.CPPTYPE_INT32: _integer(-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: _integer(-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_STRING: to_text,
    FieldDescriptor.CPPTYPE_UINT32: _integer(0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: _integer(0, 2**64 - 1),
}
