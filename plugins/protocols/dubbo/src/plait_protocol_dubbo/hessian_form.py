"""Bodies in Hessian 2: values one after the other, attachments an untyped map (``48`` … ``5a``) behind them.

Go puts a null behind its attachments; it stays there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from plait.api import Field
from plait_protocol_dubbo.form import ENTRIES_AT_MOST, Attachments, BrokenBody, Entry, Form
from plait_protocol_hessian import Decoder, Encoder, HessianError

T = TypeVar("T")

_NULL, _MAP, _MAP_TYPED, _END = 0x4E, 0x48, 0x4D, 0x5A

# Tags of lists, maps, objects, class definitions, references, binary data and dates.
_INSIDE = frozenset({
    *range(0x20, 0x30), *range(0x34, 0x38), 0x41, 0x42, 0x43, 0x48, 0x4A, 0x4B, 0x4D, 0x4F, 0x51,
    *range(0x55, 0x59), *range(0x60, 0x80),
})  # fmt: skip


class HessianForm(Form):
    """See the module."""

    null = b"N"
    padding = True

    def string(self, data: bytes, at: int, end: int) -> tuple[bytes, int]:
        tag = data[at]
        start = at + 1
        if tag < 0x20:
            size = tag
        elif 0x30 <= tag < 0x34:
            size = ((tag - 0x30) << 8) + data[start]
            start += 1
        elif tag == _NULL:
            return b"", start
        else:
            size = -1  # of the rarer forms
        if size >= 0:
            text = data[start : start + size]
            if len(text) == size and text.isascii():
                return text, start + size
        decoder = Decoder(data[at:end])  # raises HessianError, which is a ValueError
        return decoder.read_str().encode("utf-8", "surrogatepass"), at + decoder.at

    def behind(self, body: bytes, at: int, count: int) -> int:
        return _guarded(lambda: _behind(body, at, count).at)

    def values(self, body: bytes, at: int, count: int) -> list[object]:
        decoder = Decoder(body, at)
        return _guarded(lambda: [decoder.read() for _ in range(count)])

    def attachments(self, body: bytes, at: int, count: int) -> Attachments:
        return _guarded(lambda: self._attachments(_behind(body, at, count)))

    def quick_fields(self, body: bytes, at: int, count: int) -> list[Field] | None:
        try:
            for _ in range(count):
                tag = body[at]
                at += 1
                if tag < 0x20:
                    end = at + tag
                    if not body[at:end].isascii():
                        return None
                    at = end
                elif 0xC0 <= tag < 0xD0:
                    at += 1
                elif not 0x80 <= tag < 0xC0:
                    return None
            tail = body[at:]
            if not tail.isascii() or tail[0] != _MAP:
                return None
            at = 1
            fields: list[Field] = []
            while (tag := tail[at]) != _END:
                start = at + 1
                if tag >= 0x20:
                    if not 0x30 <= tag < 0x34:
                        return None
                    tag = ((tag - 0x30) << 8) + tail[start]
                    start += 1
                at = start + tag
                name = tail[start:at]
                tag = tail[at]
                start = at + 1
                if tag >= 0x20:
                    if not 0x30 <= tag < 0x34:
                        return None
                    tag = ((tag - 0x30) << 8) + tail[start]
                    start += 1
                at = start + tag
                fields.append((name.lower(), tail[start:at]))
        except IndexError:
            return None
        return fields if len(fields) <= ENTRIES_AT_MOST else None

    def _attachments(self, decoder: Decoder) -> Attachments:
        data, at = decoder.data, decoder.at
        tag = data[at]
        if tag == _NULL:
            return Attachments(at, at + 1, [], b"H", b"Z")
        decoder.at = at + 1
        if tag == _MAP_TYPED:
            decoder.type_name()
        elif tag != _MAP:
            raise BrokenBody(f"tag 0x{tag:02x} at {at} is no map")
        decoder.open(None)  # what refers to values inside counts it
        start = at = decoder.at
        size = len(data)
        entries: list[Entry] = []
        value: bytes | None
        while data[at] != _END:
            if len(entries) >= ENTRIES_AT_MOST:
                raise BrokenBody(f"more than {ENTRIES_AT_MOST} attachments")
            name, behind = self.string(data, at, size)
            tag = data[behind]
            if tag < 0x20 or 0x30 <= tag < 0x34:
                value, behind = self.string(data, behind, size)
            else:
                decoder.at = behind
                if tag in _INSIDE:
                    decoder.skip()
                    value = None
                else:
                    value = text_of(decoder.read())
                behind = decoder.at
            entries.append(Entry(name, value, data[at:behind]))
            at = behind
        return Attachments(start, at, entries)

    def kind(self, body: bytes) -> tuple[int, int]:
        return body[0] - 0x90 if body else -1, 1

    def encode_kind(self, kind: int) -> bytes:
        return bytes([0x90 + kind])

    def encode_str(self, text: bytes) -> bytes:
        size = len(text)
        if size < 1024 and text.isascii():
            return b"%c%b" % (size, text) if size < 32 else b"%c%c%b" % (0x30 + (size >> 8), size & 0xFF, text)
        encoder = Encoder()
        encoder.write_str(text.decode("utf-8", "replace"))
        return encoder.take()

    def encode_entry(self, name: bytes, value: bytes) -> bytes:
        return self.encode_str(name) + self.encode_str(value)

    def encode_exception(self, text: bytes) -> bytes:
        # Without its stack trace dubbo-ssl-python would fail to read it.
        words = (b"java.lang.RuntimeException", b"detailMessage", b"stackTrace", b"[java.lang.StackTraceElement")
        name, message, trace, trace_type = map(self.encode_str, words)
        return b"C%b\x92%b%b\x60%b\x70%b" % (name, message, trace, self.encode_str(text), trace_type)

    def encode_map(self, entries: Sequence[bytes]) -> bytes:
        return b"H%bZ" % b"".join(entries)

    def splice(self, body: bytes, found: Attachments, entries: Sequence[bytes]) -> bytes:
        return b"".join([body[: found.start], found.opening, *entries, found.closing, body[found.end :]])


def text_of(value: object) -> bytes | None:
    """The text of a string, number, truth value or null; None for anything else."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if value is None:
        return b""
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, (int, float)):
        return str(value).encode()
    return None


def _behind(body: bytes, at: int, count: int) -> Decoder:
    decoder = Decoder(body, at)
    for _ in range(count):
        decoder.skip()
    return decoder


def _guarded(read: Callable[[], T]) -> T:
    try:
        return read()
    except IndexError as error:
        raise BrokenBody("the body ends inside a value") from error
    except HessianError as error:
        raise BrokenBody(str(error)) from error
