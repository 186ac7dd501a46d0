"""Properties of both codecs: the same events however the bytes are cut, round trips, and no exception for any input."""

from __future__ import annotations

import itertools

from hypothesis import example, given, settings
from hypothesis import strategies as st

from plait.api import Data, Event, Fault, Headers, Interim, LocalProtocolError, Request, Response, Trailers
from plait_protocol_http1 import Http1Client, Http1Options, Http1Server, local_response

OPTIONS = Http1Options(accept_http_10=True, enable_trailers=True)

# Requests as wrk, curl, a browser and a gRPC gateway write them, and the corners of the grammar.
REQUESTS = [
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n",
    b"GET /a?b=c HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n",
    b'POST /p HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"a": true}',
    b'PUT /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x="y"\r\n world\r\n0\r\n\r\n',
    b"PUT /t HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"1\r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\n",
    b"\r\n\r\nGET http://b:81/x HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
    b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab"
    b"PUT /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
    b"HEAD /4 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /old HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\nGET /last HTTP/1.0\r\nHost: a\r\n\r\n",
    b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
]

RESPONSES = [
    (b"GET", b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Length: 5\r\n\r\nhello"),
    (b"GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    (b"GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n"),
    (b"GET", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
    (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"),
    (b"GET", b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n'),
    (b"GET", b"HTTP/1.0 200 OK\r\n\r\nuntil the end"),
    (b"CONNECT", b"HTTP/1.1 200 OK\r\n\r\ntunnel"),
]


class Told:
    """What events say, whatever pieces they come in."""

    def __init__(self) -> None:
        self.messages: list[list[object]] = []
        self.fault = ""
        self.ended = True

    def add(self, event: Event) -> None:
        assert not self.fault, "an event came after a fault"
        if isinstance(event, Request):
            self._begin(
                [
                    event.raw_method,
                    event.raw_path,
                    event.raw_authority,
                    event.raw_scheme,
                    event.protocol,
                    event.upgrade,
                ],
                event,
            )
        elif isinstance(event, Response):
            self._begin([event.status, event.reason, event.protocol], event)
        elif isinstance(event, Interim):
            self.messages.append([event.status, event.headers.raw])
        elif isinstance(event, Data):
            assert not self.ended, "data came after the end"
            body = self.messages[-1][-2]
            assert isinstance(body, bytes)
            self.messages[-1][-2] = body + event.data
            self.ended = event.end
        elif isinstance(event, Trailers):
            assert not self.ended, "trailers came after the end"
            self.messages[-1][-1] = event.headers.raw
            self.ended = True
        else:
            assert isinstance(event, Fault)
            self.fault = event.error.counter

    def _begin(self, facts: list[object], event: Request | Response) -> None:
        assert self.ended, "a message began inside another"
        trailers = None if event.trailers is None else event.trailers.raw
        self.messages.append([*facts, event.headers.raw, event.body, trailers])
        self.ended = event.end


def serve(pieces: list[bytes], options: Http1Options = OPTIONS) -> Told:
    """Feed a server codec and answer each request as soon as it is whole."""
    codec = Http1Server(options)
    told = Told()
    pending: Request | None = None
    for piece in pieces:
        data = piece
        while True:
            for event in codec.feed(data):
                told.add(event)
                if isinstance(event, Request):
                    pending = event
            if pending is not None and (told.ended or pending.upgrade or pending.raw_method == b"CONNECT"):
                codec.encode_response(pending, local_response(pending, 403, b"no", ""))
                pending = None
                told.ended = True
            if not codec.held:
                break
            data = b""
    for event in codec.eof():
        told.add(event)
    return told


def receive(method: bytes, pieces: list[bytes], options: Http1Options = OPTIONS) -> Told:
    """Feed a client codec that sent one request."""
    codec = Http1Client(options)
    request = Request(Headers([]))
    request.raw_method = method
    request.raw_authority = b"a:1"
    request.end = method != b"CONNECT"
    codec.encode_request(request, codec.next_id())
    told = Told()
    for piece in pieces:
        for event in codec.feed(piece):
            told.add(event)
    for event in codec.eof():
        told.add(event)
    return told


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def test_requests_cut_at_every_byte_tell_the_same() -> None:
    for data in REQUESTS:
        whole = serve([data])
        assert whole.messages
        assert not whole.fault
        for place in range(1, len(data)):
            assert serve([data[:place], data[place:]]).__dict__ == whole.__dict__, data[:place]
        assert serve([data[place : place + 1] for place in range(len(data))]).__dict__ == whole.__dict__


def test_responses_cut_at_every_byte_tell_the_same() -> None:
    for method, data in RESPONSES:
        whole = receive(method, [data])
        assert whole.messages
        assert not whole.fault
        for place in range(1, len(data)):
            assert receive(method, [data[:place], data[place:]]).__dict__ == whole.__dict__, data[:place]
        assert receive(method, [data[place : place + 1] for place in range(len(data))]).__dict__ == whole.__dict__


mutations = st.lists(
    st.tuples(
        st.integers(0, 400), st.sampled_from(["drop", "double", "change", "insert"]), st.binary(min_size=1, max_size=3)
    ),
    min_size=1,
    max_size=6,
)


def mutate(data: bytes, changes: list[tuple[int, str, bytes]]) -> bytes:
    for at, how, what in changes:
        place = at % (len(data) + 1)
        if how == "drop":
            data = data[:place] + data[place + 1 :]
        elif how == "double":
            data = data[:place] + data[max(0, place - 8) :]
        elif how == "change":
            data = data[:place] + what + data[place + len(what) :]
        else:
            data = data[:place] + what + data[place:]
    return data


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
@example(b"\r", [])
@example(b"\r\n\r\n\r", [1])
def test_random_bytes_raise_nothing(data: bytes, places: list[int]) -> None:
    serve(cut(data, places))
    receive(b"GET", cut(data, places))


@settings(max_examples=300)
@given(st.sampled_from(REQUESTS), mutations, st.lists(st.integers(0, 400), max_size=5))
def test_broken_requests_raise_nothing_and_tell_the_same_in_any_pieces(
    data: bytes, changes: list[tuple[int, str, bytes]], places: list[int]
) -> None:
    data = mutate(data, changes)
    whole, pieces = serve([data]), serve(cut(data, places))
    # A fault may be found before the data in front of it was told, never a different message.
    assert bool(whole.fault) == bool(pieces.fault)
    if not whole.fault:
        assert pieces.messages == whole.messages
    else:
        assert [message[:4] for message in pieces.messages] == [message[:4] for message in whole.messages]


@settings(max_examples=300)
@given(st.sampled_from(RESPONSES), mutations, st.lists(st.integers(0, 400), max_size=5))
def test_broken_responses_raise_nothing_and_tell_the_same_in_any_pieces(
    golden: tuple[bytes, bytes], changes: list[tuple[int, str, bytes]], places: list[int]
) -> None:
    method, data = golden
    data = mutate(data, changes)
    whole, pieces = receive(method, [data]), receive(method, cut(data, places))
    assert bool(whole.fault) == bool(pieces.fault)
    if not whole.fault:
        assert pieces.messages == whole.messages


names = st.text("abcdefghijklmnopqrstuvwxyz-!#$%", min_size=1, max_size=20).map(lambda text: b"x-" + text.encode())
values = st.binary(max_size=200).map(lambda raw: bytes(byte for byte in raw if byte >= 32 and byte != 127).strip(b" "))
fields = st.lists(st.tuples(names, values), max_size=20)
bodies = st.lists(st.binary(max_size=200), max_size=4)
cuts = st.lists(st.integers(0, 2000), max_size=6)


@given(fields, bodies, st.sampled_from(["whole", "length", "chunked", "trailers"]), cuts)
def test_request_comes_through_as_it_was(
    raw: list[tuple[bytes, bytes]], pieces: list[bytes], how: str, places: list[int]
) -> None:
    body = b"".join(pieces)
    request = Request(Headers(list(raw)))
    request.raw_method = b"POST"
    request.raw_path = b"/p?q"
    request.raw_authority = b"shop:80"
    codec = Http1Client(OPTIONS)
    if how == "whole":
        request.body = body
        data = codec.encode_request(request, 1)
    else:
        request.end = False
        if how == "length":
            request.headers.append(b"content-length", b"%d" % len(body))
        data = codec.encode_request(request, 1)
        data += b"".join([codec.encode_data(1, piece, False) for piece in pieces])
        data += (
            codec.encode_trailers(1, Headers([(b"a", b"b")])) if how == "trailers" else codec.encode_data(1, b"", True)
        )
    told = serve(cut(data, places))
    assert not told.fault
    (message,) = told.messages
    assert message[:3] == [b"POST", b"/p?q", b"shop:80"]
    framing = (b"host", b"content-length", b"transfer-encoding")
    assert [field for field in message[-3] if field[0] not in framing] == raw  # type: ignore[attr-defined]
    assert message[-2:] == [body, [(b"a", b"b")] if how == "trailers" else None]


@given(fields, bodies, st.sampled_from(["whole", "length", "chunked", "trailers"]), st.booleans(), cuts)
def test_response_comes_through_as_it_was(
    raw: list[tuple[bytes, bytes]], pieces: list[bytes], how: str, old: bool, places: list[int]
) -> None:
    body = b"".join(pieces)
    server = Http1Server(OPTIONS)
    (request,) = server.feed(b"GET / HTTP/1.%d\r\nHost: a\r\n\r\n" % (0 if old else 1))
    assert isinstance(request, Request)
    response = Response(200, Headers(list(raw)))
    if how == "whole":
        response.body = body
        data = server.encode_response(request, response)
    else:
        response.end = False
        if how == "length":
            response.headers.append(b"content-length", b"%d" % len(body))
        data = server.encode_response(request, response)
        data += b"".join([server.encode_data(request, piece, False) for piece in pieces])
        if how == "trailers":
            data += server.encode_trailers(request, Headers([(b"a", b"b")]))
        else:
            data += server.encode_data(request, b"", True)
    told = receive(b"GET", cut(data, places))
    assert not told.fault
    (message,) = told.messages
    framing = (b"connection", b"content-length", b"transfer-encoding")
    assert [field for field in message[-3] if field[0] not in framing] == raw  # type: ignore[attr-defined]
    assert message[-2:] == [body, [(b"a", b"b")] if how == "trailers" and not old else None]


@given(st.binary(max_size=30), st.binary(max_size=30), st.binary(max_size=30))
def test_no_field_value_or_path_can_forge_a_line(name: bytes, value: bytes, path: bytes) -> None:
    request = Request(Headers([(name, value)]))
    request.raw_method = b"GET"
    request.raw_path = path
    request.raw_authority = b"a"
    try:
        data = Http1Client().encode_request(request, 1)
    except LocalProtocolError:
        return
    assert data.count(b"\n") == data.count(b"\r") == data.count(b"\r\n") <= 4
    assert data.split(b"\r\n")[0].count(b" ") == 2
