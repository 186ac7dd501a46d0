"""Two plugins that live in nobody's workspace, as wheels in a clean environment: what their authors will do."""

import json
import os
import re
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.running import free_ports, running, tcp_service

ROOT = Path(__file__).parents[1]
OURS = ["core", "plugins/protocols/http", "plugins/protocols/http1", "plugins/filters/router"]
THEIRS = ["tests/out_of_tree/acme-tenant", "tests/out_of_tree/acme-lines"]
PLUGINS = ("http", "http1", "router", "acme-tenant", "acme-lines")
INSTALLED = ["acme-lines", "acme-tenant", "plait-filter-router", "plait-protocol-http", "plait-protocol-http1"]

CONFIG = """
static_resources:
  listeners:
  - name: http
    address: {{socket_address: {{address: 127.0.0.1, port_value: {http}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: http
          codec_type: HTTP1
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{prefix: /}}
                direct_response: {{status: 200, body: {{inline_string: "welcome\\n"}}}}
          http_filters:
          - name: acme.filters.tenant
            typed_config:
              "@type": type.googleapis.com/xds.type.v3.TypedStruct
              type_url: acme.filters.tenant
              value: {{header: x-acme-tenant}}
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  - name: lines
    address: {{socket_address: {{address: 127.0.0.1, port_value: {lines}}}}}
    filter_chains:
    - filters:
      - name: acme.network.lines
        typed_config:
          "@type": type.googleapis.com/xds.type.v3.TypedStruct
          type_url: acme.network.lines
          value:
            stat_prefix: kitchen
            services: {{kettle: kettles, toaster: toasters}}
            timeout_s: 5
  clusters:
  - name: kettles
    load_assignment:
      cluster_name: kettles
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {kettle}}}}}}}
"""


def run(command: Sequence[str | Path], directory: Path = ROOT, expected: int = 0) -> str:
    """Run a command; what it printed on both streams."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == expected, f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command of a clean environment, into which nothing but wheels was installed."""
    directory = tmp_path_factory.mktemp("clean")
    wheels = directory / "wheels"
    wheels.mkdir()

    def build(project: str) -> None:
        code = f"from hatchling.build import build_wheel; build_wheel({str(wheels)!r})"
        run([sys.executable, "-c", code], ROOT / project)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(build, [*OURS, *THEIRS]))
    built = sorted(wheels.glob("*.whl"))
    assert len(built) == len(OURS) + len(THEIRS)
    environment = directory / "venv"
    uv = Path(sys.executable).parent / "uv"
    run([uv, "venv", "--quiet", "--python", sys.executable, environment])
    locked = directory / "locked.txt"  # versions alone: hashes would be asked of the local wheels too
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    locked.write_text("\n".join(line.rstrip(" \\") for line in lines if "==" in line and not line.startswith(" ")))
    python = environment / "bin" / "python"
    run([uv, "pip", "install", "--quiet", "--python", python, "--constraint", locked, *built])
    return environment / "bin" / "mesh"


@pytest.fixture(scope="module")
def ports(mesh: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """The HTTP and the acme-lines port of a sidecar composed of exactly the plugins named."""
    with ExitStack() as stack:
        kettle = stack.enter_context(tcp_service(boil))
        http, lines = free_ports(2)
        directory = tmp_path_factory.mktemp("run")
        (directory / "mesh.yaml").write_text(CONFIG.format(http=http, lines=lines, kettle=kettle))
        command: list[str | Path] = [
            mesh,
            "run",
            "-c",
            "mesh.yaml",
            "--plugins",
            ",".join(PLUGINS),
            "--concurrency",
            "1",
        ]
        stack.enter_context(running(command, directory, http, lines))
        yield http, lines


def boil(connection: socket.socket) -> None:
    """A service of acme-lines: says what it was asked, or fails with the status it is told."""
    with connection.makefile("rwb") as file:
        for line in file:
            method = line.split(b" ")[1].strip()
            file.write(b"-503 no water\n" if method == b"fail" else b"+" + line.replace(b"\n", b"") + b"\n")
            file.flush()


def ask(port: int, *lines: bytes) -> list[bytes]:
    """The answers to these requests, all sent at once."""
    with socket.create_connection(("127.0.0.1", port), 20) as connection, connection.makefile("rwb") as file:
        file.write(b"".join(lines))
        file.flush()
        return [file.readline() for _ in lines]


def get(port: int, headers: dict[str, str]) -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", "/", headers=headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def listed(output: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(output)
    return found


def test_wheels_hold_their_modules_and_entry_points(mesh: Path) -> None:
    wheels = mesh.parents[2] / "wheels"
    names = zipfile.ZipFile(next(wheels.glob("acme_tenant-*.whl"))).namelist()
    assert names[0] == "acme_tenant.py"
    core = zipfile.ZipFile(next(wheels.glob("plait-*.whl"))).namelist()
    assert "plait/py.typed" in core
    assert all(name.startswith(("plait/", "plait-")) for name in core)


def test_installed_plugins_are_listed_with_their_metadata(mesh: Path) -> None:
    plugins = {str(plugin["distribution"]): plugin for plugin in listed(run([mesh, "plugins", "--json"]))}
    assert sorted(plugins) == INSTALLED
    assert plugins["acme-tenant"] | {"registers": []} == {
        "name": "acme-tenant",
        "kind": "filters",
        "distribution": "acme-tenant",
        "version": "1.2.3",
        "status": "stable",
        "security_posture": "robust_to_untrusted_downstream",
        "module": "acme_tenant",
        "registers": [],
    }
    assert plugins["acme-lines"]["status"] == "beta"
    assert plugins["acme-lines"]["registers"] == ["acme-lines", "acme.network.lines"]


def test_every_installed_plugin_passes_the_check(mesh: Path) -> None:
    checks = [plugin["check"] for plugin in listed(run([mesh, "plugins", "--json", "--check"]))]
    assert [check["ok"] for check in checks if isinstance(check, dict)] == [True] * len(INSTALLED)


def test_out_of_tree_codec_passes_the_conformance_kit(mesh: Path) -> None:
    code = (
        "from plait.testing import check_codec; from acme_lines import LinesClient, LinesServer\n"
        "from plait import Headers, Request\n"
        "check_codec(LinesServer, b'kettle boil cups=2 :now\\n')\n"
        "def client():\n"
        "    codec = LinesClient(); codec.encode_request(Request(Headers([])), codec.next_id()); return codec\n"
        "check_codec(client, b'-404 no such cup\\n')\n"
    )
    run([mesh.parent / "python", "-c", code])


def test_filter_with_its_own_settings_refuses_and_admits(ports: tuple[int, int]) -> None:
    assert get(ports[0], {}) == (401, b"no tenant")
    assert get(ports[0], {"x-tenant": "acme"}) == (401, b"no tenant")  # the default, which the configuration replaced
    assert get(ports[0], {"x-acme-tenant": "acme"}) == (200, b"welcome\n")


def test_line_protocol_carries_requests_to_its_upstream(ports: tuple[int, int]) -> None:
    assert ask(ports[1], b"kettle boil cups=2 :slowly, please\n") == [b"+kettle boil cups=2 :slowly, please\n"]


def test_line_protocol_answers_pipelined_requests_in_order(ports: tuple[int, int]) -> None:
    requests = [b"kettle boil n=%d\n" % number for number in range(50)]
    assert ask(ports[1], *requests) == [b"+" + line for line in requests]


def test_line_protocol_says_failures_in_its_own_words(ports: tuple[int, int]) -> None:
    answers = ask(ports[1], b"kettle fail\n", b"oven bake\n", b"toaster toast\n", b"kettle boil\n", b"nonsense\n")
    assert answers == [
        b"-503 no water\n",
        b"-404 no service oven\n",
        b"-503 no cluster toasters\n",
        b"+kettle boil\n",
        b"-400 expected: service method name=value :text\n",
    ]


def test_line_that_never_ends_is_refused(ports: tuple[int, int]) -> None:
    with socket.create_connection(("127.0.0.1", ports[1]), 20) as connection, connection.makefile("rb") as file:
        connection.sendall(b"x" * 10_000)
        assert file.read() == b"-431 line is longer than 8192 bytes\n"


@pytest.mark.parametrize("left_out", ["acme-tenant", "acme-lines"])
def test_configuration_that_needs_a_plugin_left_out_is_refused(mesh: Path, tmp_path: Path, left_out: str) -> None:
    config = tmp_path / "mesh.yaml"
    config.write_text(CONFIG.format(http=1, lines=2, kettle=3))
    plugins = ",".join(name for name in PLUGINS if name != left_out)
    output = run([mesh, "run", "-c", config, "--plugins", plugins], tmp_path, expected=78)
    name = {"acme-tenant": "acme.filters.tenant", "acme-lines": "acme.network.lines"}[left_out]
    line = next(number for number, text in enumerate(config.read_text().splitlines(), 1) if f"name: {name}" in text)
    assert f"'{name}'" in output
    assert re.search(f"add (filters|protocols):{left_out} to --plugins", output)
    assert any(f"mesh.yaml:{near}:" in output for near in range(line, line + 4)), output


def test_plugin_that_is_not_installed_cannot_be_composed(mesh: Path, tmp_path: Path) -> None:
    config = tmp_path / "mesh.yaml"
    config.write_text(CONFIG.format(http=1, lines=2, kettle=3))
    output = run([mesh, "run", "-c", config, "--plugins", "http,acme-tennant"], tmp_path, expected=3)
    assert "acme-tennant" in output
    assert "did you mean 'acme-tenant'?" in output
