"""Rules that a peer breaks, as a table: what is sent back, how far the damage goes, and what is counted."""

from __future__ import annotations

import pytest

from plait.api import Data, Event, Fault, GoAway, Headers, Ping, Request, Response, Window
from plait_protocol_http2 import Http2Client, Http2Options, Http2Server, frames
from plait_protocol_http2.errors import (
    COMPRESSION_ERROR,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    STREAM_CLOSED,
)
from plait_protocol_http2.options import PREFACE

GET = bytes.fromhex("828684") + b"\x41\x01a"  # GET / of the authority a
POST = bytes.fromhex("838684") + b"\x01\x01a"
LENGTH_5 = POST + b"\x0f\x0d\x015"
TRAILER = b"\x00\x01x\x01y"
SETTINGS = frames.settings_frame([])
END, END_HEADERS, PADDED, PRIORITY = 1, 4, 8, 0x20


def frame(kind: int, flags: int, id: int, payload: bytes = b"") -> bytes:
    return frames.HEADER.pack(len(payload) << 8 | kind, flags, id) + payload


def head(id: int, block: bytes = GET, flags: int = END | END_HEADERS) -> bytes:
    return frame(frames.HEADERS, flags, id, block)


def data(id: int, payload: bytes, flags: int = 0) -> bytes:
    return frame(frames.DATA, flags, id, payload)


def rst(id: int, code: int = 8) -> bytes:
    return frames.rst_stream(id, code)


def greeted(options: Http2Options | None = None) -> Http2Server:
    server = Http2Server(options)
    server.feed(PREFACE + SETTINGS)
    server.output.clear()
    return server


def sent(codec: Http2Server | Http2Client) -> list[tuple[int, int, int, bytes]]:
    """Type, flags, stream and payload of the frames in ``output``, which is emptied."""
    text = b"".join(codec.output)
    codec.output.clear()
    return parse(text)


def parse(text: bytes) -> list[tuple[int, int, int, bytes]]:
    found = []
    while text:
        word, flags, id = frames.HEADER.unpack_from(text)
        end = 9 + (word >> 8)
        found.append((word & 0xFF, flags, id, text[9:end]))
        text = text[end:]
    return found


def ended(events: list[Event]) -> list[tuple[int, str, bool]]:
    return [(event.id, event.error.counter, event.error.survives) for event in events if isinstance(event, Fault)]


def finish(server: Http2Server, events: list[Event]) -> None:
    for event in events:
        if isinstance(event, Request):
            server.encode_response(event, Response(200, Headers([])))


OPEN = head(1, POST, END_HEADERS)
OPEN_5 = head(1, LENGTH_5, END_HEADERS)

# (frames behind the preface and SETTINGS, error code, Envoy's word or ours)
BROKEN_CONNECTIONS = {
    "DATA on stream 0": (data(0, b"x"), PROTOCOL_ERROR, "protocol_error"),
    "DATA on an idle stream": (data(1, b"x"), PROTOCOL_ERROR, "protocol_error"),
    "DATA on a stream that only we could begin": (data(2, b"x"), PROTOCOL_ERROR, "protocol_error"),
    "DATA with more padding than frame": (OPEN + data(1, b"\x05abc", PADDED), PROTOCOL_ERROR, "protocol_error"),
    "DATA padded without a pad length": (OPEN + data(1, b"", PADDED), FRAME_SIZE_ERROR, "frame_size_error"),
    "HEADERS on stream 0": (head(0), PROTOCOL_ERROR, "protocol_error"),
    "HEADERS on a stream of even number": (head(2), PROTOCOL_ERROR, "protocol_error"),
    "HEADERS on a smaller stream": (head(5) + head(3), PROTOCOL_ERROR, "protocol_error"),
    "HEADERS with more padding than frame": (head(1, b"\x50" + GET, 13), PROTOCOL_ERROR, "protocol_error"),
    "HEADERS too short for a priority": (head(1, b"\0\0\0\0", 0x25), FRAME_SIZE_ERROR, "frame_size_error"),
    "a block that HPACK does not know": (head(1, b"\xff\xff\xff\xff\xff\xff"), COMPRESSION_ERROR, "compression_error"),
    "a size of the table behind a field": (head(1, b"\x82\x20"), COMPRESSION_ERROR, "compression_error"),
    "PRIORITY on stream 0": (frame(2, 0, 0, b"\0\0\0\0\0"), PROTOCOL_ERROR, "protocol_error"),
    "PRIORITY of an idle stream on itself": (frame(2, 0, 1, b"\0\0\0\1\0"), PROTOCOL_ERROR, "protocol_error"),
    "PRIORITY of 4 bytes for an idle stream": (frame(2, 0, 1, b"\0\0\0\0"), FRAME_SIZE_ERROR, "frame_size_error"),
    "RST_STREAM on stream 0": (rst(0), PROTOCOL_ERROR, "protocol_error"),
    "RST_STREAM on an idle stream": (rst(1), PROTOCOL_ERROR, "protocol_error"),
    "RST_STREAM of 3 bytes": (OPEN + frame(3, 0, 1, b"abc"), FRAME_SIZE_ERROR, "frame_size_error"),
    "SETTINGS on a stream": (frame(4, 0, 1), PROTOCOL_ERROR, "protocol_error"),
    "SETTINGS of 5 bytes": (frame(4, 0, 0, b"abcde"), FRAME_SIZE_ERROR, "frame_size_error"),
    "an acknowledgement with settings": (frame(4, 1, 0, b"\0\1\0\0\0\0"), FRAME_SIZE_ERROR, "frame_size_error"),
    "ENABLE_PUSH 2": (frames.settings_frame([(2, 2)]), PROTOCOL_ERROR, "protocol_error"),
    "INITIAL_WINDOW_SIZE 2^31": (frames.settings_frame([(4, 1 << 31)]), FLOW_CONTROL_ERROR, "flow_control_error"),
    "MAX_FRAME_SIZE 16383": (frames.settings_frame([(5, 16383)]), PROTOCOL_ERROR, "protocol_error"),
    "MAX_FRAME_SIZE 2^24": (frames.settings_frame([(5, 1 << 24)]), PROTOCOL_ERROR, "protocol_error"),
    "ENABLE_CONNECT_PROTOCOL 2": (frames.settings_frame([(8, 2)]), PROTOCOL_ERROR, "protocol_error"),
    "ENABLE_CONNECT_PROTOCOL taken back": (
        frames.settings_frame([(8, 1)]) + frames.settings_frame([(8, 0)]),
        PROTOCOL_ERROR,
        "protocol_error",
    ),
    "PUSH_PROMISE": (OPEN + frame(5, 4, 1, b"\0\0\0\2" + GET), PROTOCOL_ERROR, "protocol_error"),
    "PING on a stream": (frame(6, 0, 1, b"12345678"), PROTOCOL_ERROR, "protocol_error"),
    "PING of 7 bytes": (frame(6, 0, 0, b"1234567"), FRAME_SIZE_ERROR, "frame_size_error"),
    "GOAWAY on a stream": (frame(7, 0, 1, bytes(8)), PROTOCOL_ERROR, "protocol_error"),
    "GOAWAY of 7 bytes": (frame(7, 0, 0, bytes(7)), FRAME_SIZE_ERROR, "frame_size_error"),
    "WINDOW_UPDATE by 0": (frames.window_update(0, 0), PROTOCOL_ERROR, "protocol_error"),
    "WINDOW_UPDATE of an idle stream": (frames.window_update(1, 1), PROTOCOL_ERROR, "protocol_error"),
    "WINDOW_UPDATE of 5 bytes": (frame(8, 0, 0, bytes(5)), FRAME_SIZE_ERROR, "frame_size_error"),
    "WINDOW_UPDATE beyond 2^31-1": (
        frames.window_update(0, (1 << 31) - 1),
        FLOW_CONTROL_ERROR,
        "flow_control_error",
    ),
    "streams' windows beyond 2^31-1 by SETTINGS": (
        OPEN + frames.window_update(1, (1 << 31) - 65536) + frames.settings_frame([(4, 65536)]),
        FLOW_CONTROL_ERROR,
        "flow_control_error",
    ),
    "CONTINUATION behind nothing": (frame(9, 4, 1, GET), PROTOCOL_ERROR, "protocol_error"),
    "a frame inside a header block": (head(1, GET, END) + frame(6, 0, 0, bytes(8)), PROTOCOL_ERROR, "protocol_error"),
    "CONTINUATION of another stream": (head(1, GET, END) + frame(9, 4, 3), PROTOCOL_ERROR, "protocol_error"),
    "a frame that is too large": (b"\0\x40\x01\0\0\0\0\0\1", FRAME_SIZE_ERROR, "frame_size_error"),
}


@pytest.mark.parametrize("name", BROKEN_CONNECTIONS)
def test_what_breaks_the_connection_is_answered_with_goaway(name: str) -> None:
    text, code, word = BROKEN_CONNECTIONS[name]
    server = greeted()
    events = list(server.feed(text))
    assert ended(events) == [(0, f"http2.{word}", False)]
    assert isinstance(events[-1], Fault)
    kind, _, id, payload = sent(server)[-1]
    assert (kind, id, payload[4:8]) == (frames.GOAWAY, 0, code.to_bytes(4, "big"))
    assert server.closing
    assert not server.feed(head(9))
    assert not server.output


BROKEN_STREAMS = {
    "WINDOW_UPDATE by 0": (OPEN + frames.window_update(1, 0), PROTOCOL_ERROR, "protocol_error"),
    "WINDOW_UPDATE beyond 2^31-1": (
        OPEN + frames.window_update(1, (1 << 31) - 1),
        FLOW_CONTROL_ERROR,
        "flow_control_error",
    ),
    "PRIORITY of 4 bytes": (OPEN + frame(2, 0, 1, bytes(4)), FRAME_SIZE_ERROR, "frame_size_error"),
    "PRIORITY on itself": (OPEN + frame(2, 0, 1, b"\0\0\0\1\0"), PROTOCOL_ERROR, "protocol_error"),
    "HEADERS that depend on themselves": (head(1, b"\0\0\0\1\0" + GET, 0x25), PROTOCOL_ERROR, "protocol_error"),
    "DATA behind the end": (head(1) + data(1, b"x"), STREAM_CLOSED, "stream_closed"),
    "HEADERS behind the end": (head(1) + head(1), STREAM_CLOSED, "stream_closed"),
    "DATA behind a reset": (OPEN + rst(1) + data(1, b"x"), STREAM_CLOSED, "stream_closed"),
    "HEADERS behind a reset": (OPEN + rst(1) + head(1), STREAM_CLOSED, "stream_closed"),
    "a body longer than its length": (OPEN_5 + data(1, b"123456"), PROTOCOL_ERROR, "rx_messaging_error"),
    "a body shorter than its length": (OPEN_5 + data(1, b"1234", END), PROTOCOL_ERROR, "rx_messaging_error"),
    "a length without a body": (head(1, LENGTH_5), PROTOCOL_ERROR, "rx_messaging_error"),
    "trailers before the length is there": (OPEN_5 + head(1, TRAILER), PROTOCOL_ERROR, "rx_messaging_error"),
    "trailers that end nothing": (OPEN + head(1, TRAILER, END_HEADERS), PROTOCOL_ERROR, "rx_messaging_error"),
    "a pseudo-field in trailers": (OPEN + head(1, b"\x84"), PROTOCOL_ERROR, "rx_messaging_error"),
    "a name in upper case": (head(1, GET + b"\x00\x01A\x01b"), PROTOCOL_ERROR, "rx_messaging_error"),
}


@pytest.mark.parametrize("name", BROKEN_STREAMS)
def test_what_breaks_a_stream_leaves_the_connection(name: str) -> None:
    text, code, word = BROKEN_STREAMS[name]
    server = greeted()
    events = list(server.feed(text))
    assert ended(events) == [(1, f"http2.{word}", True)]
    assert (frames.RST_STREAM, 0, 1, code.to_bytes(4, "big")) in sent(server)
    (request,) = server.feed(head(3))
    assert isinstance(request, Request)
    assert server.encode_response(request, Response(200, Headers([])))
    assert not server.closing


def test_malformed_messages_end_the_connection_where_that_is_asked_for() -> None:
    server = greeted(Http2Options(override_stream_error_on_invalid_http_message=False))
    (fault,) = server.feed(head(1, GET + b"\x00\x01A\x01b"))
    assert isinstance(fault, Fault)
    assert (fault.id, fault.error.survives) == (0, False)


def test_frames_for_a_stream_that_we_reset_are_let_pass() -> None:
    server = greeted()
    (request,) = server.feed(OPEN)
    assert isinstance(request, Request)
    assert server.encode_reset(request, "anything")
    assert not server.feed(data(1, b"x") + frames.window_update(1, 0) + head(1, TRAILER) + rst(1))
    assert not server.output


def test_trailers_of_a_stream_that_we_reset_still_change_the_table() -> None:
    server = greeted()
    (request,) = server.feed(OPEN)
    assert isinstance(request, Request)
    server.encode_reset(request, "anything")
    server.feed(head(1, b"\x40\x03x-a\x01b"))
    (second,) = server.feed(head(3, GET[:3] + b"\x01\x01a\xbe"))
    assert isinstance(second, Request)
    assert (b"x-a", b"b") in second.headers.raw


def test_a_stream_that_ended_long_ago_is_remembered_as_closed() -> None:
    server = greeted()
    for id in range(1, 2001, 2):
        finish(server, list(server.feed(head(id))))
    (fault,) = server.feed(head(1999))
    assert isinstance(fault, Fault)
    assert (fault.id, fault.error.counter) == (0, "http2.stream_closed")


def test_streams_above_the_limit_are_refused_and_may_be_tried_again() -> None:
    server = greeted(Http2Options(max_concurrent_streams=1))
    events = list(server.feed(head(1) + head(3)))
    assert ended(events) == [(3, "http2.stream_refused_errors", True)]
    assert (frames.RST_STREAM, 0, 3, REFUSED_STREAM.to_bytes(4, "big")) in sent(server)
    finish(server, events)
    assert isinstance(server.feed(head(5))[0], Request)


# the beginning


@pytest.mark.parametrize("text", [b"GET / HTTP/1.1\r\n", PREFACE[:-1] + b"x", b"\x16\x03\x01"])
def test_a_connection_begins_with_the_preface(text: bytes) -> None:
    server = Http2Server()
    (fault,) = server.feed(text)
    assert isinstance(fault, Fault)
    assert fault.error.counter == "http2.invalid_preface"


@pytest.mark.parametrize("first", [head(1), frames.SETTINGS_ACK, frames.ping(bytes(8))])
def test_the_first_frame_is_settings(first: bytes) -> None:
    (fault,) = Http2Server().feed(PREFACE + first)
    assert isinstance(fault, Fault)
    (fault,) = Http2Client().feed(first)
    assert isinstance(fault, Fault)


def test_settings_are_acknowledged_and_unknown_ones_ignored() -> None:
    server = Http2Server()
    assert not server.feed(PREFACE + frames.settings_frame([(0x99, 7), (frames.ENABLE_PUSH, 0)]))
    ours, *rest = sent(server)
    assert ours[0] == frames.SETTINGS
    assert rest[-1] == (frames.SETTINGS, frames.ACK, 0, b"")


def test_our_settings_say_what_the_options_do() -> None:
    options = Http2Options(
        hpack_table_size=0, max_concurrent_streams=7, initial_stream_window_size=100, allow_connect=True,
        initial_connection_window_size=70000, max_request_headers_kb=1, max_headers_count=10,
    )  # fmt: skip
    server, client = sent(Http2Server(options)), parse(b"".join(Http2Client(options).output)[len(PREFACE) :])
    settings = dict(frames.read_settings(server[0][3], 0, len(server[0][3])))
    assert settings == {1: 0, 3: 7, 4: 100, 6: 1024 + 320, 8: 1}
    assert server[1] == (frames.WINDOW_UPDATE, 0, 0, (70000 - 65535).to_bytes(4, "big"))
    settings = dict(frames.read_settings(client[0][3], 0, len(client[0][3])))
    assert settings == {1: 0, 2: 0, 4: 100, 6: 1024 + 320}


def test_pings_are_answered_and_ours_are_told() -> None:
    server = greeted()
    (ping,) = server.feed(frames.ping(b"abcdefgh"))
    assert isinstance(ping, Ping)
    assert not ping.ack
    assert sent(server) == [(frames.PING, frames.ACK, 0, b"abcdefgh")]
    assert not server.feed(frame(6, 1, 0, b"unasked!")), "an answer to a ping that nobody sent"
    ours = parse(server.encode_ping())[0][3]
    (pong,) = server.feed(frame(6, 1, 0, ours))
    assert isinstance(pong, Ping)
    assert pong.ack


def test_frames_of_unknown_types_and_priorities_mean_nothing() -> None:
    server = greeted()
    unknown = frame(0x10, 0xFF, 0, b"u=1") + frame(0xFA, 0, 77, b"?") + frame(2, 0, 5, b"\x80\0\0\3\x10")
    assert [type(event) for event in server.feed(unknown + head(1))] == [Request]
    assert not server.output


def test_goaway_of_the_peer_is_told() -> None:
    (going,) = greeted().feed(frames.goaway(0, 2, b"debug"))
    assert isinstance(going, GoAway)
    assert (going.last_id, going.reason) == (0, "internal_error")


def test_an_end_inside_a_message_is_a_fault() -> None:
    server = greeted()
    server.feed(OPEN)
    (fault,) = server.eof()
    assert isinstance(fault, Fault)
    assert not server.eof()
    server = greeted()
    server.feed(head(1))
    assert not server.eof()


# floods


def floods(name: str) -> tuple[Http2Options, bytes, str]:
    options = Http2Options()
    if name == "empty DATA":
        return options, OPEN + data(1, b"") * 2, "inbound_empty_frames_flood"
    if name == "padded DATA without data":
        return options, OPEN + data(1, b"\x03\0\0\0", PADDED) * 2, "inbound_empty_frames_flood"
    if name == "empty CONTINUATION":
        return options, head(1, GET, END) + frame(9, 0, 1) * 2, "inbound_empty_frames_flood"
    if name == "PRIORITY":
        return options, frame(2, 0, 9, bytes(5)) * 101, "inbound_priority_frames_flood"
    if name == "WINDOW_UPDATE":
        return options, frames.window_update(0, 1) * 6, "inbound_window_update_frames_flood"
    if name == "CONTINUATION in small pieces":
        return options, head(1, GET, END) + frame(9, 0, 1, b"\x82") * 32, "header_overflow"
    if name == "CONTINUATION without an end":
        piece = frame(9, 0, 1, bytes(16384))
        return options, head(1, GET, END) + piece * 9, "header_overflow"
    pairs = b"".join([head(id, POST, END_HEADERS) + rst(id) for id in range(1, 503, 2)])
    return options, pairs, "too_many_premature_resets"


@pytest.mark.parametrize(
    "name",
    [
        *("empty DATA", "padded DATA without data", "empty CONTINUATION", "PRIORITY", "WINDOW_UPDATE"),
        *("CONTINUATION in small pieces", "CONTINUATION without an end", "rapid resets"),
    ],
)
def test_floods_end_the_connection(name: str) -> None:
    options, text, word = floods(name)
    server = greeted(options)
    events = list(server.feed(text))
    assert ended(events) == [(0, f"http2.{word}", False)]
    assert sent(server)[-1][3][4:8] == ENHANCE_YOUR_CALM.to_bytes(4, "big")


def test_resets_are_premature_only_before_the_answer() -> None:
    server = greeted()
    for id in range(1, 1201, 2):
        (request,) = server.feed(head(id, POST, END_HEADERS))
        assert isinstance(request, Request)
        response = Response(200, Headers([]))
        response.end = False
        server.encode_response(request, response)
        server.feed(rst(id))
    assert not server.closing


def test_making_us_reset_streams_is_a_flood_too() -> None:
    server = greeted()
    events: list[Event] = []
    for id in range(1, 1201, 2):
        events += server.feed(head(id, POST, END_HEADERS) + frames.window_update(id, 0))
        server.output.clear()
    assert ended(events)[-1] == (0, "http2.too_many_premature_resets", False)


@pytest.mark.parametrize(
    ("text", "options", "word"),
    [
        (frames.ping(bytes(8)), Http2Options(), "outbound_control_flood"),
        (SETTINGS, Http2Options(), "outbound_control_flood"),
        (SETTINGS, Http2Options(max_outbound_frames=10), "outbound_flood"),
    ],
)
def test_a_peer_that_asks_and_does_not_read_is_given_up(text: bytes, options: Http2Options, word: str) -> None:
    server = greeted(options)
    assert not ended(list(server.feed(text * 5000)))
    server.congested = True
    server.output.clear()
    events = list(server.feed(text * 1001))
    assert ended(events) == [(0, f"http2.{word}", False)]
    assert len(server.output) <= 1002


def test_patience_comes_back_with_a_peer_that_reads() -> None:
    server = greeted()
    for _ in range(5):
        server.congested = True
        assert not ended(list(server.feed(frames.ping(bytes(8)) * 900)))
        server.congested = False
        server.feed(frames.ping(bytes(8)))


# a frame in pieces


def test_a_declared_length_is_refused_before_it_is_buffered() -> None:
    server = greeted()
    (fault,) = server.feed(b"\xff\xff\xff\0\0\0\0\0\1")
    assert isinstance(fault, Fault)


def test_data_of_a_read_is_one_event() -> None:
    server = greeted()
    server.feed(OPEN)
    (event,) = server.feed(data(1, b"a") + data(1, b"b") + frames.ping(bytes(8))[:4])
    assert isinstance(event, Data)
    assert (event.data, event.end) == (b"ab", False)


def test_streams_that_come_interleaved_in_a_read_are_put_together() -> None:
    server = greeted()
    text = OPEN + head(3, POST, END_HEADERS) + data(1, b"a") + data(3, b"c") + data(1, b"b", END) + data(3, b"d")
    first, second, rest = server.feed(text)
    assert isinstance(first, Request)
    assert (first.body, first.end) == (b"ab", True)
    assert isinstance(second, Request)
    assert not second.end
    assert isinstance(rest, Data)
    assert (rest.id, rest.data, rest.end) == (3, b"cd", False)


def test_windows_that_open_are_told_by_stream() -> None:
    server = greeted()
    server.feed(frames.settings_frame([(4, 0)]))
    (request,) = server.feed(head(1))
    assert isinstance(request, Request)
    response = Response(200, Headers([]))
    response.body = b"hello"
    server.encode_response(request, response)
    assert server.unsent(1) == 5
    (window,) = server.feed(frames.window_update(1, 3))
    assert isinstance(window, Window)
    assert (window.id, server.unsent(1)) == (1, 2)
