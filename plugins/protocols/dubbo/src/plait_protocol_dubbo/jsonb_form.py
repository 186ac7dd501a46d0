"""Bodies in fastjson2's JSONB: each value is a document with its length (four bytes, big-endian) in front."""

from __future__ import annotations

from collections.abc import Sequence

from plait_protocol_dubbo import jsonb
from plait_protocol_dubbo.form import ENTRIES_AT_MOST, Attachments, BrokenBody, Entry, Form
from plait_protocol_dubbo.hessian_form import text_of


class JsonbForm(Form):
    """See the module."""

    null = b"\0\0\0\1\xaf"
    padding = True

    def string(self, data: bytes, at: int, end: int) -> tuple[bytes, int]:
        start = at + 4
        stop = start + int.from_bytes(data[at:start])
        if not start < stop <= end:
            raise BrokenBody(f"the length at {at} is not that of a value")
        text = data[start + 1 : stop]
        if data[start] - 0x49 == len(text) <= 47 and text.isascii():
            return text, stop
        return _encoded(jsonb.Decoder(data, start, stop).read_str()), stop

    def behind(self, body: bytes, at: int, count: int) -> int:
        for _ in range(count):
            size = int.from_bytes(body[at : at + 4])
            if not 0 < size <= len(body) - at - 4:
                raise BrokenBody(f"the length at {at} is not that of a value")
            at += 4 + size
        return at

    def values(self, body: bytes, at: int, count: int) -> list[object]:
        read = []
        for _ in range(count):
            end = self.behind(body, at, 1)
            try:
                read.append(jsonb.Decoder(body, at + 4, end).read())
            except jsonb.JsonbError as error:
                raise BrokenBody(str(error)) from error
            at = end
        return read

    def attachments(self, body: bytes, at: int, count: int) -> Attachments:
        at = self.behind(body, at, count)
        end = self.behind(body, at, 1)
        decoder = jsonb.Decoder(body, at + 4, end)
        try:
            return _entries(body, decoder, at, end)
        except (IndexError, jsonb.JsonbError) as error:
            raise BrokenBody(str(error)) from error

    def kind(self, body: bytes) -> tuple[int, int]:
        end = self.behind(body, 0, 1)
        try:
            return jsonb.Decoder(body, 4, end).read_int(), end
        except jsonb.JsonbError as error:
            raise BrokenBody(str(error)) from error

    def encode_kind(self, kind: int) -> bytes:
        return b"\0\0\0\2\xbd%c" % kind

    def encode_str(self, text: bytes) -> bytes:
        return _with_length(jsonb.encode_str(text))

    def encode_entry(self, name: bytes, value: bytes) -> bytes:
        return jsonb.encode_str(name) + jsonb.encode_str(value)

    def encode_exception(self, text: bytes) -> bytes:
        type_name, field = jsonb.encode_str(b"RuntimeException"), jsonb.encode_str(b"detailMessage")
        return _with_length(b"\x92%b\x00\xa6%b%b\xa5" % (type_name, field, jsonb.encode_str(text)))

    def encode_map(self, entries: Sequence[bytes]) -> bytes:
        return _with_length(b"\xa6%b\xa5" % b"".join(entries))

    def splice(self, body: bytes, found: Attachments, entries: Sequence[bytes]) -> bytes:
        document_at = found.length_at + 4
        end = self.behind(body, found.length_at, 1)
        document = [body[document_at : found.start], found.opening, *entries, found.closing, body[found.end : end]]
        return body[: found.length_at] + _with_length(b"".join(document)) + body[end:]


def _entries(body: bytes, decoder: jsonb.Decoder, length_at: int, end: int) -> Attachments:
    at = decoder.at
    tag = body[at]
    if tag == jsonb.NULL:
        return Attachments(at, at + 1, [], b"\xa6", b"\xa5", length_at)
    if tag == jsonb.TYPED:
        decoder.read_type()
        tag = body[decoder.at]
    if tag != jsonb.MAP:
        raise BrokenBody(f"tag 0x{tag:02x} at {decoder.at} is no map")
    decoder.at += 1
    start = decoder.at
    entries: list[Entry] = []
    while (at := decoder.at) < end:
        if body[at] == jsonb.MAP_END:
            return Attachments(start, at, entries, length_at=length_at)
        if len(entries) >= ENTRIES_AT_MOST:
            raise BrokenBody(f"more than {ENTRIES_AT_MOST} attachments")
        name = _encoded(decoder.read_str())
        value: bytes | None = None
        if jsonb.is_scalar(body[decoder.at]):
            value = text_of(decoder.read())
        else:
            decoder.skip()
        entries.append(Entry(name, value, body[at : decoder.at]))
    raise BrokenBody("the attachments have no end")


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _with_length(document: bytes) -> bytes:
    return len(document).to_bytes(4) + document
