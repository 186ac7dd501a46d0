"""How much memory a sidecar of its own takes for calls and answers that are far longer than it may hold.

What both ends hold is not counted: they are here, the sidecar is another process, and Linux says its high-water mark.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Self

import pytest

from tests.integration.harness import Json, Peer, cluster, live
from tests.integration.test_dubbo_proxy import dubbo, interface
from tests.integration.test_rpc_attributes import logging, mixer
from tests.integration.wire import WIRES, Wire, everything, generic, route_action
from tests.running import Program, free_ports, running

BOLT, DUBBO = WIRES
LARGE_BYTES = 48 << 20
CALLS = 3
GROWS_AT_MOST = 24 << 20
"""For 3 calls of 48 MB at once in each direction: some reads, what waits for slow peers, what Python keeps."""

WAYS = {"bolt": BOLT, "dubbo": DUBBO, "dubbo_proxy": DUBBO}


def high_water(program: Program) -> int:
    """The most memory that the process had so far."""
    status = Path(f"/proc/{program.process.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) << 10


def configuration(way: str, port: int, upstream: int, log: Path) -> Json:
    """A sidecar whose filters look at every call, and at no body."""
    if way == "dubbo_proxy":
        config = dubbo([cluster("up", upstream)], interface("*", {"match": {}, "route": {"cluster": "up"}}))
    else:
        kind = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault"
        fault = {"@type": kind, "headers": [{"name": "nobody"}], "abort": {"http_status": 503, "percentage": {}}}
        filters = [{"name": "envoy.filters.http.fault", "typed_config": fault}, mixer('request.headers["user"] == "x"')]
        action = route_action("up", timeout="60s", retry_policy={"retry_on": "reset,5xx", "num_retries": 2})
        config = generic(WAYS[way], everything(action), [cluster("up", upstream)], filters)
        config = logging(config, log, {"method": "%METHOD%"})
    (listener,) = config["static_resources"]["listeners"]
    listener["address"]["socket_address"]["port_value"] = port
    return config


def piecewise(wire: Wire, frame: bytes) -> tuple[bytes, int]:
    """A frame of a call or answer without content as the beginning of one with that much more, and how much that is."""
    if wire is BOLT:
        at = 18 if frame[1] else 16
        return frame[:at] + LARGE_BYTES.to_bytes(4, "big") + frame[at + 4 :], LARGE_BYTES
    body = len(frame) - 16
    return frame[:12] + (body + LARGE_BYTES).to_bytes(4, "big") + frame[16:], LARGE_BYTES


class Echo:
    """Takes calls of any length and answers as long; counts bytes and keeps none."""

    def __init__(self, wire: Wire, port: int) -> None:
        self.wire = wire
        self.taken = 0
        self._port = port
        self._peers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._peers:
            writer.close()
        await asyncio.sleep(0.05)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        self._peers.append(writer)
        try:
            while True:
                id, length = await taken(self.wire, peer)
                self.taken += length
                await send(self.wire, peer, self.wire.answer(id), length >= LARGE_BYTES)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


async def taken(wire: Wire, peer: Peer) -> tuple[int, int]:
    """The id of the next message, whose bytes are read and dropped, and how many there were."""
    if wire is BOLT:
        start = await peer.exactly(2)
        head = start + await peer.exactly(18 if not start[1] else 20)
        id, at = int.from_bytes(head[5:9], "big"), 16 if not start[1] else 18
        length = int.from_bytes(head[at : at + 4], "big")
        length += sum(int.from_bytes(head[one : one + 2], "big") for one in (at - 4, at - 2))
    else:
        head = await peer.exactly(16)
        id, length = int.from_bytes(head[4:12], "big"), int.from_bytes(head[12:], "big")
    left = length
    while left:
        piece = await peer.reader.read(min(left, 1 << 16))
        if not piece:
            raise asyncio.IncompleteReadError(b"", left)
        left -= len(piece)
    return id, length


async def send(wire: Wire, peer: Peer, frame: bytes, large: bool) -> None:
    if not large:
        await peer.send(frame)
        return
    head, left = piecewise(wire, frame)
    await peer.send(head)
    piece = bytes(1 << 16)
    for _ in range(left >> 16):
        peer.writer.write(piece)
        await peer.writer.drain()


async def exchange(wire: Wire, port: int, large: bool) -> int:
    """One call and its answer over a connection of its own; how long the answer was."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    peer = Peer(reader, writer)
    async with asyncio.TaskGroup() as group:
        group.create_task(send(wire, peer, wire.call(7), large))
        id, length = await taken(wire, peer)
    assert id == 7
    writer.close()
    return length


@live
async def measure(wire: Wire, program: Program, port: int, upstream: int) -> None:
    async with Echo(wire, upstream) as echo:
        for _ in range(10):
            await exchange(wire, port, False)
        before, small = high_water(program), echo.taken
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(exchange(wire, port, True)) for _ in range(CALLS)]
        assert min(call.result() for call in calls) >= LARGE_BYTES
        assert echo.taken - small >= CALLS * LARGE_BYTES
        grown = high_water(program) - before
        assert grown < GROWS_AT_MOST, f"{grown >> 20} MB more for {CALLS} calls of {LARGE_BYTES >> 20} MB"


@pytest.mark.parametrize("way", WAYS)
def test_long_calls_and_answers_take_little_memory(way: str, tmp_path: Path) -> None:
    port, upstream = free_ports(2)
    config = tmp_path / "sidecar.json"
    config.write_text(json.dumps(configuration(way, port, upstream, tmp_path / "access.log")))
    command = [sys.executable, "-m", "plait", "run", "--concurrency", "0", "-c", str(config)]
    with running(command, tmp_path, port) as program:
        measure(WAYS[way], program, port, upstream)
