"""Callers that misuse HTTP/2, on a real connection: the RFC's error, a counter, bounded work; others do not suffer."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from tests.integration.harness import Mesh, Peer, live, until
from tests.integration.http2 import Http2Upstream, Watch, between, dial, echo

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
GET = bytes.fromhex("828684") + b"\x41\x01a"
POST = bytes.fromhex("838684") + b"\x41\x01a"
PROTOCOL_ERROR, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR = 1, 3, 6
COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 9, 11
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
END, END_HEADERS = 1, 4


def frame(kind: int, flags: int, id: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + id.to_bytes(4, "big") + payload


def get(id: int) -> bytes:
    return frame(HEADERS, END | END_HEADERS, id, GET)


def post(id: int) -> bytes:
    return frame(HEADERS, END_HEADERS, id, POST)


def reset(id: int) -> bytes:
    return frame(RST_STREAM, 0, id, (8).to_bytes(4, "big"))


BEGINNING = PREFACE + frame(SETTINGS, 0, 0)
CONTINUED = b"\x00\x01x\x7f\x81\x3e" + b"y" * 8189  # a literal of 8 KiB: what may be said with few frames, and no end

# What is sent, the code of the GOAWAY and the word that is counted.
ABUSES = {
    "rapid reset": (
        b"".join(get(id) + reset(id) for id in range(1, 2001, 2)),
        ENHANCE_YOUR_CALM,
        "too_many_premature_resets",
    ),
    "rapid reset of requests that are broken": (
        b"".join(post(id) + frame(WINDOW_UPDATE, 0, id, bytes(4)) for id in range(1, 2001, 2)),
        ENHANCE_YOUR_CALM,
        "too_many_premature_resets",
    ),
    "many small CONTINUATION": (
        frame(HEADERS, END, 1, GET) + frame(CONTINUATION, 0, 1, b"\x00\x01x\x01y") * 100,
        ENHANCE_YOUR_CALM,
        "header_overflow",
    ),
    "much CONTINUATION": (
        frame(HEADERS, END, 1, GET) + frame(CONTINUATION, 0, 1, CONTINUED) * 30,
        ENHANCE_YOUR_CALM,
        "header_overflow",
    ),
    "empty CONTINUATION": (
        frame(HEADERS, END, 1, GET) + frame(CONTINUATION, 0, 1) * 10,
        ENHANCE_YOUR_CALM,
        "inbound_empty_frames_flood",
    ),
    "empty DATA": (post(1) + frame(DATA, 0, 1) * 10, ENHANCE_YOUR_CALM, "inbound_empty_frames_flood"),
    "padded DATA without data": (
        post(1) + frame(DATA, 8, 1, b"\x05" + bytes(5)) * 10,
        ENHANCE_YOUR_CALM,
        "inbound_empty_frames_flood",
    ),
    "PRIORITY": (
        frame(PRIORITY, 0, 3, bytes(4) + b"\x10") * 1000,
        ENHANCE_YOUR_CALM,
        "inbound_priority_frames_flood",
    ),
    "WINDOW_UPDATE": (
        frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\x01") * 1000,
        ENHANCE_YOUR_CALM,
        "inbound_window_update_frames_flood",
    ),
    "a table of 64 MiB": (frame(HEADERS, 5, 1, b"\x3f\xe1\xff\xff\x1f" + GET), COMPRESSION_ERROR, "compression_error"),
    "a window above the largest": (
        frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff") * 2,
        FLOW_CONTROL_ERROR,
        "flow_control_error",
    ),
    "a frame that is too large": (frame(HEADERS, 5, 1, bytes(16385))[:9], FRAME_SIZE_ERROR, "frame_size_error"),
    "a stream of ours": (get(2), PROTOCOL_ERROR, "protocol_error"),
    "a stream that is past": (get(5) + get(3), PROTOCOL_ERROR, "protocol_error"),
    "data of no stream": (frame(DATA, 0, 1, b"x"), PROTOCOL_ERROR, "protocol_error"),
    "a reset of no stream": (reset(1), PROTOCOL_ERROR, "protocol_error"),
    "a push": (frame(5, 4, 1, bytes(4) + GET), PROTOCOL_ERROR, "protocol_error"),
}


async def frames(peer: Peer) -> list[tuple[int, int, bytes]]:
    """Type, stream and payload of all that comes until the end."""
    found = []
    data = await peer.rest()
    while data:
        size = int.from_bytes(data[:3], "big")
        found.append((data[3], int.from_bytes(data[5:9], "big"), data[9 : 9 + size]))
        data = data[9 + size :]
    return found


async def others_are_served(mesh: Mesh) -> None:
    session = await dial(mesh)
    message = await session.ask(b"GET", b"/other")
    await session.done(message)
    assert (message.status, bytes(message.body)) == (200, b"/other")


@live
@pytest.mark.parametrize("name", ABUSES)
async def test_abuse_ends_the_connection_and_is_counted(name: str) -> None:
    text, code, word = ABUSES[name]
    upstream = Http2Upstream(echo)
    async with between(upstream) as (mesh, _):
        peer = await mesh.connect()
        await peer.send(BEGINNING + text)
        goaways = [payload for kind, _, payload in await frames(peer) if kind == GOAWAY]
        assert [int.from_bytes(payload[4:8], "big") for payload in goaways] == [code]
        assert mesh.counter(f"http.test.http2.{word}") == 1
        assert mesh.counter("http.test.downstream_cx_protocol_error") >= 1
        await others_are_served(mesh)


@live
async def test_rapid_resets_are_not_worked_on_without_end() -> None:
    """CVE-2023-44487: what was begun upstream is given up there too, and the caller does not get to begin much."""
    upstream = Http2Upstream(echo, whole=False)
    watch = Watch()
    async with between(upstream, [watch]) as (mesh, _):
        peer = await mesh.connect()
        await peer.send(BEGINNING)
        with contextlib.suppress(ConnectionError):
            for id in range(1, 20_001, 2):
                await peer.send(get(id) + reset(id))
        await peer.rest()
        assert len(watch.streams) <= 1000
        await until(lambda: not any("rq_active" in name for name in mesh.gauges()), "the end of all work")
        await others_are_served(mesh)


@live
async def test_bomb_of_references_is_answered_and_the_connection_goes_on() -> None:
    entry = b"\x40\x04bomb\x7f\xa1\x1e" + b"x" * 4000  # into the table
    bomb = frame(HEADERS, END | END_HEADERS, 3, GET + b"\xbe" * 10_000)  # 40 MB of fields
    watch = Watch()
    async with between(Http2Upstream(echo), [watch]) as (mesh, _):
        peer = await mesh.connect()
        await peer.send(BEGINNING + frame(HEADERS, END | END_HEADERS, 1, GET + entry) + bomb + get(5))
        await until(lambda: mesh.counter("http.test.downstream_rq_completed") == 3, "three answers")
        assert mesh.counter("http.test.downstream_rq_4xx") == 1
        assert mesh.counter("http.test.http2.header_overflow") == 1
        assert len(watch.streams) == 2
        assert sum(len(value) for stream in watch.streams for _, value in stream.request.headers.raw) < 10_000


@live
@pytest.mark.parametrize("kind", [SETTINGS, PING])
async def test_caller_that_asks_and_never_reads_is_given_up(kind: int) -> None:
    asked = frame(kind, 0, 0, bytes(8) if kind == PING else b"")
    async with between(Http2Upstream(echo)) as (mesh, _):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", mesh.port))
        with contextlib.closing(sock), contextlib.suppress(ConnectionError):
            await loop.sock_sendall(sock, BEGINNING)
            while not mesh.counter("http.test.http2.outbound_control_flood"):
                await loop.sock_sendall(sock, asked * 5000)
        assert mesh.counter("http.test.http2.outbound_control_flood") == 1
        await others_are_served(mesh)
