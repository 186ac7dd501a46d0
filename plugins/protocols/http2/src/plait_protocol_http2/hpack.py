"""HPACK (RFC 7541): header blocks to fields, and fields to the representations of blocks.

A block is a row of representations. Integers (5.1) fill the rest of their first byte, and go on in more if all its
bits are ones; a string (5.2) is a bit for Huffman coding, its length as an integer, and its bytes::

    1 index(7)                               a field of the tables
    01 index(6) [ name ] value               a literal, which is put into the dynamic table
    0000 index(4) [ name ] value             a literal
    0001 index(4) [ name ] value             a literal that nobody on the way may ever index
    001 size(5)                              a new size of the dynamic table, only in front of everything else

Reading: what a literal says depends on nothing but its bytes, as long as its name is in the static table or spelt out.
So literals are looked up before they are parsed, decoded and checked; and the entries of the dynamic table are fields
that were checked when they came. A block that changed nothing in the table means the same until the table changes:
``changed`` tells whether to remember it. The table is bounded and keeps neither credentials nor identifiers.

Writing: only literals that are not indexed, and fields of the static table, never coded. Such a field is the same
bytes in every block of every connection, so what is encoded once can be kept with the block it came from. The dynamic
table that a peer offers us is not used (each connection says so once, see ``NO_TABLE``).
"""

from __future__ import annotations

from plait_protocol_http2.errors import COMPRESSION_ERROR, Violation
from plait_protocol_http2.fields import NOT_REMEMBERED, Field, is_good
from plait_protocol_http2.huffman import decode_huffman
from plait_protocol_http2.table import STATIC, STATIC_INDEX, STATIC_NAMES

_LITERALS_LIMIT = 4096
_LITERAL_LIMIT_BYTES = 160
_OVERHEAD = 32  # of an entry of the dynamic table (4.1)
_COMPACTED_AT = 256
_NEVER_LIMIT = 256

_LITERALS: dict[bytes, Field] = {}

NEVER_INDEXED: set[bytes] = {b"authorization", b"cookie", b"proxy-authorization", b"set-cookie"}
"""Names whose values go out as never to be indexed (7.1.3): these, and those that a peer marked so."""

NO_TABLE = b"\x20"
"""In front of the first block of a connection: the dynamic table of what we send has size 0."""


def _broken(what: str) -> Violation:
    return Violation(COMPRESSION_ERROR, f"header block: {what}")


def read_integer(block: bytes, at: int, mask: int) -> tuple[int, int]:
    """The integer whose first byte is full and ends at ``at``, and the place behind it; may raise IndexError."""
    value = mask
    shift = 0
    while True:
        byte = block[at]
        at += 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 28:
            raise _broken("an integer is too large")


class Decoder:
    """Reads the blocks of one connection, all of them and in order.

    After ``decode``, ``changed`` says whether the dynamic table is another than before, and ``suspect`` whether there
    may be a field that ``fields.is_good`` would not let through; the caller then looks at each of them.
    """

    __slots__ = ("_allowed", "_entries", "_first", "_max", "_must_shrink", "_size", "_tainted", "changed", "suspect")

    def __init__(self, table_size: int = 4096) -> None:
        """``table_size`` is what we announce; until that is acknowledged the peer may believe in 4096."""
        self.changed: bool = False
        self.suspect: bool = False
        self._tainted: bool = False
        self._entries: list[Field] = []  # oldest first, from _first on
        self._first: int = 0
        self._size: int = 0
        self._max: int = 4096
        self._allowed: int = max(table_size, 4096)
        self._must_shrink: bool = False

    def allow(self, table_size: int) -> None:
        """The peer acknowledged ``table_size``: it may use no more, and says so first if it did (4.2)."""
        self._allowed = table_size
        self._must_shrink = self._max > table_size

    def decode(self, block: bytes) -> list[Field]:
        """The fields of a block, in order; raises Violation, after which no other block can be read."""
        self.changed = False
        self.suspect = self._tainted
        try:
            return self._decode(block)
        except IndexError:
            raise _broken("it ends inside a representation") from None

    def _decode(self, block: bytes) -> list[Field]:
        fields: list[Field] = []
        entries = self._entries
        at = 0
        end = len(block)
        if self._must_shrink and block[0] & 0xE0 != 0x20:
            raise _broken("the table was not made smaller")
        while at < end:
            byte = block[at]
            if byte >= 0x80:
                index = byte & 0x7F
                at += 1
                if index == 0x7F:
                    index, at = read_integer(block, at, 0x7F)
                if index < 62:
                    if not index:
                        raise _broken("index 0")
                    fields.append(STATIC[index])
                    continue
                place = len(entries) + 61 - index
                if place < self._first:
                    raise _broken(f"index {index} is not in the table")
                fields.append(entries[place])
            elif byte & 0xE0 == 0x20:
                if fields:
                    raise _broken("the size of the table changes behind a field")
                size = byte & 0x1F
                at += 1
                if size == 0x1F:
                    size, at = read_integer(block, at, 0x1F)
                self._resize(size)
            else:
                field, at = self._literal(block, at, byte)
                fields.append(field)
        return fields

    def _literal(self, block: bytes, start: int, byte: int) -> tuple[Field, int]:
        """A field that is spelt out, and the place behind it."""
        mask = 0x3F if byte & 0x40 else 0x0F
        index = byte & mask
        at = start + 1
        if index == mask:
            index, at = read_integer(block, at, mask)
        name_at = at
        if not index:
            length = block[at] & 0x7F
            at += 1
            if length == 0x7F:
                length, at = read_integer(block, at, 0x7F)
            at += length
        value_at = at
        length = block[at] & 0x7F
        at += 1
        if length == 0x7F:
            length, at = read_integer(block, at, 0x7F)
        at += length
        if at > len(block):
            raise _broken("a string is longer than the block")
        if index < 62:
            key = block[start:at]
            found = _LITERALS.get(key)
            if found is None:
                name = STATIC[index][0] if index else _string(block, name_at)
                found = self._new(key, byte, name, _string(block, value_at))
        else:
            place = len(self._entries) + 61 - index
            if place < self._first:
                raise _broken(f"index {index} is not in the table")
            found = self._new(b"", byte, self._entries[place][0], _string(block, value_at))
        if mask == 0x3F:
            self._insert(found)
        return found, at

    def _new(self, key: bytes, byte: int, name: bytes, value: bytes) -> Field:
        """A literal that was not looked up: check it, and remember it if it may come again."""
        field = (name, value)
        if not is_good(name, value):
            self.suspect = True
            if byte & 0x40:
                self._tainted = True
            return field
        if byte & 0xF0 == 0x10:
            # The next hop must be told too (7.1.3). A block with this field is encoded after this.
            if len(NEVER_INDEXED) < _NEVER_LIMIT:
                NEVER_INDEXED.add(name)
        elif key and len(key) <= _LITERAL_LIMIT_BYTES and name not in NOT_REMEMBERED:
            if len(_LITERALS) >= _LITERALS_LIMIT:
                _LITERALS.clear()
            _LITERALS[key] = field
        return field

    def _insert(self, field: Field) -> None:
        self.changed = True
        self._entries.append(field)
        self._size += len(field[0]) + len(field[1]) + _OVERHEAD
        if self._size > self._max:
            self._evict()

    def _evict(self) -> None:
        """Drop the oldest until the rest fits; an entry that is larger than the table leaves it empty (4.4)."""
        entries, first = self._entries, self._first
        while self._size > self._max:
            name, value = entries[first]
            self._size -= len(name) + len(value) + _OVERHEAD
            first += 1
        if first >= _COMPACTED_AT or first == len(entries):
            del entries[:first]
            first = 0
        self._first = first

    def _resize(self, size: int) -> None:
        if size > self._allowed:
            raise _broken(f"table size {size} is more than the {self._allowed} allowed")
        self.changed = True
        self._max = size
        self._must_shrink = False
        self._evict()


def _string(block: bytes, at: int) -> bytes:
    """The string at ``at``, all of which is there."""
    byte = block[at]
    length = byte & 0x7F
    at += 1
    if length == 0x7F:
        length, at = read_integer(block, at, 0x7F)
    data = block[at : at + length]
    return decode_huffman(data) if byte >= 0x80 else data


def encode_integer(value: int, mask: int, first: int = 0) -> bytes:
    """An integer in the bits of ``mask``, beside the bits ``first``."""
    if value < mask:
        return bytes((first | value,))
    encoded = bytearray((first | mask,))
    value -= mask
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


LENGTHS: tuple[bytes, ...] = tuple(encode_integer(length, 0x7F) for length in range(1024))
"""The lengths of strings that are not coded, as they stand in front of them."""


def encode_string(text: bytes) -> bytes:
    """A string, not coded."""
    size = len(text)
    return (LENGTHS[size] if size < 1024 else encode_integer(size, 0x7F)) + text


def encode_name(name: bytes) -> bytes:
    """The beginning of a literal: everything in front of its value."""
    first = 0x10 if name in NEVER_INDEXED else 0x00
    index = STATIC_NAMES.get(name)
    return encode_integer(index, 0x0F, first) if index else bytes((first,)) + encode_string(name)


def encode_field(name: bytes, value: bytes) -> bytes:
    """One field; the shortest representation that needs no table but the static one."""
    index = STATIC_INDEX.get((name, value))
    return bytes((0x80 | index,)) if index and value else encode_name(name) + encode_string(value)
