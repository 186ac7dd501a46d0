"""Frames of one connection come out one after the other, whatever order their pieces come in."""

from __future__ import annotations

from zlib import crc32

import pytest

from plait.api import LocalProtocolError
from plait_protocol_bolt.writer import BEGUN, NOTHING, WAITING, FrameWriter


def busy(writer: FrameWriter) -> bool:
    return writer.busy


def test_a_whole_frame_goes_out_at_once() -> None:
    writer = FrameWriter(100)
    assert writer.whole(b"frame") == b"frame"
    assert not busy(writer)


def test_nothing_comes_between_the_pieces_of_a_frame() -> None:
    writer = FrameWriter(100)
    assert writer.begin(1, b"[", 4, False) == b"["
    assert writer.whole(b"other") == b""
    assert writer.begin(2, b"(", 2, False) == b""
    assert writer.piece(1, b"ab", False) == b"ab"
    assert writer.piece(2, b"x", False) == b""
    assert writer.whole(b"third") == b""
    assert writer.piece(1, b"cd", True) == b"cdother(x"
    assert busy(writer)
    assert writer.piece(2, b"y", True) == b"ythird"
    assert not busy(writer)
    assert writer.whole(b"free") == b"free"


def test_frames_that_are_complete_while_they_wait_go_out_together() -> None:
    writer = FrameWriter(100)
    writer.begin(1, b"[", 1, False)
    writer.begin(2, b"(", 2, True)
    writer.piece(2, b"xy", True)
    writer.begin(3, b"<", 1, False)
    check = crc32(b"(xy").to_bytes(4, "big")
    assert writer.piece(1, b"a", True) == b"a(xy" + check + b"<"
    assert writer.piece(3, b"z", True) == b"z"


def test_the_checksum_is_that_of_all_pieces() -> None:
    writer = FrameWriter(100)
    written = writer.begin(1, b"head", 6, True) + writer.piece(1, b"abc", False) + writer.piece(1, b"def", True)
    assert written == b"headabcdef" + crc32(b"headabcdef").to_bytes(4, "big")


@pytest.mark.parametrize(("data", "end"), [(b"abc", False), (b"a", True), (b"abc", True)])
def test_a_content_of_another_length_is_refused(data: bytes, end: bool) -> None:
    writer = FrameWriter(100)
    writer.begin(1, b"[", 2, False)
    with pytest.raises(LocalProtocolError, match="than its frame said"):
        writer.piece(1, data, end)


def test_a_frame_that_is_given_up_while_it_waits_leaves_no_trace() -> None:
    writer = FrameWriter(10)
    writer.begin(1, b"[", 1, False)
    writer.begin(2, b"(", 9, False)
    writer.piece(2, b"x" * 8, False)
    assert writer.cancel(2) == WAITING
    assert writer.cancel(3) == NOTHING
    assert writer.cancel(1) == BEGUN
    assert writer.whole(b"0123456789") == b""  # there is room for it again
    assert writer.piece(1, b"a", True) == b"a0123456789"


def test_what_waits_is_bounded() -> None:
    writer = FrameWriter(10)
    writer.begin(1, b"[", 1, False)
    writer.whole(b"12345678")
    with pytest.raises(LocalProtocolError) as caught:
        writer.whole(b"123")
    assert caught.value.status == 503
    assert writer.piece(1, b"a", True) == b"a12345678"


def test_pieces_of_a_frame_that_nobody_began_are_dropped() -> None:
    assert FrameWriter(10).piece(7, b"late", True) == b""
