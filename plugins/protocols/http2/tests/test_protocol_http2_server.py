"""The server side: responses, tunnels, windows and the way it goes away."""

from __future__ import annotations

import base64

import pytest
from hpack import Decoder

from plait.api import Data, Event, Fault, Headers, LocalProtocolError, Ping, Request, Reset, Response, Window
from plait_protocol_http2 import Http2Options, Http2Server, frames, local_response
from plait_protocol_http2.options import PREFACE

Field = tuple[bytes, bytes]
Frame = tuple[int, int, int, bytes]

GET = bytes.fromhex("828684") + b"\x41\x01a"
POST = bytes.fromhex("838684") + b"\x01\x01a"
HEAD = b"\x02\x04HEAD\x86\x84\x01\x01a"
TUNNEL = b"\x02\x07CONNECT\x01\x04a:80"
WEBSOCKET = b"\x02\x07CONNECT\x86\x84\x01\x01a\x00\x09:protocol\x09websocket"
CONNECTING = Http2Options(allow_connect=True)
END, END_HEADERS = 1, 4


def head(id: int, block: bytes = GET, flags: int = END | END_HEADERS) -> bytes:
    return frames.HEADER.pack(len(block) << 8 | frames.HEADERS, flags, id) + block


def data(id: int, payload: bytes, flags: int = 0) -> bytes:
    return frames.HEADER.pack(len(payload) << 8, flags, id) + payload


def greeted(options: Http2Options | None = None, *settings: tuple[int, int]) -> Http2Server:
    server = Http2Server(options)
    server.feed(PREFACE + frames.settings_frame(settings) + frames.SETTINGS_ACK)
    server.output.clear()
    return server


def parse(text: bytes) -> list[Frame]:
    found = []
    while text:
        word, flags, id = frames.HEADER.unpack_from(text)
        end = 9 + (word >> 8)
        found.append((word & 0xFF, flags, id, text[9:end]))
        text = text[end:]
    return found


def sent(server: Http2Server) -> list[Frame]:
    text = b"".join(server.output)
    server.output.clear()
    return parse(text)


def read(block: bytes) -> list[Field]:
    return [(bytes(name), bytes(value)) for name, value in Decoder().decode(block, raw=True)]


def ask(server: Http2Server, id: int = 1, block: bytes = GET, flags: int = END | END_HEADERS) -> Request:
    (request,) = server.feed(head(id, block, flags))
    assert isinstance(request, Request)
    return request


def answer(status: int = 200, *fields: Field, body: bytes = b"", end: bool = True) -> Response:
    response = Response(status, Headers(list(fields)))
    response.body = body
    response.end = end
    return response


def test_a_response_is_one_piece_of_bytes() -> None:
    server = greeted()
    request = ask(server)
    assert (request.id, request.raw_method, request.raw_path, request.raw_authority) == (1, b"GET", b"/", b"a")
    assert (request.raw_scheme, request.protocol, request.end) == (b"http", "HTTP/2", True)
    frame = server.encode_response(request, answer(200, (b"server", b"x"), (b"content-length", b"9"), body=b"hello"))
    (first, second) = parse(frame)
    assert read(first[3]) == [(b":status", b"200"), (b"server", b"x"), (b"content-length", b"5")]
    assert first[:3] == (frames.HEADERS, END_HEADERS, 1)
    assert second == (frames.DATA, END, 1, b"hello")


def test_a_response_without_a_body_is_a_head() -> None:
    server = greeted()
    (first,) = parse(server.encode_response(ask(server), answer(204)))
    assert first == (frames.HEADERS, END | END_HEADERS, 1, b"\x89")


def test_bodies_in_pieces_and_trailers() -> None:
    server = greeted()
    request = ask(server)
    out = server.encode_interim(request, 103, Headers([(b"link", b"x")]))
    out += server.encode_response(request, answer(200, end=False))
    assert not server.encode_data(request, b"", False)
    out += server.encode_data(request, b"abc", False)
    out += server.encode_trailers(request, Headers([(b"grpc-status", b"0")]))
    assert [(kind, flags) for kind, flags, _, _ in parse(out)] == [(1, 4), (1, 4), (0, 0), (1, 5)]
    assert not server.encode_data(request, b"more", True), "the stream is gone"


def test_trailers_that_came_with_the_head_follow_the_body() -> None:
    server = greeted()
    response = answer(200, body=b"abc")
    response.trailers = Headers([(b"grpc-status", b"0")])
    assert [(kind, flags) for kind, flags, _, _ in parse(server.encode_response(ask(server), response))] == [
        *((1, 4), (0, 0), (1, 5))
    ]
    response.trailers = Headers([(b"content-length", b"0")])
    assert [frame[:2] for frame in parse(server.encode_response(ask(server, 3), response))] == [(1, 4), (0, 1)]


def test_responses_to_head_keep_their_length_and_lose_their_body() -> None:
    server = greeted()
    frame = server.encode_response(ask(server, 1, HEAD), answer(200, (b"content-length", b"500"), body=b"x"))
    (first,) = parse(frame)
    assert (first[1], read(first[3])) == (END | END_HEADERS, [(b":status", b"200"), (b"content-length", b"500")])
    request = ask(server, 3, HEAD)
    out = server.encode_response(request, answer(200, end=False)) + server.encode_data(request, b"abc", True)
    assert [(kind, flags, payload) for kind, flags, _, payload in parse(out)] == [(1, 4, b"\x88"), (0, 1, b"")]
    (first,) = parse(server.encode_response(ask(server, 5), answer(304, (b"content-length", b"7"), body=b"x")))
    assert read(first[3]) == [(b":status", b"304"), (b"content-length", b"7")]


def test_a_body_is_as_long_as_declared() -> None:
    server = greeted()
    request = ask(server)
    frame = server.encode_response(request, answer(200, (b"content-length", b"5"), body=b"ab", end=False))
    assert read(parse(frame)[0][3])[1] == (b"content-length", b"5")
    with pytest.raises(LocalProtocolError):
        server.encode_data(request, b"c", True)
    request = ask(server, 3)
    server.encode_response(request, answer(200, (b"content-length", b"1"), end=False))
    with pytest.raises(LocalProtocolError):
        server.encode_data(request, b"ab", False)
    with pytest.raises(LocalProtocolError):
        server.encode_response(ask(server, 5), answer(200, (b"content-length", b"x"), end=False))


def test_what_makes_no_sense_is_not_sent() -> None:
    server = greeted()
    request = ask(server)
    with pytest.raises(LocalProtocolError):
        server.encode_data(request, b"x", False)
    with pytest.raises(LocalProtocolError):
        server.encode_response(request, answer(100))
    with pytest.raises(LocalProtocolError):
        server.encode_response(request, answer(101))
    with pytest.raises(LocalProtocolError):
        server.encode_interim(request, 200, Headers([]))
    with pytest.raises(LocalProtocolError):
        server.encode_response(request, answer(200, (b"a", b"b\r\nc: d")))
    assert server.encode_response(request, answer(200, end=False)), "what was refused left nothing behind"
    with pytest.raises(LocalProtocolError):
        server.encode_response(request, answer(200))


def test_long_heads_go_on_in_continuation() -> None:
    server = greeted()
    found = parse(server.encode_response(ask(server), answer(200, (b"a", b"x" * 40000))))
    assert [(kind, flags) for kind, flags, _, _ in found] == [(1, 1), (9, 0), (9, 4)]
    assert read(b"".join([payload for *_, payload in found]))[1] == (b"a", b"x" * 40000)


def test_a_head_that_the_peer_will_not_take_is_not_sent() -> None:
    server = greeted(None, (frames.MAX_HEADER_LIST_SIZE, 100))
    request = ask(server)
    with pytest.raises(LocalProtocolError, match="100"):
        server.encode_response(request, answer(200, (b"a", b"x" * 200)))


def test_a_peer_with_a_smaller_table_is_told_that_ours_is_empty() -> None:
    server = greeted(None, (frames.HEADER_TABLE_SIZE, 100))
    (first,) = parse(server.encode_response(ask(server), answer(204)))
    assert first[3] == b"\x20\x89"
    (second,) = parse(server.encode_response(ask(server, 3), answer(204)))
    assert second[3] == b"\x89"


# requests that are refused


def test_a_request_over_the_limits_is_answered_and_the_connection_goes_on() -> None:
    server = greeted(Http2Options(max_headers_count=5))  # pseudo-fields count too
    (fault,) = server.feed(head(1, POST + b"\x40\x01b\x01c\x00\x01d\x01e", END_HEADERS))
    assert isinstance(fault, Fault)
    assert (fault.id, fault.error.status, fault.error.survives) == (1, 431, True)
    assert fault.error.counter == "http2.header_overflow"
    unread = Request(Headers([]), 1)
    found = parse(server.encode_response(unread, local_response(unread, 431, b"too large", "")))
    assert [frame[:3] for frame in found] == [(1, 4, 1), (0, 1, 1), (3, 0, 1)]
    assert found[-1][3] == bytes(4), "NO_ERROR: the rest of the request is not wanted"
    (request,) = server.feed(data(1, b"on its way", END) + head(3, GET[:3] + b"\x01\x01a"))
    assert isinstance(request, Request)
    server = greeted(Http2Options(max_headers_count=6))
    server.feed(head(1, POST + b"\x40\x01b\x01c" + b"\x00\x01d\x01e" * 4))
    assert (b"b", b"c") in ask(server, 3, GET[:3] + b"\x01\x01a\xbe").headers.raw, "the table went on all the same"


def test_a_block_of_references_to_a_large_entry_is_refused_at_little_cost() -> None:
    server = greeted(Http2Options(max_headers_count=100000))
    ask(server, 1, GET + b"\x40\x01b\x7f\xa1\x1e" + b"x" * 4000)
    (fault,) = server.feed(head(3, GET[:3] + b"\xbe" * 15000))
    assert isinstance(fault, Fault)
    assert fault.error.status == 431


def test_a_request_to_nowhere_is_answered() -> None:
    server = greeted()
    (fault,) = server.feed(head(1, GET[:3]))
    assert isinstance(fault, Fault)
    assert (fault.error.status, fault.error.counter) == (400, "http2.missing_host_header")
    assert parse(server.encode_response(Request(Headers([]), 1), answer(400)))[0][1] == END | END_HEADERS
    assert ask(server, 3).id == 3


def test_the_body_of_a_refused_request_is_let_pass() -> None:
    server = greeted()
    server.feed(head(1, POST[:3], END_HEADERS))
    assert not server.feed(data(1, b"x") + head(1, b"\x00\x01a\x01b"))
    (only,) = parse(server.encode_response(Request(Headers([]), 1), answer(400)))
    assert only[0] == frames.HEADERS, "a request that ended needs no reset"


# resets


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("upstream_reset_after_response_started{connection_termination}", 2),
        ("local_protocol_error", 2),
        ("http2.rx_messaging_error{protocol_error}", 1),
        ("stream_idle_timeout", 8),
    ],
)
def test_streams_are_given_up_with_a_code_that_says_why(reason: str, code: int) -> None:
    server = greeted()
    request = ask(server)
    server.encode_response(request, answer(200, end=False))
    assert parse(server.encode_reset(request, reason)) == [(frames.RST_STREAM, 0, 1, code.to_bytes(4, "big"))]
    assert not server.encode_reset(request, reason)
    assert not server.encode_response(request, answer(200))


def test_a_request_that_was_answered_early_is_stopped_without_an_error() -> None:
    server = greeted()
    request = ask(server, 1, POST, END_HEADERS)
    server.encode_response(request, answer(403))
    reset = server.encode_reset(request, "response_complete_before_request")
    assert parse(reset) == [(frames.RST_STREAM, 0, 1, bytes(4))]


def test_a_request_is_not_stopped_before_its_early_answer_is_sent() -> None:
    server = greeted(None, (frames.INITIAL_WINDOW_SIZE, 3))
    request = ask(server, 1, POST, END_HEADERS)
    server.encode_response(request, answer(403, body=b"hello"))
    assert not server.encode_reset(request, "response_complete_before_request")
    server.feed(frames.window_update(1, 100))
    assert sent(server) == [(0, END, 1, b"lo"), (frames.RST_STREAM, 0, 1, bytes(4))]


def test_resets_of_the_peer_are_told_behind_what_came_before() -> None:
    server = greeted()
    events = list(server.feed(head(1, POST, END_HEADERS) + data(1, b"x") + frames.rst_stream(1, 7)))
    assert [type(event) for event in events] == [Request, Data, Reset]
    reset = events[-1]
    assert isinstance(reset, Reset)
    assert (reset.reason, reset.refused, reset.id) == ("refused_stream", True, 1)


# windows


def test_what_a_window_holds_back_goes_out_when_it_opens() -> None:
    server = greeted(None, (frames.INITIAL_WINDOW_SIZE, 3))
    request = ask(server)
    response = answer(200, body=b"hello")
    response.trailers = Headers([(b"x", b"y")])
    found = parse(server.encode_response(request, response))
    assert [(kind, payload) for kind, _, _, payload in found] == [(1, b"\x88"), (0, b"hel")]
    assert server.unsent(1) == 2
    (window,) = server.feed(frames.window_update(1, 1))
    assert isinstance(window, Window)
    assert sent(server) == [(0, 0, 1, b"l")]
    server.feed(frames.settings_frame([(frames.INITIAL_WINDOW_SIZE, 10)]))
    acknowledged, rest, trailers = sent(server)
    assert acknowledged[:2] == (frames.SETTINGS, 1)
    assert (rest, trailers[:3]) == ((0, 0, 1, b"o"), (1, END | END_HEADERS, 1))
    assert server.unsent(1) == 0


def test_windows_may_become_negative() -> None:
    server = greeted(None, (frames.INITIAL_WINDOW_SIZE, 5))
    request = ask(server)
    server.encode_response(request, answer(200, body=b"hello", end=False))
    server.feed(frames.settings_frame([(frames.INITIAL_WINDOW_SIZE, 2)]))
    server.output.clear()
    assert not server.encode_data(request, b"!", False)
    server.feed(frames.window_update(1, 3))
    assert not server.output
    server.feed(frames.window_update(1, 1))
    assert sent(server) == [(0, 0, 1, b"!")]
    assert parse(server.encode_data(request, b"", True)) == [(0, END, 1, b"")]


def test_streams_share_the_connections_window() -> None:
    server = greeted(None, (frames.INITIAL_WINDOW_SIZE, 1 << 20))
    first, second = ask(server), ask(server, 3)
    server.encode_response(first, answer(200, body=bytes(100000)))
    server.encode_response(second, answer(200, body=bytes(100000)))
    assert server.unsent(1) + server.unsent(3) == 200000 - 65535
    windows = server.feed(frames.window_update(0, 40000))
    assert {window.id for window in windows} == {1, 3}
    sizes = {id: sum(len(payload) for _, _, which, payload in sent(server) if which == id) for id in (1,)}
    assert 0 < sizes[1] < 40000


def test_an_end_is_held_behind_data_and_the_stream_stays() -> None:
    server = greeted(None, (frames.INITIAL_WINDOW_SIZE, 0))
    request = ask(server)
    server.encode_response(request, answer(200, end=False))
    assert not server.encode_data(request, b"abc", False)
    assert not server.encode_data(request, b"", True)
    with pytest.raises(LocalProtocolError):
        server.encode_data(request, b"more", False)
    server.feed(frames.window_update(1, 3))
    assert sent(server) == [(0, END, 1, b"abc")]


def test_windows_are_given_back_when_half_of_them_is_used() -> None:
    server = greeted(Http2Options(initial_stream_window_size=1000, initial_connection_window_size=70000))
    ask(server, 1, POST, END_HEADERS)
    server.feed(data(1, bytes(499)))
    assert not server.output
    server.feed(data(1, bytes(100)))
    assert sent(server) == [(frames.WINDOW_UPDATE, 0, 1, (599).to_bytes(4, "big"))]


def test_a_paused_stream_gets_no_more_than_its_window() -> None:
    server = greeted(Http2Options(initial_stream_window_size=1000))
    ask(server, 1, POST, END_HEADERS)
    server.pause(1)
    assert isinstance(server.feed(data(1, bytes(900)))[0], Data)
    assert not server.output
    (fault,) = server.feed(data(1, bytes(101)))
    assert isinstance(fault, Fault)
    assert (fault.id, fault.error.counter) == (1, "http2.flow_control_error")


def test_a_resumed_stream_gets_back_what_it_used() -> None:
    server = greeted(Http2Options(initial_stream_window_size=1000))
    ask(server, 1, POST, END_HEADERS)
    server.pause(1)
    server.feed(data(1, bytes(900)))
    server.resume(1)
    assert sent(server) == [(frames.WINDOW_UPDATE, 0, 1, (900).to_bytes(4, "big"))]
    server.resume(1)
    server.pause(99)
    server.resume(99)
    assert not server.output


def test_data_of_paused_streams_use_up_the_connections_window_until_they_are_resumed_or_over() -> None:
    options = Http2Options(initial_stream_window_size=60000, initial_connection_window_size=65535)
    for over in (False, True):
        server = greeted(options)
        request = ask(server, 1, POST, END_HEADERS)
        server.pause(1)
        server.feed(b"".join([data(1, bytes(10000))] * 5))
        assert not server.output
        if over:
            server.output += [server.encode_reset(request, "x")]
        else:
            server.resume(1)
        assert (frames.WINDOW_UPDATE, 0, 0, (50000).to_bytes(4, "big")) in sent(server)


def test_more_data_than_the_connections_window_ends_it() -> None:
    server = greeted(Http2Options(initial_stream_window_size=1 << 20, initial_connection_window_size=65535))
    ask(server, 1, POST, END_HEADERS)
    server.pause(1)
    events = list(server.feed(data(1, bytes(16384)) * 4))
    assert isinstance(events[-1], Fault)
    assert (events[-1].id, events[-1].error.counter) == (0, "http2.flow_control_error")


def test_padding_counts_and_data_of_dead_streams_are_given_back() -> None:
    server = greeted(Http2Options(initial_stream_window_size=1000, initial_connection_window_size=65535))
    request = ask(server, 1, POST, END_HEADERS)
    server.feed(data(1, b"\xff" + bytes(600), 8))
    assert sent(server) == [(frames.WINDOW_UPDATE, 0, 1, (601).to_bytes(4, "big"))]
    server.encode_reset(request, "x")
    server.feed(data(1, bytes(16384)) * 2)
    assert sent(server)[0][:3] == (frames.WINDOW_UPDATE, 0, 0)


def test_a_window_smaller_than_the_default_holds_from_the_acknowledgement_on() -> None:
    server = Http2Server(Http2Options(initial_stream_window_size=10))
    server.feed(PREFACE + frames.settings_frame([]) + head(1, POST, END_HEADERS))
    assert isinstance(server.feed(data(1, bytes(100)))[0], Data)
    server.feed(frames.SETTINGS_ACK)
    server.output.clear()
    ask(server, 3, POST, END_HEADERS)
    assert isinstance(server.feed(data(3, bytes(11)))[0], Fault)


# tunnels


def test_connect_opens_a_tunnel() -> None:
    server = greeted()
    request = ask(server, 1, TUNNEL, END_HEADERS)
    assert (request.raw_method, request.raw_authority, request.end) == (b"CONNECT", b"a:80", False)
    (first,) = parse(server.encode_response(request, answer(200, (b"content-length", b"0"), end=False)))
    assert first == (1, END_HEADERS, 1, b"\x88")
    (piece,) = server.feed(data(1, b"up", END))
    assert isinstance(piece, Data)
    assert (piece.data, piece.end) == (b"up", True)
    assert parse(server.encode_data(request, b"down", True)) == [(0, END, 1, b"down")]


def test_a_websocket_is_an_upgrade_inside_and_a_200_outside() -> None:
    server = greeted(CONNECTING)
    request = ask(server, 1, WEBSOCKET, END_HEADERS)
    assert (request.raw_method, request.upgrade, request.end) == (b"GET", b"websocket", False)
    assert len(base64.b64decode(request.headers.find(b"sec-websocket-key") or b"")) == 16
    again = ask(server, 3, WEBSOCKET, END_HEADERS)
    assert again.headers.find(b"sec-websocket-key") != request.headers.find(b"sec-websocket-key")
    fields = [(b"connection", b"upgrade"), (b"upgrade", b"websocket"), (b"sec-websocket-accept", b"x"), (b"a", b"b")]
    (first,) = parse(server.encode_response(request, answer(101, *fields, end=False)))
    assert (first[1], read(first[3])) == (END_HEADERS, [(b":status", b"200"), (b"a", b"b")])


def test_what_comes_early_for_a_tunnel_waits_for_it() -> None:
    server = greeted(CONNECTING)
    request = ask(server, 1, WEBSOCKET, END_HEADERS)
    assert not server.feed(data(1, b"early ") + data(1, b"bird", END))
    held = [server.held]
    server.encode_response(request, answer(101, end=False))
    held.append(server.held)
    (piece,) = server.feed(b"")
    held.append(server.held)
    assert held == [False, True, False]
    assert isinstance(piece, Data)
    assert (piece.data, piece.end) == (b"early bird", True)


def test_a_tunnel_may_be_refused_but_not_by_what_would_open_it() -> None:
    server = greeted(CONNECTING)
    request = ask(server, 1, WEBSOCKET, END_HEADERS)
    with pytest.raises(LocalProtocolError) as caught:
        server.encode_response(request, answer(200, body=b"I do not know WebSockets"))
    assert caught.value.status == 502
    found = parse(server.encode_response(request, answer(403, (b"content-length", b"2"), body=b"no")))
    assert [frame[:2] for frame in found] == [(1, 4), (0, 1)]
    assert parse(server.encode_reset(request, "response_complete_before_request"))[0][3] == bytes(4)


# h2c


def test_a_request_of_another_protocol_can_be_the_first_stream() -> None:
    server = Http2Server()
    request = Request(Headers([(b"host", b"a")]), 7, b"GET", b"/", b"a", "HTTP/1.1")
    assert server.adopt(request, base64.urlsafe_b64encode(bytes.fromhex("000400000005")).rstrip(b"="))
    assert (request.id, request.protocol) == (1, "HTTP/2")
    found = parse(server.encode_response(request, answer(200, body=b"hello world")))
    assert [frame[0] for frame in found] == [frames.SETTINGS, frames.WINDOW_UPDATE, frames.HEADERS, frames.DATA]
    assert found[-1][3] == b"hello"
    (second,) = server.feed(PREFACE + frames.settings_frame([]) + head(3))
    assert isinstance(second, Request)


@pytest.mark.parametrize("settings", [b"AAA", b"!!!!", b"AAQAAP//", b"AAQAAAAFAA", b"AAQAAAAF\xff"])
def test_settings_that_are_none_begin_nothing(settings: bytes) -> None:
    assert not Http2Server().adopt(Request(Headers([]), 1), settings)


# going away


def test_it_goes_away_in_two_steps() -> None:
    server = greeted()
    request = ask(server)
    going, ping = parse(server.drain())
    assert going == (frames.GOAWAY, 0, 0, b"\x7f\xff\xff\xff" + bytes(4))
    assert not server.drain()
    late = ask(server, 3)
    assert not server.feed(frames.HEADER.pack(8 << 8 | frames.PING, 1, 0) + ping[3]), "nobody else asked for this"
    assert sent(server) == [(frames.GOAWAY, 0, 0, b"\0\0\0\3" + bytes(4))]
    assert not server.feed(head(5)), "above the last stream"
    for one in (request, late):
        assert not server.closing
        assert server.encode_response(one, answer())
    assert server.closing


def test_it_closes_at_once_when_nothing_is_under_way() -> None:
    server = greeted()
    ping = parse(server.drain())[1]
    server.feed(frames.HEADER.pack(8 << 8 | frames.PING, 1, 0) + ping[3])
    assert server.closing


def test_other_pings_do_not_end_it() -> None:
    server = greeted()
    server.drain()
    heartbeat = parse(server.encode_ping())[0]
    events: list[Event] = list(server.feed(frames.HEADER.pack(8 << 8 | frames.PING, 1, 0) + heartbeat[3]))
    assert [type(event) for event in events] == [Ping]
    assert not server.closing


def test_requests_that_came_whole_are_answered_behind_the_end_of_what_the_peer_sends() -> None:
    server = greeted()
    request = ask(server)
    assert not server.eof()
    assert not server.feed(head(3))
    assert parse(server.encode_response(request, answer(200, body=b"x")))[1] == (0, END, 1, b"x")


def test_blocks_say_when_they_come_again() -> None:
    server = greeted()
    block = GET[:3] + b"\x01\x01a"
    assert [ask(server, id, block).headers.block.repeats for id in (1, 3)] == [False, True]
    assert ask(server, 5, block).headers.block is ask(server, 7, block).headers.block
    ask(server, 9, block + b"\x40\x01b\x01c")  # the table changes: the same bytes may mean something else
    assert not ask(server, 11, block).headers.block.repeats
