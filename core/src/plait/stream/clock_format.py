"""Envoy's time formats: strftime, with fractions of a second and zones as START_TIME spells them.

Beyond strftime's letters: ``%f`` nine digits of the fraction, ``%1f`` … ``%9f`` that many; ``%E3S``, ``%E*S`` seconds
with a fraction; ``%Ez`` a zone with a colon; ``%s`` seconds since 1970, ``%3s`` … ``%9s`` in milli- to nanoseconds.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

DEFAULT = "%Y-%m-%dT%H:%M:%E3SZ"

_SPECIAL = re.compile(r"%%|%([1-9])?f|%E(\*|[0-9])S|%Ez|%([1-9])?s")


def compile_time_format(pattern: str | None, *, local: bool) -> Callable[[float], str]:
    """A function from seconds since 1970 to text; without a pattern as ``2016-06-15T20:17:00.310Z``."""
    pieces: list[tuple[str, str]] = []  # kind and argument, in order
    at = 0
    source = pattern or DEFAULT
    for match in _SPECIAL.finditer(source):
        if match[0] == "%%":
            continue
        if match.start() > at:
            pieces.append(("strftime", source[at : match.start()]))
        at = match.end()
        if match[2] is not None:
            pieces.append(("strftime", "%S"))
            if match[2] != "0":
                pieces.append(("dotted", "9" if match[2] == "*" else match[2]))
        elif match[0] == "%Ez":
            pieces.append(("zone", ""))
        elif match[0].endswith("f"):
            pieces.append(("fraction", match[1] or "9"))
        else:
            pieces.append(("epoch", match[3] or "0"))
    if at < len(source):
        pieces.append(("strftime", source[at:]))
    break_down = time.localtime if local else time.gmtime
    second = -1
    texts: list[str] = []

    def text(moment: float) -> str:
        nonlocal second, texts
        whole = int(moment)
        if whole != second:  # everything but fractions is the same for a second
            broken_down = break_down(whole)
            zone = time.strftime("%z", broken_down) if local else "+0000"
            texts = [
                time.strftime(argument, broken_down)
                if kind == "strftime"
                else f"{zone[:3]}:{zone[3:]}"
                if kind == "zone"
                else ""
                for kind, argument in pieces
            ]
            second = whole
        nanoseconds = int((moment - whole) * 1_000_000) * 1000  # a float of today's size is good for microseconds
        made = []
        for place, (kind, argument) in enumerate(pieces):
            if kind == "fraction":
                made.append(f"{nanoseconds:09d}"[: int(argument)])
            elif kind == "dotted":
                made.append("." + f"{nanoseconds:09d}"[: int(argument)])
            elif kind == "epoch":
                digits = int(argument)
                made.append(f"{whole}{nanoseconds:09d}"[: len(str(whole)) + digits])
            else:
                made.append(texts[place])
        return "".join(made)

    return text
