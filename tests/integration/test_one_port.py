"""One listener carries HTTP/1.1, HTTP/2, Bolt v1 and v2, Dubbo, TLS and anything else, told apart per connection."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trustme

from plait import Headers, Request, Response
from plait.testing import RunningPlane, on_every_loop
from plait_protocol_http2 import Http2Client

ROOT = Path(__file__).parents[2]
BOLT = json.loads((ROOT / "plugins/protocols/bolt/tests/frames.json").read_text())
DUBBO = dict(
    line.split() for line in (ROOT / "plugins/protocols/dubbo/tests/frames.txt").read_text().splitlines()
    if line.startswith("java31_hello_")
)  # fmt: skip

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

CONFIG = (Path(__file__).parent / "configs" / "one_port.yaml").read_text()
PORTS = {"bolt": "18001", "dubbo": "18002", "tcp": "18003"}


def config(ports: dict[str, int], certificate: Path, key: Path) -> str:
    text = CONFIG.replace("chain.pem", str(certificate)).replace("key.pem", str(key))
    for name, port in ports.items():
        text = text.replace(PORTS[name], str(port))
    return text


def answering(request: bytes, response: bytes, id_at: int, id_bytes: int) -> Handler:
    """Answers each frame of the length of ``request`` with ``response`` under its id."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                frame = await reader.readexactly(len(request))
                id = frame[id_at : id_at + id_bytes]
                writer.write(response[:id_at] + id + response[id_at + id_bytes :])
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    return handle


def bolt_server(calls: dict[str, list[bytes]]) -> Handler:
    """Answers v1 in v1 and v2 in v2."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while version := await reader.read(1):
                request, response = calls["node_v1" if version == b"\x01" else "node_v2ver1"]
                at = 5 if version == b"\x01" else 6
                frame = version + await reader.readexactly(len(request) - 1)
                writer.write(response[:at] + frame[at : at + 4] + response[at + 4 :])
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()

    return handle


async def greeting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Speaks first, as databases do, and then repeats what it hears."""
    writer.write(b"hello ")
    while data := await reader.read(100):
        writer.write(data)
    writer.close()


async def h2_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """The body of one answer to ``GET /`` over HTTP/2."""
    codec = Http2Client()
    id = codec.next_id()
    frame = codec.encode_request(Request(Headers([]), id, b"GET", b"/", b"one.example"), id)
    writer.write(b"".join(codec.output) + frame)
    codec.output.clear()
    body = b""
    while True:
        for event in codec.feed(await reader.read(1 << 16)):
            body += getattr(event, "body", b"") or getattr(event, "data", b"")
            if isinstance(event, Response):
                assert event.status == 200
            if getattr(event, "end", False):
                return body
        writer.write(b"".join(codec.output))
        codec.output.clear()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@on_every_loop
async def test_one_port_carries_whatever_comes(tmp_path: Path, authority: trustme.CA) -> None:
    issued = authority.issue_cert("one.example")
    certificate, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(str(certificate))
    issued.private_key_pem.write_to_path(str(key))
    bolt = {name: [bytes.fromhex(frame) for frame in BOLT[name]["frames"]] for name in ("node_v1", "node_v2ver1")}
    dubbo = [bytes.fromhex(DUBBO["java31_hello_request"]), bytes.fromhex(DUBBO["java31_hello_response"])]
    servers = {
        "bolt": await asyncio.start_server(bolt_server(bolt), "127.0.0.1", 0),
        "dubbo": await asyncio.start_server(answering(dubbo[0], dubbo[1], 4, 8), "127.0.0.1", 0),
        "tcp": await asyncio.start_server(greeting, "127.0.0.1", 0),
    }
    ports = {name: server.sockets[0].getsockname()[1] for name, server in servers.items()}
    try:
        async with RunningPlane.of(config(ports, certificate, key)) as running:
            host, port = running.address("any")

            reader, writer = await asyncio.open_connection(host, port)
            writer.write(b"GET / HTTP/1.1\r\nhost: one.example\r\nconnection: close\r\n\r\n")
            assert (await reader.read()).endswith(b"\r\n\r\nplain")
            writer.close()

            reader, writer = await asyncio.open_connection(host, port)
            assert await h2_answer(reader, writer) == b"plain"
            writer.close()

            for version in ("node_v1", "node_v2ver1"):
                request, response = bolt[version]
                reader, writer = await asyncio.open_connection(host, port)
                writer.write(request)
                assert await reader.readexactly(len(response)) == response
                writer.close()

            reader, writer = await asyncio.open_connection(host, port)
            writer.write(dubbo[0])
            assert await reader.readexactly(len(dubbo[1])) == dubbo[1]
            writer.close()

            for alpn in ("h2", "http/1.1"):
                context = ssl.create_default_context()
                authority.configure_trust(context)
                context.set_alpn_protocols([alpn])
                reader, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname="one.example")
                assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == alpn
                if alpn == "h2":
                    assert await h2_answer(reader, writer) == b"secure"
                else:
                    writer.write(b"GET / HTTP/1.1\r\nhost: one.example\r\n\r\n")
                    assert (await reader.readuntil(b"secure")).startswith(b"HTTP/1.1 200 OK\r\n")
                writer.close()

            reader, writer = await asyncio.open_connection(host, port)
            writer.write(b"\x00something else")
            assert await reader.readexactly(21) == b"hello \x00something else"
            writer.close()

            reader, writer = await asyncio.open_connection(host, port)  # and one that waits for the server
            assert await reader.readexactly(6) == b"hello "
            writer.close()
            assert running.counter("http.web.downstream_cx_total") == 4
            assert running.counter("generic_proxy.bolt.downstream_rq_total") == 2
            assert running.counter("generic_proxy.dubbo.downstream_rq_total") == 1
            assert running.counter("tcp.rest.downstream_cx_total") == 2
    finally:
        for server in servers.values():
            server.close()
