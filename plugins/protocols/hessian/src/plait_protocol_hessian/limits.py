"""What a peer may make a decoder do."""

from __future__ import annotations

from dataclasses import dataclass

# Two frames of Python for each level: deeper could meet the interpreter's own limit of 1000 frames.
DEPTH_AT_MOST = 256


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds for one decoder; beyond them HessianError is raised.

    Counts that bytes declare are held against the bytes left in any case. Binary data needs no bound of its own: it is
    no larger than what was handed in.
    """

    depth: int = 64
    """Lists, maps and objects inside each other, when they are built. Nothing recurses while values are skipped."""
    objects: int = 100_000
    """Lists, maps and objects, built or skipped: a byte on the wire can become a whole object."""
    classes: int = 4096
    """Class definitions."""
    fields: int = 4096
    """Fields of one class definition."""
    text_length: int = 1 << 24
    """UTF-16 units in all strings, type names and field names that are built."""
    number_keys: int = 8192
    """Keys of maps that are numbers, in the whole message: unlike those of strings, their hashes can be chosen so that
    each collides with all before it."""

    def __post_init__(self) -> None:
        """Raises ValueError for a depth that Python itself could not follow."""
        if not 1 <= self.depth <= DEPTH_AT_MOST:
            raise ValueError(f"depth is {self.depth}, expected 1 to {DEPTH_AT_MOST}")


DEFAULT_LIMITS = Limits()
