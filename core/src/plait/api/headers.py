"""Headers of any protocol: ordered, names in lower case, bytes inside and text for plugins.

Plugins use the text methods. Codecs and the core use ``raw``, ``find`` and ``append``, which take and give bytes.
"""

from __future__ import annotations

from collections.abc import Iterator

_ENCODED: dict[str, bytes] = {}  # header names that plugins asked for: a small, bounded set in any program


def encode_name(name: str) -> bytes:
    """The lower-case bytes of a header name."""
    encoded = _ENCODED.get(name)
    if encoded is None:
        encoded = name.lower().encode("latin-1")
        if len(_ENCODED) < 4096:
            _ENCODED[name] = encoded
    return encoded


def decode(value: bytes) -> str:
    """Bytes of a header as text; any bytes round-trip through ``encode``."""
    return value.decode("utf-8", "surrogateescape")


def encode(value: str) -> bytes:
    """Text of a header as bytes."""
    return value.encode("utf-8", "surrogateescape")


class Headers:
    """An ordered multi-map of header fields.

    ``raw`` is the list of ``(lower-case name, value)`` pairs. ``changed`` turns true with the first change, so that a
    codec may forward an untouched block as it came. ``len(headers)`` counts fields.
    """

    __slots__ = ("_index", "changed", "raw")

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        self.raw = raw
        self.changed = False
        self._index: dict[bytes, bytes] | None = None

    # bytes: for codecs and the core

    def find(self, name: bytes) -> bytes | None:
        """The first value of ``name`` (lower case), or None."""
        index = self._index
        if index is None:
            index = self._index = dict(self.raw[::-1])
        return index.get(name)

    def find_all(self, name: bytes) -> list[bytes]:
        """Every value of ``name`` (lower case), in order."""
        return [value for key, value in self.raw if key == name]

    def has_any(self, names: frozenset[bytes]) -> bool:
        """Whether there is a field with any of ``names`` (lower case)."""
        index = self._index
        if index is None:
            index = self._index = dict(self.raw[::-1])
        return not names.isdisjoint(index)

    def append(self, name: bytes, value: bytes) -> None:
        """Add a field at the end."""
        self.changed = True
        self.raw.append((name, value))
        if self._index is not None:
            self._index.setdefault(name, value)

    def put(self, name: bytes, value: bytes) -> None:
        """Make ``value`` the only value of ``name``."""
        index = self._index
        if index is None:
            index = self._index = dict(self.raw[::-1])
        if name in index:
            self.raw = [field for field in self.raw if field[0] != name]
        self.changed = True
        self.raw.append((name, value))
        index[name] = value

    def delete(self, name: bytes) -> None:
        """Drop every field called ``name``; nothing happens when there is none."""
        index = self._index
        if index is None:
            index = self._index = dict(self.raw[::-1])
        if name in index:
            self.changed = True
            self.raw = [field for field in self.raw if field[0] != name]
            del index[name]

    # text: for plugins

    def get(self, name: str, default: str | None = None) -> str | None:
        """The first value of ``name``, whatever the case, or ``default``."""
        value = self.find(encode_name(name))
        return default if value is None else value.decode("utf-8", "surrogateescape")

    def get_all(self, name: str) -> list[str]:
        """Every value of ``name``, in the order sent."""
        return [decode(value) for value in self.find_all(encode_name(name))]

    def set(self, name: str, value: str) -> None:
        """Make ``value`` the only value of ``name``."""
        self.put(encode_name(name), encode(value))

    def add(self, name: str, value: str) -> None:
        """Add a field and keep those of the same name."""
        self.append(encode_name(name), encode(value))

    def remove(self, name: str) -> None:
        """Drop every field called ``name``."""
        self.delete(encode_name(name))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.find(encode_name(name)) is not None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter([(decode(name), decode(value)) for name, value in self.raw])

    def __len__(self) -> int:
        return len(self.raw)

    def __repr__(self) -> str:
        return f"Headers({list(self)!r})"

    def copy(self) -> Headers:
        """A second map with the same fields, unchanged as yet."""
        return Headers(list(self.raw))
