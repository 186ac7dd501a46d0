"""Connections without calls for longer than the heartbeat interval: kept, with every heartbeat answered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from tests.interop.relay import Recorded, Relay, Split, relay
from tests.interop.rpc import Call
from tests.interop.rpc_matrix import Matrix
from tests.running import until

HELLO = Call("text", ("hello",))


class Idle:
    """The relays that were between clients and what they called, by client, server and path."""

    def __init__(self, split: Split) -> None:
        self.split = split
        self.relays: dict[tuple[str, str, str], Relay] = {}
        self.after: dict[tuple[str, str, str], dict[str, object]] = {}

    def asked(self, connection: Recorded) -> list[int]:
        """The ids of the client's heartbeats."""
        return [frame.id for frame in self.split(bytes(connection.requests)) if frame.heartbeat and frame.request]

    def answered(self, connection: Recorded) -> list[int]:
        """The ids of the answers to them."""
        frames = self.split(bytes(connection.responses))
        return [frame.id for frame in frames if frame.heartbeat and not frame.request]

    def beaten(self) -> bool:
        """Whether every client sent two heartbeats."""
        connections = [connection for found in self.relays.values() for connection in found.connections]
        return all(len(self.asked(connection)) >= 2 for connection in connections)

    def check(self, client: str, server: str, path: str) -> None:
        """Two heartbeats at least, all answered, and no other connection for the call after them."""
        found = self.relays[client, server, path]
        assert self.after[client, server, path] == {"value": "hello"}
        assert len(found.connections) == 1
        (connection,) = found.connections
        assert len(self.asked(connection)) >= 2
        until(lambda: self.answered(connection) == self.asked(connection), "every heartbeat is answered, in order")


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
        try:
            until(found.beaten, "two heartbeats of every client")
        except AssertionError:
            pass  # the tests say whose are missing
        for (client, server, path), between in found.relays.items():
            (found.after[client, server, path],) = peers.calls(client, between.port, [HELLO])
        yield found
