"""Properties of both codecs: what is written is read, however it is cut, and no bytes raise."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from plait.api import Fault, Message, Request, Response
from plait.testing import events
from plait_protocol_bolt import BoltClient, BoltOptions, BoltServer, sniff
from plait_protocol_bolt.block import field
from plait_protocol_bolt.frame import V1, V2, V2_CRC, head_of, whole

FRAMES: dict[str, Any] = json.loads((Path(__file__).parent / "frames.json").read_text())
CORPUS = [bytes.fromhex(frame) for name, said in FRAMES.items() if name != "about" for frame in said["frames"]]
OPTIONS = BoltOptions(max_frame_bytes=5000, stream_threshold_bytes=64)

blocks = st.dictionaries(st.binary(max_size=8), st.none() | st.binary(max_size=8), max_size=4).map(
    lambda entries: b"".join(field(name, value) for name, value in entries.items())
)
layouts = st.sampled_from([V1, V2, V2_CRC])


@st.composite
def frame(draw: st.DrawFn, request: bool) -> bytes:
    layout = draw(layouts)
    content = draw(st.binary(max_size=100))
    head = head_of(
        layout,
        draw(st.sampled_from([1, 2])) if request else 0,
        1 if request else 2,
        0,
        draw(st.integers(0, 255)),
        draw(st.integers(-(2**31), 2**31 - 1)) if request else draw(st.integers(0, 0xFFFF)),
        draw(st.binary(max_size=10)),
        draw(blocks),
        len(content),
    )
    return whole(head, layout, draw(st.integers(1, 2**32 - 1)), content)


@given(st.lists(frame(True), max_size=4), st.lists(st.integers(0, 600), max_size=6))
def test_requests_are_told_the_same_however_they_are_cut(sent: list[bytes], cuts: list[int]) -> None:
    data = b"".join(sent)
    places = [0, *sorted({cut for cut in cuts if cut < len(data)}), len(data)]
    pieces = [data[begin:end] for begin, end in itertools.pairwise(places)]
    assert events(BoltServer(OPTIONS), pieces) == events(BoltServer(OPTIONS), [data])


@given(frame(True), layouts, st.booleans())
def test_a_forwarded_request_says_what_came(data: bytes, version: int, change: bool) -> None:
    (request,) = BoltServer().feed(data)
    assert isinstance(request, Request)
    if change:
        request.headers.set("added", "1")
    codec = BoltClient(BoltOptions(version=min(version, 2)))
    (back,) = BoltServer().feed(codec.encode_request(request, 77))
    assert isinstance(back, Request)
    assert (back.id, back.body, back.oneway, back.timeout_s) == (77, request.body, request.oneway, request.timeout_s)
    assert (back.raw_authority, back.raw_path) == (request.raw_authority, request.raw_path)
    assert back.headers.raw == request.headers.raw


@given(frame(True), frame(False))
def test_a_forwarded_response_says_what_came(call: bytes, data: bytes) -> None:
    server = BoltServer()
    (request,), (response,) = server.feed(call), BoltClient().feed(data)
    assert isinstance(request, Request)
    assert isinstance(response, Response)
    request.oneway = False
    (back,) = BoltClient().feed(server.encode_response(request, response))
    assert isinstance(back, Response)
    assert (back.id, back.body, back.code) == (request.id, response.body, response.code)
    assert back.headers.raw == response.headers.raw


@given(st.sampled_from(CORPUS), st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=4))
def test_spoilt_frames_do_not_raise(data: bytes, changes: list[tuple[int, int]]) -> None:
    spoilt = bytearray(data)
    for at, byte in changes:
        spoilt[at % len(spoilt)] = byte
    for codec in (BoltServer(OPTIONS), BoltClient(OPTIONS)):
        for event in codec.feed(bytes(spoilt) + data):
            assert isinstance(event, Message | Fault) or event.kind
            if isinstance(event, Request):
                assert isinstance(event.path, str)
                event.headers.get("service")
        codec.eof()


@given(st.binary(max_size=200))
def test_noise_does_not_raise(data: bytes) -> None:
    sniff(data)
    for start in (b"", b"\x01\x01\x00\x01", b"\x02\x02\x00\x00\x02"):
        for codec in (BoltServer(OPTIONS), BoltClient(OPTIONS)):
            codec.feed(start + data)
            codec.eof()
