"""What fuzzing begins with: the captured frames and the vectors that the codecs' own tests hold."""

from __future__ import annotations

import json
from pathlib import Path

PROTOCOLS = Path(__file__).parents[2] / "plugins" / "protocols"

HTTP1_REQUESTS = (
    b"GET /hello?x=1 HTTP/1.1\r\nHost: shop\r\nX-Name: Value\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: t\r\n\r\n3;x=y\r\nhel\r\n0\r\nt: 1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nExpect: 100-continue\r\n\r\n",
    b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\nabc",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAMAAABk\r\n\r\nPRI",
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


def http2_frames() -> list[bytes]:
    """Frames of HTTP/2 behind the beginning of a connection, such as either side may send."""
    get, ok, more = bytes.fromhex("828684") + b"\x41\x01a", b"\x88", b"\x40\x01x\x01y"

    def frame(kind: int, flags: int, id: int, payload: bytes = b"") -> bytes:
        return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + id.to_bytes(4, "big") + payload

    return [
        frame(1, 5, 1, get) + frame(1, 4, 3, get + more) + frame(0, 0, 3, b"hel") + frame(0, 1, 3, b"lo"),
        frame(1, 4, 1, get) + frame(0, 8, 1, b"\x02body\0\0") + frame(1, 5, 1, b"\x00\x01t\x011"),
        frame(1, 0x2D, 1, b"\x01\0\0\0\0\x10" + get + b"\0") + frame(2, 0, 3, b"\0\0\0\x01\x05"),
        frame(1, 1, 1, get[:2]) + frame(9, 0, 1, get[2:4]) + frame(9, 4, 1, get[4:]),
        frame(4, 0, 0, b"\0\x04\0\0\0\x05\0\x01\0\0\0\0") + frame(4, 1, 0) + frame(6, 0, 0, b"pingpong"),
        frame(1, 4, 1, get) + frame(3, 0, 1, b"\0\0\0\x08") + frame(8, 0, 0, b"\0\0\1\0") + frame(8, 0, 1, b"\0\0\1\0"),
        frame(1, 4, 1, b"\x08\x03103") + frame(1, 4, 1, ok + more) + frame(0, 1, 1, b"body") + frame(1, 5, 3, ok),
        frame(1, 4, 1, ok) + frame(7, 0, 0, b"\0\0\0\1\0\0\0\0bye") + frame(0, 1, 1, b"late"),
    ]


def hpack_stories() -> list[bytes]:
    """What encoders of HTTP/2 say on a connection each, block after block, each behind its length in a byte."""
    told = json.loads((PROTOCOLS / "http2" / "tests" / "data" / "stories.json").read_text())["blocks"]
    stories = [[bytes.fromhex(block) for _, block in story] for encoder in told.values() for story in encoder.values()]
    return [b"".join(bytes([len(block)]) + block for block in story if len(block) < 256) for story in stories]
