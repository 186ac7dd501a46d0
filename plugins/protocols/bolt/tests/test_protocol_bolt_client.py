"""The upstream side: requests under ids of our own, changed where filters changed them, and responses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plait.api import Fault, GoAway, Headers, LocalProtocolError, Ping, Request, Reset, Response
from plait.testing import check_codec, events
from plait_protocol_bolt import BoltClient, BoltFrame, BoltOptions, BoltServer
from plait_protocol_bolt.answers import STATUSES
from plait_protocol_bolt.block import field
from plait_protocol_bolt.frame import V1, V2, V2_CRC, head_of, whole

FRAMES: dict[str, Any] = json.loads((Path(__file__).parent / "frames.json").read_text())
SMALL = BoltOptions(max_frame_bytes=600, stream_threshold_bytes=16)
CALLS = [name for name in FRAMES if name != "about" and "heartbeat" not in name]


def frames(name: str) -> list[bytes]:
    return [bytes.fromhex(frame) for frame in FRAMES[name]["frames"]]


def asked(data: bytes, options: BoltOptions | None = None) -> Request:
    event = BoltServer(options).feed(data)[0]
    assert isinstance(event, Request)
    return event


def answer(content: bytes = b"x", id: int = 3, layout: int = V1, status: int = 0, block: bytes = b"") -> bytes:
    return whole(head_of(layout, 0, 2, 0, 11, status, b"R", block, len(content)), layout, id, content)


def long_call(size: int = 40, id: int = 1, layout: int = V1) -> bytes:
    return whole(head_of(layout, 1, 1, 0, 11, 0, b"C", field(b"service", b"s"), size), layout, id, b"x" * size)


@pytest.mark.parametrize("name", CALLS)
def test_a_request_nobody_changed_is_the_one_that_came_with_another_id(name: str) -> None:
    data = frames(name)[0]
    request = asked(data)
    codec = BoltClient()
    assert codec.encode_request(request, request.id) == data
    written = codec.encode_request(request, 0x0A0B0C0D)
    at = 5 if data[0] == 1 else 6
    end = -4 if name.endswith("2crc") else len(data)
    assert written[:at] + written[at + 4 : end] == data[:at] + data[at + 4 : end]
    assert asked(written).id == 0x0A0B0C0D


@pytest.mark.parametrize("name", [name for name in CALLS if len(FRAMES[name]["frames"]) > 1])
def test_a_captured_response_can_be_cut_anywhere(name: str) -> None:
    check_codec(BoltClient, frames(name)[1][:700] if "boom" not in name else frames("java_sofarpc_say")[1])


def test_a_changed_header_leaves_the_others_as_they_were() -> None:
    request = asked(frames("anthunder_protobuf_v1")[0])
    request.headers.set("sofa_head_target_app", "shop")
    written = BoltClient().encode_request(request, 1)
    back = asked(written)
    assert b"rpc_trace_context.sofaTraceId\x00\x00\x00\x1e7f0000011795385763595100029046" in written
    assert b"sofa_head_target_app\x00\x00\x00\x04shop" in written
    assert (back.body, back.path) == (request.body, "hello")
    assert len(back.headers) == len(request.headers)
    frame = back.native
    assert isinstance(frame, BoltFrame)
    assert (frame.codec, frame.timeout_ms) == (11, 2000)


def test_a_service_and_a_method_that_filters_chose_go_into_the_headers() -> None:
    request = asked(frames("java_sofarpc_say")[0])
    request.authority, request.path = "Other:2.0", "shout"
    back = asked(BoltClient().encode_request(request, 1))
    assert (back.authority, back.path) == ("Other:2.0", "shout")
    assert back.headers.get("sofa_head_target_service") == "Other:2.0"
    node = asked(frames("node_v1")[0])
    node.authority = "Other:2.0"
    back = asked(BoltClient().encode_request(node, 1))
    assert (back.authority, back.path, len(back.headers)) == ("Other:2.0", "plus", 1)


def test_headers_that_filters_changed_do_not_change_the_routing() -> None:
    request = asked(frames("java_sofarpc_say")[0])
    request.headers.set("x", "y")
    back = asked(BoltClient().encode_request(request, 1))
    assert (back.authority, back.path) == ("R$Hello:1.0", "say")


def test_a_body_of_another_length_gets_a_head_that_says_so() -> None:
    request = asked(frames("node_v2ver2crc")[0])
    request.body = b"longer" * 100
    assert asked(BoltClient().encode_request(request, 1)).body == b"longer" * 100


@pytest.mark.parametrize("came", [V1, V2, V2_CRC])
@pytest.mark.parametrize(("options", "version", "ver1"), [
    (BoltOptions(version=1), 1, 0), (BoltOptions(version=2), 2, 1), (BoltOptions(version=2, crc=True), 2, 2),
])  # fmt: skip
def test_a_cluster_gets_its_version(came: int, options: BoltOptions, version: int, ver1: int) -> None:
    request = asked(long_call(layout=came))
    frame = asked(BoltClient(options).encode_request(request, 5)).native
    assert isinstance(frame, BoltFrame)
    assert (frame.id, frame.version, frame.class_name, frame.content_length) == (5, version, "C", 40)
    if came == V1:
        assert frame.ver1 == ver1


def test_a_request_of_another_protocol_becomes_a_frame() -> None:
    request = Request(Headers([(b"user-agent", b"curl")]), 1, b"POST", b"say", b"Hello:1.0", "HTTP/1.1")
    request.timeout_s = 1.5
    request.body = b"x"
    back = asked(BoltClient().encode_request(request, 4))
    assert (back.id, back.authority, back.path, back.timeout_s, back.body) == (4, "Hello:1.0", "say", 1.5, b"x")
    assert back.headers.get("user-agent") == "curl"
    request.end, request.body = False, b""
    codec = BoltClient(BoltOptions(version=2))
    assert codec.encode_request(request, 5) == codec.encode_data(5, b"ab", False) == b""
    assert asked(codec.encode_data(5, b"c", True)).body == b"abc"
    codec = BoltClient(SMALL)
    codec.encode_request(request, 6)
    with pytest.raises(LocalProtocolError):
        codec.encode_data(6, b"x" * 601, False)


def test_ids_do_not_come_twice_on_a_connection() -> None:
    codec = BoltClient()
    assert [codec.next_id() for _ in range(3)] == [1, 2, 3]
    codec._ids = iter(range(0x7FFFFFFE, 0x7FFFFFFF))
    assert codec.next_id() == 0x7FFFFFFE
    assert codec.reusable is BoltClient().reusable
    assert codec.next_id() == 0x7FFFFFFF
    assert not codec.reusable
    assert codec.next_id() == 1


# pieces


@pytest.mark.parametrize("layout", [V1, V2, V2_CRC])
def test_a_long_request_goes_out_in_pieces_and_alone(layout: int) -> None:
    data = long_call(layout=layout)
    codec = BoltClient(SMALL)
    head = asked(data, SMALL)
    head.body = b""
    written = [codec.encode_request(head, 8)]
    assert codec.max_streams < 1
    assert codec.encode_ping() == b""
    assert codec.encode_request(asked(frames("javabolt_v1")[0]), 9) == b""
    written += [codec.encode_data(8, b"x" * 15, False), codec.encode_data(8, b"x" * 25, True)]
    assert codec.max_streams > 1000
    server = BoltServer()
    first, second = server.feed(b"".join(written))
    assert isinstance(first, Request)
    assert (first.id, first.body, second.id, len(server.output)) == (8, b"x" * 40, 9, 0)


def test_a_long_request_can_be_sent_whole() -> None:
    head = asked(long_call(), SMALL)
    head.body, head.end = b"x" * 40, True  # a filter waited for all of it
    assert asked(BoltClient(SMALL).encode_request(head, 1)).body == b"x" * 40


def test_a_request_that_ends_in_the_middle_takes_its_connection() -> None:
    codec = BoltClient(SMALL)
    codec.encode_request(asked(long_call(), SMALL), 8)
    assert codec.encode_reset(8, "gone") is None
    assert codec.encode_reset(9, "timeout") == b""


# responses


@pytest.mark.parametrize("code", [*range(11), 0x10, 0x11, 0x12, 0x13, 999])
def test_the_status_is_there_in_both_languages(code: int) -> None:
    (response,) = BoltClient().feed(answer(status=code))
    assert isinstance(response, Response)
    assert (response.code, response.status) == (code, STATUSES.get(code, 500))


def test_the_exception_of_an_application_is_no_error_of_the_server() -> None:
    mark = field(b"sofa_head_response_error", b"true")
    (response,) = BoltClient().feed(answer(block=mark))
    assert isinstance(response, Response)
    assert (response.status, response.reason) == (200, b"application exception")


def test_long_responses_can_be_cut_anywhere() -> None:
    for layout in (V1, V2, V2_CRC):
        check_codec(lambda: BoltClient(SMALL), answer(b"y" * 40, 1, layout) + answer(b"z", 2, layout))


def test_a_broken_response_resets_its_stream_alone() -> None:
    first, second = BoltClient().feed(answer(id=1, block=b"\0\0\0\7") + answer(id=2))
    assert isinstance(first, Reset)
    assert (first.id, first.reason, second.id) == (1, "bolt.bad_header_block", 2)
    codec = BoltClient(SMALL)
    first, second = codec.feed(answer(b"x" * 600, id=1) + answer(id=2))
    assert isinstance(first, Reset)
    assert (first.id, first.reason, second.id) == (1, "bolt.frame_too_large", 2)
    (first,) = BoltClient().feed(head_of(V1, 0, 77, 4, 1, 0))
    assert isinstance(first, Reset)
    assert codec.reusable


def test_lost_framing_ends_the_connection() -> None:
    codec = BoltClient()
    (fault,) = codec.feed(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert isinstance(fault, Fault)
    assert (fault.error.counter, fault.error.status) == ("bolt.unknown_protocol", 502)
    assert not codec.reusable
    codec = BoltClient()
    codec.feed(answer()[:-1])
    assert events(codec, [], eof=True) == [("fault", 0, 502, "bolt.truncated_frame", False)]


@pytest.mark.parametrize("options", [BoltOptions(), BoltOptions(version=2), BoltOptions(version=2, crc=True)])
def test_a_ping_is_answered_by_a_server(options: BoltOptions) -> None:
    codec, server = BoltClient(options), BoltServer()
    codec.next_id()
    assert server.feed(codec.encode_ping()) == []
    (ping,) = codec.feed(b"".join(server.output))
    assert isinstance(ping, Ping)
    assert (ping.ack, ping.id) == (True, 2)
    assert codec.next_id() == 3


def test_goaway_is_told() -> None:
    (gone,) = BoltClient().feed(head_of(V1, 1, 100, 0, 1, 0))
    assert isinstance(gone, GoAway)


def test_a_server_that_asks_is_told_that_nobody_serves_it() -> None:
    codec = BoltClient()
    assert codec.feed(frames("java_sofarpc_say")[0] + frames("javabolt_oneway")[0]) == []
    (frame,) = codec.output
    (response,) = BoltClient().feed(frame)
    assert isinstance(response, Response)
    assert (response.id, response.code) == (1, 6)
