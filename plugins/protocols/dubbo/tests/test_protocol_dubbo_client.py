"""The upstream codec: what frames become, which ids they have, and what passes in pieces."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.api import Data, Event, Fault, GoAway, Headers, LocalProtocolError, Ping, Request, Response, Window
from plait.testing import check_codec
from plait_protocol_dubbo import DubboClient, DubboOptions, DubboServer
from plait_protocol_dubbo.frame import HEAD, HEAD_BYTES, MAGIC
from plait_protocol_dubbo.messages import DubboRequest, DubboResponse

FRAMES = {
    name: bytes.fromhex(text)
    for name, text in (
        line.split(" ")
        for line in Path(__file__).with_name("frames.txt").read_text().splitlines()
        if line and line[0] != "#"
    )
}
FRONT = b"\x052.0.2\x01P\x051.0.0\x01m"
SMALL = DubboOptions(max_buffered_bytes=0, max_queued_bytes=20_000, max_padding_bytes=50_000)


def frame(body: bytes, flag: int = 0x02, id: int = 7, status: int = 20) -> bytes:
    return HEAD.pack(MAGIC, flag, status, id, len(body)) + body


def request(frame_bytes: bytes) -> Request:
    made = DubboServer().feed(frame_bytes)[0]
    assert isinstance(made, Request)
    return made


def large(size: int = 10_000, flag: int = 0xC2) -> tuple[Request, Data, bytes]:
    text = b"S" + size.to_bytes(2) + b"x" * size
    data = frame(FRONT + b"\x12Ljava/lang/String;" + text + b"H\x05group\x01gZ", flag, 7, 0)
    first, rest = DubboServer(SMALL).feed(data)
    assert isinstance(first, Request)
    assert isinstance(rest, Data)
    return first, rest, data


@pytest.mark.parametrize("name", [name for name in FRAMES if name.endswith("_response")])
def test_response_can_be_cut_anywhere(name: str) -> None:
    if len(FRAMES[name]) < 1000:  # the exceptions of Java are long
        check_codec(DubboClient, FRAMES[name])
    else:
        (whole,) = DubboClient().feed(FRAMES[name])
        codec = DubboClient()
        pieces = [FRAMES[name][at : at + 7] for at in range(0, len(FRAMES[name]), 7)]
        (cut,) = [event for piece in pieces for event in codec.feed(piece)]
        assert isinstance(whole, Response)
        assert isinstance(cut, Response)
        assert cut.body == whole.body


STATUSES = {20: 200, 30: 504, 31: 504, 35: 503, 40: 400, 50: 502, 60: 404, 70: 500, 80: 500, 90: 500, 100: 503, 0: 500}


@pytest.mark.parametrize(("code", "status"), STATUSES.items())
def test_status_is_said_in_the_terms_of_http(code: int, status: int) -> None:
    (response,) = DubboClient().feed(frame(b"\x02no", status=code))
    assert isinstance(response, Response)
    assert (response.status, response.code) == (status, code)


def test_ids_are_unique_and_those_of_callers_do_not_matter() -> None:
    codec = DubboClient()
    ids = [codec.next_id() for _ in range(3)]
    assert len(set(ids)) == 3
    same = [request(FRAMES["java31_hello_request"]) for _ in ids]
    written = [codec.encode_request(one, id) for one, id in zip(same, ids, strict=True)]
    assert [HEAD.unpack_from(data)[3] for data in written] == ids


def test_request_of_another_protocol_is_refused() -> None:
    with pytest.raises(LocalProtocolError):
        DubboClient().encode_request(Request(Headers([])), 1)


# events


def test_ping_is_a_heartbeat_and_is_answered_by_one() -> None:
    codec = DubboClient()
    ping = codec.encode_ping()
    server = DubboServer()
    server.feed(ping)
    (event,) = codec.feed(server.output[0])
    assert isinstance(event, Ping)
    assert event.ack


def test_heartbeat_of_a_server_is_answered() -> None:
    codec = DubboClient()
    assert isinstance(codec.feed(FRAMES["java31_heartbeat"])[0], Ping)
    assert codec.output == [FRAMES["java31_heartbeat_answer"]]


@pytest.mark.parametrize(("flag", "body"), [(0xA2, b"\x01R"), (0xB7, b"\0\0\0\2\x4aR"), (0xA6, b'"R"\n')])
def test_readonly_server_gets_no_new_streams(flag: int, body: bytes) -> None:
    (event,) = DubboClient().feed(frame(body, flag, 1, 0))
    assert isinstance(event, GoAway)
    assert event.last_id == -1


def test_writable_and_unknown_events_change_nothing() -> None:
    codec = DubboClient()
    events = codec.feed(frame(b"\x01W", 0xA2, 1, 0) + frame(b"\x01X", 0xE2, 2, 0) + frame(b"?", 0xFF, 3, 0))
    assert [type(event) for event in events] == [Ping, Ping, Ping]
    assert len(codec.output) == 2
    assert codec.reusable


def test_drain_of_one_side_is_understood_by_the_other() -> None:
    for name in ("java31_hello_request", "fastjson2_say_request"):
        server = DubboServer()
        server.feed(FRAMES[name])
        assert isinstance(DubboClient().feed(server.drain())[0], GoAway)


def test_callback_is_refused() -> None:
    codec = DubboClient()
    assert codec.feed(FRAMES["java31_hello_request"]) == []
    ((answer),) = codec.output
    assert HEAD.unpack_from(answer)[2] == 40


# what is wrong


def test_what_is_no_frame_ends_the_connection() -> None:
    codec = DubboClient()
    good, fault = codec.feed(FRAMES["java31_hello_response"] + b"HTTP/1.1 200 OK\r\n\r\n")
    assert isinstance(good, Response)
    assert isinstance(fault, Fault)
    assert not codec.reusable
    assert codec.feed(FRAMES["java31_hello_response"]) == ()


def test_end_inside_a_frame_is_a_fault() -> None:
    codec = DubboClient()
    codec.feed(FRAMES["java31_hello_response"][:20])
    assert isinstance(codec.eof()[0], Fault)
    assert DubboClient().eof() == ()


def test_response_that_is_too_large_fails_alone() -> None:
    codec = DubboClient(DubboOptions(max_frame_bytes=5000))
    refused, after = codec.feed(frame(b"x" * 6000, id=3) + FRAMES["java31_hello_response"])
    assert isinstance(refused, Response)
    assert isinstance(after, Response)
    assert (refused.id, refused.status) == (3, 502)
    waiting = request(FRAMES["java31_hello_request"])
    assert HEAD.unpack_from(DubboServer().encode_response(waiting, refused))[2] == 50
    assert after.status == 200


@given(st.binary(max_size=200), st.binary(max_size=60))
def test_no_bytes_raise(data: bytes, body: bytes) -> None:
    for options in (None, SMALL):
        codec = DubboClient(options)
        codec.feed(frame(body) + frame(body, 0xE2) + frame(body, 0xA2) + data)
        codec.eof()


# in pieces


def test_large_response_passes_in_pieces() -> None:
    body = b"\x94S\x27\x10" + b"x" * 10_000 + b"HZ"
    data = frame(body) + FRAMES["java31_hello_response"]
    check_codec(lambda: DubboClient(SMALL), frame(body)[:4300])
    for size in (1, 1000, 4112, len(data)):
        codec, got = DubboClient(SMALL), b""
        events: list[Event] = []
        for at in range(0, len(data), size):
            events += codec.feed(data[at : at + size])
        first, last = events[0], events[-1]
        assert isinstance(first, Response)
        assert isinstance(last, Response)
        assert not first.end
        assert list(first.headers) == []
        for event in events[:-1]:
            got += event.body if isinstance(event, Response) else event.data  # type: ignore[attr-defined]
        assert got == body


def test_nothing_is_written_between_the_pieces_of_a_large_request() -> None:
    codec = DubboClient(SMALL)
    first, rest, data = large()
    out = codec.encode_request(first, 1)
    assert codec.max_streams == 0  # others take another connection, but one may have been on its way
    assert codec.encode_request(request(FRAMES["java31_hello_request"]), 2) == b""
    assert codec.encode_ping() == b""
    out += codec.encode_data(1, rest.data, True)
    assert codec.max_streams > 0
    assert any(isinstance(event, Window) for event in codec.feed(FRAMES["java31_hello_response"]))
    events = DubboServer().feed(out)
    assert [type(event) for event in events] == [DubboRequest, DubboRequest]
    assert isinstance(events[0], Request)
    assert events[0].body == data[HEAD_BYTES:]


def test_large_requests_follow_one_another() -> None:
    codec = DubboClient(SMALL)
    (first, rest, _), (second, other, _) = large(), large()
    out = codec.encode_request(first, 1) + codec.encode_request(second, 2)
    assert codec.unsent(2) > 4000
    assert codec.encode_data(2, other.data, True) == b""
    out += codec.encode_data(1, rest.data, True)
    assert [event.id for event in DubboServer().feed(out)] == [1, 2]
    assert codec.unsent(2) == 0


def test_rest_of_a_request_that_never_comes_is_filled_up_and_surely_refused() -> None:
    codec = DubboClient(SMALL)
    first, rest, _ = large()
    out = codec.encode_request(first, 1) + codec.encode_data(1, rest.data[:100], False)
    filled = codec.encode_reset(1, "downstream_remote_disconnect")
    assert filled is not None
    out += filled + codec.encode_request(request(FRAMES["java31_hello_request"]), 2)
    broken, after = DubboServer().feed(out)
    assert isinstance(broken, Request)
    assert isinstance(after, Request)
    assert broken.native.arguments() is None  # type: ignore[attr-defined]
    assert broken.native.broken  # type: ignore[attr-defined]
    assert after.path == "hello"


def test_request_in_a_serialization_that_is_not_read_is_not_filled_up() -> None:
    codec = DubboClient(SMALL)
    first, _, _ = large(flag=0xC8)
    codec.encode_request(first, 1)
    assert codec.encode_reset(1, "downstream_remote_disconnect") is None


def test_request_that_waits_for_its_turn_is_simply_dropped() -> None:
    codec = DubboClient(SMALL)
    (first, rest, _), (second, _, _) = large(), large()
    out = codec.encode_request(first, 1) + codec.encode_request(second, 2)
    assert codec.encode_reset(2, "gone") == b""
    out += codec.encode_data(1, rest.data, True)
    assert [event.id for event in DubboServer().feed(out)] == [1]


def test_service_of_a_large_request_can_be_changed() -> None:
    codec = DubboClient(SMALL)
    first, rest, data = large()
    first.authority, first.path = "demo.Other", "tell"
    first.headers.set("x", "y")  # has no effect: the attachments are not there yet
    out = codec.encode_request(first, 1) + codec.encode_data(1, rest.data, True)
    (changed,) = DubboServer().feed(out)
    assert isinstance(changed, Request)
    assert (changed.authority, changed.path) == ("demo.Other", "tell")
    assert changed.body[changed.native.front.length :] == data[HEAD_BYTES + len(FRONT) :]  # type: ignore[attr-defined]
    assert list(changed.headers) == [("group", "g")]


def test_answer_that_nobody_waits_for_is_read_over() -> None:
    codec = DubboClient(SMALL)
    body = b"\x94S\x27\x10" + b"x" * 10_000 + b"HZ"
    codec.feed(frame(body, id=4)[:5000])
    assert codec.encode_reset(4, "timeout") == b""
    events = codec.feed(frame(body, id=4)[5000:] + FRAMES["java31_hello_response"])
    assert [type(event) for event in events] == [DubboResponse]
