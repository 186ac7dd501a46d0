"""The two dialects, and the tags that mean the same but differ between them; all tags are in ``codes``."""

from __future__ import annotations

from enum import Enum


class Dialect(Enum):
    """Which of the two forms of Hessian is spoken; a connection speaks one."""

    HESSIAN2 = "Hessian 2.0, as in Dubbo"
    SOFA3 = "the form of sofa-hessian 3.x, as in SOFARPC"


class Tags:
    """The tags in which dialects differ; -1 for what one has not."""

    __slots__ = (
        "binary_chunk",
        "date_minutes",
        "date_ms",
        "define",
        "double_four",
        "double_one",
        "double_short",
        "double_tiny",
        "double_zero",
        "end",
        "long_int",
        "object",
        "string_chunk",
    )

    def __init__(self, *, sofa: bool) -> None:
        self.long_int = 0x77 if sofa else 0x59
        self.double_zero = 0x67 if sofa else 0x5B
        self.double_one = self.double_zero + 1
        self.double_tiny = self.double_zero + 2
        self.double_short = self.double_zero + 3
        self.double_four = self.double_zero + 4
        self.date_ms = 0x64 if sofa else 0x4A
        self.date_minutes = -1 if sofa else 0x4B
        self.string_chunk = 0x73 if sofa else 0x52
        self.binary_chunk = 0x62 if sofa else 0x41
        self.define = 0x4F if sofa else 0x43
        self.object = 0x6F if sofa else 0x4F
        self.end = 0x7A if sofa else 0x5A


TAGS = {Dialect.HESSIAN2: Tags(sofa=False), Dialect.SOFA3: Tags(sofa=True)}
