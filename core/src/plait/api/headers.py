"""Headers of any protocol: ordered, names in lower case, bytes inside and text for plugins.

Plugins use the text methods. Codecs and the core use those that take and give bytes: ``raw``, ``find``, ``put`` …
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


Field = tuple[bytes, bytes]

_DERIVED_LIMIT = 32  # how many shorter, and how many longer blocks a block remembers


class Extra:
    """Fields that many messages are given, such as all from one caller; keep the object, a block knows it again."""

    __slots__ = ("fields",)

    def __init__(self, fields: dict[bytes, bytes]) -> None:
        self.fields = fields


class Block:
    """Fields as a codec read them, shared by all messages that came with the same ones; never changed.

    ``raw`` is the list of ``(lower-case name, value)`` pairs, ``index`` maps each name to its first value. ``encoded``
    is for codecs to keep what they made of the whole block, each under a key of its own. A codec may have a subclass
    whose ``raw``, ``index`` and ``encoded`` are properties, so that fields nobody asks for are never parsed; in its
    class body ``repeats`` is False and ``grown`` is ``UNGROWN``, and it has a ``without`` of its own.

    A codec sets ``repeats`` where the same fields came again. It then pays to look in ``grown`` for the block that
    ``grow`` made of this one and an ``Extra``; such a block names what it was made of in ``base`` and ``extra``.
    """

    __slots__ = ("_without", "base", "encoded", "extra", "grown", "index", "raw", "repeats")

    def __init__(self, raw: list[Field], index: dict[bytes, bytes] | None = None) -> None:
        self.raw = raw
        self.index: dict[bytes, bytes] = dict(raw[::-1]) if index is None else index
        self.encoded: dict[str, bytes] = {}
        self.repeats = False
        self.grown = UNGROWN
        self.base: Block | None = None
        self.extra: Extra | None = None
        self._without: dict[bytes, Block] | None = None

    def without(self, name: bytes) -> Block:
        """The block that is left when every field called ``name`` is dropped."""
        known = self._without
        if known is None:
            known = self._without = {}
        shorter = known.get(name)
        if shorter is None:
            index = self.index.copy()
            index.pop(name, None)
            shorter = Block([field for field in self.raw if field[0] != name], index)
            shorter.repeats = self.repeats
            if len(known) < _DERIVED_LIMIT:
                known[name] = shorter
        return shorter

    def grow(self, extra: Extra) -> Block:
        """The block with the fields of ``extra`` at its end, instead of any of the same names."""
        grown = self.grown.get(extra)
        if grown is None:
            base = self
            for name in extra.fields:
                if name in base.index:
                    base = base.without(name)
            grown = Block([*base.raw, *extra.fields.items()])
            grown.repeats, grown.base, grown.extra = self.repeats, base, extra
            if self.grown is UNGROWN or len(self.grown) >= _DERIVED_LIMIT:
                self.grown = {}
            self.grown[extra] = grown
        return grown


UNGROWN: dict[Extra, Block] = {}
"""What a block has grown to before it ever did; nobody writes to it."""


class Headers:
    """An ordered multi-map of header fields: a ``block`` as it was read, and what was ``added`` behind it.

    ``Headers(fields)`` takes a list of ``(lower-case name, value)`` pairs, or a ``Block``, which it shares: making,
    reading and changing a map costs the same however many fields it has. ``changed`` turns true with the first change.
    ``len(headers)`` counts fields.
    """

    __slots__ = ("added", "block", "changed")

    def __init__(self, fields: list[Field] | Block) -> None:
        self.block: Block = Block(fields) if type(fields) is list else fields  # type: ignore[assignment]
        self.added: dict[bytes, bytes] = {}
        self.changed = False

    # bytes: for codecs and the core

    @property
    def raw(self) -> list[Field]:
        """All fields in order, to be read only; assign a list to replace them."""
        return [*self.block.raw, *self.added.items()] if self.added else self.block.raw

    @raw.setter
    def raw(self, fields: list[Field]) -> None:
        self.changed = True
        self.block = Block(fields)
        self.added = {}

    def find(self, name: bytes) -> bytes | None:
        """The first value of ``name`` (lower case), or None."""
        value = self.block.index.get(name)
        return self.added.get(name) if value is None else value

    def find_all(self, name: bytes) -> list[bytes]:
        """Every value of ``name`` (lower case), in order."""
        return [value for key, value in self.raw if key == name]

    def has_any(self, names: frozenset[bytes]) -> bool:
        """Whether there is a field with any of ``names`` (lower case)."""
        return not names.isdisjoint(self.block.index) or (bool(self.added) and not names.isdisjoint(self.added))

    def append(self, name: bytes, value: bytes) -> None:
        """Add a field at the end."""
        self.changed = True
        if name in self.added:
            self.raw = [*self.raw, (name, value)]
        else:
            self.added[name] = value

    def put(self, name: bytes, value: bytes) -> None:
        """Make ``value`` the only value of ``name``."""
        self.changed = True
        if name in self.block.index:
            self.block = self.block.without(name)
        self.added[name] = value

    def extend(self, extra: Extra) -> None:
        """``put`` for each field of ``extra``."""
        self.changed = True
        block = self.block
        if block.repeats and self.added.keys().isdisjoint(extra.fields):
            self.block = block.grow(extra)
            return
        for name in extra.fields:
            if name in block.index:
                self.block = block = block.without(name)
        self.added.update(extra.fields)

    def delete(self, name: bytes) -> None:
        """Drop every field called ``name``; nothing happens when there is none."""
        if name in self.block.index:
            self.changed = True
            self.block = self.block.without(name)
        if name in self.added:
            self.changed = True
            del self.added[name]

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
        return len(self.block.raw) + len(self.added)

    def __repr__(self) -> str:
        return f"Headers({list(self)!r})"

    def copy(self) -> Headers:
        """A second map with the same fields, unchanged as yet."""
        return Headers(list(self.raw) if self.added else self.block)
