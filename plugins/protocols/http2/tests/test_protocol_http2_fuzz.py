"""Properties of both codecs: conversations with each other and with another implementation, and any bytes at all."""

from __future__ import annotations

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.api import Data, Event, Fault, Headers, Interim, Request, Reset, Response, Trailers
from plait.testing import check_codec
from plait_protocol_http2 import Http2Client, Http2Options, Http2Server
from plait_protocol_http2.options import PREFACE

SMALL = Http2Options(initial_stream_window_size=2000, max_concurrent_streams=1000)
Field = tuple[bytes, bytes]

NAMES = st.sampled_from(
    [b"accept", b"x-a", b"x-request-id", b"cookie", b"date", b"authorization", b"user-agent", b"x-b"]
)
VALUES = st.sampled_from([b"", b"1", b"text/html", b"a b", b"4d2f3a3e-76b1", b"\xc3\xa4", b"x" * 300])
FIELDS = st.lists(st.tuples(NAMES, VALUES).filter(lambda field: field != (b"cookie", b"")), max_size=6)
BODY = st.lists(st.integers(0, 3000).map(lambda size: (b"0123456789abcdef" * 200)[:size]), max_size=4)


class Message:
    """A message as it should arrive, whatever the pieces."""

    def __init__(self, head: tuple[object, ...], fields: list[Field], body: list[bytes], trailers: list[Field]) -> None:
        self.head = head
        self.fields = joined(fields)
        self.body = body
        self.trailers = trailers

    def told(self) -> tuple[object, ...]:
        return (self.head, self.fields, b"".join(self.body), self.trailers)


def joined(fields: list[Field]) -> list[Field]:
    """Cookies as one field, in the place of the first."""
    cookies = [value for name, value in fields if name == b"cookie"]
    if len(cookies) < 2:
        return fields
    first = next(index for index, (name, _) in enumerate(fields) if name == b"cookie")
    rest = [field for field in fields if field[0] != b"cookie"]
    return [*rest[:first], (b"cookie", b"; ".join(cookies)), *rest[first:]]


requests = st.builds(
    lambda method, path, fields, body, trailers: Message((method, path), fields, body, trailers if body else []),
    st.sampled_from([b"GET", b"POST", b"PUT"]),
    st.sampled_from([b"/", b"/index.html", b"/a/b?c=d"]),
    FIELDS,
    BODY,
    st.sampled_from([[], [(b"grpc-status", b"0")], [(b"x-sum", b"1"), (b"x-a", b"b")]]),
)
responses = st.builds(
    lambda status, fields, body, trailers: Message((status,), fields, body, trailers if body else []),
    st.sampled_from([200, 201, 404, 503, 299]),
    FIELDS.map(lambda fields: [field for field in fields if field[0] != b"cookie"]),
    BODY,
    st.sampled_from([[], [(b"grpc-status", b"0")], [(b"x-sum", b"1"), (b"x-a", b"b")]]),
)
exchanges = st.lists(st.tuples(requests, responses), min_size=1, max_size=6)


class Ear:
    """What events say, by stream."""

    def __init__(self) -> None:
        self.heads: dict[int, tuple[object, ...]] = {}
        self.fields: dict[int, list[Field]] = {}
        self.bodies: dict[int, bytes] = {}
        self.trailers: dict[int, list[Field]] = {}
        self.ended: list[int] = []
        self.requests: dict[int, Request] = {}

    def hear(self, event: Event) -> None:
        id = event.id
        assert id not in self.ended or not isinstance(event, Data | Trailers | Response), "something behind the end"
        if isinstance(event, Request):
            self.requests[id] = event
            assert event.headers.raw[0] == (b"host", event.raw_authority)
            self._head(event, (event.raw_method, event.raw_path), event.headers.raw[1:])
        elif isinstance(event, Response):
            self._head(event, (event.status,), event.headers.raw)
        elif isinstance(event, Data):
            self.bodies[id] += event.data
            if event.end:
                self.ended.append(id)
        elif isinstance(event, Trailers):
            self.trailers[id] = event.headers.raw
            self.ended.append(id)
        else:
            assert not isinstance(event, Fault | Reset | Interim), getattr(event, "error", event)

    def _head(self, event: Request | Response, head: tuple[object, ...], fields: list[Field]) -> None:
        id = event.id
        self.heads[id], self.fields[id], self.bodies[id], self.trailers[id] = head, fields, event.body, []
        if event.end:
            self.ended.append(id)
            if event.trailers is not None:
                self.trailers[id] = event.trailers.raw

    def told(self, id: int) -> tuple[object, ...]:
        assert id in self.ended
        return (self.heads[id], self.fields[id], self.bodies[id], self.trailers[id])


class ClientDriver:
    """Sends messages through a client codec, one piece at a time, in turn."""

    def __init__(self, codec: Http2Client, messages: list[Message]) -> None:
        self.codec = codec
        self.ids: list[int] = []
        self.out: list[bytes] = []
        self.rest: dict[int, list[bytes]] = {}
        for message in messages:
            method, path = message.head
            assert isinstance(method, bytes)
            assert isinstance(path, bytes)
            request = Request(Headers(list(message.fields)), 0, method, path, b"shop.example")
            id = codec.next_id()
            self.ids.append(id)
            pieces = message.body
            request.end = len(pieces) <= 1
            request.body = pieces[0] if pieces else b""
            if request.end and message.trailers:
                request.trailers = Headers(message.trailers)
            self.out.append(codec.encode_request(request, id))
            if not request.end:
                for index, piece in enumerate(pieces[1:], 2):
                    last = index == len(pieces)
                    self.out.append(codec.encode_data(id, piece, last and not message.trailers))
                if message.trailers:
                    self.out.append(codec.encode_trailers(id, Headers(message.trailers)))


def answer(codec: Http2Server, request: Request, message: Message) -> list[bytes]:
    """All pieces of a response; what the windows hold back goes out later."""
    (status,) = message.head
    assert isinstance(status, int)
    response = Response(status, Headers(list(message.fields)))
    pieces = message.body
    response.end = len(pieces) <= 1
    response.body = pieces[0] if pieces else b""
    if response.end and message.trailers:
        response.trailers = Headers(message.trailers)
    out = [codec.encode_response(request, response)]
    if not response.end:
        for index, piece in enumerate(pieces[1:], 2):
            out.append(codec.encode_data(request, piece, index == len(pieces) and not message.trailers))
        if message.trailers:
            out.append(codec.encode_trailers(request, Headers(message.trailers)))
    return out


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    pieces = []
    for size in cuts:
        pieces.append(data[:size])
        data = data[size:]
    return [piece for piece in [*pieces, data] if piece]


CUTS = st.lists(st.integers(1, 400), max_size=8)


@given(exchanges, CUTS, st.sampled_from([None, SMALL]), st.sampled_from([None, SMALL]))
def test_both_sides_understand_each_other(
    story: list[tuple[Message, Message]], cuts: list[int], ours: Http2Options | None, theirs: Http2Options | None
) -> None:
    client, server = Http2Client(ours), Http2Server(theirs)
    to_server, to_client = Ear(), Ear()
    driver = ClientDriver(client, [request for request, _ in story])
    client.output += driver.out
    answered: set[int] = set()
    while client.output or server.output:
        data = b"".join(client.output)
        client.output.clear()
        for piece in cut(data, cuts):
            for event in server.feed(piece):
                to_server.hear(event)
        for id in set(to_server.ended) - answered:
            answered.add(id)
            server.output += answer(server, to_server.requests[id], story[driver.ids.index(id)][1])
        data = b"".join(server.output)
        server.output.clear()
        for piece in cut(data, cuts):
            for event in client.feed(piece):
                to_client.hear(event)
    for id, (request, response) in zip(driver.ids, story, strict=True):
        assert to_server.told(id) == request.told()
        assert to_client.told(id) == response.told()
    assert not any(client.unsent(id) or server.unsent(id) for id in driver.ids)


class Other:
    """The other implementation: what it tells, and how it sends with respect for windows."""

    def __init__(self, *, client: bool, window: int) -> None:
        config = h2.config.H2Configuration(client_side=client, header_encoding=None, validate_outbound_headers=False)
        self.connection = h2.connection.H2Connection(config)
        self.connection.local_settings = h2.settings.Settings(
            client=client, initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window}
        )
        self.connection.initiate_connection()
        self.heads: dict[int, list[Field]] = {}
        self.bodies: dict[int, bytes] = {}
        self.trailers: dict[int, list[Field]] = {}
        self.ended: list[int] = []
        self.waiting: dict[int, tuple[bytes, list[Field]]] = {}

    def feed(self, data: bytes) -> None:
        for event in self.connection.receive_data(data):
            if isinstance(event, h2.events.RequestReceived | h2.events.ResponseReceived):
                self.heads[event.stream_id] = [(bytes(n), bytes(v)) for n, v in event.headers]
                self.bodies[event.stream_id] = b""
            elif isinstance(event, h2.events.DataReceived):
                self.bodies[event.stream_id] += event.data
                if event.flow_controlled_length:
                    self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.TrailersReceived):
                self.trailers[event.stream_id] = [(bytes(n), bytes(v)) for n, v in event.headers]
            elif isinstance(event, h2.events.StreamEnded):
                self.ended.append(event.stream_id)
            else:
                assert not isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated), event

    def send(self, id: int, head: list[Field], message: Message) -> None:
        self.connection.send_headers(id, head)
        self.waiting[id] = (b"".join(message.body), message.trailers)

    def go_on(self) -> None:
        """Send what the windows allow."""
        for id, (body, trailers) in list(self.waiting.items()):
            while body:
                size = min(len(body), self.connection.local_flow_control_window(id), 1000)
                if size <= 0:
                    break
                self.connection.send_data(id, body[:size])
                body = body[size:]
            if body:
                self.waiting[id] = (body, trailers)
                continue
            del self.waiting[id]
            if trailers:
                self.connection.send_headers(id, trailers, end_stream=True)
            else:
                self.connection.send_data(id, b"", end_stream=True)

    def take(self) -> bytes:
        return self.connection.data_to_send()


@given(exchanges, CUTS, st.sampled_from([65535, 500]), st.sampled_from([None, SMALL]))
def test_server_understands_another_client(
    story: list[tuple[Message, Message]], cuts: list[int], window: int, options: Http2Options | None
) -> None:
    other, server = Other(client=True, window=window), Http2Server(options)
    ear = Ear()
    ids = []
    for request, _ in story:
        method, path = request.head
        assert isinstance(method, bytes)
        assert isinstance(path, bytes)
        id = other.connection.get_next_available_stream_id()
        ids.append(id)
        pseudo = [(b":method", method), (b":scheme", b"http"), (b":authority", b"shop.example"), (b":path", path)]
        other.send(id, pseudo + request.fields, request)
    answered: set[int] = set()
    while True:
        other.go_on()
        data = other.take()
        for piece in cut(data, cuts):
            for event in server.feed(piece):
                ear.hear(event)
        for id in set(ear.ended) - answered:
            answered.add(id)
            server.output += answer(server, ear.requests[id], story[ids.index(id)][1])
        back = b"".join(server.output)
        server.output.clear()
        for piece in cut(back, cuts):
            other.feed(piece)
        if not (data or back):
            break
    for id, (request, response) in zip(ids, story, strict=True):
        assert ear.told(id) == request.told()
        assert id in other.ended
        (status,) = response.head
        assert other.heads[id] == [(b":status", str(status).encode()), *response.fields]
        assert other.bodies[id] == b"".join(response.body)
        assert other.trailers.get(id, []) == response.trailers


@given(exchanges, CUTS, st.sampled_from([65535, 500]), st.sampled_from([None, SMALL]))
def test_another_server_understands_the_client(
    story: list[tuple[Message, Message]], cuts: list[int], window: int, options: Http2Options | None
) -> None:
    client, other = Http2Client(options), Other(client=False, window=window)
    client.feed(other.take())  # it holds us to its window from the beginning, acknowledged or not
    ear = Ear()
    driver = ClientDriver(client, [request for request, _ in story])
    client.output += driver.out
    answered: set[int] = set()
    while True:
        data = b"".join(client.output)
        client.output.clear()
        for piece in cut(data, cuts):
            other.feed(piece)
        for id in set(other.ended) - answered:
            answered.add(id)
            response = story[driver.ids.index(id)][1]
            (status,) = response.head
            other.send(id, [(b":status", str(status).encode()), *response.fields], response)
        other.go_on()
        back = other.take()
        for piece in cut(back, cuts):
            for event in client.feed(piece):
                ear.hear(event)
        if not (data or back):
            break
    for id, (request, response) in zip(driver.ids, story, strict=True):
        assert ear.told(id) == response.told()
        method, path = request.head
        pseudo = [(b":method", method), (b":scheme", b"http"), (b":path", path), (b":authority", b"shop.example")]
        # the other one puts cookies behind everything else
        assert other.heads[id] == pseudo + sorted(request.fields, key=lambda field: field[0] == b"cookie")
        assert other.bodies[id] == b"".join(request.body)
        assert other.trailers.get(id, []) == request.trailers


# any bytes

FRAME = st.builds(
    lambda kind, flags, id, payload: (
        len(payload).to_bytes(3, "big") + bytes([kind, flags]) + id.to_bytes(4, "big") + payload
    ),
    st.one_of(st.integers(0, 10), st.just(16)),
    st.sampled_from([0, 1, 4, 5, 8, 9, 0x20, 0x25, 0x2D, 0xFF]),
    st.sampled_from([0, 1, 1, 1, 2, 3, 5, 7, 0x7FFFFFFF, 0x80000001]),
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from([b"\0\0\0\0", b"\0\0\0\1", b"\x7f\xff\xff\xff", b"\0" * 8, b"\x82\x86\x84\x41\x01a", b"\x88"]),
        st.sampled_from([b"\0\x04\0\0\0\0", b"\0\x04\x7f\xff\xff\xff", b"\0\x05\0\0\x40\0", b"\0\x01\0\0\0\0"]),
    ),
)
SETTINGS = b"\0\0\0\4\0\0\0\0\0"


@settings(max_examples=300)
@given(st.lists(FRAME, max_size=10))
def test_no_frames_make_the_server_raise(frames: list[bytes]) -> None:
    server = Http2Server()
    check_bounds(server, server.feed(PREFACE + SETTINGS + b"".join(frames)))
    server.eof()


@settings(max_examples=300)
@given(st.lists(FRAME, max_size=10))
def test_no_frames_make_the_client_raise(frames: list[bytes]) -> None:
    client = Http2Client()
    for _ in range(3):
        client.encode_request(Request(Headers([]), 0, b"GET", b"/", b"a"), client.next_id())
    check_bounds(client, client.feed(SETTINGS + b"".join(frames)))
    client.eof()


def check_bounds(codec: Http2Server | Http2Client, events: object) -> None:
    assert isinstance(events, list | tuple)
    for event in events[:-1]:
        assert not isinstance(event, Fault) or event.error.survives


def conversation() -> bytes:
    """What a client says: two requests, one with a body and trailers, a ping, a reset."""
    client = Http2Client()
    out = []
    request = Request(Headers([(b"accept", b"*/*"), (b"content-length", b"5")]), 0, b"POST", b"/a", b"shop.example")
    request.body = b"hello"
    request.trailers = Headers([(b"x-sum", b"1")])
    out.append(client.encode_request(request, client.next_id()))
    out.append(client.encode_ping())
    other = Request(Headers([]), 0, b"GET", b"/b", b"shop.example")
    other.end = False
    id = client.next_id()
    out += [client.encode_request(other, id), client.encode_data(id, b"abc", False)]
    out.append(client.encode_reset(id, "gone") or b"")
    return b"".join(out)


def test_server_reads_the_same_however_its_bytes_are_cut() -> None:
    check_codec(
        Http2Server,
        conversation(),
        [
            (
                *("request", 1, b"POST", b"/a", b"shop.example"),
                ((b"host", b"shop.example"), (b"accept", b"*/*"), (b"content-length", b"5")),
                *(False, 0.0, b""),
            ),
            ("body", 1, b"hello"),
            ("trailers", 1, ((b"x-sum", b"1"),)),
            ("end", 1),
            ("ping", 0, False),
            ("request", 3, b"GET", b"/b", b"shop.example", ((b"host", b"shop.example"),), False, 0.0, b""),
            ("body", 3, b"abc"),
            ("reset", 3, "cancel", False),
        ],
    )


def test_client_reads_the_same_however_its_bytes_are_cut() -> None:
    server = Http2Server()
    (request,) = [event for event in server.feed(asking()[1]) if isinstance(event, Request)]
    out = [server.encode_interim(request, 103, Headers([(b"link", b"x")]))]
    response = Response(200, Headers([(b"content-type", b"text/plain")]))
    response.end = False
    out += [server.encode_response(request, response), server.encode_data(request, b"hello", False)]
    out.append(server.encode_trailers(request, Headers([(b"grpc-status", b"0")])))
    out.append(server.drain())
    check_codec(
        lambda: asking()[0],
        b"".join(out),
        [
            ("window", 0),
            ("interim", 1, 103, ((b"link", b"x"),)),
            ("response", 1, 200, 0, b"", ((b"content-type", b"text/plain"),)),
            ("body", 1, b"hello"),
            ("trailers", 1, ((b"grpc-status", b"0"),)),
            ("end", 1),
            ("goaway", 0x7FFFFFFF, "no_error"),
            ("ping", 0, False),
        ],
    )


def asking() -> tuple[Http2Client, bytes]:
    client = Http2Client()
    frame = client.encode_request(Request(Headers([]), 0, b"GET", b"/", b"a"), client.next_id())
    return client, frame


@pytest.mark.parametrize("size", [1, 7, 100])
def test_large_bodies_pass_small_windows(size: int) -> None:
    client, server = Http2Client(), Http2Server(Http2Options(initial_stream_window_size=1 << 16))
    body = bytes(range(256)) * 1024
    client.output.append(
        client.encode_request(_with_body(body), client.next_id()),
    )
    ear = Ear()
    turns = 0
    while client.output or server.output:
        turns += 1
        for event in server.feed(b"".join(client.output)):
            ear.hear(event)
        client.output.clear()
        client.feed(b"".join(server.output))
        server.output.clear()
    assert ear.bodies[1] == body
    assert turns > 2


def _with_body(body: bytes) -> Request:
    request = Request(Headers([]), 0, b"POST", b"/", b"a")
    request.body = body
    return request
