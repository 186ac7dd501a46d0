"""Servers of Triple, sidecars before them, and what clients were told on each way to a server.

The last sidecar before the servers in Java routes by interface, method, version and the caller's name.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.interop.http2_sidecars import bootstrap, cluster, listener, manager
from tests.interop.peers import proxy
from tests.interop.rpc_peers import command
from tests.running import free_ports, running

FACE = "/plait.interop.Triple"
WAYS = ("one sidecar", "two sidecars")
_DIRECT = "direct"

# A server's program and its arguments before and behind the port. ``second`` is where routes lead to.
_SERVERS: dict[str, tuple[str, str, list[str]]] = {
    "java": ("java triple", "server", ["first"]),
    "second": ("java triple", "server", ["second"]),
    "go": ("go dubbo-peer", "triple-server", []),
    "python": ("python triple triple", "server", []),
}
_CLIENTS = {
    "java": ("java triple", "client"),
    "go": ("go dubbo-peer", "triple-client"),
    "python": ("python triple triple", "client"),
    "python streams": ("python triple triple", "streams"),
}
_LOG = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
_LINE = (
    "%REQ(:PATH)% %REQ(:METHOD)% %PROTOCOL% %UPSTREAM_CLUSTER% %RESPONSE_CODE% version=%REQ(TRI-SERVICE-VERSION)% "
    "group=%REQ(TRI-SERVICE-GROUP)% type=%REQ(CONTENT-TYPE)% grpc=%TRAILER(GRPC-STATUS)%\n"
)


class Mesh:
    """The ports where the ways to the servers begin, and what the clients told."""

    def __init__(self, directory: Path, callers: dict[str, list[str]]) -> None:
        self.ports: dict[tuple[str, str], int] = {}
        self._directory = directory
        self._callers = callers
        self._told: dict[str, list[dict[str, Any]]] = {}

    @property
    def log(self) -> Path:
        """The access log of the one sidecar before the servers in Java."""
        return self._directory / "access.log"

    def told(self, client: str, server: str, way: str = _DIRECT) -> dict[str, str]:
        """What a client told, by case: a value, or ``error:`` and its class and words."""
        if client not in self._told:
            program, argument = _CLIENTS[client]
            ports = [str(port) for (of, _), port in self.ports.items() if of in self._callers[client]]
            arguments = [*command(program), argument, *ports]
            done = subprocess.run(arguments, capture_output=True, check=False, timeout=100, cwd=self._directory)
            assert done.returncode == 0, f"{client} ended with {done.returncode}: {done.stderr.decode()[-2000:]}"
            self._told[client] = [json.loads(line) for line in done.stdout.splitlines() if line.startswith(b"{")]
        port = self.ports[server, way]
        return {
            one["case"]: one["value"] if "value" in one else f"error: {one['error']}"
            for one in self._told[client]
            if one["port"] == port
        }


class _Sidecar:
    def __init__(self, name: str) -> None:
        self.name = name
        self.ports: list[int] = []
        self._listeners: list[dict[str, Any]] = []
        self._clusters: dict[str, dict[str, Any]] = {}

    def add(self, port: int, routes: list[dict[str, Any]], clusters: dict[str, int], **options: Any) -> None:
        """A listener; ``clusters`` are the ports of those that its routes lead to."""
        name = f"{self.name}-{port}"
        self.ports.append(port)
        self._listeners.append(listener(name, port, manager(name, routes, **options)))
        self._clusters.update({of: cluster(of, upstream, 2) for of, upstream in clusters.items()})

    def start(self, stack: ExitStack, directory: Path) -> None:
        (admin,) = free_ports(1)
        text = bootstrap(admin, self._listeners, list(self._clusters.values()))
        stack.enter_context(proxy("plait", text, directory / self.name, admin, *self.ports))


def _everything(to: str) -> list[dict[str, Any]]:
    return [{"match": {"prefix": "/"}, "route": {"cluster": to}}]


def _java_routes() -> list[dict[str, Any]]:
    """By method, by version, by interface, by the caller's name; other interfaces are unknown."""
    version = {"name": "tri-service-version", "string_match": {"exact": "2.0"}}
    hurried = {"name": "tri-consumer-appname", "string_match": {"exact": "hurried"}}
    own_deadline = {"cluster": "java", "max_stream_duration": {"grpc_timeout_header_max": "10s"}}
    return [
        {"match": {"path": f"{FACE}/elsewhere"}, "route": {"cluster": "second"}},
        {"match": {"prefix": f"{FACE}/", "headers": [version]}, "route": {"cluster": "second"}},
        {"match": {"prefix": f"{FACE}Other/"}, "route": {"cluster": "second"}},
        {"match": {"prefix": f"{FACE}/", "headers": [hurried]}, "route": own_deadline},
        {"match": {"prefix": f"{FACE}/"}, "route": {"cluster": "java"}},
        {"match": {"prefix": f"{FACE}Wrapped/"}, "route": {"cluster": "java"}},
    ]


def _start_servers(stack: ExitStack, directory: Path, names: list[str]) -> list[int]:
    ports = free_ports(len(names))
    programs = []
    for name, port in zip(names, ports, strict=True):
        program, argument, more = _SERVERS[name]
        programs.append(stack.enter_context(running([*command(program), argument, str(port), *more], directory)))
    for name, started in zip(names, programs, strict=True):
        started.wait_until(lambda started=started: "ready" in started.output, f"{name} is ready")  # type: ignore[misc]
    return list(ports)


@contextmanager
def triple_mesh(directory: Path, callers: dict[str, list[str]]) -> Iterator[Mesh]:
    """``callers`` are the servers that each client calls, on every way."""
    mesh = Mesh(directory, callers)
    near, far = _Sidecar("near"), _Sidecar("far")
    with ExitStack() as stack:
        # apache-dubbo's server answers on its newest connection only, so that each way has a server of its own.
        java, second, go, *python = _start_servers(stack, directory, ["java", "second", "go", *["python"] * 3])
        targets = {"java": [java] * 3, "go": [go] * 3, "python": python}
        for name, (direct, behind_one, behind_two) in targets.items():
            one, two, inner = free_ports(3)
            mesh.ports.update({(name, _DIRECT): direct, (name, WAYS[0]): one, (name, WAYS[1]): two})
            routes, options = _everything(name), {}
            others = {"second": second} if name == "java" else {}
            if name == "java":
                routes = _java_routes()
                file = {
                    "@type": _LOG,
                    "path": str(mesh.log),
                    "log_format": {"text_format_source": {"inline_string": _LINE}},
                }
                options = {"access_log": [{"name": "file", "typed_config": file}]}
            near.add(one, routes, {name: behind_one, **others}, **options)
            near.add(two, _everything(f"far-{name}"), {f"far-{name}": inner})
            far.add(inner, routes, {name: behind_two, **others})
        far.start(stack, directory)
        near.start(stack, directory)
        yield mesh
