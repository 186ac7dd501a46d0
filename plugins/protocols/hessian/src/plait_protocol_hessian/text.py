"""Strings as Java's Hessian writes them: counted in UTF-16 units, each of which is encoded by itself (CESU-8).

A character beyond U+FFFF is a pair of surrogates, so two units and six bytes. Its four bytes of true UTF-8, which some
peers write, count as two units too. Lone surrogates are let through, for they are Java strings as any other.
"""

from __future__ import annotations

import re

from plait_protocol_hessian.errors import HessianError, Truncated

_CONTINUATION = bytes(range(0x80, 0xC0))
_NOT_FOUR = bytes([byte for byte in range(256) if not 0xF0 <= byte < 0xF8])
_ASTRAL = re.compile("[\U00010000-\U0010ffff]")
_SURROGATES = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def text_end(data: bytes, at: int, units: int) -> int:
    """Where the text of so many units ends that begins at ``at``; raises Truncated and HessianError.

    Every unit has one byte that is no continuation, and those are counted in runs: what a run of bytes lacks of its
    number of units is looked for behind it.
    """
    if units and at < len(data) and 0x80 <= data[at] < 0xC0:
        raise HessianError(f"the string at {at} is no UTF-8")
    here = at
    missing = units
    while missing > 0:
        run = data[here : here + missing]
        if len(run) < missing:
            raise Truncated(f"the bytes end in the string at {at}")
        here += missing
        if run.isascii():
            break
        missing -= len(run.translate(None, _CONTINUATION)) + len(run.translate(None, _NOT_FOUR))
        if missing < 0 or here - at > 3 * units:
            raise HessianError(f"the string at {at} is no UTF-8")
    size = len(data)
    if here > at and data[here - 1] >= 0x80:
        # The last unit may have begun in the run before: then the rest of it is still to come.
        lead = here - 1
        while lead > at and 0x80 <= data[lead] < 0xC0:
            lead -= 1
        first = data[lead]
        if first < 0xC0 or first >= 0xF8:
            raise HessianError(f"the string at {at} is no UTF-8")
        here = max(here, lead + (4 if first >= 0xF0 else 3 if first >= 0xE0 else 2))
        if here > size:
            raise Truncated(f"the bytes end in the string at {at}")
    return here


def decode_text(raw: bytes) -> str:
    """The text of a whole string; raises HessianError."""
    if raw.isascii():
        return raw.decode("ascii")
    try:
        text = raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise HessianError(f"a string is no UTF-8: {error.reason}") from None
    if b"\xed" in raw:  # only with it do surrogates begin
        text = _SURROGATES.sub(_joined, text)
    return text


def split_astral(text: str) -> str:
    """The text with surrogates for what is beyond U+FFFF, so that its length is the number of units."""
    return text if text.isascii() else _ASTRAL.sub(_split, text)


def encode_text(text: str) -> bytes:
    """The bytes of a text that has passed ``split_astral``."""
    return text.encode("utf-8", "surrogatepass")


def _joined(pair: re.Match[str]) -> str:
    both = pair[0]
    return chr(0x10000 + ((ord(both[0]) - 0xD800) << 10) + ord(both[1]) - 0xDC00)


def _split(character: re.Match[str]) -> str:
    above = ord(character[0]) - 0x10000
    return chr(0xD800 + (above >> 10)) + chr(0xDC00 + (above & 0x3FF))
