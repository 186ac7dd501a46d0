"""JSONB, the binary JSON of Alibaba's fastjson2, which is Dubbo's serialization 23.

Values are a tag and what belongs to it (numbers are big-endian)::

    00-2f f0-ff  int -16..47            be 8, bf 4       long
    30-3f + 1    int of 12 bits         c0-c7 + 2        long of 19 bits
    40-47 + 2    int of 19 bits         c8-d7 + 1        long of 12 bits
    48    + 4    int of 32 bits         d8-ef            long -8..15
    49-78        ASCII, 0-47 bytes      b0 b1 af         false, true, null
    79-7e length string: Latin-1, UTF-8, UTF-16, UTF-16LE, UTF-16BE, GB18030
    7f           symbol: a string and the number it gets, or such a number
    90 int       char                   91 length bytes  binary
    92 type value: the type is a string and the number it gets, or such a number
    93 string    reference to an earlier value (a JSONPath)
    94-a3        list of 0-15           a4 length        list
    a6 … a5      map: keys and values   a7-a9 aa-ae      times
    b2 b3        double 0, 1            b4 long, b5 8    double
    b6 int, b7 4 float                  b8 long, b9 scale unscaled   decimal
    ba long, bb length bytes            big integer      bc 2, bd 1  short, byte

A length is an int of the first four forms. Source: the description of the format in fastjson2's documentation.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct, error
from typing import TypeVar

MAX_DEPTH = 64
MAX_VALUES = 100_000
MAX_NUMBER_KEYS = 4096  # of one document: unlike those of strings, their hashes can be chosen so that all collide

T = TypeVar("T")

_INT16 = Struct(">h")
_INT32 = Struct(">i")
_INT64 = Struct(">q")
_DOUBLE = Struct(">d")
_FLOAT = Struct(">f")

_CHARSETS = {0x79: "latin-1", 0x7A: "utf-8", 0x7B: "utf-16", 0x7C: "utf-16-le", 0x7D: "utf-16-be", 0x7E: "gb18030"}

NULL = 0xAF
BINARY = 0x91
TYPED = 0x92
LIST = 0xA4
MAP_END = 0xA5
MAP = 0xA6

# What follows a tag: how many bytes, or else one of these.
_LENGTH, _VALUES, _UNKNOWN = -1, -2, -3


class JsonbError(ValueError):
    """Bytes that are no JSONB, or exceed a limit."""


class Typed:
    """A value whose Java type is named."""

    __slots__ = ("type", "value")

    def __init__(self, type: str, value: object) -> None:
        self.type = type
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Typed) and (self.type, self.value) == (other.type, other.value)

    __hash__ = None  # type: ignore[assignment]  # it holds lists and maps

    def __repr__(self) -> str:
        return f"Typed({self.type!r}, {self.value!r})"


class Reference:
    """A reference to an earlier value of the same document, by its JSONPath."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reference) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    def __repr__(self) -> str:
        return f"Reference({self.path!r})"


class Decoder:
    """Reads the values of one document, ``data[at:end]``; every method raises JsonbError.

    Times and decimals are given as the tuple of their parts: nobody here computes with them.
    """

    __slots__ = ("at", "data", "end", "numbers_left", "symbols", "values_left")

    def __init__(self, data: bytes, at: int = 0, end: int | None = None) -> None:
        self.data = data
        self.at = at
        self.end = len(data) if end is None else end
        self.symbols: dict[int, str] = {}
        self.values_left = MAX_VALUES
        self.numbers_left = MAX_NUMBER_KEYS

    def read(self) -> object:
        """The next value."""
        return self._guarded(lambda: self._read(MAX_DEPTH))

    def read_str(self) -> str:
        """The next value, which has to be a string or null; null is an empty string."""
        return self._guarded(self._text)

    def read_int(self) -> int:
        """The next value, which has to be an integer."""
        value = self.read()
        if not isinstance(value, int) or isinstance(value, bool):
            raise JsonbError(f"no integer before {self.at}")
        return value

    def read_type(self) -> str:
        """The tag of a typed value and its type; what comes next is the value."""
        if self.data[self.at] != TYPED:
            raise JsonbError(f"no type at {self.at}")
        self.at += 1
        return self._guarded(self._symbol)

    def skip(self) -> None:
        """Step over the next value; nothing recurses."""
        self._guarded(self._skip)

    def _guarded(self, read: Callable[[], T]) -> T:
        try:
            value = read()
        except (IndexError, error):
            raise JsonbError("the bytes end inside a value") from None
        except UnicodeDecodeError as broken:
            raise JsonbError(f"a string before {self.at} is no {broken.encoding}") from None
        if self.at > self.end:
            raise JsonbError("the bytes end inside a value")
        return value

    def _tag(self) -> int:
        tag = self.data[self.at]
        self.at += 1
        return tag

    def _take(self, size: int) -> bytes:
        if not 0 <= size <= self.end - self.at:
            raise JsonbError(f"{size} bytes are said to follow {self.at}, with {self.end - self.at} left")
        at = self.at
        self.at += size
        return self.data[at : at + size]

    def _int(self) -> int:
        tag = self._tag()
        if tag <= 0x2F:
            return tag
        if tag >= 0xF0:
            return tag - 0x100
        if tag <= 0x3F:
            return ((tag - 0x38) << 8) + self._tag()
        if tag <= 0x47:
            self.at += 2
            return ((tag - 0x44) << 16) + int.from_bytes(self.data[self.at - 2 : self.at])
        if tag == 0x48:
            self.at += 4
            number: int = _INT32.unpack_from(self.data, self.at - 4)[0]
            return number
        raise JsonbError(f"tag 0x{tag:02x} at {self.at - 1} is no int")

    def _long(self) -> int:
        tag = self.data[self.at]
        if tag < 0xBC or tag >= 0xF0:
            return self._int()
        self.at += 1
        if tag >= 0xD8:
            return tag - 0xE0
        if tag >= 0xC8:
            return ((tag - 0xD0) << 8) + self._tag()
        if tag >= 0xC0:
            self.at += 2
            return ((tag - 0xC4) << 16) + int.from_bytes(self.data[self.at - 2 : self.at])
        width, form = _WHOLE[tag]
        self.at += width
        number: int = form.unpack_from(self.data, self.at - width)[0]
        return number

    def _text(self) -> str:
        tag = self._tag()
        if 0x49 <= tag <= 0x78:
            return self._take(tag - 0x49).decode("latin-1")
        charset = _CHARSETS.get(tag)
        if charset is not None:
            return self._take(self._int()).decode(charset)
        if tag == NULL:
            return ""
        if tag == 0x7F:
            return self._symbol()
        raise JsonbError(f"tag 0x{tag:02x} at {self.at - 1} is no string")

    def _symbol(self) -> str:
        """A string that gets a number, or the number of an earlier one."""
        if 0x49 <= self.data[self.at] <= 0x7E:
            text = self._text()
            self.symbols[self._int()] = text
            return text
        number = self._int()
        text = self.symbols.get(number, "")
        if not text:
            raise JsonbError(f"symbol {number} before {self.at} is not defined")
        return text

    def _read(self, depth: int) -> object:
        self.values_left -= 1
        if depth < 0 or self.values_left < 0:
            raise JsonbError(f"too many values, or too deep, at {self.at}")
        data, at = self.data, self.at
        tag = data[at]
        if tag <= 0x48 or tag >= 0xBC:
            return self._long()
        if tag <= 0x7F:
            return self._text()
        self.at += 1
        if 0x94 <= tag <= LIST:
            count = tag - 0x94 if tag != LIST else self._int()
            if not 0 <= count <= self.end - self.at:
                raise JsonbError(f"{count} values are said to follow {self.at}")
            return [self._read(depth - 1) for _ in range(count)]
        if tag == MAP:
            pairs: dict[object, object] = {}
            while data[self.at] != MAP_END:
                key = self._key(self._read(depth - 1))
                pairs[key] = self._read(depth - 1)
            self.at += 1
            return pairs
        if tag == TYPED:
            name = self._symbol()
            return Typed(name, self._read(depth - 1))
        read = _SCALARS.get(tag)
        if read is None:
            raise JsonbError(f"tag 0x{tag:02x} at {at} is unknown")
        return read(self)

    def _key(self, key: object) -> object:
        if isinstance(key, str):
            return key
        self.numbers_left -= 1
        if self.numbers_left < 0:
            raise JsonbError(f"more than {MAX_NUMBER_KEYS} keys are no strings at {self.at}")
        return key if isinstance(key, int) else repr(key)

    def _skip(self) -> None:
        data, end = self.data, self.end
        stack: list[int] = []  # values to come in what is around; -1 until the end of a map
        left = 1
        while True:
            tag = data[self.at]
            self.at += 1
            if left < 0 and tag == MAP_END:
                left = stack.pop()
            else:
                if left > 0:
                    left -= 1
                inside = self._step(tag)
                if self.at > end:
                    raise JsonbError("the bytes end inside a value")
                if inside:
                    stack.append(left)
                    left = inside
            while left == 0:
                if not stack:
                    return
                left = stack.pop()

    def _step(self, tag: int) -> int:
        """Step over what belongs to a tag; how many values follow inside it, -1 for a map."""
        size = _SIZES[tag]
        if size >= 0:
            self.at += size
            return 0
        if size == _LENGTH:
            length = self._int()
            if length < 0:
                raise JsonbError(f"length {length} before {self.at}")
            self.at += length
            return 0
        if size == _UNKNOWN:
            raise JsonbError(f"tag 0x{tag:02x} at {self.at - 1} is unknown")
        if 0x94 <= tag <= 0xA3:
            return tag - 0x94
        if tag == LIST:
            count = self._int()
            if not 0 <= count <= self.end - self.at:
                raise JsonbError(f"{count} values are said to follow {self.at}")
            return count
        if tag == MAP:
            return -1
        if tag == 0x7F or tag == TYPED:
            self._skip_symbol()
            return 1 if tag == TYPED else 0
        before, inside = _INSIDE[tag]
        self.at += before
        return inside

    def _skip_symbol(self) -> None:
        tag = self.data[self.at]
        if 0x49 <= tag <= 0x7E:
            self.at += 1
            self._step(tag)
        self._int()


_WHOLE = {0xBC: (2, _INT16), 0xBD: (1, Struct(">b")), 0xBE: (8, _INT64), 0xBF: (4, _INT32)}


def _parts(size: int, *more: Callable[[Decoder], object]) -> Callable[[Decoder], object]:
    return lambda d: (d._take(size), *(part(d) for part in more))


_SCALARS: dict[int, Callable[[Decoder], object]] = {
    NULL: lambda _d: None,
    0xB0: lambda _d: False,
    0xB1: lambda _d: True,
    0xB2: lambda _d: 0.0,
    0xB3: lambda _d: 1.0,
    0xB4: lambda d: float(d._long()),
    0xB5: lambda d: _DOUBLE.unpack(d._take(8))[0],
    0xB6: lambda d: float(d._int()),
    0xB7: lambda d: _FLOAT.unpack(d._take(4))[0],
    0xB8: lambda d: d._long(),
    0xB9: lambda d: (d._int(), d._read(0)),
    0xBA: lambda d: d._long(),
    0xBB: lambda d: int.from_bytes(d._take(d._int()), signed=True),
    0x90: lambda d: chr(d._int() & 0xFFFF),
    BINARY: lambda d: d._take(d._int()),
    0x93: lambda d: Reference(d._text()),
    0xA7: _parts(3, Decoder._int),
    0xA8: _parts(7, Decoder._int),
    0xA9: _parts(4),
    0xAA: _parts(7, Decoder._int, Decoder._text),
    0xAB: _parts(8),
    0xAC: _parts(4),
    0xAD: _parts(4),
    0xAE: lambda d: (d._long(), d._int()),
}

# Bytes and then values inside, for tags that have a fixed number of both.
_INSIDE = {
    0x90: (0, 1), 0x93: (0, 1), 0xA7: (3, 1), 0xA8: (7, 1), 0xAA: (7, 2), 0xAE: (0, 2),
    0xB4: (0, 1), 0xB6: (0, 1), 0xB8: (0, 1), 0xB9: (0, 2), 0xBA: (0, 1),
}  # fmt: skip


def _sizes() -> tuple[int, ...]:
    sizes = [0] * 256
    sizes[0x30:0x40] = [1] * 16
    sizes[0x40:0x48] = [2] * 8
    sizes[0x49:0x79] = range(0x30)
    sizes[0x79:0x7F] = [_LENGTH] * 6
    sizes[0xC0:0xC8] = [2] * 8
    sizes[0xC8:0xD8] = [1] * 16
    for tag, size in (0x48, 4), (0xA9, 4), (0xAB, 8), (0xAC, 4), (0xAD, 4), (0xB5, 8), (0xB7, 4), (0xBC, 2):
        sizes[tag] = size
    for tag, size in (0xBD, 1), (0xBE, 8), (0xBF, 4), (BINARY, _LENGTH), (0xBB, _LENGTH), (MAP_END, _UNKNOWN):
        sizes[tag] = size
    for tag in (0x7F, TYPED, LIST, MAP, *range(0x94, 0xA4), *_INSIDE):
        sizes[tag] = _VALUES
    for tag in range(0x80, 0x90):
        sizes[tag] = _UNKNOWN
    return tuple(sizes)


_SIZES = _sizes()


def is_scalar(tag: int) -> bool:
    """Whether a tag begins a string, number, truth value or null, as far as those have a text."""
    return tag < 0x7F or tag >= NULL


def encode_str(text: bytes) -> bytes:
    """A string, given in UTF-8."""
    if text.isascii():
        if len(text) <= 47:
            return b"%c%b" % (0x49 + len(text), text)
        return b"\x79" + _encode_length(len(text)) + text
    return b"\x7a" + _encode_length(len(text)) + text


def _encode_length(number: int) -> bytes:
    if number <= 0x2F:
        return bytes([number])
    if number <= 0x7FF:
        return bytes([0x38 + (number >> 8), number & 0xFF])
    if number <= 0x3FFFF:
        return bytes([0x44 + (number >> 16)]) + (number & 0xFFFF).to_bytes(2)
    return b"\x48" + _INT32.pack(number)
