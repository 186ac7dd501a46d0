"""The exit codes of ``mesh``, for every verb."""

from __future__ import annotations

import enum
from typing import Self


class Exit(enum.IntEnum):
    """Why the process ended; the text of each is its documentation."""

    OK = 0, "it did what it was asked to; `mesh run` was told to stop, drained and ended"
    FAILED = 1, "it could not do what it was asked to: an address is in use, a file cannot be written, a request failed"
    USAGE = 2, "the command line is wrong"
    PLUGIN = (
        3,
        "a plugin cannot be used: not installed, not importable, a wrong answer, a name taken, another API version",
    )
    CONFIG = 78, "the configuration is wrong (`EX_CONFIG`); every error is on standard error with its line and column"
    INTERRUPTED = 130, "it was interrupted from the keyboard"

    meaning: str

    def __new__(cls, value: int, meaning: str) -> Self:
        """A code with its meaning beside it."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member
