"""The client side: requests, responses, tunnels, and what a server may tell about streams."""

from __future__ import annotations

import pytest
from hpack import Decoder

from plait.api import (
    Data,
    Fault,
    GoAway,
    Headers,
    Interim,
    LocalProtocolError,
    Request,
    Reset,
    Response,
    Window,
)
from plait_protocol_http2 import Http2Client, Http2Options, frames
from plait_protocol_http2.options import PREFACE

Field = tuple[bytes, bytes]
Frame = tuple[int, int, int, bytes]
END, END_HEADERS = 1, 4
OK = b"\x88"


def head(id: int, block: bytes = OK, flags: int = END | END_HEADERS) -> bytes:
    return frames.HEADER.pack(len(block) << 8 | frames.HEADERS, flags, id) + block


def data(id: int, payload: bytes, flags: int = 0) -> bytes:
    return frames.HEADER.pack(len(payload) << 8, flags, id) + payload


def greeted(options: Http2Options | None = None, *settings: tuple[int, int]) -> Http2Client:
    client = Http2Client(options)
    client.feed(frames.settings_frame(settings) + frames.SETTINGS_ACK)
    client.output.clear()
    return client


def parse(text: bytes) -> list[Frame]:
    found = []
    while text:
        word, flags, id = frames.HEADER.unpack_from(text)
        end = 9 + (word >> 8)
        found.append((word & 0xFF, flags, id, text[9:end]))
        text = text[end:]
    return found


def sent(client: Http2Client) -> list[Frame]:
    text = b"".join(client.output)
    client.output.clear()
    return parse(text)


def read(block: bytes) -> list[Field]:
    return [(bytes(name), bytes(value)) for name, value in Decoder().decode(block, raw=True)]


def request(
    method: bytes = b"GET", *fields: Field, body: bytes = b"", end: bool = True, upgrade: bytes = b""
) -> Request:
    made = Request(Headers(list(fields)), 0, method, b"/p?q", b"a:80")
    made.body, made.end, made.upgrade = body, end, upgrade
    return made


def ask(client: Http2Client, method: bytes = b"GET", *fields: Field) -> int:
    id = client.next_id()
    client.encode_request(request(method, *fields), id)
    return id


def test_it_begins_with_the_preface_and_settings() -> None:
    client = Http2Client()
    frame = client.encode_request(request(), client.next_id())
    assert frame.startswith(PREFACE)
    assert [kind for kind, *_ in parse(frame[len(PREFACE) :])] == [
        frames.SETTINGS,
        frames.WINDOW_UPDATE,
        frames.HEADERS,
    ]


def test_a_request_is_one_piece_of_bytes() -> None:
    client = greeted()
    made = request(b"POST", (b"host", b"other"), (b"x", b"y"), (b"content-length", b"9"), body=b"hello")
    made.raw_scheme = b"https"
    first, second = parse(client.encode_request(made, client.next_id()))
    assert read(first[3]) == [
        *((b":method", b"POST"), (b":scheme", b"https"), (b":path", b"/p?q"), (b":authority", b"a:80")),
        *((b"x", b"y"), (b"content-length", b"5")),
    ]
    assert second == (frames.DATA, END, 1, b"hello")
    assert client.next_id() == 3


@pytest.mark.parametrize(
    ("method", "path", "authority", "scheme"),
    [
        (b"GE T", b"/", b"a", b"http"),
        (b"GET", b"/ HTTP/1.1", b"a", b"http"),
        (b"GET", b"/\r\nx: y", b"a", b"http"),
        (b"GET", b"/", b"a\nb", b"http"),
        (b"GET", b"/", b"a", b"ht tp"),
    ],
)
def test_targets_that_filters_spoilt_are_not_sent(method: bytes, path: bytes, authority: bytes, scheme: bytes) -> None:
    client = greeted()
    made = Request(Headers([]), 0, method, path, authority)
    made.raw_scheme = scheme
    with pytest.raises(LocalProtocolError):
        client.encode_request(made, client.next_id())
    assert client.next_id() == 1, "nothing was begun"


def test_a_response_in_one_read_is_one_event() -> None:
    client = greeted()
    id = ask(client)
    (event,) = client.feed(head(id, OK + b"\x0f\x0d\x015", END_HEADERS) + data(id, b"he") + data(id, b"llo", END))
    assert isinstance(event, Response)
    assert (event.status, event.body, event.end, event.protocol) == (200, b"hello", True, "HTTP/2")
    assert event.headers.raw == [(b"content-length", b"5")]


def test_interim_heads_come_before_the_response() -> None:
    client = greeted()
    id = ask(client)
    hints, event = client.feed(head(id, b"\x08\x03103", END_HEADERS) + head(id))
    assert isinstance(hints, Interim)
    assert (hints.status, type(event)) == (103, Response)


def test_a_response_with_trailers_alone() -> None:
    client = greeted()
    id = ask(client)
    (event,) = client.feed(head(id, OK + b"\x00\x0bgrpc-status\x0212"))
    assert isinstance(event, Response)
    assert (event.end, event.headers.get("grpc-status")) == (True, "12")


BROKEN = {
    "an interim head that ends the stream": (b"GET", head(1, b"\x08\x03103")),
    "status 101": (b"GET", head(1, b"\x08\x03101", END_HEADERS)),
    "no status": (b"GET", head(1, b"\x00\x01a\x01b")),
    "a connection field": (b"GET", head(1, OK + b"\x00\x0aconnection\x05close")),
    "a length without a body": (b"GET", head(1, OK + b"\x0f\x0d\x015")),
    "a body longer than its length": (b"GET", head(1, OK + b"\x0f\x0d\x011", END_HEADERS) + data(1, b"ab")),
    "a body of a response to HEAD": (b"HEAD", head(1, OK, END_HEADERS) + data(1, b"ab", END)),
    "a body of 204": (b"GET", head(1, b"\x89", END_HEADERS) + data(1, b"ab", END)),
    "a body of 304": (b"GET", head(1, b"\x8b", END_HEADERS) + data(1, b"ab", END)),
    "trailers that end nothing": (b"GET", head(1, OK, END_HEADERS) + head(1, b"\x00\x01a\x01b", END_HEADERS)),
    "a second head": (b"GET", head(1, OK, END_HEADERS) + head(1)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_response_costs_its_stream_alone(name: str) -> None:
    method, text = BROKEN[name]
    client = greeted()
    ask(client, method)
    other = ask(client)
    events = client.feed(text)
    fault = events[-1]
    assert isinstance(fault, Fault)
    assert (fault.id, fault.error.survives, fault.error.counter) == (1, True, "http2.rx_messaging_error")
    assert sent(client) == [(frames.RST_STREAM, 0, 1, b"\0\0\0\1")]
    assert isinstance(client.feed(head(other))[0], Response)
    assert client.reusable


def test_lengths_without_bodies_are_fine_where_there_is_none() -> None:
    client = greeted()
    ask(client, b"HEAD")
    ask(client)
    events = client.feed(head(1, OK + b"\x0f\x0d\x015") + head(3, b"\x8b\x0f\x0d\x015"))
    assert [type(event) for event in events] == [Response, Response]


@pytest.mark.parametrize(
    "text",
    [
        head(1),  # nobody asked
        head(2),
        data(3, b"x"),
        frames.settings_frame([(frames.ENABLE_PUSH, 1)]),
        frames.HEADER.pack(5 << 8 | frames.PUSH_PROMISE, 4, 1) + b"\0\0\0\2\x88",
    ],
)
def test_what_a_server_may_not_begin_ends_the_connection(text: bytes) -> None:
    client = greeted()
    fault = client.feed(text)[-1]
    assert isinstance(fault, Fault)
    assert (fault.id, client.reusable) == (0, False)
    with pytest.raises(LocalProtocolError):
        ask(client)


def test_a_response_over_the_limits_is_a_fault_of_its_stream() -> None:
    client = greeted(Http2Options(max_headers_count=1))
    ask(client)
    (fault,) = client.feed(head(1, OK + b"\x00\x01a\x01b\x00\x01c\x01d"))
    assert isinstance(fault, Fault)
    assert (fault.id, fault.error.status, fault.error.counter) == (1, 502, "http2.header_overflow")


def test_bodies_in_pieces_and_trailers() -> None:
    client = greeted()
    id = client.next_id()
    out = client.encode_request(request(b"POST", end=False), id) + client.encode_data(id, b"abc", False)
    out += client.encode_trailers(id, Headers([(b"x", b"y")]))
    assert [(kind, flags) for kind, flags, _, _ in parse(out)] == [(1, 4), (0, 0), (1, 5)]
    id = client.next_id()
    out = client.encode_request(request(b"POST", (b"content-length", b"3"), end=False), id)
    with pytest.raises(LocalProtocolError):
        client.encode_data(id, b"ab", True)


def test_giving_up_says_so_and_what_follows_is_let_pass() -> None:
    client = greeted()
    id = ask(client)
    assert parse(client.encode_reset(id, "x")) == [(frames.RST_STREAM, 0, id, b"\0\0\0\x08")]
    assert not client.encode_reset(id, "x")
    assert not client.encode_data(id, b"x", True)
    assert not client.feed(head(id, OK, END_HEADERS) + data(id, b"x", END))
    assert not client.output


def test_a_request_that_is_answered_early_is_ended_without_an_error() -> None:
    client = greeted()
    id = client.next_id()
    client.encode_request(request(b"POST", end=False), id)
    client.feed(head(id))
    assert parse(client.encode_reset(id, "response_complete"))[0][3] == bytes(4)


def test_reset_streams_say_whether_to_try_again() -> None:
    client = greeted()
    ask(client)
    ask(client)
    first, second = client.feed(frames.rst_stream(1, 7) + frames.rst_stream(3, 8))
    assert isinstance(first, Reset)
    assert isinstance(second, Reset)
    assert (first.refused, second.refused) == (True, False)


def test_streams_that_the_server_did_not_begin_are_gone_with_it() -> None:
    client = greeted()
    ask(client)
    ask(client)
    (going,) = client.feed(frames.goaway((1 << 31) - 1, 0))
    assert isinstance(going, GoAway)
    assert not client.reusable
    (going,) = client.feed(frames.goaway(1, 0))
    assert isinstance(going, GoAway)
    assert going.last_id == 1
    assert not client.encode_data(3, b"x", True)
    assert isinstance(client.feed(head(1))[0], Response)


def test_the_servers_limit_of_streams_is_kept() -> None:
    client = Http2Client(Http2Options(max_concurrent_streams=500))
    assert client.max_streams == 100
    assert not client.feed(frames.settings_frame([(frames.MAX_CONCURRENT_STREAMS, 5)]))
    assert client.max_streams == 5
    (window,) = client.feed(frames.settings_frame([(frames.MAX_CONCURRENT_STREAMS, 1000)]))
    assert isinstance(window, Window)
    assert (window.id, client.max_streams) == (0, 500)


def test_ids_run_out() -> None:
    client = greeted()
    client._last_id = frames.LARGEST_ID - 6
    ask(client)
    assert client.reusable
    ask(client)
    assert not client.reusable


def test_paused_streams_keep_no_other_from_the_connections_window() -> None:
    client = greeted(Http2Options(initial_stream_window_size=1 << 20, initial_connection_window_size=65535))
    ask(client)
    ask(client)
    client.pause(1)
    client.feed(head(1, OK, END_HEADERS) + data(1, bytes(16384)) * 2)
    assert sent(client) == [(frames.WINDOW_UPDATE, 0, 0, (32768).to_bytes(4, "big"))]
    client.feed(data(1, bytes(16384)) * 30)
    assert {id for _, _, id, _ in sent(client)} == {0}
    client.resume(1)
    assert sent(client)[0][2] == 1


# tunnels

KEY = (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==")  # and its answer: RFC 6455, 1.3


def upgrade() -> Request:
    return request(b"GET", KEY, (b"sec-websocket-version", b"13"), end=False, upgrade=b"websocket")


def test_an_upgrade_is_extended_connect() -> None:
    client = greeted(None, (frames.ENABLE_CONNECT_PROTOCOL, 1))
    (first,) = parse(client.encode_request(upgrade(), client.next_id()))
    assert first[1] == END_HEADERS
    assert read(first[3]) == [
        *((b":method", b"CONNECT"), (b":protocol", b"websocket"), (b":scheme", b"http")),
        *((b":path", b"/p?q"), (b":authority", b"a:80"), (b"sec-websocket-version", b"13")),
    ]
    response, piece = client.feed(head(1, OK + b"\x00\x01a\x01b", END_HEADERS) + data(1, b"hi"))
    assert isinstance(response, Response)
    assert (response.status, response.end) == (101, False)
    assert response.headers.get("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert isinstance(piece, Data)
    assert parse(client.encode_data(1, b"up", True)) == [(0, END, 1, b"up")]


def test_an_upgrade_may_be_refused() -> None:
    client = greeted(None, (frames.ENABLE_CONNECT_PROTOCOL, 1))
    client.encode_request(upgrade(), client.next_id())
    (response,) = client.feed(head(1, b"\x8c"))
    assert isinstance(response, Response)
    assert (response.status, response.end) == (400, True)


def test_an_upgrade_is_not_asked_of_who_does_not_know_it() -> None:
    client = greeted()
    with pytest.raises(LocalProtocolError) as caught:
        client.encode_request(upgrade(), client.next_id())
    assert caught.value.status == 502


def test_an_upgrade_waits_for_the_servers_settings_and_all_behind_it_with_it() -> None:
    client = Http2Client()
    client.output.clear()
    assert not client.encode_request(upgrade(), client.next_id())
    assert not client.encode_request(request(), client.next_id())
    client.feed(frames.settings_frame([(frames.ENABLE_CONNECT_PROTOCOL, 1)]))
    assert [(kind, id) for kind, _, id, _ in sent(client)] == [(1, 1), (1, 3), (4, 0)]


def test_an_upgrade_that_waited_in_vain_was_never_begun() -> None:
    client = Http2Client()
    client.output.clear()
    client.encode_request(upgrade(), client.next_id())
    client.encode_data(1, b"early", False)
    gone = client.next_id()
    client.encode_request(request(), gone)
    client.encode_reset(gone, "x")
    client.encode_request(request(), client.next_id())
    events = client.feed(frames.settings_frame([]))
    assert [event.id for event in events if isinstance(event, Reset)] == [1]
    assert [(kind, id) for kind, _, id, _ in sent(client)] == [(1, 5), (4, 0)]


def test_connect_opens_a_tunnel() -> None:
    client = greeted()
    made = request(b"CONNECT", end=False)
    (first,) = parse(client.encode_request(made, client.next_id()))
    assert read(first[3]) == [(b":method", b"CONNECT"), (b":authority", b"a:80")]
    response, piece = client.feed(head(1, OK, END_HEADERS) + data(1, b"down", END))
    assert isinstance(response, Response)
    assert (response.status, response.end) == (200, False)
    assert isinstance(piece, Data)
    assert (piece.data, piece.end) == (b"down", True)


def test_an_end_inside_a_response_is_a_fault() -> None:
    client = greeted()
    ask(client)
    client.feed(head(1, OK, END_HEADERS))
    (fault,) = client.eof()
    assert isinstance(fault, Fault)
    assert not client.reusable
