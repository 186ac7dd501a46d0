"""Active health checks of real services: Plait and Envoy, given the same configuration, say the same of them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.interop.http2_sidecars import address, bootstrap, cluster, listener, manager
from tests.interop.peers import ROOT, exchange, proxy
from tests.running import free_ports, running, tcp_service, until

PROGRAM = Path(__file__).parent / "programs" / "grpc_server.py"
PROXIES = ("plait", "envoy")
WELL = "healthy"
FAILED = "/failed_active_hc"
SILENT = "/failed_active_hc/active_hc_timeout"
pytestmark = pytest.mark.timeout(120)


def python() -> Path:
    """The Python that has grpcio's health service, else the test is skipped."""
    found = ROOT / ".peers" / "python-grpc" / "bin" / "python"
    if not found.exists():
        pytest.skip("grpcio-health-checking is not in .peers/python-grpc: `make interop` says why")
    return found


def checked(name: str, ports: list[int], version: int, check: dict[str, Any]) -> dict[str, Any]:
    """A cluster whose endpoints are checked often, and that never takes one that is not well."""
    made = cluster(name, ports[0], version)
    endpoints = [{"endpoint": {"address": address(port)}} for port in ports]
    made["load_assignment"]["endpoints"] = [{"lb_endpoints": endpoints}]
    made["common_lb_config"] = {"healthy_panic_threshold": {"value": 0}}
    made["health_checks"] = [
        {
            "timeout": "10s",
            "interval": "0.1s",
            "no_traffic_interval": "0.1s",
            "unhealthy_threshold": 2,
            "healthy_threshold": 2,
            **check,
        }
    ]
    return made


class Sidecar:
    """What a sidecar's admin server says of the cluster ``up``."""

    def __init__(self, admin: int) -> None:
        self._admin = admin

    def flags(self) -> list[str]:
        """Health flags of the endpoints, in order."""
        lines = self._page("/clusters")
        return [line.rpartition("::")[2] for line in lines if line.startswith("up::") and "::health_flags::" in line]

    def statistic(self, name: str) -> int:
        """A statistic of the cluster."""
        for line in self._page("/stats"):
            if line.startswith(f"cluster.up.{name}: "):
                return int(line.rpartition(" ")[2])
        return 0

    def _page(self, path: str) -> list[str]:
        return exchange(self._admin, path, "admin").body.decode().splitlines()

    def until(self, *flags: str) -> None:
        """Wait until the endpoints have these flags; the statistics follow."""
        until(lambda: self.flags() == list(flags), f"health flags {flags}")
        well = flags.count(WELL)
        until(lambda: self.statistic("membership_healthy") == well, f"membership_healthy {well}")
        until(lambda: self.statistic("health_check.healthy") == well, f"health_check.healthy {well}")


@contextmanager
def sidecar(name: str, directory: Path, up: dict[str, Any]) -> Iterator[tuple[int, Sidecar]]:
    """A sidecar that sends everything to ``up``; its port, and what it says."""
    port, admin = free_ports(2)
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "up"}}]
    config = bootstrap(admin, [listener("in", port, manager("in", routes))], [up])
    with proxy(name, config, directory / name, port, admin):
        yield port, Sidecar(admin)


# gRPC


def call(port: int, method: str, told: str = "") -> str:
    """A call of ``shop.Cart`` on a connection of its own."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        ask: Any = channel.unary_unary(f"/shop.Cart/{method}")
        return str(ask(told.encode(), timeout=10, wait_for_ready=True).decode())


def until_answered(port: int, *names: str) -> None:
    """Wait until these and no others answer: workers may hear of a host's health a moment later than who is asked."""

    def answered() -> bool:
        try:
            return {call(port, "Who") for _ in range(6)} == set(names)
        except grpc.RpcError:
            return False

    until(answered, f"answers of {names}")


@pytest.mark.parametrize("name", PROXIES)
def test_grpc_s_own_health_service_is_heeded(name: str, tmp_path: Path) -> None:
    ports = free_ports(2)

    def server(index: int) -> Any:
        return running([python(), PROGRAM, str(ports[index]), "ab"[index]], tmp_path, ports[index])

    up = checked("up", ports, 2, {"grpc_health_check": {"service_name": "shop.Cart"}})
    with server(0), server(1) as second, sidecar(name, tmp_path, up) as (port, told):
        told.until(WELL, WELL)
        until_answered(port, "a", "b")
        assert told.statistic("health_check.success") >= 2
        for status in ("NOT_SERVING", "SERVICE_UNKNOWN", "UNKNOWN"):
            call(ports[1], "Feel", status)
            told.until(WELL, FAILED)
            until_answered(port, "a")
            call(ports[1], "Feel", "SERVING")
            told.until(WELL, WELL)
        assert not told.statistic("health_check.network_failure")
        second.stop()
        told.until(WELL, FAILED)
        assert told.statistic("health_check.network_failure") >= 2
        until_answered(port, "a")
        with server(1):
            told.until(WELL, WELL)
            until_answered(port, "a", "b")


@pytest.mark.parametrize("name", PROXIES)
def test_a_service_that_a_server_does_not_know_is_not_well(name: str, tmp_path: Path) -> None:
    ports = free_ports(1)
    up = checked("up", ports, 2, {"grpc_health_check": {"service_name": "shop.Till"}})
    with (
        running([python(), PROGRAM, str(ports[0]), "a"], tmp_path, *ports),
        sidecar(name, tmp_path, up) as (port, told),
    ):
        told.until(FAILED)
        until(lambda: told.statistic("health_check.failure"), "a failure")
        assert not told.statistic("health_check.network_failure")
        with pytest.raises(grpc.RpcError) as caught:
            call(port, "Who")
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


# HTTP and TCP


class Patient:
    """A service that is as it is told: it answers lines with ``answers[mood]``.

    None is a close without an answer, and nothing at all is silence.
    """

    def __init__(self, answers: dict[str, bytes | None]) -> None:
        self.mood = "well"
        self._answers = answers

    def serve(self, connection: socket.socket) -> None:
        """Answer all of a connection's questions."""
        while question := connection.recv(1 << 16):
            if not question.endswith(b"\n"):
                continue
            answer = self._answers[self.mood]
            if answer is None:
                return
            connection.sendall(answer)


def http(status: int) -> bytes:
    return b"HTTP/1.1 %d Said\r\ncontent-length: 0\r\n\r\n" % status


HTTP: dict[str, bytes | None] = {
    "well": http(200),
    "ill": http(503),
    "recovering": http(404),
    "silent": b"",
    "gone": None,
    "mad": b"what?\r\n\r\n",
}
TCP: dict[str, bytes | None] = {"well": b"+PONG\r\n", "ill": b"-LOADING\r\n", "silent": b"", "gone": None}
KINDS: dict[str, tuple[dict[str, Any], dict[str, bytes | None], dict[str, str]]] = {
    "http": (
        {
            "http_health_check": {
                "path": "/healthz",
                "expected_statuses": [{"start": 200, "end": 201}, {"start": 404, "end": 405}],
            }
        },
        HTTP,
        {"ill": FAILED, "recovering": WELL, "silent": SILENT, "gone": FAILED, "mad": FAILED, "well": WELL},
    ),
    "tcp": (
        {"tcp_health_check": {"send": {"text": b"PING\r\n".hex()}, "receive": [{"text": b"PONG".hex()}]}},
        TCP,
        {"ill": SILENT, "well": WELL, "silent": SILENT, "gone": FAILED},
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PROXIES)
def test_a_host_is_as_it_says(name: str, kind: str, tmp_path: Path) -> None:
    check, answers, verdicts = KINDS[kind]
    patient = Patient(answers)
    with tcp_service(patient.serve) as upstream:
        up = checked("up", [upstream], 1, {**check, "timeout": "0.5s"})
        with sidecar(name, tmp_path, up) as (_, told):
            told.until(WELL)
            for mood, flags in verdicts.items():
                patient.mood = mood
                told.until(flags)
