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
