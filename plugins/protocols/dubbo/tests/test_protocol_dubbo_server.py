"""The downstream codec: what frames become, what is answered, and what passes in pieces."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.api import Data, Event, Fault, Headers, LocalProtocolError, Ping, Request, Response
from plait.testing import check_codec
from plait_protocol_dubbo import DubboClient, DubboOptions, DubboServer, local_response
from plait_protocol_dubbo.forms import FORMS
from plait_protocol_dubbo.frame import HEAD, HEAD_BYTES, MAGIC
from plait_protocol_dubbo.messages import DubboRequest

FRAMES = {
    name: bytes.fromhex(text)
    for name, text in (
        line.split(" ")
        for line in Path(__file__).with_name("frames.txt").read_text().splitlines()
        if line and line[0] != "#"
    )
}
FRONT = b"\x052.0.2\x01P\x051.0.0\x01m"
SMALL = DubboOptions(max_buffered_bytes=0, max_queued_bytes=20_000, max_padding_bytes=50_000, max_frame_bytes=1_000_000)


def frame(body: bytes, flag: int = 0xC2, id: int = 7, status: int = 0) -> bytes:
    return HEAD.pack(MAGIC, flag, status, id, len(body)) + body


def large(id: int = 7, size: int = 10_000, flag: int = 0xC2) -> bytes:
    text = b"x" * size
    return frame(FRONT + b"\x12Ljava/lang/String;" + b"S" + size.to_bytes(2) + text + b"H\x05group\x01gZ", flag, id)


def request(frame_bytes: bytes, codec: DubboServer | None = None) -> Request:
    made = (codec or DubboServer()).feed(frame_bytes)[0]
    assert isinstance(made, Request)
    return made


def responses(*frames: bytes, options: DubboOptions | None = None) -> list[Event]:
    return list(DubboClient(options).feed(b"".join(frames)))


def answered(data: bytes) -> list[tuple[int, int, bytes]]:
    """Id, status and body of each frame in what was written."""
    told = []
    while data:
        magic, _, status, id, length = HEAD.unpack_from(data)
        assert magic == MAGIC
        told.append((id, status, data[HEAD_BYTES : HEAD_BYTES + length]))
        assert len(data) >= HEAD_BYTES + length
        data = data[HEAD_BYTES + length :]
    return told


@pytest.mark.parametrize("name", [name for name in FRAMES if name.endswith("_request")])
def test_request_can_be_cut_anywhere(name: str) -> None:
    check_codec(DubboServer, FRAMES[name])


def test_requests_of_one_read_are_all_there_and_cuts_mean_nothing() -> None:
    names = ("java31_hello_request", "java31_heartbeat", "fastjson2_say_request", "java_request", "node_hello_request")
    data = b"".join(FRAMES[name] for name in names)
    events = DubboServer().feed(data)
    paths = [event.path if isinstance(event, Request) else "ping" for event in events]
    assert paths == ["hello", "ping", "say", "say", "hello"]
    check_codec(DubboServer, data)


def test_front_of_one_serialization_is_not_taken_for_another() -> None:
    codec = DubboServer()
    assert request(frame(FRONT), codec).path == "m"
    assert request(frame(FRONT, 0xC8), codec).path == ""
    assert request(frame(FRONT), codec).path == "m"


def test_calls_that_nobody_waits_for_are_told_from_others_with_the_same_front() -> None:
    codec = DubboServer()
    flags = (0xC2, 0xC2, 0x82, 0x82, 0xC2)
    for cut in (1, len(flags)):
        data = [frame(FRONT, flag) for flag in flags]
        reads = [b"".join(data[at : at + cut]) for at in range(0, len(data), cut)]
        made = [event for read in reads for event in codec.feed(read) if isinstance(event, Request)]
        assert [one.oneway for one in made] == [not flag & 0x40 for flag in flags]
        assert [one.timeout_s for one in made] == [-1.0 if flag & 0x40 else 0.0 for flag in flags]


def test_a_front_that_cannot_be_read_says_nothing_of_the_next_one() -> None:
    codec = DubboServer()
    assert request(frame(b"no lines", 0xC0 | 21), codec).path == ""
    assert request(frame(b'"2.0.2"\n"P"\n"1.0.0"\n"m"\n', 0xC0 | 21), codec).path == "m"


@pytest.mark.parametrize("make", [DubboServer, DubboClient])
@pytest.mark.parametrize("length", [len(FRONT), 1000, 1 << 29, 0x80000000])
def test_framing_that_is_lost_behind_a_frame_is_noticed_whatever_length_follows(
    make: type[DubboServer | DubboClient], length: int
) -> None:
    sound = frame(FRONT) if make is DubboServer else frame(b"\x95", 0x02, status=20)
    magic = b"\xda\xbb" if length == 0x80000000 else b"\xda\xbc"
    wrong = magic + sound[2:12] + length.to_bytes(4) + FRONT
    events = make().feed(sound + wrong)
    assert [type(event).kind for event in events] == [type(events[0]).kind, Fault.kind]
    fault = events[1]
    assert isinstance(fault, Fault)
    assert (fault.error.counter, fault.error.survives) == ("dubbo.bad_frame", False)


def test_front_is_not_looked_for_behind_the_frame() -> None:
    codec = DubboServer()
    request(frame(FRONT), codec)
    events = codec.feed(frame(FRONT[:-1]) + frame(FRONT))
    assert isinstance(events[0], Fault)
    assert isinstance(events[1], Request)


# events


def test_heartbeat_is_answered() -> None:
    codec = DubboServer()
    events = codec.feed(FRAMES["java31_heartbeat"])
    assert [(type(event), event.id) for event in events] == [(Ping, 9)]
    assert codec.output == [FRAMES["java31_heartbeat_answer"]]


@pytest.mark.parametrize("serialization", FORMS)
def test_heartbeat_is_answered_in_its_serialization(serialization: int) -> None:
    codec = DubboServer()
    null = FORMS[serialization].null
    codec.feed(frame(null, 0xE0 | serialization))
    assert codec.output == [frame(null, 0x20 | serialization, status=20)]


def test_event_without_answer_gets_none() -> None:
    codec = DubboServer()
    assert isinstance(codec.feed(frame(b"\x01R", 0xA2))[0], Ping)
    assert codec.output == []


def test_acknowledgement_is_a_ping() -> None:
    (event,) = DubboServer().feed(FRAMES["java31_heartbeat_answer"])
    assert isinstance(event, Ping)
    assert event.ack


@pytest.mark.parametrize(("last", "event"), [("java31_hello_request", "a2"), ("fastjson2_say_request", "b7")])
def test_drain_says_readonly_as_java_does(last: str, event: str) -> None:
    codec = DubboServer()
    codec.feed(FRAMES[last])
    text = "0152" if event == "a2" else "000000024a52"
    assert codec.drain().hex() == f"dabb{event}00000000000000000100000{len(text) // 2:03x}{text}"
    assert not codec.closing  # what is on its way is still served


# what is wrong


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\xda\xbc", b"x", b"\xda\xbb" + b"\xff" * 14])
def test_what_is_no_frame_ends_the_connection(data: bytes) -> None:
    codec = DubboServer()
    (event,) = codec.feed(data)
    assert isinstance(event, Fault)
    assert (event.error.counter, event.error.status, event.error.survives) == ("dubbo.bad_frame", 0, False)
    assert codec.closing
    assert codec.feed(FRAMES["java31_hello_request"]) == ()
    assert codec.eof() == ()


@pytest.mark.parametrize("flag", [0xC2, 0x82])
def test_broken_request_is_answered_and_the_connection_goes_on(flag: int) -> None:
    codec = DubboServer()
    fault, after = codec.feed(frame(b"\x052.0", flag, 5) + FRAMES["java31_hello_request"])
    assert isinstance(fault, Fault)
    assert isinstance(after, Request)
    assert fault.id == 5
    assert (fault.error.counter, fault.error.survives) == ("dubbo.bad_request", True)
    assert fault.error.status == (400 if flag == 0xC2 else 0)  # one that waits for no answer gets none
    check_codec(DubboServer, frame(b"\x052.0", flag, 5) + FRAMES["java31_hello_request"])


def test_broken_request_is_answered_in_its_serialization() -> None:
    codec = DubboServer()
    codec.feed(frame(b"\0\0\0\1\xaf", 0xD7, 5))
    unbegun = Request(Headers([]), 5)
    response = local_response(unbegun, 400, b"no", "")
    assert codec.encode_response(unbegun, response) == frame(b"\0\0\0\3\x4bno", 0x17, 5, 40)


def test_frame_that_is_too_large_is_read_over_and_answered() -> None:
    options = DubboOptions(max_frame_bytes=5000)
    data = large(5) + FRAMES["java31_hello_request"]
    fault, after = DubboServer(options).feed(data)
    assert isinstance(fault, Fault)
    assert isinstance(after, Request)
    assert (fault.id, fault.error.status, fault.error.survives) == (5, 413, True)
    pieces = [data[at : at + 1000] for at in range(0, len(data), 1000)]
    codec = DubboServer(options)
    events = [event for piece in pieces for event in codec.feed(piece)]
    assert [type(event) for event in events] == [Fault, DubboRequest]


def test_response_from_a_caller_is_counted_and_no_more() -> None:
    (event,) = DubboServer().feed(FRAMES["java31_hello_response"])
    assert isinstance(event, Fault)
    assert (event.error.status, event.error.survives) == (0, True)


def test_end_inside_a_frame_is_a_fault() -> None:
    codec = DubboServer()
    codec.feed(FRAMES["java31_hello_request"][:50])
    (event,) = codec.eof()
    assert isinstance(event, Fault)
    assert event.error.counter == "dubbo.truncated_frame"
    assert DubboServer().eof() == ()


@given(st.binary(max_size=200), st.binary(max_size=60))
def test_no_bytes_raise(data: bytes, body: bytes) -> None:
    for options in (None, SMALL):
        codec = DubboServer(options)
        codec.feed(frame(body, 0xC2) + frame(body, 0xE2) + data)
        codec.eof()


# requests in pieces


def test_large_request_passes_in_pieces_and_says_what_is_known() -> None:
    data = large()
    check_codec(lambda: DubboServer(SMALL), frame(FRONT + b"\x00HZ") + data[:HEAD_BYTES] + data[HEAD_BYTES:][:4200])
    whole = DubboServer(SMALL).feed(data)
    first, rest = whole
    assert isinstance(first, Request)
    assert isinstance(rest, Data)
    assert not first.end
    assert rest.end
    assert (first.authority, first.path) == ("P", "m")
    assert list(first.headers) == [("path", "P"), ("interface", "P"), ("version", "1.0.0")]
    assert first.headers.get("group") is None
    assert first.body + rest.data == data[HEAD_BYTES:]
    for size in (1, 100, 4096, 5000):
        codec, got = DubboServer(SMALL), b""
        for at in range(0, len(data), size):
            for event in codec.feed(data[at : at + size]):
                got += event.body if isinstance(event, Request) else event.data  # type: ignore[attr-defined]
        assert got == data[HEAD_BYTES:]


def test_request_behind_a_large_one_is_read() -> None:
    events = DubboServer(SMALL).feed(large(1) + FRAMES["node_hello_request"] + large(2))
    assert [type(event) for event in events] == [DubboRequest, Data, DubboRequest, DubboRequest, Data]


def test_rest_of_a_request_that_is_given_up_is_read_over() -> None:
    codec = DubboServer(SMALL)
    data = large()
    (first,) = codec.feed(data[:5000])[:1]
    assert isinstance(first, Request)
    codec.encode_response(first, local_response(first, 403, b"no", ""))
    assert codec.encode_reset(first, "response_complete_before_request") == b""
    assert [type(event) for event in codec.feed(data[5000:] + FRAMES["java31_hello_request"])] == [DubboRequest]


def test_stream_that_is_given_up_is_answered() -> None:
    codec = DubboServer()
    waiting = request(FRAMES["java31_hello_request"], codec)
    ((id, status, body),) = answered(codec.encode_reset(waiting, "idle") or b"")
    assert (id, status, body) == (waiting.id, 80, b"\x04idle")
    assert codec.encode_reset(request(FRAMES["java33_oneway_request"], codec), "idle") == b""


# responses


@pytest.mark.parametrize("name", [name for name in FRAMES if name.endswith("_response")])
def test_response_is_forwarded_byte_for_byte_under_the_callers_id(name: str) -> None:
    (response,) = responses(FRAMES[name])
    assert isinstance(response, Response)
    waiting = request(FRAMES["java31_hello_request"])
    waiting.id = -3
    written = DubboServer().encode_response(waiting, response)
    assert written == FRAMES[name][:4] + (-3).to_bytes(8, signed=True) + FRAMES[name][12:]


def large_response(id: int, size: int = 10_000, kind: int = 0x94) -> bytes:
    text = b"S" + size.to_bytes(2) + b"x" * size
    return frame(bytes([kind]) + text + (b"HZ" if kind > 0x92 else b""), 0x02, id, 20)


def two_streams(kind: int = 0x94) -> tuple[DubboServer, Request, Request, list[Event]]:
    codec = DubboServer(SMALL)
    first, second = request(frame(FRONT, id=1), codec), request(frame(FRONT, id=2), codec)
    return codec, first, second, responses(large_response(1, kind=kind), large_response(2), options=SMALL)


def test_nothing_is_written_between_the_pieces_of_a_large_response() -> None:
    codec, first, second, (head, rest, other, other_rest) = two_streams()
    assert isinstance(head, Response)
    assert isinstance(rest, Data)
    assert isinstance(other, Response)
    assert isinstance(other_rest, Data)
    out = codec.encode_response(first, head)
    third = request(frame(FRONT, id=3), codec)
    assert codec.encode_response(third, local_response(third, 404, b"no", "")) == b""
    assert codec.encode_response(second, other) == b""
    assert codec.unsent(2) > 4000
    codec.feed(FRAMES["java31_heartbeat"])
    assert codec.output == []
    assert codec.drain() == b""
    out += codec.encode_data(first, rest.data, True)
    assert codec.unsent(2) == 0
    out += codec.encode_data(second, other_rest.data, True)
    told = answered(out)
    assert [id for id, _, _ in told] == [1, 3, 2, 9, 1]
    assert told[0][2] == large_response(1)[HEAD_BYTES:]
    assert told[2][2] == large_response(2)[HEAD_BYTES:]


def test_whole_answers_behind_a_large_response_are_let_out_with_its_end() -> None:
    codec, first, _, (head, rest, *_) = two_streams()
    assert isinstance(head, Response)
    assert isinstance(rest, Data)
    out = codec.encode_response(first, head)
    (response,) = responses(FRAMES["java31_hello_response"])
    assert isinstance(response, Response)
    assert codec.encode_response(request(FRAMES["java31_hello_request"]), response) == b""
    half = len(rest.data) // 2
    out += codec.encode_data(first, rest.data[:half], False)
    out += codec.encode_data(first, rest.data[half:], True)
    assert [status for _, status, _ in answered(out)] == [20, 20]


def test_answer_that_does_not_fit_behind_a_large_response_fails_alone() -> None:
    codec, first, second, (head, rest, other, other_rest) = two_streams()
    assert isinstance(head, Response)
    assert isinstance(rest, Data)
    assert isinstance(other, Response)
    assert isinstance(other_rest, Data)
    out = codec.encode_response(first, head)
    codec.encode_response(second, other)
    with pytest.raises(LocalProtocolError):
        codec.encode_data(second, b"x" * 20_000, False)
    assert codec.encode_reset(second, "local_protocol_error") == b""
    out += codec.encode_data(first, rest.data, True)
    assert [(id, status) for id, status, _ in answered(out)] == [(1, 20), (2, 80)]


def test_rest_of_a_response_that_never_comes_is_filled_up() -> None:
    codec, first, second, (head, _, other, other_rest) = two_streams()
    assert isinstance(head, Response)
    assert isinstance(other, Response)
    assert isinstance(other_rest, Data)
    out = codec.encode_response(first, head)
    assert codec.encode_response(second, other) == b""
    filled = codec.encode_reset(first, "upstream_reset")
    assert filled is not None
    out += filled + codec.encode_data(second, other_rest.data, True)
    (_, _, body), (id, _, whole) = answered(out)
    assert body.endswith(b"\xff" * 100)
    assert id == 2
    assert whole == large_response(2)[HEAD_BYTES:]
    (broken,) = responses(frame(body, 0x02, 1, 20))
    assert broken.native.value() is None  # type: ignore[attr-defined]
    assert broken.native.broken  # type: ignore[attr-defined]


@pytest.mark.parametrize(("kind", "padding"), [(0x91, 50_000), (0x94, 10)])
def test_response_that_could_pass_for_whole_or_lacks_too_much_is_not_filled_up(kind: int, padding: int) -> None:
    codec = DubboServer(DubboOptions(max_buffered_bytes=0, max_padding_bytes=padding))
    head = responses(large_response(1, kind=kind), options=SMALL)[0]
    assert isinstance(head, Response)
    first = request(frame(FRONT, id=1), codec)
    codec.encode_response(first, head)
    assert codec.encode_reset(first, "upstream_reset") is None


def test_filter_that_changes_the_length_of_a_large_response_is_refused() -> None:
    codec, first, _, (head, rest, *_) = two_streams()
    assert isinstance(head, Response)
    assert isinstance(rest, Data)
    codec.encode_response(first, head)
    with pytest.raises(LocalProtocolError):
        codec.encode_data(first, rest.data + b"more", True)
    assert codec.encode_reset(first, "local_protocol_error") is not None


def test_oneway_request_is_never_answered() -> None:
    oneway = request(FRAMES["java33_oneway_request"])
    assert DubboServer().encode_response(oneway, local_response(oneway, 404, b"no", "")) == b""


def test_a_wrong_beginning_is_noticed_before_a_head_is_there() -> None:
    for codec in (DubboServer(), DubboClient()):
        assert codec.feed(b"\xda") == []
        (fault,) = codec.feed(b"H")
        assert isinstance(fault, Fault)
        assert fault.error.counter == "dubbo.bad_frame"


@pytest.mark.parametrize(("name", "timeout_s"), [("java31_hello_request", 4.0), ("fastjson2_say_request", 3.0)])
def test_the_callers_timeout_is_read_when_it_is_asked_for(name: str, timeout_s: float) -> None:
    made = request(FRAMES[name])
    assert made.timeout_s < 0, "it stands behind the arguments"
    assert made.caller_timeout_s() == timeout_s
    assert made.timeout_s == timeout_s


def test_a_call_that_nobody_waits_for_and_a_large_one_have_no_timeout() -> None:
    assert request(large(size=100, flag=0x82)).caller_timeout_s() == 0
    assert request(large(), DubboServer(SMALL)).caller_timeout_s() == 0
    assert request(large(size=100)).caller_timeout_s() == 0
