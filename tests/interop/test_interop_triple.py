"""Triple (Dubbo 3) between Java, Go and Python through sidecars, which route by what it says of each call."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.interop.http2_sidecars import bootstrap, cluster, listener, manager
from tests.interop.peers import proxy, tool
from tests.interop.rpc_peers import command
from tests.running import free_ports, running

pytestmark = pytest.mark.timeout(150)

FACE = "/plait.interop.Triple"
_LOG = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
_LINE = (
    "%REQ(:PATH)% %REQ(:METHOD)% %PROTOCOL% %UPSTREAM_CLUSTER% %RESPONSE_CODE% version=%REQ(TRI-SERVICE-VERSION)% "
    "group=%REQ(TRI-SERVICE-GROUP)% type=%REQ(CONTENT-TYPE)% grpc=%TRAILER(GRPC-STATUS)%\n"
)

PROGRAMS = {
    "java": ("java triple", "server", "client"),
    "go": ("go dubbo-peer", "triple-server", "triple-client"),
    "python": ("python triple triple", "server", "client"),
}
WAYS = ["one sidecar", "two sidecars"]

_PROTOBUF = {"protobuf": "ä", "protobuf large": "true"}
_STREAMS = {"server streaming": "0,1,2", "bidirectional": "echo a,echo b"}
_HESSIAN = {"hessian": "ä", "hessian large": "true", "hessian object": "Ann 35", "version and group": "b"}
# What works without any proxy between them. dubbo-go frames its unary calls otherwise than gRPC does, and what
# apache-dubbo's server and client do with streams and with each other's errors depends on how their bytes are cut.
EXPECTED = {
    ("java", "java"): {**_HESSIAN, **_PROTOBUF, **_STREAMS},
    ("java", "go"): {**_PROTOBUF, **_STREAMS},
    ("java", "python"): _PROTOBUF,
    ("go", "java"): {**_PROTOBUF, **_STREAMS},
    ("go", "go"): {**_PROTOBUF, **_STREAMS},
    ("python", "java"): {"bidirectional": "echo a,echo b"},
    ("python", "python"): _PROTOBUF,
}


class Mesh:
    """Servers, and the ports of the ways to them by name: ``direct``, ``one sidecar``, ``two sidecars``."""

    def __init__(self) -> None:
        self.ports: dict[tuple[str, str], int] = {}
        self.logs: dict[str, Path] = {}
        self.told: dict[str, list[dict[str, Any]]] = {}
        self.directory: Path

    def lines(self, server: str) -> list[str]:
        """What the nearer sidecar logged of the calls to a server."""
        return self.logs[server].read_text().splitlines()

    def results(self, client: str, server: str, way: str) -> dict[str, Any]:
        """What a client told, by case: a value, or None for an error."""
        if client not in self.told:
            program, _, argument = PROGRAMS[client]
            ports = [str(port) for (of, _), port in self.ports.items() if (client, of) in EXPECTED]
            arguments = [*command(program), argument, *ports]
            done = subprocess.run(arguments, capture_output=True, check=True, timeout=100, cwd=self.directory)
            self.told[client] = [json.loads(line) for line in done.stdout.splitlines() if line.startswith(b"{")]
        port = self.ports[server, way]
        return {one["case"]: one.get("value") for one in self.told[client] if one["port"] == port}

    def errors(self, client: str, server: str, way: str) -> dict[str, str]:
        """The messages of the errors."""
        self.results(client, server, way)
        port = self.ports[server, way]
        return {one["case"]: one["error"] for one in self.told[client] if one["port"] == port and "error" in one}


def near_manager(server: str, log: Path) -> dict[str, Any]:
    """Routes by method, by group and by interface; everything else is unknown."""
    file = {"@type": _LOG, "path": str(log), "log_format": {"text_format_source": {"inline_string": _LINE}}}
    group = {"name": "tri-service-group", "string_match": {"exact": "blue"}}
    routes: list[dict[str, Any]] = [
        {"match": {"path": f"{FACE}/echo"}, "route": {"cluster": f"{server}-method"}},
        {"match": {"prefix": f"{FACE}/", "headers": [group]}, "route": {"cluster": f"{server}-group"}},
        {"match": {"prefix": f"{FACE}/"}, "route": {"cluster": f"{server}-interface"}},
    ]
    return manager(f"near-{server}", routes, access_log=[{"name": "file", "typed_config": file}])


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    made = Mesh()
    directory = made.directory = tmp_path_factory.mktemp("triple")
    commands = {name: [*command(program), argument] for name, (program, argument, _) in PROGRAMS.items()}
    with ExitStack() as stack:
        servers = {}
        for name, start in commands.items():
            (servers[name],) = free_ports(1)
            program = stack.enter_context(running([*start, str(servers[name])], directory, servers[name]))
            program.wait_until(lambda program=program: "ready" in program.output, f"{name} is ready")  # type: ignore[misc]
        near: list[dict[str, Any]] = []
        far: list[dict[str, Any]] = []
        near_clusters: list[dict[str, Any]] = []
        far_clusters: list[dict[str, Any]] = []
        listening: dict[str, list[int]] = {"near": [], "far": []}
        for name, port in servers.items():
            one, two, inner = free_ports(3)
            made.ports[name, "direct"] = port
            made.ports[name, "one sidecar"], made.ports[name, "two sidecars"] = one, two
            made.logs[name] = directory / f"{name}.log"
            near.append(listener(f"one-{name}", one, near_manager(name, made.logs[name])))
            near_clusters += [cluster(f"{name}-{what}", port, 2) for what in ("method", "group", "interface")]
            everything = {"match": {"prefix": "/"}, "route": {"cluster": f"far-{name}"}}
            near.append(listener(f"two-{name}", two, manager(f"two-{name}", [everything])))
            near_clusters.append(cluster(f"far-{name}", inner, 2))
            far.append(listener(f"in-{name}", inner, manager(f"in-{name}", [everything])))
            far_clusters.append(cluster(f"far-{name}", port, 2))
            listening["near"] += [one, two]
            listening["far"].append(inner)
        for name, listeners, clusters in (("far", far, far_clusters), ("near", near, near_clusters)):
            (admin,) = free_ports(1)
            text = bootstrap(admin, listeners, clusters)
            stack.enter_context(proxy("plait", text, directory / name, admin, *listening[name]))
        yield made


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("client", "server"), list(EXPECTED))
def test_calls_pass_as_they_pass_directly(mesh: Mesh, client: str, server: str, way: str) -> None:
    expected = EXPECTED[client, server]
    for passed in ("direct", way):
        results = mesh.results(client, server, passed)
        assert {case: results[case] for case in expected} == expected


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("client", "server", "case", "message"),
    [
        ("java", "java", "hessian error", "refused: no"),
        ("go", "go", "protobuf error", "failed_precondition: refused: no"),
        ("python", "python", "protobuf error", "INTERNAL Invoke method failed: refused: no"),
        ("java", "python", "hessian", "UNIMPLEMENTED"),
        ("java", "go", "version and group", "UNIMPLEMENTED"),
    ],
)
def test_errors_pass_with_their_words(mesh: Mesh, client: str, server: str, case: str, message: str, way: str) -> None:
    assert message in mesh.errors(client, server, way)[case]


def test_calls_are_routed_by_interface_method_and_group(mesh: Mesh) -> None:
    mesh.results("java", "java", "one sidecar")
    lines = mesh.lines("java")
    clusters: dict[str, set[str]] = {}
    for line in lines:
        path, _, _, chosen, *_ = line.split(" ")
        clusters.setdefault(path, set()).add(chosen)
    assert clusters[f"{FACE}/echo"] == {"java-method"}
    assert clusters[f"{FACE}/text"] == {"java-interface", "java-group"}
    assert clusters[f"{FACE}/count"] == clusters[f"{FACE}/talk"] == {"java-interface"}


def test_access_log_shows_what_triple_says_of_a_call(mesh: Mesh) -> None:
    mesh.results("java", "java", "one sidecar")
    (blue,) = [line for line in mesh.lines("java") if "java-group" in line]
    assert re.fullmatch(
        rf"{FACE}/text POST HTTP/2 java-group 200 version=2\.0 group=blue type=application/grpc\S* grpc=0", blue
    )
    plain = next(line for line in mesh.lines("java") if "java-method" in line)
    assert "version=- group=- type=application/grpc" in plain
    mesh.results("go", "java", "one sidecar")
    assert any("type=application/proto " in line for line in mesh.lines("java"))


@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
@pytest.mark.parametrize("way", WAYS)
def test_json_form_passes_over_either_http(mesh: Mesh, way: str, version: str) -> None:
    def say(port: int, method: str, *arguments: object) -> tuple[int, str]:
        url = f"http://127.0.0.1:{port}{FACE}/{method}"
        ask = ["-H", "content-type: application/json", "-d", json.dumps(arguments), "-w", "\n%{http_code}", url]
        done = subprocess.run([tool("curl"), "-sS", version, *ask], capture_output=True, check=True, timeout=30)
        body, _, status = done.stdout.decode().rpartition("\n")
        return int(status), body

    direct, through = mesh.ports["java", "direct"], mesh.ports["java", way]
    assert say(through, "text", "ä") == (200, '"ä"')
    status, body = say(through, "older", {"name": "Ann", "age": 30, "tags": ["a"]}, 5)
    assert (status, json.loads(body)) == (200, {"name": "Ann", "age": 35, "tags": ["a"]})
    assert say(through, "fail", "no")[0] == say(direct, "fail", "no")[0] == 500
    assert say(through, "missing")[0] == say(direct, "missing")[0] == 404


def test_unknown_interfaces_are_not_found(mesh: Mesh) -> None:
    url = f"http://127.0.0.1:{mesh.ports['java', 'one sidecar']}/other.Service/text"
    done = subprocess.run(
        [tool("curl"), "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-d", "[]", url], capture_output=True, check=True
    )
    assert done.stdout == b"404"
