"""Clients and servers of one RPC protocol and the sidecars between them, each process running as long as its tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.interop.peers import proxy
from tests.interop.rpc import Call, Client, Server
from tests.interop.rpc_cases import Case, comparable
from tests.interop.rpc_peers import Peer, command, environment
from tests.interop.rpc_sidecars import Sidecar
from tests.running import free_ports

Proxy = Callable[[str], dict[str, Any]]
DIRECT = "direct"


class Matrix:
    """``paths`` names, for each way through sidecars, the filters of those in the order a request meets them."""

    def __init__(
        self,
        stack: ExitStack,
        directory: Path,
        clients: Mapping[str, Peer],
        servers: Mapping[str, Peer],
        paths: Mapping[str, Sequence[Proxy]],
    ) -> None:
        # Clients go first: a sidecar waits for connections that are open.
        self._stack = stack
        self._client_stack = ExitStack()
        self._directory = directory
        self._peers = clients
        self._programs = {name: peer.program for name, peer in servers.items()}
        # All at once: ports that nobody listens on yet could be found twice.
        hops = max(map(len, paths.values()))
        self._free = iter(free_ports(len(servers) * (1 + sum(map(len, paths.values()))) + hops))
        self._server_ports = {name: next(self._free) for name in servers}
        self._paths = paths
        self._ports: dict[tuple[str, str], int] = {}
        self._clients: dict[str, Client] = {}
        self._servers: dict[str, Server] = {}
        self._results: dict[tuple[str, str, str], Any] = {}

    def server(self, name: str) -> Server:
        """The running server, started when it is first asked for."""
        if name not in self._servers:
            port = self._server_ports[name]
            directory = self._directory / f"server-{name}"
            directory.mkdir()
            started = Server([*command(self._programs[name]), "server", str(port)], directory, port, environment())
            self._stack.callback(started.kill)
            started.start()
            self._servers[name] = started
        return self._servers[name]

    def client(self, name: str) -> Client:
        """The running client; names of one program share a process."""
        program = self._peers[name].program
        if program not in self._clients:
            directory = self._directory / f"client-{name}"
            directory.mkdir()
            started = Client([*command(program), "client"], directory, environment())
            self._client_stack.callback(started.stop)
            started.wait_until_ready()
            self._clients[program] = started
        return self._clients[program]

    def port(self, server: str, path: str) -> int:
        """Where a client reaches a server on a path."""
        return self._server_ports[server] if path == DIRECT else self._ports[server, path]

    def start_sidecars(self) -> None:
        """One sidecar for each hop, with a listener for each server and path."""
        hops = [Sidecar() for _ in range(max(map(len, self._paths.values())))]
        for server, upstream in self._server_ports.items():
            for path, proxies in self._paths.items():
                target = upstream
                # From the server's side: a path of one sidecar has only that one.
                for hop, make in zip(reversed(hops), reversed(proxies), strict=False):
                    port = next(self._free)
                    name = f"{server} {path} {hops.index(hop)}".replace(" ", "_")
                    hop.add(name, port, make(name), target)
                    target = port
                self._ports[server, path] = target
        for number, hop in enumerate(hops):
            config = hop.config(next(self._free))
            self._stack.enter_context(proxy("plait", config, self._directory / f"sidecar-{number}", *hop.ports))

    def stop_clients(self) -> None:
        """End all clients, so that no connection is open any more."""
        self._client_stack.close()

    def calls(self, client: str, port: int, calls: Sequence[Call]) -> list[dict[str, Any]]:
        """Results of calls to a port, in the client's variant."""
        return self.client(client).calls(port, calls, self._peers[client].variant)

    def result(self, client: str, server: str, path: str, case: Case) -> Any:
        """What the client gets in a case, comparable; directly it is asked for once."""
        key = (client, server, case.name)
        if path == DIRECT and key in self._results:
            return self._results[key]
        self.server(server)
        port = self.port(server, path)
        result = comparable(case.ask(lambda calls: self.calls(client, port, calls)))
        if path == DIRECT:
            self._results[key] = result
        return result


@contextmanager
def matrix(
    directory: Path,
    clients: Mapping[str, Peer],
    servers: Mapping[str, Peer],
    paths: Mapping[str, Sequence[Proxy]],
) -> Iterator[Matrix]:
    """A matrix whose processes end with the block."""
    with ExitStack() as stack:
        found = Matrix(stack, directory, clients, servers, paths)
        found.start_sidecars()
        try:
            yield found
        finally:
            found.stop_clients()
