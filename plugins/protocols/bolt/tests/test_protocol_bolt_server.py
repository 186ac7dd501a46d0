"""The downstream side: requests in every version, answers under the caller's id, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from plait.api import Data, Event, Fault, GoAway, Headers, LocalProtocolError, Ping, Request, Response
from plait.testing import check_codec, events
from plait_protocol_bolt import BoltClient, BoltFrame, BoltOptions, BoltServer, local_response
from plait_protocol_bolt.block import field
from plait_protocol_bolt.frame import V1, V2, V2_CRC, head_of, whole

FRAMES: dict[str, Any] = json.loads((Path(__file__).parent / "frames.json").read_text())
SMALL = BoltOptions(max_frame_bytes=600, stream_threshold_bytes=16)
SERVICE = field(b"service", b"s") + field(b"sofa_head_method_name", b"m")


def frames(name: str) -> list[bytes]:
    return [bytes.fromhex(frame) for frame in FRAMES[name]["frames"]]


def call(content: bytes = b"x", id: int = 7, layout: int = V1, block: bytes = SERVICE, type: int = 1) -> bytes:
    return whole(head_of(layout, type, 1, 0, 11, 3000, b"C", block, len(content)), layout, id, content)


def answer(content: bytes, id: int = 3, layout: int = V1, status: int = 0) -> bytes:
    return whole(head_of(layout, 0, 2, 0, 11, status, b"R", b"", len(content)), layout, id, content)


def one(codec: BoltServer, data: bytes) -> Request:
    (event,) = codec.feed(data)
    assert isinstance(event, Request)
    return event


def reply(content: bytes, layout: int = V1, options: BoltOptions | None = None) -> Response:
    event = BoltClient(options).feed(answer(content, layout=layout))[0]
    assert isinstance(event, Response)
    return event


CALLS = [name for name in FRAMES if name != "about" and "heartbeat" not in name]


@pytest.mark.parametrize("name", CALLS)
def test_a_captured_request_can_be_cut_anywhere(name: str) -> None:
    check_codec(BoltServer, frames(name)[0])


@pytest.mark.parametrize("name", CALLS)
def test_a_response_nobody_changed_is_the_one_that_came(name: str) -> None:
    request, *responses = frames(name)
    codec = BoltServer()
    asked = one(codec, request)
    for response in responses:
        (event,) = BoltClient().feed(response)
        assert isinstance(event, Response)
        assert codec.encode_response(asked, event) == response
        asked.id = 0x01020304
        renamed = codec.encode_response(asked, event)
        (again,) = BoltClient().feed(renamed)  # its checksum is right, if it has one
        assert (again.id, len(renamed)) == (0x01020304, len(response))


def test_what_a_java_caller_says() -> None:
    request = one(BoltServer(), frames("java_sofarpc_say")[0])
    assert (request.id, request.authority, request.path, request.protocol) == (1, "R$Hello:1.0", "say", "bolt")
    assert (request.method, request.timeout_s, request.oneway, request.end) == ("", 4.0, False, True)
    assert request.headers.get("app") == "cli"
    assert request.headers.get("type") == "sync"
    assert request.body.startswith(b"O\xbccom.alipay.sofa.rpc.core.request.SofaRequest")
    frame = request.native
    assert isinstance(frame, BoltFrame)
    assert (frame.version, frame.ver1, frame.type, frame.command, frame.ver2, frame.id) == (1, 0, 1, 1, 1, 1)
    assert (frame.codec, frame.switch, frame.timeout_ms, frame.status) == (1, 0, 4000, 0)
    assert frame.class_name == "com.alipay.sofa.rpc.core.request.SofaRequest"
    assert frame.content_length == len(request.body)
    assert frame.head == frames("java_sofarpc_say")[0][: -len(request.body)]


def test_what_the_frame_says_has_names() -> None:
    request = one(BoltServer(), frames("java_sofarpc_say")[0])
    assert request.pseudo(b":class-name") == b"com.alipay.sofa.rpc.core.request.SofaRequest"
    assert (request.pseudo(b":codec"), request.pseudo(b":version"), request.pseudo(b":other")) == (b"1", b"1", None)
    assert (request.pseudo(b":authority"), request.pseudo(b":path")) == (b"R$Hello:1.0", b"say")
    assert one(BoltServer(), frames("node_v2ver2crc")[0]).pseudo(b":version") == b"2"
    (response,) = BoltClient().feed(frames("java_sofarpc_say")[1])
    assert isinstance(response, Response)
    assert response.pseudo(b":class-name") == b"com.alipay.sofa.rpc.core.response.SofaResponse"


def test_what_the_frame_of_v2_says() -> None:
    frame = one(BoltServer(), frames("node_v2ver2crc")[0]).native
    assert isinstance(frame, BoltFrame)
    assert (frame.version, frame.ver1, frame.type, frame.command, frame.ver2, frame.id) == (2, 2, 1, 1, 1, 1)
    assert (frame.codec, frame.switch, frame.timeout_ms) == (1, 1, 3000)
    (response,) = BoltClient().feed(frames("javabolt_v1_exception")[1])
    assert isinstance(response, Response)
    assert isinstance(response.native, BoltFrame)
    assert (response.native.status, response.native.timeout_ms, response.native.command) == (2, 0, 2)


@pytest.mark.parametrize("layout", [V1, V2, V2_CRC])
def test_a_frame_says_how_long_its_content_is(layout: int) -> None:
    for message in (one(BoltServer(), call(b"12345", layout=layout)), reply(b"12345", layout)):
        assert isinstance(message.native, BoltFrame)
        assert (message.native.content_length, message.body) == (5, b"12345")


@pytest.mark.parametrize("name", ["node_v1", "node_v2ver1", "node_v2ver2crc"])
def test_the_method_that_node_does_not_name_is_read_from_the_content(name: str) -> None:
    request = one(BoltServer(), frames(name)[0])
    assert request.authority == "com.nodejs.test.TestService:1.0"
    assert request.path == "plus"
    request.path = "minus"
    assert request.raw_path == b"minus"
    request.path = ""
    assert request.raw_path == b"plus"


def test_a_content_that_names_no_method_leaves_the_path_empty() -> None:
    data = frames("node_v1")[0]
    begin = data.index(b"O\xbccom")
    for spoilt in (b"\x00" * (len(data) - begin), b"O\xff" * ((len(data) - begin) // 2) + b"x"):
        assert one(BoltServer(), data[:begin] + spoilt[: len(data) - begin]).path == ""


def test_a_frame_without_headers_is_routed_by_its_class() -> None:
    assert one(BoltServer(), frames("javabolt_v1")[0]).authority == "B$Req"


def test_a_oneway_request_without_a_timeout() -> None:
    request = one(BoltServer(), frames("javabolt_oneway")[0])
    assert (request.oneway, request.timeout_s) == (True, 0.0)


@pytest.mark.parametrize("name", [name for name in FRAMES if "heartbeat" in name])
def test_a_heartbeat_is_answered_as_the_real_server_does(name: str) -> None:
    request, response = frames(name)
    for codec in (BoltServer(), BoltClient()):
        assert codec.feed(request) == []
        assert codec.output == [response]
    for codec in (BoltServer(), BoltClient()):
        (ping,) = codec.feed(response)
        assert isinstance(ping, Ping)
        assert (ping.ack, ping.id) == (True, 0x63)
    check_codec(BoltServer, response)


def test_many_frames_of_one_read_are_told_in_order() -> None:
    codec = BoltServer()
    beat = frames("node_v1_heartbeat")[0]
    data = call(id=1) + beat + call(id=2, layout=V2) + call(id=3, layout=V2_CRC) + beat + call(id=4)[:30]
    assert [event.id for event in codec.feed(data)] == [1, 2, 3]
    assert len(codec.output) == 2
    assert [event.id for event in codec.feed(call(id=4)[30:])] == [4]
    check_codec(BoltServer, data)


def test_header_blocks_that_take_turns_are_told_apart() -> None:
    codec = BoltServer()
    blocks = [field(b"service", name) for name in (b"a", b"a", b"b", b"ab", b"a", b"")]
    data = b"".join(call(id=number, block=block) for number, block in enumerate([*blocks, b""]))
    for _ in range(2):
        requests = [event for event in codec.feed(data) if isinstance(event, Request)]
        assert [request.authority for request in requests] == ["a", "a", "b", "ab", "a", "C", "C"]


@pytest.mark.parametrize("layout", [V1, V2, V2_CRC])
@pytest.mark.parametrize("came", [V1, V2, V2_CRC])
def test_a_caller_is_answered_in_its_own_version(layout: int, came: int) -> None:
    codec = BoltServer()
    request = one(codec, call(id=9, layout=layout))
    written = codec.encode_response(request, reply(b"result", came))
    assert written[0] == (1 if layout == V1 else 2)
    (back,) = BoltClient().feed(written)
    assert isinstance(back, Response)
    assert (back.id, back.body, back.code) == (9, b"result", 0)
    assert isinstance(back.native, BoltFrame)
    assert back.native.class_name == "R"


def test_a_changed_response_is_written_anew() -> None:
    codec = BoltServer()
    request = one(codec, frames("java_sofarpc_boom")[0])
    (response,) = BoltClient().feed(frames("java_sofarpc_boom")[1])
    assert isinstance(response, Response)
    assert (response.status, response.reason) == (200, b"application exception")
    response.headers.set("x-by", "plait")
    response.body = b"short"
    (back,) = BoltClient().feed(codec.encode_response(request, response))
    assert isinstance(back, Response)
    assert list(back.headers) == [("sofa_head_response_error", "true"), ("x-by", "plait")]
    assert back.body == b"short"


@pytest.mark.parametrize("layout", [V1, V2, V2_CRC])
def test_a_body_of_the_same_length_goes_out_in_the_place_of_what_came(layout: int) -> None:
    request, response = one(BoltServer(), call(b"abc", layout=layout)), reply(b"abc", layout)
    request.body = response.body = b"xyz"
    assert one(BoltServer(), BoltClient().encode_request(request, 5)).body == b"xyz"
    (back,) = BoltClient().feed(BoltServer().encode_response(request, response))
    assert isinstance(back, Response)
    assert back.body == b"xyz"


@pytest.mark.parametrize("name", ["java_sofarpc_say", "node_v2ver2crc", "node_v2ver1"])
def test_an_error_is_written_in_the_version_of_the_request(name: str) -> None:
    codec = BoltServer()
    request = one(codec, frames(name)[0])
    response = local_response(request, 404, b"no route", "route_not_found")
    response.headers.set("x-plait", "1")
    (back,) = BoltClient().feed(codec.encode_response(request, response))
    assert isinstance(back, Response)
    assert isinstance(back.native, BoltFrame)
    assert (back.id, back.code, back.status) == (1, 6, 404)
    assert back.native.version == frames(name)[0][0]
    assert back.headers.get("x-plait") == "1"


def test_a_response_of_another_protocol_becomes_a_frame() -> None:
    codec = BoltServer()
    request = one(codec, call(id=5, layout=V2_CRC))
    response = Response(503, Headers([(b"server", b"x")]), 1, protocol="HTTP/1.1", body=b"busy")
    (back,) = BoltClient().feed(codec.encode_response(request, response))
    assert isinstance(back, Response)
    assert (back.id, back.code, back.body, list(back.headers)) == (5, 4, b"busy", [("server", "x")])
    response.end, response.body = False, b"a"
    assert codec.encode_response(request, response) == b""
    assert codec.encode_data(request, b"b", False) == b""
    (back,) = BoltClient().feed(codec.encode_data(request, b"c", True))
    assert isinstance(back, Response)
    assert (back.body, list(back.headers)) == (b"abc", [("server", "x")])


# what is long


def test_a_long_content_comes_in_pieces() -> None:
    data = call(b"0123456789abcdefXYZ", layout=V1)
    codec = BoltServer(SMALL)
    head, piece = codec.feed(data[:-9])
    assert isinstance(head, Request)
    assert isinstance(piece, Data)
    assert (head.end, head.body, piece.data, piece.end) == (False, b"", b"0123456789", False)
    (last,) = codec.feed(data[-9:])
    assert isinstance(last, Data)
    assert (last.data, last.end, last.id) == (b"abcdefXYZ", True, 7)


@pytest.mark.parametrize("layout", [V1, V2, V2_CRC])
def test_long_contents_can_be_cut_anywhere(layout: int) -> None:
    data = call(b"y" * 40, 1, layout) + call(b"short", 2, layout) + call(b"z" * 17, 3, layout)
    head = ("request", 1, b"", b"m", b"s", ((b"service", b"s"), (b"sofa_head_method_name", b"m")), False, 3.0, b"")
    expected = [
        *(head, ("body", 1, b"y" * 40), ("end", 1)),
        *((*head[:1], 2, *head[2:]), ("body", 2, b"short"), ("end", 2)),
        *((*head[:1], 3, *head[2:]), ("body", 3, b"z" * 17), ("end", 3)),
    ]
    check_codec(lambda: BoltServer(SMALL), data, expected)


def test_the_method_of_a_long_call_is_read_from_its_beginning() -> None:
    data = frames("node_v1")[0]
    check_codec(lambda: BoltServer(SMALL), data)
    head = BoltServer(SMALL).feed(data)[0]
    assert isinstance(head, Request)
    assert (head.end, head.path) == (False, "plus")


@pytest.mark.parametrize("layout", [V1, V2_CRC])
def test_a_long_response_goes_out_in_pieces(layout: int) -> None:
    content = b"0123456789abcdefXYZ"
    came = answer(content, layout=layout)
    head, piece = BoltClient(SMALL).feed(came[:-10])
    assert isinstance(head, Response)
    assert isinstance(piece, Data)
    codec = BoltServer(SMALL)
    request, other = one(codec, call(id=5, layout=layout)), one(codec, call(id=6, layout=layout))
    written = [codec.encode_response(request, head), codec.encode_data(request, piece.data, False)]
    assert len(b"".join(written)) == len(came) - 10
    assert codec.encode_response(other, local_response(other, 404, b"", "route_not_found")) == b""
    assert codec.feed(frames("node_v1_heartbeat")[0]) == []
    assert codec.output == []
    written.append(codec.encode_data(request, content[len(piece.data) :], True))
    told = events(BoltClient(), [b"".join(written)])
    assert [one for one in told if one[0] in ("body", "end", "ping") and one[1] == 5] == [
        ("body", 5, content),
        ("end", 5),
    ]
    assert [one[:2] for one in told if one[0] in ("response", "ping")] == [
        *(("response", 5), ("response", 6), ("ping", 0x63)),
    ]


def test_a_content_of_another_length_than_its_frame_is_refused() -> None:
    codec = BoltServer(SMALL)
    request = one(codec, call(id=5))
    (head,) = BoltClient(SMALL).feed(answer(b"x" * 20)[:-20])
    assert isinstance(head, Response)
    codec.encode_response(request, head)
    with pytest.raises(LocalProtocolError):
        codec.encode_data(request, b"x" * 21, False)
    assert codec.encode_reset(request, "local_protocol_error") is None


def test_a_stream_that_is_reset_before_its_answer_gets_an_error() -> None:
    codec = BoltServer()
    request = one(codec, call(id=5))
    (back,) = BoltClient().feed(codec.encode_reset(request, "idle timeout") or b"")
    assert isinstance(back, Response)
    assert (back.id, back.code) == (5, 2)
    assert b"idle timeout" in back.body


def test_a_stream_that_is_answered_or_oneway_is_reset_without_a_word() -> None:
    codec = BoltServer()
    request = one(codec, call(id=5))
    codec.encode_response(request, reply(b"r"))
    assert codec.encode_reset(request, "response_complete_before_request") == b""
    assert codec.encode_reset(one(codec, call(type=2)), "gone") == b""


def test_a_response_that_waits_behind_another_can_be_given_up() -> None:
    codec = BoltServer(SMALL)
    first, second = one(codec, call(id=1)), one(codec, call(id=2))
    long = BoltClient(SMALL).feed(answer(b"x" * 20)[:-20])[0]
    assert isinstance(long, Response)
    begun = codec.encode_response(first, long)
    assert codec.encode_response(second, long) == b""
    assert codec.encode_reset(second, "gone") == b""  # its error waits in the place of it
    written = begun + codec.encode_data(first, b"x" * 20, True)
    told = [event for event in BoltClient().feed(written) if isinstance(event, Response)]
    assert [(event.id, event.code) for event in told] == [(1, 0), (2, 2)]


# what is refused


def fault(data: bytes, options: BoltOptions | None = None) -> tuple[str, int, int, bool]:
    *_, last = BoltServer(options).feed(data)
    assert isinstance(last, Fault)
    return last.error.counter, last.error.status, last.id, last.error.survives


@pytest.mark.parametrize(
    ("data", "counter"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "bolt.unknown_protocol"),
        (b"\x00", "bolt.unknown_protocol"),
        (b"\x01\x03", "bolt.unknown_type"),
        (b"\x02\x01\x03", "bolt.unknown_type"),
        (b"\x02\x03" + call(layout=V2)[2:], "bolt.unknown_version"),
        (call(layout=V2_CRC)[:-1] + b"\0", "bolt.wrong_checksum"),
    ],
)
def test_lost_framing_ends_the_connection(data: bytes, counter: str) -> None:
    codec = BoltServer()
    (last,) = codec.feed(call(id=1) + data)[1:]
    assert isinstance(last, Fault)
    assert (last.error.counter, last.error.status, last.error.survives) == (counter, 400, False)
    assert codec.closing
    assert codec.feed(call()) == []


@pytest.mark.parametrize("layout", [V1, V2, V2_CRC])
@pytest.mark.parametrize("length", [1, 100])
def test_a_response_from_a_caller_is_counted_and_skipped(layout: int, length: int) -> None:
    codec = BoltServer(SMALL)
    first, fault, last = codec.feed(call(id=1) + answer(b"x" * length, 1, layout) + call(id=2))
    assert isinstance(fault, Fault)
    assert (fault.error.counter, fault.error.status, fault.error.survives) == ("bolt.unexpected_response", 0, True)
    assert (first.id, last.id, codec.closing, codec.output) == (1, 2, False, [])


def test_a_wrong_checksum_of_a_long_content_is_seen_at_its_end() -> None:
    data = call(b"x" * 40, layout=V2_CRC)
    told = events(BoltServer(SMALL), [data[:-1] + bytes([data[-1] ^ 1])])
    assert told[-1] == ("fault", 7, 400, "bolt.wrong_checksum", False)
    assert ("end", 7) not in told


def test_a_checksum_is_not_looked_at_where_ver1_is_1() -> None:
    frame = bytearray(call(layout=V2))
    frame[11] = 1
    assert one(BoltServer(), bytes(frame)).body == b"x"


@pytest.mark.parametrize("layout", [V1, V2, V2_CRC])
def test_a_header_block_that_lies_is_answered_and_the_connection_goes_on(layout: int) -> None:
    bad = b"\0\0\0\1a\0\0\0\7b"
    codec = BoltServer()
    broken, request = codec.feed(call(id=1, layout=layout, block=bad) + call(id=2, layout=layout))
    assert isinstance(broken, Fault)
    assert (broken.id, broken.error.status, broken.error.survives) == (1, 400, True)
    assert broken.error.counter == "bolt.bad_header_block"
    assert request.id == 2
    unbegun = Request(Headers([]), 1)
    written = codec.encode_response(unbegun, local_response(unbegun, 400, b"why", broken.error.counter))
    (back,) = BoltClient().feed(written)
    assert isinstance(back, Response)
    assert (written[0], back.id, back.code) == (1 if layout == V1 else 2, 1, 9)
    assert fault(call(id=1, block=bad, type=2)) == ("bolt.bad_header_block", 0, 1, True)  # nobody waits for an answer
    check_codec(BoltServer, call(id=1, layout=layout, block=bad) + call(id=2, layout=layout))


def test_a_frame_over_the_limit_is_refused_before_it_comes_and_skipped() -> None:
    codec = BoltServer(SMALL)
    data = call(b"x" * 600, id=3)
    (refused,) = codec.feed(data[:22])
    assert isinstance(refused, Fault)
    assert (refused.id, refused.error.status, refused.error.survives) == (3, 413, True)
    assert codec.feed(data[22:400]) == []
    assert [event.id for event in codec.feed(data[400:] + call(id=4))] == [4]
    largest = head_of(V1, 1, 1, 1, 1, 0)[:18] + b"\xff\xff\xff\xff"
    assert fault(largest)[0] == "bolt.frame_too_large"


def test_an_unknown_command_is_refused_and_skipped() -> None:
    data = whole(head_of(V1, 1, 55, 0, 1, 0, b"C", b"", 3), V1, 8, b"abc")
    refused, request = BoltServer().feed(data + call(id=9))
    assert isinstance(refused, Fault)
    assert (refused.id, refused.error.counter, refused.error.survives) == (8, "bolt.unknown_command", True)
    assert request.id == 9
    refused, *rest = BoltServer(SMALL).feed(whole(head_of(V1, 1, 55, 0, 1, 0, b"", b"", 30), V1, 8, b"a" * 30) + call())
    assert [event.id for event in rest] == [7]


def test_a_close_inside_a_frame_is_a_fault() -> None:
    whole_frame = call()
    assert list(BoltServer().eof()) == []
    for size in range(1, len(whole_frame)):
        codec = BoltServer()
        codec.feed(whole_frame[:size])
        (cut,) = codec.eof()
        assert isinstance(cut, Fault)
        assert cut.error.counter == "bolt.truncated_frame"
    codec = BoltServer()
    codec.feed(whole_frame)
    assert list(codec.eof()) == []


def test_a_partial_frame_is_joined_once() -> None:
    codec = BoltServer(BoltOptions(stream_threshold_bytes=1 << 22))
    data = call(b"x" * (1 << 20))
    told: list[Event] = []
    for at in range(0, len(data), 1 << 10):
        told += codec.feed(data[at : at + (1 << 10)])
        assert len(codec._reader._parts) <= (at >> 10) + 1
    assert [event.id for event in told] == [7]


# goaway


def test_a_drain_says_nothing_to_peers_that_may_not_know_the_word() -> None:
    codec = BoltServer()
    assert codec.drain() == b""
    assert not codec.closing  # what is on its way is still served
    assert one(codec, call()).id == 7  # what comes all the same is served


@pytest.mark.parametrize("layout", [V1, V2, V2_CRC])
def test_a_drain_says_goaway_where_it_may(layout: int) -> None:
    codec = BoltServer(BoltOptions(enable_bolt_goaway=True))
    codec.feed(call(layout=layout))
    (gone,) = BoltClient().feed(codec.drain())
    assert isinstance(gone, GoAway)
    assert gone.last_id == -1
    knowing = BoltServer()
    assert knowing.feed(head_of(V1, 1, 100, 1, 1, 0)) == []
    assert knowing.drain() == head_of(V1, 1, 100, 0, 1, 0)


def test_the_checksum_is_that_of_java() -> None:
    for name in ("javabolt_v2ver2crc", "node_v2ver2crc", "node_v2ver2crc_heartbeat"):
        for frame in frames(name):
            assert crc32(frame[:-4]).to_bytes(4, "big") == frame[-4:]


def test_oneway_requests_are_not_answered() -> None:
    codec = BoltServer()
    (request,) = codec.feed(whole(head_of(V1, 2, 1, 0, 1, 100), V1, 7, b""))
    assert isinstance(request, Request)
    assert codec.encode_response(request, local_response(request, 404, b"", "route_not_found")) == b""
