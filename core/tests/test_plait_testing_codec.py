"""The codec kit finds codecs that depend on how bytes were cut, or raise."""

from collections.abc import Sequence

import pytest

import plait
from plait.testing import check_codec, events


class Lines(plait.ServerCodec):
    """A request is a line: ``service method``; at most 20 bytes."""

    def __init__(self) -> None:
        self.output: list[bytes] = []
        self._rest = b""
        self._id = 0

    def feed(self, data: bytes) -> Sequence[plait.Event]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        told: list[plait.Event] = []
        for line in lines:
            told.append(self.line(line))
            if isinstance(told[-1], plait.Fault):
                return told
        if len(self._rest) > 20:
            told.append(plait.Fault(plait.RemoteProtocolError("too long", status=431)))
        return told

    def line(self, line: bytes) -> plait.Event:
        words = line.split(b" ")
        if len(words) != 2:
            return plait.Fault(plait.RemoteProtocolError("expected two words"))
        self._id += 1
        request = plait.Request(plait.Headers([]), self._id)
        request.raw_authority, request.raw_path = words
        return request

    def eof(self) -> Sequence[plait.Event]:
        return [plait.Fault(plait.RemoteProtocolError("cut short"))] if self._rest else []

    def encode_response(self, request: plait.Request, response: plait.Response) -> bytes:
        return response.body + b"\n"

    def encode_data(self, request: plait.Request, data: bytes, end: bool) -> bytes:
        return data


class Impatient(Lines):
    """Takes the end of a read for the end of a line."""

    def feed(self, data: bytes) -> Sequence[plait.Event]:
        return [self.line(line) for line in data.split(b"\n") if b" " in line]


class Raises(Lines):
    def line(self, line: bytes) -> plait.Event:
        line.decode("ascii")
        return super().line(line)


class GoesOn(Lines):
    def feed(self, data: bytes) -> Sequence[plait.Event]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [self.line(line) for line in lines]


DATA = b"shop list\nshop buy\n"


def test_a_right_codec_passes() -> None:
    expected = [
        ("request", 1, b"", b"list", b"shop", (), False, 0.0, b""),
        ("end", 1),
        ("request", 2, b"", b"buy", b"shop", (), False, 0.0, b""),
        ("end", 2),
    ]
    check_codec(Lines, DATA, expected)


def test_what_is_told_is_held_against_what_is_expected() -> None:
    with pytest.raises(AssertionError, match="fed whole, the codec tells"):
        check_codec(Lines, DATA, [])


def test_a_codec_that_depends_on_reads_is_caught() -> None:
    with pytest.raises(AssertionError, match="cut at offset 1, the codec tells"):
        check_codec(Impatient, DATA)


def test_a_codec_that_raises_is_caught() -> None:
    with pytest.raises(AssertionError, match="with byte 0xf3 at offset 0, the codec raised UnicodeDecodeError"):
        check_codec(Raises, DATA)


def test_events_after_a_fault_are_caught() -> None:
    with pytest.raises(AssertionError, match="follows a fault of the whole connection"):
        events(GoesOn(), [b"nonsense\nshop list\n"])


def test_the_end_of_the_connection_is_told() -> None:
    assert events(Lines(), [b"shop"], eof=True) == [("fault", 0, 400, "protocol_error", False)]


def test_a_body_is_one_piece_however_it_came() -> None:
    class Bodies(Lines):
        def line(self, line: bytes) -> plait.Event:
            return plait.Data(line, line == b"z", 3)

    assert events(Bodies(), [b"a\nb\n", b"z\n"]) == [("body", 3, b"abz"), ("end", 3)]


def test_events_may_follow_a_fault_that_the_connection_survives() -> None:
    class Forgiving(Lines):
        def line(self, line: bytes) -> plait.Event:
            if line.count(b" ") != 1:
                return plait.Fault(plait.RemoteProtocolError("expected two words", survives=True))
            return super().line(line)

        def feed(self, data: bytes) -> Sequence[plait.Event]:
            *lines, self._rest = (self._rest + data).split(b"\n")
            return [self.line(line) for line in lines]

    check_codec(Forgiving, b"one\na b\n")
