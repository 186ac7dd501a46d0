"""A server that is killed while clients are connected, and comes back."""

from __future__ import annotations

from collections.abc import Sequence

from tests.interop.rpc import Call
from tests.interop.rpc_matrix import Matrix
from tests.running import until

HELLO = Call("text", ("hello",), 3000)
VALUE = {"value": "hello"}


def check_restart(peers: Matrix, clients: Sequence[str], server: str, path: str) -> None:
    """Values before, errors while it is away, values after; all clients share the time it is away."""
    running = peers.server(server)
    port = peers.port(server, path)
    for client in clients:
        assert peers.calls(client, port, [HELLO]) == [VALUE], client
    running.kill()
    try:
        for client in clients:
            (result,) = peers.calls(client, port, [HELLO])
            assert "error" in result, client
    finally:
        running.start()
    for client in clients:
        until(lambda client=client: peers.calls(client, port, [HELLO]) == [VALUE], f"{client} is served again")  # type: ignore[misc]
