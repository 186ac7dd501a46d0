"""What fuzzing begins with: captured frames and vectors that the codecs' own tests hold, and what codecs write."""

from __future__ import annotations

import json
from pathlib import Path

from plait.api import Headers, Request, Response
from plait_protocol_http2 import Http2Client, Http2Server
from plait_protocol_http2.options import PREFACE

PROTOCOLS = Path(__file__).parents[2] / "plugins" / "protocols"

HTTP1_REQUESTS = (
    b"GET /hello?x=1 HTTP/1.1\r\nHost: shop\r\nX-Name: Value\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: t\r\n\r\n3;x=y\r\nhel\r\n0\r\nt: 1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nExpect: 100-continue\r\n\r\n",
    b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\nabc",
)
HTTP1_RESPONSES = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nt: 1\r\n\r\n",
    b"HTTP/1.0 404 Not Found\r\nX: y\r\n\r\nuntil the end",
    b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
)


def hessian_vectors() -> list[bytes]:
    """Messages in Hessian, of either dialect."""
    lines = (PROTOCOLS / "hessian" / "tests" / "vectors.txt").read_text().splitlines()
    return [bytes.fromhex(line.split(" | ", 3)[2]) for line in lines if line and line[0] != "#"]


def bolt_frames() -> list[bytes]:
    """Frames of Bolt, requests and responses."""
    said = json.loads((PROTOCOLS / "bolt" / "tests" / "frames.json").read_text())
    return [bytes.fromhex(frame) for name, entry in said.items() if name != "about" for frame in entry["frames"]]


def dubbo_frames() -> list[bytes]:
    """Frames of Dubbo, requests and responses."""
    lines = (PROTOCOLS / "dubbo" / "tests" / "frames.txt").read_text().splitlines()
    return [bytes.fromhex(line.split(" ")[1]) for line in lines if line and line[0] != "#"]


def http2_requests() -> list[bytes]:
    """Frames of callers behind the preface: a whole request, one in pieces with trailers, a ping, a reset."""
    whole, pieces = Http2Client(), Http2Client()
    first = whole.encode_request(_http2_request(), whole.next_id())
    request, id = _http2_request(), pieces.next_id()
    request.end = False
    second = [pieces.encode_request(request, id), pieces.encode_data(id, b"hello", False), pieces.encode_ping()]
    second += [pieces.encode_trailers(id, Headers([(b"x-sum", b"1")])), pieces.encode_reset(id, "gone") or b""]
    return [data.removeprefix(PREFACE) for data in (first, b"".join(second))]


def http2_responses() -> list[bytes]:
    """Frames of a server: an interim response, one in pieces with trailers, a goaway."""
    caller, server = Http2Client(), Http2Server()
    (request,) = [
        event
        for event in server.feed(caller.encode_request(_http2_request(), caller.next_id()))
        if isinstance(event, Request)
    ]
    response = Response(200, Headers([(b"content-type", b"application/grpc")]))
    response.end = False
    out = [server.encode_interim(request, 103, Headers([(b"link", b"x")])), server.encode_response(request, response)]
    out += [server.encode_data(request, b"hello", False)]
    out += [server.encode_trailers(request, Headers([(b"grpc-status", b"0")])), server.drain()]
    return [b"".join(out)]


def _http2_request() -> Request:
    return Request(Headers([(b"accept", b"*/*"), (b"x-request-id", b"4d2f")]), 0, b"GET", b"/a?b=c", b"shop.example")
