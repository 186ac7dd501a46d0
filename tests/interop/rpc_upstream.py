"""Connections of a sidecar's own to servers: kept over idle time with heartbeats that the servers answer."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from tests.interop.peers import proxy
from tests.interop.relay import Recorded, Relay, Split, relay
from tests.interop.rpc import Call
from tests.interop.rpc_matrix import Matrix, Proxy
from tests.interop.rpc_sidecars import Sidecar
from tests.running import free_ports, until

HELLO = Call("text", ("hello",))
VALUE = {"value": "hello"}


def heartbeats(connection: Recorded, split: Split) -> tuple[int, int]:
    """How many were sent to the server, and how many it answered."""
    asked = sum(frame.heartbeat and frame.request for frame in split(bytes(connection.requests)))
    answered = sum(frame.heartbeat and not frame.request for frame in split(bytes(connection.responses)))
    return asked, answered


def check_upstream_heartbeats(
    peers: Matrix, client: str, servers: Iterable[str], make: Proxy, protocol: str, directory: Path, split: Split
) -> None:
    """Relays behind a sidecar see heartbeats after a call, their answers, and the next call where the first was."""
    sidecar = Sidecar()
    with ExitStack() as stack:
        behind: dict[str, tuple[int, Relay]] = {}
        names = list(servers)
        *ports, admin = free_ports(len(names) + 1)
        for server, port in zip(names, ports, strict=True):
            between = stack.enter_context(relay(peers.server(server).port))
            options = {protocol: {"heartbeat_s": 1, "heartbeat_timeout_s": 1}}
            sidecar.add(server, port, make(server), between.port, options)
            behind[server] = (port, between)
        stack.enter_context(proxy("plait", sidecar.config(admin), directory, *sidecar.ports))
        for server, (port, _) in behind.items():
            assert peers.calls(client, port, [HELLO]) == [VALUE], server
        for server, (port, between) in behind.items():
            (connection,) = between.connections
            until(lambda it=connection: min(heartbeats(it, split)) >= 2, f"{server} answers two heartbeats")  # type: ignore[misc]
            assert peers.calls(client, port, [HELLO]) == [VALUE], server
            assert len(between.connections) == 1, server
