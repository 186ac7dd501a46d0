"""Options are checked, and connections recognized."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plait.api import Sniff
from plait.testing import check_plugin
from plait_protocol_bolt import BoltOptions, sniff

FRAMES: dict[str, Any] = json.loads((Path(__file__).parent / "frames.json").read_text())


def test_the_plugin_is_what_it_says() -> None:
    check_plugin("protocols:bolt")


@pytest.mark.parametrize("name", [name for name in FRAMES if name != "about"])
def test_a_connection_that_begins_with_a_request_is_bolt(name: str) -> None:
    request = bytes.fromhex(FRAMES[name]["frames"][0])
    assert sniff(request) is Sniff.YES
    enough = 4 if request[0] == 1 else 5
    assert [sniff(request[:size]) for size in range(enough)] == [Sniff.MORE] * enough
    assert sniff(request[:enough]) is Sniff.YES


@pytest.mark.parametrize(
    "prefix",
    [
        b"GET / HTTP/1.1",
        b"PRI * HTTP/2.0",
        b"\x16\x03\x01",
        b"\xda\xbb\xc2",
        b"\x00",
        b"\x03\x01\x00\x01",
        b"\x01\x00\x00\x02",
        b"\x01\x01\x01",
        b"\x01\x01\x00\x03",
        b"\x02\x03",
        b"\x02\x01\x03",
        b"\x02\x01\x01\x00\x02",
    ],
)
def test_other_connections_are_not(prefix: bytes) -> None:
    assert sniff(prefix) is Sniff.NO


def test_goaway_may_come_first() -> None:
    assert sniff(b"\x01\x01\x00\x64") is Sniff.YES


@pytest.mark.parametrize(
    "wrong", [{"version": 3}, {"max_frame_bytes": 0}, {"stream_threshold_bytes": -1}, {"heartbeat_s": -1.0}]
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        BoltOptions(**wrong)
