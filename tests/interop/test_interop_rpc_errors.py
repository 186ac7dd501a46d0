"""What real clients of SOFARPC and Dubbo make of Plait's own answers, and that their connections outlive them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.interop.peers import proxy
from tests.interop.relay import relay
from tests.interop.rpc import Call
from tests.interop.rpc_matrix import Matrix, matrix
from tests.interop.rpc_peers import Peer
from tests.interop.rpc_sidecars import BOLT, DUBBO, generic_proxy
from tests.running import free_ports

pytestmark = pytest.mark.timeout(120)

HELLO = Call("text", ("hello",), 10_000)
KINDS = ("no route", "time-out", "overload", "upstream gone")
TEXTS = {
    "no route": "route_not_found",
    "time-out": "upstream request timeout",
    "overload": "reset reason: overflow",
    "upstream gone": "remote connection failure",
}
"""What Plait says; most clients show it."""
SOFARPC = {
    "java": Peer("java sofarpc"),
    "node": Peer("node sofarpc"),
    "node v2 with checksums": Peer("node sofarpc", "v2-crc"),
    "python": Peer("python sofarpc sofarpc", "protobuf"),
}
JAVA_SOFARPC = {
    "no route": r"SofaRpcException: .*NO_PROCESSOR",
    "time-out": r"SofaTimeOutException: .*responseCommand TIMEOUT",
    "overload": r"SofaRpcException: .*InvokeServerBusyException: Server thread pool busy",
    "upstream gone": r"SofaRpcException: .*ConnectionClosedException: Connection closed",
}
DUBBO_CLIENTS = {
    "java": Peer("java dubbo"),
    "java fastjson2": Peer("java dubbo", "fastjson2"),
    "go": Peer("go dubbo-peer"),
    "apache-dubbo-js": Peer("node dubbo_client apache-dubbo-js"),
    "dubbo2.js": Peer("node dubbo_client dubbo2.js"),
    "dubbo-ssl-python": Peer("python dubbo-ssl dubbo_ssl_peer"),
    "dubbo-py": Peer("python dubbo-py dubbo_py_peer"),
}


def expected(protocol: str, client: str, kind: str) -> str:
    """An expression that what the caller gets matches: the class of the error, and its message."""
    if protocol == "sofarpc" and client == "java":
        return JAVA_SOFARPC[kind]
    if protocol == "sofarpc" and client == "python":
        return "KeyError: "  # what anthunder makes of any error, also of Java's own
    if protocol == "dubbo" and client.startswith("java"):
        said = "Invoke remote method timeout" if kind == "time-out" else "Failed to invoke remote method"
        return rf"RpcException: .*{said}.*{TEXTS[kind]}"
    return TEXTS[kind]


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def configuration(codec: dict[str, Any], server: int, ports: Mapping[str, int], admin: int) -> str:
    """A listener for each way to go wrong."""
    listeners, clusters = [], []
    for kind, port in ports.items():
        name = kind.replace(" ", "_")
        filter = generic_proxy(codec, name)
        (host,) = filter["typed_config"]["route_config"]["virtual_hosts"]
        upstream = server
        cluster: dict[str, Any] = {"name": name, "connect_timeout": "2s"}
        if kind == "no route":
            host["hosts"] = ["another.Service"]
        elif kind == "time-out":
            host["routes"]["on_no_match"]["action"]["typed_config"]["timeout"] = "0.3s"
        elif kind == "overload":
            cluster["circuit_breakers"] = {"thresholds": [{"max_requests": 0}]}
        else:
            upstream = 1
        endpoints = [{"lb_endpoints": [{"endpoint": {"address": _address(upstream)}}]}]
        clusters.append({**cluster, "load_assignment": {"cluster_name": name, "endpoints": endpoints}})
        listeners.append({"name": name, "address": _address(port), "filter_chains": [{"filters": [filter]}]})
    resources = {"listeners": listeners, "clusters": clusters}
    return json.dumps({"admin": {"address": _address(admin)}, "static_resources": resources})


class Trouble:
    """Clients, a server, and a sidecar that answers for it."""

    def __init__(self, peers: Matrix, ports: Mapping[str, int]) -> None:
        self._peers = peers
        self._ports = ports

    def check(self, protocol: str, client: str, kind: str) -> None:
        """The caller gets its error, and its next call goes over the same connection."""
        sleep = "1500" if protocol == "sofarpc" and client == "python" else 1500  # protobuf has texts alone
        call = HELLO if kind != "time-out" else Call("sleep", (sleep,), 10_000)
        with relay(self._ports[kind]) as between:
            (result,) = self._peers.calls(client, between.port, [call])
            (after,) = self._peers.calls(client, between.port, [HELLO])
            assert len(between.connections) == 1, "the call did not cost the connection"
        error = result["error"]
        assert re.search(expected(protocol, client, kind), f"{error['class']}: {error['message']}", re.DOTALL), result
        if kind == "time-out":
            assert after == {"value": "hello"}
        else:
            assert after["error"]["class"] == error["class"]


@contextmanager
def trouble(directory: Path, codec: dict[str, Any], clients: Mapping[str, Peer], server: Peer) -> Iterator[Trouble]:
    """While the block runs; the clients go first."""
    (directory / "peers").mkdir()
    with ExitStack() as stack, matrix(directory / "peers", clients, {"server": server}, {}) as peers:
        *found, admin = free_ports(len(KINDS) + 1)
        ports = dict(zip(KINDS, found, strict=True))
        config = configuration(codec, peers.server("server").port, ports, admin)
        stack.enter_context(proxy("plait", config, directory / "sidecar", *found, admin))
        yield Trouble(peers, ports)
        peers.stop_clients()


@pytest.fixture(scope="module")
def sofarpc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trouble]:
    with trouble(tmp_path_factory.mktemp("sofarpc"), BOLT, SOFARPC, Peer("java sofarpc")) as found:
        yield found


@pytest.fixture(scope="module")
def dubbo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trouble]:
    with trouble(tmp_path_factory.mktemp("dubbo"), DUBBO, DUBBO_CLIENTS, Peer("java dubbo")) as found:
        yield found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("client", SOFARPC)
def test_a_client_of_sofarpc_is_told_what_is_wrong(sofarpc: Trouble, client: str, kind: str) -> None:
    sofarpc.check("sofarpc", client, kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("client", DUBBO_CLIENTS)
def test_a_client_of_dubbo_is_told_what_is_wrong(dubbo: Trouble, client: str, kind: str) -> None:
    dubbo.check("dubbo", client, kind)
