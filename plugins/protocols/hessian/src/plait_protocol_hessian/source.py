"""The bytes of a decoder, where it stands in them, and what it has learnt: types, class definitions, references.

What is here is the same whether values are built or skipped. Methods may let IndexError and ``struct.error`` out, which
mean that the bytes are at an end; whoever is called from outside makes Truncated of them.
"""

from __future__ import annotations

from struct import Struct

from plait_protocol_hessian import codes
from plait_protocol_hessian.dialect import TAGS, Dialect
from plait_protocol_hessian.errors import HessianError, Truncated
from plait_protocol_hessian.limits import Limits
from plait_protocol_hessian.text import decode_text, text_end

INT32 = Struct(">i")
UINT16 = Struct(">H")

SKIPPED = object()  # stands in the references for what was not built


class Source:
    """Bytes and the tables that grow while they are read.

    ``classes`` holds names with their fields, ``refs`` every list, map and object in the order in which they begin.
    """

    __slots__ = ("at", "classes", "data", "limits", "refs", "sofa", "tags", "text_left", "types")

    def __init__(self, data: bytes | bytearray | memoryview, at: int, dialect: Dialect, limits: Limits) -> None:
        if at < 0:
            raise ValueError(f"at is {at}, expected an offset")
        self.data = data if isinstance(data, bytes) else bytes(data)
        self.at = at
        self.sofa = dialect is Dialect.SOFA3
        self.tags = TAGS[dialect]
        self.limits = limits
        self.text_left = limits.text_length
        self.classes: list[tuple[str, tuple[str, ...]]] = []
        self.types: list[str] = []
        self.refs: list[object] = []

    def unexpected(self, what: str) -> HessianError:
        """An error about the tag that was just taken."""
        return HessianError(f"tag 0x{self.data[self.at - 1]:02x} at {self.at - 1} is no {what}")

    def tag(self) -> int:
        """Take one byte."""
        tag = self.data[self.at]
        self.at += 1
        return tag

    def integer(self) -> int:
        """Take an int; raises HessianError when there is none."""
        tag = self.tag()
        if 0x80 <= tag <= 0xBF:
            return tag - 0x90
        if 0xC0 <= tag <= 0xCF:
            self.at += 1
            return ((tag - 0xC8) << 8) + self.data[self.at - 1]
        if 0xD0 <= tag <= 0xD7:
            self.at += 2
            return ((tag - 0xD4) << 16) + (self.data[self.at - 2] << 8) + self.data[self.at - 1]
        if tag == codes.INT:
            self.at += 4
            number: int = INT32.unpack_from(self.data, self.at - 4)[0]
            return number
        raise self.unexpected("int")

    def count(self, what: str) -> int:
        """Take an int that says how many values follow, each of at least one byte."""
        return self.checked(self.integer(), what)

    def checked(self, count: int, what: str) -> int:
        """The count, if that many bytes are left."""
        if count < 0:
            raise HessianError(f"{what} before {self.at} is {count}")
        if count > len(self.data) - self.at:
            raise Truncated(f"{what} before {self.at} is {count}, with {len(self.data) - self.at} bytes left")
        return count

    def sofa_count(self) -> int:
        """Take the length of a list of SOFA's form, which has a tag of its own."""
        if self.tag() == codes.COUNT_BYTE:
            count = self.tag()
        else:
            count = INT32.unpack_from(self.data, self.at)[0]
            self.at += 4
        return self.checked(count, "a length")

    def take_end(self) -> None:
        """Take the end of a list whose length was told."""
        if self.tag() != self.tags.end:
            raise self.unexpected("end of the list")

    def register(self, value: object) -> None:
        """A list, map or object begins."""
        if len(self.refs) >= self.limits.objects:
            raise HessianError(f"more than {self.limits.objects} lists, maps and objects at {self.at}")
        self.refs.append(value)

    # strings and binary data

    def chunk_end(self, tag: int) -> int:
        """Step to the text of a chunk and say where it ends; raises HessianError when the tag is no string's."""
        if tag < 0x20:
            units = tag
        elif tag in (codes.STRING, self.tags.string_chunk):
            units = UINT16.unpack_from(self.data, self.at)[0]
            self.at += 2
        elif 0x30 <= tag <= 0x33 and not self.sofa:
            units = ((tag - 0x30) << 8) + self.tag()
        else:
            raise self.unexpected("string")
        return text_end(self.data, self.at, units)

    def string(self, tag: int) -> str:
        """Take the string whose tag was taken."""
        if tag != self.tags.string_chunk:
            return self.built(decode_text(self._take(self.chunk_end(tag))))
        chunks = []
        while tag == self.tags.string_chunk:
            chunks.append(self._take(self.chunk_end(tag)))
            tag = self.tag()
        chunks.append(self._take(self.chunk_end(tag)))
        return self.built(decode_text(b"".join(chunks)))

    def text(self, units: int) -> str:
        """Take the text of so many units."""
        return self.built(decode_text(self._take(text_end(self.data, self.at, self.checked(units, "a length")))))

    def built(self, text: str) -> str:
        """The text, if there may be that much of it."""
        self.text_left -= len(text)
        if self.text_left < 0:
            raise HessianError(f"more than {self.limits.text_length} characters before {self.at}")
        return text

    def _take(self, end: int) -> bytes:
        raw = self.data[self.at : end]
        self.at = end
        return raw

    def binary_end(self, tag: int) -> int:
        """Step to the bytes of a chunk and say where they end; raises HessianError when the tag is none of binary."""
        if 0x20 <= tag <= 0x2F:
            length = tag - 0x20
        elif tag in (codes.BINARY, self.tags.binary_chunk):
            length = UINT16.unpack_from(self.data, self.at)[0]
            self.at += 2
        elif 0x34 <= tag <= 0x37 and not self.sofa:
            length = ((tag - 0x34) << 8) + self.tag()
        else:
            raise self.unexpected("binary data")
        return self.at + self.checked(length, "a length")

    # types, class definitions and references

    def type_name(self) -> str:
        """Take the type of a list or map, empty when it has none."""
        tag = self.data[self.at]
        if self.sofa:
            if tag == codes.TYPE:
                units = UINT16.unpack_from(self.data, self.at + 1)[0]
                self.at += 3
                name = self.text(units)
            elif tag in (codes.TYPE_REF, codes.TRUE):
                self.at += 1
                return self.known_type()
            else:
                return ""
        elif tag >= 0x80 or tag == codes.INT:
            return self.known_type()
        else:
            self.at += 1
            name = self.string(tag)
        self.types.append(name)
        return name

    def known_type(self) -> str:
        """Take the number of an earlier type."""
        number = self.integer()
        if not 0 <= number < len(self.types):
            raise HessianError(f"type {number} before {self.at} is not known")
        return self.types[number]

    def define(self) -> None:
        """Take the class definition whose tag was taken."""
        if len(self.classes) >= self.limits.classes:
            raise HessianError(f"more than {self.limits.classes} class definitions at {self.at}")
        name = self.text(self.integer()) if self.sofa else self.string(self.tag())
        count = self.count("a number of fields")
        if count > self.limits.fields:
            raise HessianError(f"class {name[:64]!r} before {self.at} has {count} fields")
        self.classes.append((name, tuple([self.string(self.tag()) for _ in range(count)])))

    def known_class(self, number: int) -> tuple[str, tuple[str, ...]]:
        """A class definition by its number, if its fields can be in the bytes left."""
        if not 0 <= number < len(self.classes):
            raise HessianError(f"class {number} before {self.at} is not defined")
        found = self.classes[number]
        self.checked(len(found[1]), "a number of fields")
        return found

    def ref_number(self, tag: int) -> int:
        """Take what a reference refers to, whose tag was taken."""
        if not self.sofa:
            return self.integer()
        if tag == codes.REF_BYTE:
            return self.tag()
        wide = tag != codes.REF_SHORT
        self.at += 4 if wide else 2
        number: int = (INT32 if wide else UINT16).unpack_from(self.data, self.at - (4 if wide else 2))[0]
        return number

    def known_ref(self, number: int) -> object:
        """What a reference refers to, or SKIPPED."""
        if not 0 <= number < len(self.refs):
            raise HessianError(f"reference {number} before {self.at} refers to nothing")
        return self.refs[number]
