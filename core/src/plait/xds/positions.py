"""Where each field of a message was written, and the cursor that translators carry to say so.

Paths are those of the message: field names as the .proto file spells them, indices of lists, keys of maps. What an
``Any`` holds hangs directly under the field that holds it: ``("typed_config", "http_filters", 0, "name")``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import Enum, auto

import attrs

from plait.api.errors import ConfigError

Step = str | int
Path = tuple[Step, ...]


class Merge(Enum):
    """How protobuf's MergeFrom treats a field: field by field, appended, key by key, or replaced."""

    FIELDS = auto()
    APPEND = auto()
    KEYS = auto()
    REPLACE = auto()


@attrs.frozen
class Position:
    """A place in a text; ``line`` is 0 where the configuration did not come from one."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


class Spot:
    """One field's place, and those of the fields in it."""

    __slots__ = ("children", "column", "file", "line", "merge")

    def __init__(self, file: str, line: int, column: int, merge: Merge = Merge.REPLACE) -> None:
        self.file = file
        self.line = line
        self.column = column
        self.merge = merge
        self.children: dict[Step, Spot] | None = None

    def add(self, step: Step, child: Spot) -> None:
        """Hang a field under this one."""
        if self.children is None:
            self.children = {}
        self.children[step] = child

    def merged(self, other: Spot) -> Spot:
        """Return the place of this message after ``MergeFrom`` of the other; neither is changed."""
        if self.merge is not other.merge or self.merge is Merge.REPLACE:
            return other
        result = Spot(self.file, self.line, self.column, self.merge)
        mine, theirs = self.children or {}, other.children or {}
        if self.merge is Merge.APPEND:
            result.children = dict(enumerate((*mine.values(), *theirs.values())))
        else:
            result.children = {**mine, **theirs}
            if self.merge is Merge.FIELDS:
                result.children.update((step, mine[step].merged(theirs[step])) for step in mine if step in theirs)
        return result


class Positions:
    """The places of all fields of one message. Looking one up is O(length of the path)."""

    __slots__ = ("root",)

    def __init__(self, root: Spot) -> None:
        self.root = root

    @classmethod
    def nowhere(cls, source: str = "") -> Positions:
        """Make an index for a message that came from no text, but over the wire from ``source``."""
        return cls(Spot(source, 0, 0))

    def locate(self, path: Iterable[Step]) -> Position:
        """Return the place of a field, or of the closest one around it that was written."""
        spot = self.root
        for step in path:
            child = None
            if spot.children is not None:
                child = spot.children.get(step)
                if child is None and isinstance(step, int):
                    child = spot.children.get(str(step))  # a key of a map<int, …>
            if child is None:
                break
            spot = child
        return Position(spot.file, spot.line, spot.column)


@attrs.frozen
class Where:
    """A field of a message that is being translated: ``where / "clusters" / 3`` steps into it."""

    positions: Positions
    path: Path = ()

    def __truediv__(self, step: Step) -> Where:
        return Where(self.positions, (*self.path, step))

    def __str__(self) -> str:
        return dotted(self.path)

    @property
    def position(self) -> Position:
        """The place of this field, or of the closest one around it."""
        return self.positions.locate(self.path)

    def error(self, what: str, expected: str = "", hint: str = "") -> ConfigError:
        """Make the error that points here; the caller raises or collects it."""
        at = self.position
        return ConfigError(
            what, expected=expected, hint=hint, file=at.file, line=at.line, column=at.column, path=self.path
        )


def dotted(path: Iterable[Step]) -> str:
    """Write a path as people do: ``static_resources.clusters[0].name``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``did you mean 'x'`` for the known name that is closest, whatever the case, or an empty string."""
    by_fold = {candidate.casefold(): candidate for candidate in known}
    close = difflib.get_close_matches(name.casefold(), by_fold, n=1, cutoff=0.6)
    return f"did you mean {by_fold[close[0]]!r}" if close else ""
