"""Stepping over values without building them.

A table of 256 says how many bytes follow a tag; the few tags that want more have a function each, which says how many
values there are inside. Nothing recurses: values to come are counted, and only what an end byte closes, or what such a
thing holds, is kept on a stack. No step looks at a byte twice, except for text that is not ASCII.
"""

from __future__ import annotations

from collections.abc import Callable

from plait_protocol_hessian import codes
from plait_protocol_hessian.dialect import TAGS, Dialect
from plait_protocol_hessian.errors import Truncated
from plait_protocol_hessian.source import SKIPPED, Source
from plait_protocol_hessian.text import text_end

# In the table of sizes, for what has none.
_TEXT, _STEP, _DEFINE = -1, -2, -3

# Where a number of values to come is meant: what is open until an end byte comes.
_ITEM, _KEY, _VALUE = -1, -2, -3
# On the stack: an end byte has to come now. Below _COUNTED: so many values, and then an end byte.
_END = -4
_COUNTED = -8

_Step = Callable[[Source, int], int]


def skip_value(source: Source) -> None:
    """Step over one value; raises HessianError, and IndexError or ``struct.error`` at the end of the bytes."""
    data, end_tag = source.data, source.tags.end
    sizes, steps = _SIZES[source.sofa], _STEPS[source.sofa]
    at = source.at
    left = 1  # values to come in what is open
    stack: list[int] = []
    while True:
        tag = data[at]
        at += 1
        if left > 0:
            left -= 1
        elif tag == end_tag and left != _VALUE:
            left = stack.pop()
            tag = codes.NULL  # as if what has ended had been a value without bytes
        elif left != _ITEM:
            left = _VALUE if left == _KEY else _KEY
        size = sizes[tag]
        while size == _DEFINE:
            source.at = at
            source.define()
            tag = source.tag()
            at = source.at
            size = sizes[tag]
        if size >= 0:
            at += size
        elif size == _TEXT:
            end = at + tag
            at = end if data[at:end].isascii() else text_end(data, at, tag)
        else:
            source.at = at
            inside = steps[tag](source, tag)
            at = source.at
            if inside >= 0 and left >= 0:
                left += inside
            elif inside > _COUNTED:
                stack.append(left)
                left = inside
            else:
                stack += (left, _END)
                left = _COUNTED - inside
        while left == 0:
            if not stack:
                if at > len(data):
                    raise Truncated(f"the {len(data)} bytes end inside a value")
                source.at = at
                return
            left = stack.pop()
            if left == _END:
                source.at = at
                source.take_end()
                at = source.at
                left = 0


def _string(source: Source, tag: int) -> int:
    while True:
        source.at = source.chunk_end(tag)
        if tag != source.tags.string_chunk:
            return 0
        tag = source.tag()


def _binary(source: Source, tag: int) -> int:
    while True:
        source.at = source.binary_end(tag)
        if tag != source.tags.binary_chunk:
            return 0
        tag = source.tag()


def _reference(source: Source, tag: int) -> int:
    source.known_ref(source.ref_number(tag))
    return 0


def _map(source: Source, _tag: int) -> int:
    source.type_name()
    source.register(SKIPPED)
    return _KEY


def _map_untyped(source: Source, _tag: int) -> int:
    source.register(SKIPPED)
    return _KEY


def _list_open(source: Source, _tag: int) -> int:
    source.type_name()
    source.register(SKIPPED)
    return _ITEM


def _list_open_untyped(source: Source, _tag: int) -> int:
    source.register(SKIPPED)
    return _ITEM


def _list_counted(source: Source, _tag: int) -> int:
    source.type_name()
    source.register(SKIPPED)
    return source.count("a length")


def _list_counted_untyped(source: Source, _tag: int) -> int:
    source.register(SKIPPED)
    return source.count("a length")


def _list_short(source: Source, tag: int) -> int:
    source.type_name()
    source.register(SKIPPED)
    return source.checked(tag - 0x70, "a length")


def _list_short_untyped(source: Source, tag: int) -> int:
    source.register(SKIPPED)
    return source.checked(tag - 0x78, "a length")


def _sofa_list(source: Source, _tag: int) -> int:
    source.type_name()
    source.register(SKIPPED)
    if source.data[source.at] not in (codes.COUNT_BYTE, codes.COUNT_INT):
        return _ITEM
    return _COUNTED - source.sofa_count()


def _sofa_list_known(source: Source, _tag: int) -> int:
    source.known_type()
    source.register(SKIPPED)
    return source.count("a length")


def _object(source: Source, _tag: int) -> int:
    names = source.known_class(source.integer())[1]
    source.register(SKIPPED)
    return len(names)


def _object_short(source: Source, tag: int) -> int:
    names = source.known_class(tag - 0x60)[1]
    source.register(SKIPPED)
    return len(names)


def _unknown(source: Source, _tag: int) -> int:
    raise source.unexpected("value")


def _tables(dialect: Dialect) -> tuple[tuple[int, ...], tuple[_Step, ...]]:
    sofa, tags = dialect is Dialect.SOFA3, TAGS[dialect]
    sizes = [_STEP] * 256
    sizes[0x80:] = [0] * 0x40 + [1] * 0x10 + [2] * 8 + [0] * 0x18 + [1] * 0x10  # ints and longs of one to three bytes
    sizes[0x38:0x40] = [2] * 8
    sizes[0x00:0x20] = [_TEXT] * 0x20
    sizes[0x20:0x30] = range(0x10)
    sizes[codes.NULL] = sizes[codes.TRUE] = sizes[codes.FALSE] = 0
    sizes[codes.INT], sizes[codes.LONG], sizes[codes.DOUBLE] = 4, 8, 8
    sizes[tags.long_int], sizes[tags.date_ms] = 4, 8
    sizes[tags.double_zero : tags.double_four + 1] = [0, 0, 1, 2, 4]
    sizes[tags.define] = _DEFINE
    steps: list[_Step] = [_unknown] * 256
    steps[codes.STRING] = steps[tags.string_chunk] = _string
    steps[codes.BINARY] = steps[tags.binary_chunk] = _binary
    steps[codes.MAP], steps[tags.object] = _map, _object
    if sofa:
        steps[codes.LIST], steps[codes.LIST_KNOWN] = _sofa_list, _sofa_list_known
        steps[codes.REF_BYTE] = steps[codes.REF_SHORT] = steps[codes.REF_INT] = _reference
    else:
        sizes[tags.date_minutes] = 4
        steps[0x30:0x34] = [_string] * 4
        steps[0x34:0x38] = [_binary] * 4
        steps[codes.MAP_UNTYPED], steps[codes.REF] = _map_untyped, _reference
        steps[codes.LIST_OPEN], steps[codes.LIST], steps[codes.LIST_OPEN_UNTYPED], steps[codes.LIST_UNTYPED] = (
            _list_open, _list_counted, _list_open_untyped, _list_counted_untyped,
        )  # fmt: skip
        steps[0x60:0x70] = [_object_short] * 0x10
        steps[0x70:0x78] = [_list_short] * 8
        steps[0x78:0x80] = [_list_short_untyped] * 8
    return tuple(sizes), tuple(steps)


_BOTH = (_tables(Dialect.HESSIAN2), _tables(Dialect.SOFA3))  # by whether it is SOFA's
_SIZES = (_BOTH[0][0], _BOTH[1][0])
_STEPS = (_BOTH[0][1], _BOTH[1][1])
