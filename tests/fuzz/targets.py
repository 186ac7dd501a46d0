"""What is fuzzed: each target takes any bytes, does with them what Plait does with a peer's, and asserts what must be.

The first byte of an input for a codec says where the rest is cut in two and which options are taken. Beside not raising
anything, a codec must tell the same however its bytes were cut, what it forwards must be read by the other side as what
came, and what it answers must be a response to the id that was asked with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from plait.api import ClientCodec, Fault, Headers, LocalProtocolError, Request, Response, ServerCodec
from plait.testing import events
from plait_protocol_bolt import BoltClient, BoltFrame, BoltOptions, BoltServer
from plait_protocol_bolt import local_response as bolt_answer
from plait_protocol_bolt.frame import REQUEST_TYPE, V1, V2, head_of, whole
from plait_protocol_dubbo import DubboCall, DubboClient, DubboOptions, DubboResult, DubboServer
from plait_protocol_dubbo import local_response as dubbo_answer
from plait_protocol_dubbo.front import FRONT_BYTES
from plait_protocol_hessian import Decoder, Dialect, HessianError, Limits, dumps, loads
from plait_protocol_http1 import Http1Client, Http1Server
from plait_protocol_http2 import Http2Client, Http2Server
from plait_protocol_http2.options import PREFACE
from tests.fuzz import corpus

LIMITS = Limits(depth=20, objects=1000, classes=50, fields=50, text_length=10_000, number_keys=50)
BOLT = BoltOptions(max_frame_bytes=5000, stream_threshold_bytes=64)
DUBBO = DubboOptions(max_frame_bytes=3 * FRONT_BYTES, max_buffered_bytes=FRONT_BYTES)
ANSWERS = ((200, b"", ""), (503, b"gone", "upstream_reset_before_response_started"), (403, b"no \xff", "denied"))


@attrs.frozen
class Target:
    """``run`` takes one input; ``seeds`` are inputs to begin with."""

    run: Callable[[bytes], None]
    seeds: Sequence[bytes]


# hessian


def _hessian(dialect: Dialect) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        reading, skipping = (Decoder(data, dialect=dialect, limits=LIMITS) for _ in range(2))
        while not reading.done:
            try:
                value = reading.read()
            except HessianError:
                break
            skipping.skip()  # what can be read can be stepped over
            assert skipping.at == reading.at, (skipping.at, reading.at)
            written = dumps(value, dialect=dialect)
            (back,) = loads(written, dialect)
            assert dumps(back, dialect=dialect) == written
        try:
            while not skipping.done:
                skipping.skip()
        except HessianError:
            pass

    return run


# any codec


def _told(make: Callable[[], ServerCodec | ClientCodec], data: bytes, cut: int, *, words: bool = True) -> None:
    """The cuts between reads mean nothing; without ``words``, but for what exactly is wrong with a message."""
    told = events(make(), [data], eof=True)
    at = cut % (len(data) + 1)
    pieces = [data[:at], data[at : at + 7], data[at + 7 :]]
    cut_told = events(make(), [piece for piece in pieces if piece], eof=True)
    if not words:
        told, cut_told = ([(*one[:3], one[4]) if one[0] == "fault" else one for one in all] for all in (told, cut_told))
    assert cut_told == told, (cut_told, told)


def _responds(codec: ClientCodec, written: bytes, id: int) -> None:
    """What was written is one whole response to ``id``."""
    (response,) = codec.feed(written)
    assert isinstance(response, Response), response
    assert (response.id, response.end) == (id, True)
    assert not codec.eof()


# bolt


def _touch_bolt(message: Request | Response) -> None:
    frame = message.native
    assert isinstance(frame, BoltFrame)
    assert (frame.version, frame.layout > V1) in ((1, False), (2, True))
    for value in (frame.ver1, frame.type, frame.command, frame.ver2, frame.codec, frame.switch, frame.timeout_ms):
        assert isinstance(value, int)
    assert isinstance(frame.class_name, str)
    assert frame.status in range(1 << 16)
    assert len(message.headers) == len(list(message.headers))


def _bolt_server(data: bytes) -> None:
    way, data = data[0] if data else 0, data[1:]
    _told(lambda: BoltServer(BOLT), data, way)
    codec = BoltServer(BOLT)
    for event in codec.feed(data):
        if not isinstance(event, Request):
            continue
        _touch_bolt(event)
        if event.end and not event.oneway:
            status, body, details = ANSWERS[way % 3]
            written = codec.encode_response(event, bolt_answer(event, status, body, details))
            _responds(BoltClient(), written, event.id)
        if event.end:
            _forward_bolt(event, way)


def _forward_bolt(request: Request, way: int) -> None:
    headers, body = request.headers.raw, request.body
    if way & 1:
        request.headers.set("Added", "1")
        headers = [*(field for field in headers if field[0] != b"added"), (b"added", b"1")]
    if way & 2 and headers:
        name = headers[0][0]
        request.headers.delete(name)
        headers = [field for field in headers if field[0] != name]
    if way & 4:
        request.body = body = body + b"more"
    try:
        written = BoltClient(BoltOptions(version=way % 3)).encode_request(request, 77)
    except LocalProtocolError:
        return  # longer than a frame can be
    (back,) = BoltServer().feed(written)
    assert isinstance(back, Request)
    assert (back.id, back.body, back.oneway, back.timeout_s) == (77, body, request.oneway, request.timeout_s)
    assert sorted(back.headers.raw) == sorted(headers)
    if not way & 6:
        assert (back.raw_authority, back.raw_path) == (request.raw_authority, request.raw_path)


def _bolt_client(data: bytes) -> None:
    way, data = data[0] if data else 0, data[1:]
    _told(lambda: BoltClient(BOLT), data, way)
    layout = V1 if way & 1 else V2
    (asked,) = BoltServer().feed(whole(head_of(layout, REQUEST_TYPE, 1, 0, 1, 100), layout, 5, b""))
    assert isinstance(asked, Request)
    for event in BoltClient(BOLT).feed(data):
        if not isinstance(event, Response):
            continue
        _touch_bolt(event)
        if not event.end:
            continue
        if way & 2:
            event.headers.set("Added", "1")
        try:
            written = BoltServer().encode_response(asked, event)
        except LocalProtocolError:
            continue
        (back,) = BoltClient().feed(written)
        assert isinstance(back, Response)
        assert (back.id, back.body, back.code) == (5, event.body, event.code)
        assert sorted(back.headers.raw) == sorted(event.headers.raw)


# dubbo


def _touch_dubbo(native: object) -> None:
    assert isinstance(native, DubboCall | DubboResult)
    assert isinstance(native.serialization, str)
    assert isinstance(native.attachments, dict)
    if isinstance(native, DubboCall):
        native.arguments()
        for text in (native.interface, native.method, native.service_version, native.group, native.parameter_types):
            assert isinstance(text, str)
        assert native.timeout_s >= 0
    else:
        native.value()
        assert native.kind in range(-1, 6)
        assert native.is_exception in (False, True)


def _dubbo_server(data: bytes) -> None:
    way, data = data[0] if data else 0, data[1:]
    _told(lambda: DubboServer(DUBBO), data, way)
    codec = DubboServer(DUBBO)
    for event in codec.feed(data):
        if isinstance(event, Fault) and event.error.status and event.error.survives:
            request = Request(Headers([]), event.id, protocol="dubbo")
            answer = dubbo_answer(request, event.error.status, b"broken", event.error.counter)
            _responds(DubboClient(), codec.encode_response(request, answer), event.id)
        if not isinstance(event, Request):
            continue
        if way & 8:
            _touch_dubbo(event.native)
        if event.end and not event.oneway:
            status, body, details = ANSWERS[way % 3]
            written = codec.encode_response(event, dubbo_answer(event, status, body, details))
            _responds(DubboClient(), written, event.id)
        if event.end:
            _forward_dubbo(event, way)


def _forward_dubbo(request: Request, way: int) -> None:
    native = request.native
    assert isinstance(native, DubboCall)
    came = list(request.headers.raw)
    found = native.found()  # None where attachments cannot be read: they cannot be changed either
    wanted = came
    if way & 1:
        request.headers.set("Added", "\u00e9\U0001f600")
        wanted = [*(field for field in wanted if field[0] != b"added"), (b"added", "\u00e9\U0001f600".encode())]
    if way & 2 and came:
        request.headers.delete(came[0][0])
        wanted = [field for field in wanted if field[0] != came[0][0]]
    if way & 4 and native.front.length and native.form is not None:
        request.path = "other"
    try:
        written = DubboClient().encode_request(request, 77)
    except LocalProtocolError:
        return  # a value that others may refer to cannot go
    (back,) = DubboServer().feed(written)
    assert isinstance(back, Request), back
    assert (back.id, back.oneway) == (77, request.oneway)
    assert (back.raw_authority, back.raw_path) == (request.raw_authority, request.raw_path)
    if not way & 7:
        assert back.body == request.body
    assert sorted(back.headers.raw) == sorted(wanted if found is not None else came), (back.headers.raw, wanted)
    assert isinstance(back.native, DubboCall)
    assert repr(back.native.arguments()) == repr(native.arguments())


def _dubbo_client(data: bytes) -> None:
    way, data = data[0] if data else 0, data[1:]
    _told(lambda: DubboClient(DUBBO), data, way)
    (asked,) = DubboServer().feed(corpus.dubbo_frames()[0])
    assert isinstance(asked, Request)
    for event in DubboClient(DUBBO).feed(data):
        if not isinstance(event, Response) or type(event.native) is not DubboResult:
            continue
        if way & 8:
            _touch_dubbo(event.native)
        if not event.end:
            continue
        came = list(event.headers.raw)
        kind = event.native.kind
        if way & 1:
            event.headers.set("added", "1")
        try:
            written = DubboServer().encode_response(asked, event)
        except LocalProtocolError:
            continue
        (back,) = DubboClient().feed(written)
        assert isinstance(back, Response)
        assert isinstance(back.native, DubboResult)
        assert (back.id, back.code) == (asked.id, event.code)
        assert back.native.kind % 3 == kind % 3 or back.native.kind == kind
        if not way & 1:
            assert (back.body, back.headers.raw) == (event.body, came)
        elif event.native.found() is not None:
            assert sorted(back.headers.raw) == sorted(
                [*(field for field in came if field[0] != b"added"), (b"added", b"1")]
            )


# http


def _http1_server(data: bytes) -> None:
    way, data = data[0] if data else 0, data[1:]
    _told(Http1Server, data, way, words=False)


def _http1_client(data: bytes) -> None:
    way, data = data[0] if data else 0, data[1:]
    methods = (b"GET", b"HEAD", b"CONNECT", b"POST")

    def make() -> Http1Client:
        codec = Http1Client()
        request = Request(Headers([]), raw_method=methods[way & 3], raw_path=b"/", raw_authority=b"a")
        codec.encode_request(request, codec.next_id())
        return codec

    _told(make, data, way, words=False)


def _http2_server(data: bytes) -> None:
    way, data = data[0] if data else 0, data[1:]
    _told(Http2Server, PREFACE + data, way)


def _http2_client(data: bytes) -> None:
    way, data = data[0] if data else 0, data[1:]

    def make() -> Http2Client:
        codec = Http2Client()
        for method in (b"GET", b"HEAD", b"POST"):
            codec.encode_request(Request(Headers([]), 0, method, b"/", b"a"), codec.next_id())
        return codec

    _told(make, data, way)


def _begun(ways: Sequence[int], frames: Sequence[bytes]) -> list[bytes]:
    """Inputs for a codec: each frame in each way."""
    return [bytes([way]) + frame for frame in frames for way in ways]


_WAYS = (0, 9, 14)

TARGETS = {
    "hessian2": Target(_hessian(Dialect.HESSIAN2), corpus.hessian_vectors()),
    "hessian_sofa": Target(_hessian(Dialect.SOFA3), corpus.hessian_vectors()),
    "bolt_server": Target(_bolt_server, _begun(_WAYS, corpus.bolt_frames())),
    "bolt_client": Target(_bolt_client, _begun(_WAYS, corpus.bolt_frames())),
    "dubbo_server": Target(_dubbo_server, _begun(_WAYS, corpus.dubbo_frames())),
    "dubbo_client": Target(_dubbo_client, _begun(_WAYS, corpus.dubbo_frames())),
    "http1_server": Target(_http1_server, _begun(_WAYS, corpus.HTTP1_REQUESTS)),
    "http1_client": Target(_http1_client, _begun(range(4), corpus.HTTP1_RESPONSES)),
    "http2_server": Target(_http2_server, _begun(_WAYS, corpus.http2_requests())),
    "http2_client": Target(_http2_client, _begun(_WAYS, corpus.http2_responses())),
}
