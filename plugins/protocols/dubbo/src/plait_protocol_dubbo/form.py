"""What the codec asks of a serialization: to read strings, to step over values, to find and to write attachments.

There is a ``Form`` for each serialization whose bodies are read here: ``hessian_form``, ``jsonb_form``, ``json_form``.
No method looks further than it is asked to, and each raises ``BrokenBody`` for bytes that are not what they should be.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from plait.api import Field

ENTRIES_AT_MOST = 1024
"""Attachments of one message."""


class BrokenBody(ValueError):
    """A body that is not what its serialization says."""


class Entry:
    """One attachment: its name as spelt, the same in lower case, its value as text, and the bytes of both.

    ``simple`` is false for lists, objects and the like, whose text is empty.
    """

    __slots__ = ("lower", "name", "raw", "simple", "value")

    def __init__(self, name: bytes, value: bytes | None, raw: bytes) -> None:
        self.name = name
        self.lower = name.lower()
        self.value = value or b""
        self.simple = value is not None
        self.raw = raw


class Attachments:
    """The entries of a map. What is around them in the body is ``body[:start]`` and ``body[end:]``.

    Where the map was null, ``opening`` and ``closing`` are to be put between. ``length_at`` is the place of its length
    in serializations that have one.
    """

    __slots__ = ("closing", "end", "entries", "length_at", "opening", "start")

    def __init__(
        self,
        start: int,
        end: int,
        entries: list[Entry],
        opening: bytes = b"",
        closing: bytes = b"",
        length_at: int = 0,
    ) -> None:
        self.start = start
        self.end = end
        self.entries = entries
        self.opening = opening
        self.closing = closing
        self.length_at = length_at


class Form(ABC):
    """One serialization."""

    null: bytes
    """The body of a heartbeat."""
    padding: bool = False
    """Whether a frame that is filled up with bytes ff is surely refused by who reads it."""

    @abstractmethod
    def string(self, data: bytes, at: int, end: int) -> tuple[bytes, int]:
        """The string at ``at`` in UTF-8, empty for null, and where it ends, which may be behind ``end``.

        Raises ValueError or IndexError when there is none.
        """

    @abstractmethod
    def behind(self, body: bytes, at: int, count: int) -> int:
        """Where the values end of which ``count`` begin at ``at``."""

    @abstractmethod
    def values(self, body: bytes, at: int, count: int) -> list[object]:
        """Those values."""

    def quick_fields(self, body: bytes, at: int, count: int) -> list[Field] | None:
        """The fields of ``attachments`` where nothing but short plain strings is among them, else None."""
        return None

    @abstractmethod
    def attachments(self, body: bytes, at: int, count: int) -> Attachments:
        """The attachments behind those values."""

    @abstractmethod
    def kind(self, body: bytes) -> tuple[int, int]:
        """The kind of a response with status OK, and where it ends."""

    @abstractmethod
    def encode_kind(self, kind: int) -> bytes:
        """A kind, as Java writes it."""

    @abstractmethod
    def encode_str(self, text: bytes) -> bytes:
        """A string that stands by itself, given in UTF-8."""

    @abstractmethod
    def encode_entry(self, name: bytes, value: bytes) -> bytes:
        """An attachment."""

    @abstractmethod
    def encode_exception(self, text: bytes) -> bytes:
        """A ``java.lang.RuntimeException`` with that message."""

    @abstractmethod
    def encode_map(self, entries: Sequence[bytes]) -> bytes:
        """A whole map of such attachments."""

    @abstractmethod
    def splice(self, body: bytes, found: Attachments, entries: Sequence[bytes]) -> bytes:
        """The body with other entries in its map."""
