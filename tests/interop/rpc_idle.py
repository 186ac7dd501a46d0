"""Connections without calls for longer than the heartbeat interval: kept, with every heartbeat answered."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from tests.interop.relay import Relay, Split, relay
from tests.interop.rpc import Call
from tests.interop.rpc_matrix import Matrix
from tests.interop.rpc_peers import HEARTBEAT_MS
from tests.running import until

HELLO = Call("text", ("hello",))


class Idle:
    """The relays that were between clients and what they called, by client, server and path."""

    def __init__(self, split: Split) -> None:
        self.split = split
        self.relays: dict[tuple[str, str, str], Relay] = {}
        self.after: dict[tuple[str, str, str], dict[str, object]] = {}

    def check(self, client: str, server: str, path: str) -> None:
        """Two heartbeats at least, all answered, and no other connection for the call after them."""
        found = self.relays[client, server, path]
        assert self.after[client, server, path] == {"value": "hello"}
        assert len(found.connections) == 1
        (connection,) = found.connections

        def asked() -> list[int]:
            return [frame.id for frame in self.split(bytes(connection.requests)) if frame.heartbeat and frame.request]

        def answered() -> list[int]:
            frames = self.split(bytes(connection.responses))
            return [frame.id for frame in frames if frame.heartbeat and not frame.request]

        assert len(asked()) >= 2
        until(lambda: answered() == asked(), "every heartbeat is answered, in order")


@contextmanager
def idle(
    peers: Matrix, clients: Sequence[str], servers: Sequence[str], paths: Sequence[str], split: Split
) -> Iterator[Idle]:
    """All of them at once: a call, a time without, and a call."""
    found = Idle(split)
    with ExitStack() as stack:
        for server in servers:
            peers.server(server)
            for client in clients:
                for path in paths:
                    between = stack.enter_context(relay(peers.port(server, path)))
                    found.relays[client, server, path] = between
                    (result,) = peers.calls(client, between.port, [HELLO])
                    assert result == {"value": "hello"}, (client, server, path)
        time.sleep(3.5 * HEARTBEAT_MS / 1000)
        for (client, server, path), between in found.relays.items():
            (found.after[client, server, path],) = peers.calls(client, between.port, [HELLO])
        yield found
