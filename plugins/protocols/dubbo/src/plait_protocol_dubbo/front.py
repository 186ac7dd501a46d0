"""The front of a request's body: Dubbo version, path, service version and method, which say where it goes.

They are four strings, in a form of its own in each serialization. Callers repeat themselves, so what was read is kept
by its bytes, and a codec compares a body with the last front before it reads anything.

Of Java's own serializations no more than the front is read: it stands in the first block of their object stream,
``ac ed 00 05`` and then ``77`` with a length of one byte or ``7a`` with one of four. Strings in it have their length in
two bytes; ``java`` and ``compactedjava`` write the number of characters (-1: null) in four bytes before that.
"""

from __future__ import annotations

from collections.abc import Callable

from plait_protocol_dubbo.forms import FORMS
from plait_protocol_dubbo.frame import COMPACTED_JAVA, HESSIANS, JAVA, NATIVE_JAVA, PROTOBUF_JSON

FRONT_BYTES = 4096
"""A front is no longer than this."""

_KNOWN_AT_MOST = 1024


class BrokenFront(ValueError):
    """A body that does not begin with four strings."""


class Front:
    """What stands in front of a request's body; ``raw`` are its bytes. Shared by all requests that begin with them."""

    __slots__ = ("dubbo_version", "length", "method", "path", "raw", "version")

    def __init__(self, raw: bytes, dubbo_version: bytes, path: bytes, version: bytes, method: bytes) -> None:
        self.raw = raw
        self.length = len(raw)
        self.dubbo_version = dubbo_version
        self.path = path
        self.version = version
        self.method = method


UNREADABLE = Front(b"", b"", b"", b"", b"")
"""The front of a body whose serialization is not read here."""


def read_front(serialization: int, data: bytes, at: int, end: int) -> Front:
    """The front of the body ``data[at:end]``; raises BrokenFront. One that is not read here is UNREADABLE."""
    known = _KNOWN.get(serialization)
    if known is None:
        return UNREADABLE
    end = min(end, at + FRONT_BYTES)
    try:
        if serialization in HESSIANS:
            behind = _behind_short_strings(data, at)
            front = known.get(data[at:behind]) if behind <= end else None
            if front is not None:
                return front
        return _read(serialization, known, data, at, end)
    except (IndexError, ValueError) as broken:
        if serialization == PROTOBUF_JSON:  # some versions write something else than lines
            return UNREADABLE
        raise BrokenFront("the body does not begin with the strings of a request") from broken


def _behind_short_strings(data: bytes, at: int) -> int:
    """Step over four strings of Hessian's short forms; where they are of another form, to somewhere."""
    try:
        for _ in range(4):
            tag = data[at]
            if tag < 0x20:
                at += 1 + tag
            elif 0x30 <= tag < 0x34:
                at += 2 + ((tag - 0x30) << 8) + data[at + 1]
            else:
                break
    except IndexError:
        pass  # one is not ASCII, or they are cut short
    return at


def _read(serialization: int, known: dict[bytes, Front], data: bytes, at: int, end: int) -> Front:
    here = at
    if serialization in _JAVAS:
        here, end = _block(data, at, end)
    read = _READERS[serialization]
    dubbo_version, here = read(data, here, end)
    path, here = read(data, here, end)
    version, here = read(data, here, end)
    method, here = read(data, here, end)
    if here > end:
        raise ValueError("the front is cut short, or too long")
    raw = data[at:here]
    front = Front(raw, dubbo_version, path, version, method)
    if len(known) >= _KNOWN_AT_MOST:
        known.clear()  # whoever calls often is soon there again
    known[raw] = front
    return front


def _block(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Where the first block of a Java object stream begins and ends."""
    if data[at : at + 4] != b"\xac\xed\x00\x05":
        raise ValueError("no Java object stream")
    tag = data[at + 4]
    if tag == 0x77:
        start, size = at + 6, data[at + 5]
    elif tag == 0x7A:
        start, size = at + 9, int.from_bytes(data[at + 5 : at + 9])
    else:
        raise ValueError("no block of data")
    return start, min(end, start + size)


def _native_java(data: bytes, at: int, end: int) -> tuple[bytes, int]:
    start = at + 2
    stop = start + int.from_bytes(data[at:start])
    if stop > end:
        raise ValueError("a string is cut short")
    return data[start:stop], stop


def _java(data: bytes, at: int, end: int) -> tuple[bytes, int]:
    if data[at : at + 4] == b"\xff\xff\xff\xff":
        return b"", at + 4
    return _native_java(data, at + 4, end)


_JAVAS = frozenset({JAVA, COMPACTED_JAVA, NATIVE_JAVA})

_READERS: dict[int, Callable[[bytes, int, int], tuple[bytes, int]]] = {
    **{serialization: form.string for serialization, form in FORMS.items()},
    JAVA: _java,
    COMPACTED_JAVA: _java,
    NATIVE_JAVA: _native_java,
}

_KNOWN: dict[int, dict[bytes, Front]] = {serialization: {} for serialization in _READERS}
