"""What tests of active health checks share: clusters with a check, a service that is checked, what came of it."""

from __future__ import annotations

from typing import Any

from tests.integration.harness import Json, Mesh, Peer, get, ok, response

HTTP = {"http_health_check": {"path": "/healthz"}}


def checks(kind: Json, **more: Any) -> Json:
    """For a cluster: one health check, often and not patient unless ``more`` says other."""
    check: Json = {
        "timeout": "5s",
        "interval": "0.02s",
        "no_traffic_interval": "0.02s",
        "unhealthy_threshold": 1,
        "healthy_threshold": 1,
        **kind,
        **more,
    }
    return {"health_checks": [check]}


def no_panic(**check: Any) -> Json:
    """The same for a cluster that never takes hosts that are not well."""
    return {**check, "common_lb_config": {"healthy_panic_threshold": {"value": 0}}}


class Service:
    """Answers ``/healthz`` with what ``health`` says, and everything else with its name; notes both."""

    def __init__(self, name: bytes, health: int = 200) -> None:
        self.name = name
        self.health = health
        self.checks: list[bytes] = []
        self.connections_of_checks: set[int] = set()
        self.requests = 0

    async def __call__(self, peer: Peer, number: int) -> None:
        while True:
            head, _ = await peer.message()
            if not head:
                return
            if b" /healthz " in head:
                self.checks.append(head)
                self.connections_of_checks.add(number)
                await peer.send(response(self.health, b"as I feel"))
            else:
                self.requests += 1
                await peer.send(ok(self.name))


def hosts(mesh: Mesh, name: str = "up") -> list[Any]:
    found = mesh.plane.cluster(name)
    assert found is not None
    return list(found.hosts)


def failing(mesh: Mesh, name: str = "up") -> list[bool]:
    """Which hosts the checks found not well."""
    return [host.failed_check for host in hosts(mesh, name)]


def stat(mesh: Mesh, name: str) -> int:
    return mesh.counter(f"cluster.up.{name}")


async def answers(mesh: Mesh, count: int = 8) -> set[bytes]:
    """The bodies of so many requests."""
    return {(await mesh.ask(get()))[1] for _ in range(count)}
