"""Frames as bytes: written by hand from RFC 9113."""

from __future__ import annotations

import pytest

from plait_protocol_http2 import frames
from plait_protocol_http2.errors import FRAME_SIZE_ERROR, Violation, name_of


@pytest.mark.parametrize(
    ("frame", "golden"),
    [
        (frames.settings_frame([]), "000000040000000000"),
        (frames.settings_frame([(3, 100), (4, 65536)]), "00000c0400000000000003000000640004000 10000"),
        (frames.SETTINGS_ACK, "000000040100000000"),
        (frames.PING_ACK + b"12345678", "0000080601000000003132333435363738"),
        (frames.ping(b"12345678"), "0000080600000000003132333435363738"),
        (frames.rst_stream(5, 8), "00000403000000000500000008"),
        (frames.window_update(0, 1), "00000408000000000000000001"),
        (frames.goaway(7, 2, b"?"), "000009070000000000000000070000 00023f"),
        (frames.head_frames(1, b"\x88", 1, 16384), "00000101050000000188"),
        (frames.head_frames(1, b"\x88\x82\x84", 1, 2), "0000020101000000018882" + "00000109040000000184"),
        (frames.head_frames(1, b"\x88\x82\x84\x85", 0, 2), "0000020100000000018882" + "0000020904000000018485"),
    ],
)
def test_frames_are_laid_out_as_the_rfc_says(frame: bytes, golden: str) -> None:
    assert frame == bytes.fromhex(golden.replace(" ", ""))


def test_settings_are_read_in_order() -> None:
    frame = frames.settings_frame([(3, 1), (3, 2)])
    assert list(frames.read_settings(frame, 9, len(frame))) == [(3, 1), (3, 2)]
    with pytest.raises(Violation) as caught:
        frames.read_settings(frame, 9, len(frame) - 1)
    assert caught.value.code == FRAME_SIZE_ERROR


def test_codes_have_names() -> None:
    assert (name_of(0), name_of(13), name_of(99)) == ("NO_ERROR", "HTTP_1_1_REQUIRED", "error 0x63")
