"""Bodies in JSON: each value on a line (fastjson, gson, and protobuf-json where it writes such lines)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from plait_protocol_dubbo.form import ENTRIES_AT_MOST, Attachments, BrokenBody, Entry, Form
from plait_protocol_dubbo.hessian_form import text_of

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*")


class JsonForm(Form):
    """See the module."""

    null = b"null\n"

    def string(self, data: bytes, at: int, end: int) -> tuple[bytes, int]:
        newline = data.index(b"\n", at, end)
        text = _loads(data[at:newline])
        if text is None:
            return b"", newline + 1
        if not isinstance(text, str):
            raise BrokenBody(f"no string at {at}")
        return text.encode("utf-8", "surrogatepass"), newline + 1

    def behind(self, body: bytes, at: int, count: int) -> int:
        for _ in range(count):
            newline = body.find(b"\n", at)
            if newline < 0:
                raise BrokenBody(f"no line at {at}")
            at = newline + 1
        return at

    def values(self, body: bytes, at: int, count: int) -> list[object]:
        read = []
        for _ in range(count):
            end = self.behind(body, at, 1)
            read.append(_loads(body[at:end]))
            at = end
        return read

    def attachments(self, body: bytes, at: int, count: int) -> Attachments:
        at = self.behind(body, at, count)
        newline = body.find(b"\n", at)
        try:
            text = body[at : newline if newline >= 0 else len(body)].decode()
            found = _entries(text)
        except (IndexError, RecursionError, ValueError) as error:
            raise BrokenBody(f"no attachments: {error}") from error
        if not text.isascii():
            found.start, found.end = (len(text[:place].encode()) for place in (found.start, found.end))
        found.start += at
        found.end += at
        return found

    def kind(self, body: bytes) -> tuple[int, int]:
        end = self.behind(body, 0, 1)
        kind = _loads(body[:end])
        return kind if isinstance(kind, int) else -1, end

    def encode_kind(self, kind: int) -> bytes:
        return b"%d\n" % kind

    def encode_str(self, text: bytes) -> bytes:
        return _quoted(text) + b"\n"

    def encode_entry(self, name: bytes, value: bytes) -> bytes:
        return b"%b:%b" % (_quoted(name), _quoted(value))

    def encode_exception(self, text: bytes) -> bytes:
        return b'{"message":%b}\n' % _quoted(text)

    def encode_map(self, entries: Sequence[bytes]) -> bytes:
        return b"{%b}\n" % b",".join(entries)

    def splice(self, body: bytes, found: Attachments, entries: Sequence[bytes]) -> bytes:
        content = b",".join(entries)
        return b"%b%b%b%b%b" % (body[: found.start], found.opening, content, found.closing, body[found.end :])


def _entries(text: str) -> Attachments:
    """The entries of a line; places are those in the text."""
    at = _space(text, 0)
    if text.startswith("null", at):
        return Attachments(at, at + 4, [], b"{", b"}")
    if text[at] != "{":
        raise BrokenBody("the line is no map")
    at = start = end = _space(text, at + 1)
    entries: list[Entry] = []
    while text[at] != "}":
        if len(entries) >= ENTRIES_AT_MOST:
            raise BrokenBody(f"more than {ENTRIES_AT_MOST} attachments")
        begin = at
        name, at = _DECODER.raw_decode(text, at)
        at = _space(text, at)
        if not isinstance(name, str) or text[at] != ":":
            raise BrokenBody("an attachment has no name")
        value, end = _DECODER.raw_decode(text, _space(text, at + 1))
        entries.append(Entry(name.encode("utf-8", "surrogatepass"), text_of(value), text[begin:end].encode()))
        at = _space(text, end)
        if text[at] == ",":
            at = _space(text, at + 1)
        elif text[at] != "}":
            raise BrokenBody("an attachment has no end")
    return Attachments(start, end, entries)


def _space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _loads(line: bytes) -> object:
    try:
        return json.loads(line)
    except (RecursionError, ValueError) as error:
        raise BrokenBody(f"a line is no JSON: {error}") from error


def _quoted(text: bytes) -> bytes:
    return json.dumps(text.decode("utf-8", "replace"), ensure_ascii=False).encode()
