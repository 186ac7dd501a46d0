"""Decoding: Hessian's bytes to Python values, one top-level value after the other.

Each tag has a function in a table of 256. Those of lists, maps and objects call the table again for what is inside,
so that a level costs two frames of Python, and ``Limits.depth`` is how many there may be.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct, error

from plait_protocol_hessian import codes
from plait_protocol_hessian.dialect import TAGS, Dialect
from plait_protocol_hessian.errors import HessianError, Truncated
from plait_protocol_hessian.limits import DEFAULT_LIMITS, Limits
from plait_protocol_hessian.skipping import skip_value
from plait_protocol_hessian.source import INT32, SKIPPED, UINT16, Source
from plait_protocol_hessian.values import Date, HessianObject, Key, Long, Skipped, TypedList, TypedMap

_INT64 = Struct(">q")
_DOUBLE = Struct(">d")
_FLOAT = Struct(">f")
_INT16 = Struct(">h")
_INT8 = Struct(">b")


class Decoder(Source):
    """Reads the values of one message, which share their types, class definitions and references.

    ``at`` is the offset behind what was read. Bytes may follow that are no Hessian: only what is asked for is looked
    at. Every method raises HessianError, and Truncated when the bytes end too soon; then the decoder is of no more use.
    A ``memoryview`` is copied, once. What it inherits is for this package alone.
    """

    __slots__ = ("depth_left", "number_keys_left", "table")

    def __init__(
        self,
        data: bytes | bytearray | memoryview,
        at: int = 0,
        *,
        dialect: Dialect = Dialect.HESSIAN2,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        super().__init__(data, at, dialect, limits)
        self.depth_left = limits.depth
        self.number_keys_left = limits.number_keys
        self.table = _TABLES[dialect]

    @property
    def done(self) -> bool:
        """Whether the bytes are at their end."""
        return self.at >= len(self.data)

    def read(self) -> object:
        """The next value; what it can be is in ``plait_protocol_hessian.values``."""
        try:
            tag = self.data[self.at]
            self.at += 1
            return self.table[tag](self, tag)
        except (IndexError, error):
            raise self._ended() from None

    def read_str(self) -> str:
        """The next value, which has to be a string."""
        data = self.data
        at = self.at + 1
        try:
            tag = data[at - 1]
            if tag < 0x20:
                raw = data[at : at + tag]
                if len(raw) == tag and raw.isascii():
                    self.at = at + tag
                    return self.built(raw.decode("ascii"))
            self.at = at
            return self.string(tag)
        except (IndexError, error):
            raise self._ended() from None

    def read_int(self) -> int:
        """The next value, which has to be an int."""
        try:
            return self.integer()
        except (IndexError, error):
            raise self._ended() from None

    def skip(self) -> None:
        """Step over the next value without building it.

        What comes behind is read as if it had been read; only a reference into it is read as `Skipped`. Text is not
        checked, and there is no limit of depth.
        """
        try:
            skip_value(self)
        except (IndexError, error):
            raise self._ended() from None

    def _ended(self) -> Truncated:
        return Truncated(f"the {len(self.data)} bytes end inside a value")

    def open(self, value: object) -> None:
        """A list, map or object begins, one level deeper."""
        self.register(value)
        self.depth_left -= 1
        if self.depth_left < 0:
            raise HessianError(f"more than {self.limits.depth} values inside each other at {self.at}")


def loads(data: bytes | bytearray | memoryview, dialect: Dialect = Dialect.HESSIAN2) -> list[object]:
    """All top-level values of a message; raises HessianError."""
    decoder = Decoder(data, dialect=dialect)
    values = []
    while not decoder.done:
        values.append(decoder.read())
    return values


_Read = Callable[[Decoder, int], object]


def _unknown(d: Decoder, _tag: int) -> object:
    raise d.unexpected("value")


# numbers and dates


def _int_tiny(_d: Decoder, tag: int) -> object:
    return tag - 0x90


def _int(d: Decoder, _tag: int) -> object:
    d.at -= 1
    return d.integer()


def _long_tiny(_d: Decoder, tag: int) -> object:
    return Long(tag - 0xE0)


def _long_two(d: Decoder, tag: int) -> object:
    return Long(((tag - 0xF8) << 8) + d.tag())


def _long_three(d: Decoder, tag: int) -> object:
    d.at += 2
    return Long(((tag - 0x3C) << 16) + UINT16.unpack_from(d.data, d.at - 2)[0])


def _long_four(d: Decoder, _tag: int) -> object:
    d.at += 4
    return Long(INT32.unpack_from(d.data, d.at - 4)[0])


def _long(d: Decoder, _tag: int) -> object:
    d.at += 8
    return Long(_INT64.unpack_from(d.data, d.at - 8)[0])


def _double_tiny(d: Decoder, _tag: int) -> object:
    d.at += 1
    return float(_INT8.unpack_from(d.data, d.at - 1)[0])


def _double_short(d: Decoder, _tag: int) -> object:
    d.at += 2
    return float(_INT16.unpack_from(d.data, d.at - 2)[0])


def _double_thousandths(d: Decoder, _tag: int) -> object:
    d.at += 4
    return 0.001 * INT32.unpack_from(d.data, d.at - 4)[0]  # the very product that Java makes


def _double_float(d: Decoder, _tag: int) -> object:
    d.at += 4
    return _FLOAT.unpack_from(d.data, d.at - 4)[0]


def _double(d: Decoder, _tag: int) -> object:
    d.at += 8
    return _DOUBLE.unpack_from(d.data, d.at - 8)[0]


def _date(d: Decoder, _tag: int) -> object:
    d.at += 8
    return Date(_INT64.unpack_from(d.data, d.at - 8)[0])


def _date_minutes(d: Decoder, _tag: int) -> object:
    d.at += 4
    return Date(INT32.unpack_from(d.data, d.at - 4)[0] * 60_000)


# strings and binary data


def _string_tiny(d: Decoder, tag: int) -> object:
    end = d.at + tag
    raw = d.data[d.at : end]
    if len(raw) == tag and raw.isascii():
        d.at = end
        return d.built(raw.decode("ascii"))
    return d.string(tag)


def _string(d: Decoder, tag: int) -> object:
    return d.string(tag)


def _binary(d: Decoder, tag: int) -> object:
    chunks = []
    while True:
        end = d.binary_end(tag)
        chunks.append(d.data[d.at : end])
        d.at = end
        if tag != d.tags.binary_chunk:
            return b"".join(chunks)
        tag = d.tag()


# lists


def _items(d: Decoder, into: list[object], count: int) -> object:
    d.open(into)
    data, table = d.data, d.table
    for _ in range(count):
        tag = data[d.at]
        d.at += 1
        into.append(table[tag](d, tag))
    d.depth_left += 1
    return into


def _items_to_end(d: Decoder, into: list[object]) -> object:
    d.open(into)
    data, table, end = d.data, d.table, d.tags.end
    while (tag := data[d.at]) != end:
        d.at += 1
        into.append(table[tag](d, tag))
    d.at += 1
    d.depth_left += 1
    return into


def _empty_list(type_name: str) -> list[object]:
    return TypedList(type_name) if type_name else []


def _list_open(d: Decoder, _tag: int) -> object:
    return _items_to_end(d, _empty_list(d.type_name()))


def _list_open_untyped(d: Decoder, _tag: int) -> object:
    return _items_to_end(d, [])


def _list_counted(d: Decoder, _tag: int) -> object:
    into = _empty_list(d.type_name())
    return _items(d, into, d.count("a length"))


def _list_counted_untyped(d: Decoder, _tag: int) -> object:
    return _items(d, [], d.count("a length"))


def _list_short(d: Decoder, tag: int) -> object:
    into = _empty_list(d.type_name())
    return _items(d, into, d.checked(tag - 0x70, "a length"))


def _list_short_untyped(d: Decoder, tag: int) -> object:
    return _items(d, [], d.checked(tag - 0x78, "a length"))


def _sofa_list(d: Decoder, _tag: int) -> object:
    into = _empty_list(d.type_name())
    if d.data[d.at] not in (codes.COUNT_BYTE, codes.COUNT_INT):
        return _items_to_end(d, into)
    _items(d, into, d.sofa_count())
    d.take_end()
    return into


def _sofa_list_known(d: Decoder, _tag: int) -> object:
    into = _empty_list(d.known_type())
    return _items(d, into, d.count("a length"))


# maps and objects


def _map(d: Decoder, _tag: int) -> object:
    type_name = d.type_name()
    return _entries(d, TypedMap(type_name) if type_name else {})


def _map_untyped(d: Decoder, _tag: int) -> object:
    return _entries(d, {})


def _entries(d: Decoder, into: dict[object, object]) -> object:
    d.open(into)
    data, table, end = d.data, d.table, d.tags.end
    while (tag := data[d.at]) != end:
        d.at += 1
        key = table[tag](d, tag)
        tag = data[d.at]
        d.at += 1
        value = table[tag](d, tag)
        if isinstance(key, (int, float)):
            d.number_keys_left -= 1
            if d.number_keys_left < 0:
                raise HessianError(f"more than {d.limits.number_keys} keys of maps are numbers at {d.at}")
        try:
            taken = key in into
        except TypeError:
            taken = True
        into[Key(key) if taken else key] = value
    d.at += 1
    d.depth_left += 1
    return into


def _object(d: Decoder, _tag: int) -> object:
    return _instance(d, d.integer())


def _object_short(d: Decoder, tag: int) -> object:
    return _instance(d, tag - 0x60)


def _instance(d: Decoder, number: int) -> object:
    type_name, names = d.known_class(number)
    fields: dict[str, object] = {}
    made = HessianObject(type_name, fields)
    d.open(made)
    data, table = d.data, d.table
    for name in names:
        tag = data[d.at]
        d.at += 1
        fields[name] = table[tag](d, tag)
    d.depth_left += 1
    return made


def _defined(d: Decoder, tag: int) -> object:
    while tag == d.tags.define:
        d.define()
        tag = d.tag()
    return d.table[tag](d, tag)


def _reference(d: Decoder, tag: int) -> object:
    number = d.ref_number(tag)
    value = d.known_ref(number)
    return Skipped(number) if value is SKIPPED else value


def _table(dialect: Dialect) -> tuple[_Read, ...]:
    sofa, tags = dialect is Dialect.SOFA3, TAGS[dialect]
    table: list[_Read] = [_unknown] * 256
    table[0x80:0xC0] = [_int_tiny] * 0x40
    table[0xC0:0xD8] = [_int] * 0x18
    table[0xD8:0xF0] = [_long_tiny] * 0x18
    table[0xF0:] = [_long_two] * 0x10
    table[0x38:0x40] = [_long_three] * 8
    table[0x00:0x20] = [_string_tiny] * 0x20
    table[0x20:0x30] = [_binary] * 0x10
    table[codes.NULL] = lambda _d, _tag: None
    table[codes.TRUE] = lambda _d, _tag: True
    table[codes.FALSE] = lambda _d, _tag: False
    table[codes.INT], table[codes.LONG], table[codes.DOUBLE] = _int, _long, _double
    table[codes.STRING] = table[tags.string_chunk] = _string
    table[codes.BINARY] = table[tags.binary_chunk] = _binary
    table[tags.long_int] = _long_four
    table[tags.double_zero] = lambda _d, _tag: 0.0
    table[tags.double_one] = lambda _d, _tag: 1.0
    table[tags.double_tiny], table[tags.double_short] = _double_tiny, _double_short
    table[tags.double_four] = _double_float if sofa else _double_thousandths
    table[tags.date_ms] = _date
    table[tags.define], table[tags.object] = _defined, _object
    table[codes.MAP] = _map
    if sofa:
        table[codes.LIST], table[codes.LIST_KNOWN] = _sofa_list, _sofa_list_known
        table[codes.REF_BYTE] = table[codes.REF_SHORT] = table[codes.REF_INT] = _reference
    else:
        table[tags.date_minutes] = _date_minutes
        table[0x30:0x34] = [_string] * 4
        table[0x34:0x38] = [_binary] * 4
        table[codes.MAP_UNTYPED] = _map_untyped
        table[codes.LIST_OPEN], table[codes.LIST], table[codes.LIST_OPEN_UNTYPED], table[codes.LIST_UNTYPED] = (
            _list_open, _list_counted, _list_open_untyped, _list_counted_untyped,
        )  # fmt: skip
        table[0x60:0x70] = [_object_short] * 0x10
        table[0x70:0x78] = [_list_short] * 8
        table[0x78:0x80] = [_list_short_untyped] * 8
        table[codes.REF] = _reference
    return tuple(table)


_TABLES = {dialect: _table(dialect) for dialect in Dialect}
