"""What the interop tests share: every one of them is marked, and pairs of proxies with one configuration."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.interop.peers import CONFIGS, ROOT, nginx_command, proxy, telling_service, tool, with_ports
from tests.running import free_ports, running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/interop/" in item.path.as_posix():
            item.add_marker(pytest.mark.interop)


class Pair:
    """Plait and Envoy with the same configuration: the ports of their listeners and admin servers, by name."""

    def __init__(self) -> None:
        self.ports: dict[str, int] = {}
        self.admin: dict[str, int] = {}
        self.logs: dict[str, str] = {}


@pytest.fixture(scope="session")
def routing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """The pair with ``configs/routing.yaml``, in front of services that tell what they were asked."""
    pair = Pair()
    directory = tmp_path_factory.mktemp("routing")
    with ExitStack() as stack:
        one, two = (stack.enter_context(telling_service(name)) for name in ("one", "two"))
        (nobody,) = free_ports(1)
        for name in ("envoy", "plait"):
            listener, admin = free_ports(2)
            ports = {10000: listener, 9901: admin, 18080: one, 18081: two, 18099: nobody}
            config = with_ports((CONFIGS / "routing.yaml").read_text(), ports)
            stack.enter_context(proxy(name, config, directory / name, listener, admin))
            pair.ports[name], pair.admin[name] = listener, admin
            pair.logs[name] = str(directory / name / "access.log")
        yield pair


@pytest.fixture(scope="session")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of nginx with ``configs/nginx.conf``; ``files/large`` has 3 MB."""
    directory = tmp_path_factory.mktemp("nginx")
    (port,) = free_ports(1)
    config = directory / "nginx.conf"
    config.write_text(with_ports((CONFIGS / "nginx.conf").read_text(), {18080: port}))
    (directory / "files").mkdir()
    (directory / "files" / "large").write_bytes(LARGE)
    with running(nginx_command(config), directory, port):
        yield port


LARGE = bytes(range(256)) * 12 * 1024

Sidecar = Callable[[str, int], int]


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """Start ``plait`` or ``envoy`` with ``bench/configs/http.yaml`` in front of a port; the port it listens on."""
    with ExitStack() as stack:

        def start(name: str, upstream: int) -> int:
            listener, admin = free_ports(2)
            text = (ROOT / "bench" / "configs" / "http.yaml").read_text()
            config = with_ports(text, {10000: listener, 9901: admin, 18080: upstream})
            stack.enter_context(proxy(name, config, tmp_path_factory.mktemp(name), listener, admin))
            return listener

        yield start


@pytest.fixture(scope="session")
def go_program(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Build a program of ``programs/``; skips where there is no Go."""

    def build(name: str) -> Path:
        target = tmp_path_factory.mktemp("go") / name
        source = Path(__file__).parent / "programs" / f"{name}.go"
        subprocess.run([tool("go"), "build", "-o", target, source], check=True, capture_output=True)
        return target

    return build
