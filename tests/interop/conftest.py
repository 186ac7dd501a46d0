"""What the interop tests share: every one of them is marked, and pairs of proxies with one configuration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.interop.peers import CONFIGS, proxy, telling_service, with_ports
from tests.running import free_ports


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
