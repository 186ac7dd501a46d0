"""Encoding: Python values to Hessian's bytes, in the shortest forms, as Java's encoders write them.

Where those lose something this one does not: -0.0 is not written as zero.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from math import copysign
from struct import Struct
from typing import Any

from plait_protocol_hessian import codes
from plait_protocol_hessian.dialect import TAGS, Dialect
from plait_protocol_hessian.errors import HessianError
from plait_protocol_hessian.limits import DEPTH_AT_MOST
from plait_protocol_hessian.text import encode_text, split_astral
from plait_protocol_hessian.values import Date, HessianObject, Key, Long, TypedList, TypedMap

_TAG_8 = Struct(">Bb")
_TAG_U8 = Struct(">BB")
_TAG_16 = Struct(">Bh")
_TAG_U16 = Struct(">BH")
_TAG_32 = Struct(">Bi")
_TAG_64 = Struct(">Bq")
_TAG_FLOAT = Struct(">Bf")
_TAG_DOUBLE = Struct(">Bd")

# Compared, never asked with `in range`: that looks through the range for an int of a subclass, such as Long.
_INT32_MIN, _INT32_MAX = -(1 << 31), (1 << 31) - 1
_INT64_MIN, _INT64_MAX = -(1 << 63), (1 << 63) - 1


class Encoder:
    """Writes the values of one message, which share their types, class definitions and references.

    A list, map or object that is written again becomes a reference to the first. An ``int`` that does not fit into 32
    bits is written as a long. Methods raise HessianError for what Hessian cannot say; then the message is of no use.
    """

    __slots__ = ("_classes", "_depth_left", "_out", "_refs", "_sofa", "_tags", "_types")

    def __init__(self, *, dialect: Dialect = Dialect.HESSIAN2) -> None:
        self._out = bytearray()
        self._sofa = dialect is Dialect.SOFA3
        self._tags = TAGS[dialect]
        self._types: dict[str, int] = {}
        self._classes: dict[tuple[str, tuple[str, ...]], int] = {}
        self._refs: dict[int, tuple[int, object]] = {}  # by id; the object is held so that its id stays its own
        self._depth_left = DEPTH_AT_MOST

    def take(self) -> bytes:
        """What was written since the last call; what refers to it can still follow."""
        out = bytes(self._out)
        self._out.clear()
        return out

    def write(self, value: object) -> None:
        """Append any value, as ``plait_protocol_hessian.values`` has them; tuples are lists, bytearrays are binary."""
        writer = _WRITERS.get(type(value))
        if writer is None:
            writer = next((write for kind, write in _WRITERS.items() if isinstance(value, kind)), None)
            if writer is None:
                raise HessianError(f"{type(value).__name__} is no value of Hessian")
        writer(self, value)

    def write_int(self, value: int) -> None:
        """Append an int of at most 32 bits."""
        out = self._out
        if -0x10 <= value <= 0x2F:
            out.append(0x90 + value)
        elif -0x800 <= value <= 0x7FF:
            out += _TAG_U8.pack(0xC8 + (value >> 8), value & 0xFF)
        elif -0x40000 <= value <= 0x3FFFF:
            out += _TAG_U16.pack(0xD4 + (value >> 16), value & 0xFFFF)
        elif _INT32_MIN <= value <= _INT32_MAX:
            out += _TAG_32.pack(codes.INT, value)
        else:
            raise HessianError(f"{value} is no int of 32 bits")

    def write_str(self, value: str) -> None:
        """Append a string."""
        text = split_astral(value)
        length = len(text)
        out = self._out
        if length <= 0x1F:
            out.append(length)
            out += encode_text(text)
            return
        at = 0
        while length - at > codes.CHUNK:
            end = at + codes.CHUNK
            if "\ud800" <= text[end - 1] <= "\udbff":
                end -= 1  # the two halves of a character stay together
            out += _TAG_U16.pack(self._tags.string_chunk, end - at)
            out += encode_text(text[at:end])
            at = end
        length -= at
        if length <= 0x1F:
            out.append(length)
        elif length <= 0x3FF and not self._sofa:
            out += _TAG_U8.pack(0x30 + (length >> 8), length & 0xFF)
        else:
            out += _TAG_U16.pack(codes.STRING, length)
        out += encode_text(text[at:])

    def write_map(self, value: dict[Any, Any]) -> None:
        """Append a map, or a reference to it if it was written before."""
        _write_map(self, value)

    # the parts of lists, maps and objects

    def begin(self, value: object) -> bool:
        """A list, map or object begins; False, and a reference is written, when it was written before."""
        known = self._refs.get(id(value))
        if known is None:
            self._refs[id(value)] = (len(self._refs), value)
            self._depth_left -= 1
            if self._depth_left < 0:
                raise HessianError(f"more than {DEPTH_AT_MOST} values inside each other")
            return True
        number = known[0]
        if not self._sofa:
            self._out.append(codes.REF)
            self.write_int(number)
        elif number < 0x100:
            self._out += _TAG_U8.pack(codes.REF_BYTE, number)
        elif number < 0x10000:
            self._out += _TAG_U16.pack(codes.REF_SHORT, number)
        else:
            self._out += _TAG_32.pack(codes.REF_INT, number)
        return False

    def end(self, *, marked: bool) -> None:
        """It ends, with a byte that says so or without."""
        self._depth_left += 1
        if marked:
            self._out.append(self._tags.end)

    def begin_list(self, type_name: str, length: int) -> bool:
        """Append all that comes before the items, and say whether the list has to be marked at its end."""
        out = self._out
        if self._sofa:
            known = self._types.get(type_name) if type_name else None
            if known is not None:
                out.append(codes.LIST_KNOWN)
                self.write_int(known)
                self.write_int(length)
                return False
            out.append(codes.LIST)
            if type_name:
                self._write_type(type_name)
            out += _TAG_U8.pack(codes.COUNT_BYTE, length) if length <= 0xFF else _TAG_32.pack(codes.COUNT_INT, length)
            return True
        if length <= 7:
            out.append((0x70 if type_name else 0x78) + length)
        else:
            out.append(codes.LIST if type_name else 0x58)
        if type_name:
            self._write_type(type_name)
        if length > 7:
            self.write_int(length)
        return False

    def begin_map(self, type_name: str, first: object) -> None:
        """Append all that comes before the keys, of which the first is needed."""
        self._out.append(codes.MAP if type_name or self._sofa else codes.MAP_UNTYPED)
        # SOFA's readers take a T behind M for a reference to a type: an empty type comes between.
        if type_name or (self._sofa and first is True):
            self._write_type(type_name)

    def begin_object(self, type_name: str, names: tuple[str, ...]) -> None:
        """Append all that comes before the values of the fields, with the class definition when it is new."""
        number = self._classes.get((type_name, names))
        if number is None:
            number = self._classes[type_name, names] = len(self._classes)
            self._out.append(self._tags.define)
            if self._sofa:
                text = split_astral(type_name)
                self.write_int(len(text))
                self._out += encode_text(text)
            else:
                self.write_str(type_name)
            self.write_int(len(names))
            for name in names:
                self.write_str(name)
        if number <= 0x0F and not self._sofa:
            self._out.append(0x60 + number)
        else:
            self._out.append(self._tags.object)
            self.write_int(number)

    def _write_type(self, name: str) -> None:
        number = self._types.get(name)
        if number is not None:
            if self._sofa:
                self._out.append(codes.TYPE_REF)
            self.write_int(number)
            return
        self._types[name] = len(self._types)
        if not self._sofa:
            self.write_str(name)
            return
        text = split_astral(name)
        if len(text) > 0xFFFF:
            raise HessianError(f"a type has a name of {len(text)} characters")
        self._out += _TAG_U16.pack(codes.TYPE, len(text))
        self._out += encode_text(text)

    # the rest

    def write_long(self, value: int) -> None:
        """Append a long of at most 64 bits."""
        out = self._out
        if -8 <= value <= 15:
            out.append(0xE0 + value)
        elif -0x800 <= value <= 0x7FF:
            out += _TAG_U8.pack(0xF8 + (value >> 8), value & 0xFF)
        elif -0x40000 <= value <= 0x3FFFF:
            out += _TAG_U16.pack(0x3C + (value >> 16), value & 0xFFFF)
        elif _INT32_MIN <= value <= _INT32_MAX:
            out += _TAG_32.pack(self._tags.long_int, value)
        elif _INT64_MIN <= value <= _INT64_MAX:
            out += _TAG_64.pack(codes.LONG, value)
        else:
            raise HessianError(f"{value} is no long of 64 bits")

    def write_double(self, value: float) -> None:
        """Append a double."""
        out, tags = self._out, self._tags
        if -0x8000 <= value < 0x8000 and value.is_integer():
            whole = int(value)
            if whole == 1:
                out.append(tags.double_one)
                return
            if whole == 0 and copysign(1.0, value) > 0:
                out.append(tags.double_zero)
                return
            if whole != 0:
                tiny = -0x80 <= whole < 0x80
                out += _TAG_8.pack(tags.double_tiny, whole) if tiny else _TAG_16.pack(tags.double_short, whole)
                return
        if self._sofa:
            if _as_float(value) == value:
                out += _TAG_FLOAT.pack(tags.double_four, value)
                return
        elif value and -0x80000000 <= value * 1000 < 0x80000000:
            thousandths = int(value * 1000)
            if 0.001 * thousandths == value:
                out += _TAG_32.pack(tags.double_four, thousandths)
                return
        out += _TAG_DOUBLE.pack(codes.DOUBLE, value)

    def write_date(self, value: Date) -> None:
        """Append a date."""
        ms, tags = value.ms, self._tags
        if not _INT64_MIN <= ms <= _INT64_MAX:
            raise HessianError(f"{ms} milliseconds are no date of 64 bits")
        if tags.date_minutes >= 0 and ms % 60_000 == 0 and _INT32_MIN <= ms // 60_000 <= _INT32_MAX:
            self._out += _TAG_32.pack(tags.date_minutes, ms // 60_000)
        else:
            self._out += _TAG_64.pack(tags.date_ms, ms)

    def write_bytes(self, value: bytes) -> None:
        """Append binary data."""
        out = self._out
        at, length = 0, len(value)
        while length - at > codes.CHUNK:
            out += _TAG_U16.pack(self._tags.binary_chunk, codes.CHUNK)
            out += value[at : at + codes.CHUNK]
            at += codes.CHUNK
        length -= at
        if length <= 0x0F:
            out.append(0x20 + length)
        elif length <= 0x3FF and not self._sofa:
            out += _TAG_U8.pack(0x34 + (length >> 8), length & 0xFF)
        else:
            out += _TAG_U16.pack(codes.BINARY, length)
        out += value[at:]

    def write_tag(self, tag: int) -> None:
        """Append a value that is nothing but its tag."""
        self._out.append(tag)


def dumps(*values: object, dialect: Dialect = Dialect.HESSIAN2) -> bytes:
    """The values as the top-level values of one message; raises HessianError."""
    encoder = Encoder(dialect=dialect)
    for value in values:
        encoder.write(value)
    return encoder.take()


def _as_float(value: float) -> float:
    """The nearest float of 32 bits; 0 for what is too large."""
    try:
        nearest: float = _TAG_FLOAT.unpack(_TAG_FLOAT.pack(0, value))[1]
    except OverflowError:
        return 0.0
    return nearest


def _write_int(encoder: Encoder, value: int) -> None:
    if _INT32_MIN <= value <= _INT32_MAX:
        encoder.write_int(value)
    else:
        encoder.write_long(value)


def _write_list(encoder: Encoder, value: Collection[object]) -> None:
    if encoder.begin(value):
        marked = encoder.begin_list(value.type_name if isinstance(value, TypedList) else "", len(value))
        for item in value:
            encoder.write(item)
        encoder.end(marked=marked)


def _write_map(encoder: Encoder, value: dict[object, object]) -> None:
    if encoder.begin(value):
        keys = [key.value if isinstance(key, Key) else key for key in value]
        encoder.begin_map(value.type_name if isinstance(value, TypedMap) else "", keys[0] if keys else None)
        for key, item in zip(keys, value.values(), strict=True):
            encoder.write(key)
            encoder.write(item)
        encoder.end(marked=True)


def _write_object(encoder: Encoder, value: HessianObject) -> None:
    if encoder.begin(value):
        names = tuple(value.fields)
        if not all(isinstance(name, str) for name in names):
            raise HessianError(f"a field of {value.type_name!r} has a name that is no string")
        encoder.begin_object(value.type_name, names)
        for item in value.fields.values():
            encoder.write(item)
        encoder.end(marked=False)


# The first that fits: subclasses come before what they inherit from.
_WRITERS: dict[type, Callable[[Encoder, Any], None]] = {
    str: Encoder.write_str,
    bool: lambda encoder, value: encoder.write_tag(codes.TRUE if value else codes.FALSE),
    Long: Encoder.write_long,
    int: _write_int,
    type(None): lambda encoder, _value: encoder.write_tag(codes.NULL),
    TypedMap: _write_map,
    dict: _write_map,
    TypedList: _write_list,
    list: _write_list,
    tuple: _write_list,
    HessianObject: _write_object,
    float: Encoder.write_double,
    Date: Encoder.write_date,
    bytes: Encoder.write_bytes,
    bytearray: Encoder.write_bytes,
    memoryview: lambda encoder, value: encoder.write_bytes(bytes(value)),
}
