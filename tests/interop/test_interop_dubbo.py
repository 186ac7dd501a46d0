"""Dubbo 2 clients and servers in Java, Go, Node and Python, directly and through sidecars: a caller gets the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.relay import dubbo_frames
from tests.interop.rpc import Call
from tests.interop.rpc_cases import CASES, Case, matches, same
from tests.interop.rpc_idle import Idle, idle
from tests.interop.rpc_matrix import DIRECT, Matrix, matrix
from tests.interop.rpc_peers import Peer
from tests.interop.rpc_restart import check_restart
from tests.interop.rpc_sidecars import DUBBO, dubbo_proxy, generic_proxy
from tests.interop.rpc_upstream import check_upstream_heartbeats

pytestmark = pytest.mark.timeout(120)

# Texts beyond the Basic Multilingual Plane or in several chunks, bytes, doubles: more than the Python libraries know.
SIMPLE = frozenset({"four-byte characters", "megabyte", "bytes", "map of mixed values", "list of mixed values"})
# Integers of four bytes.
SIMPLER = SIMPLE | {"large number"}
CLIENTS = {
    "java": Peer("java dubbo"),
    "java fastjson2": Peer("java dubbo", "fastjson2"),
    # Closes its connection for an answer to a call that it gave up.
    "go": Peer("go dubbo-peer", cannot=frozenset({"late answer"})),
    "apache-dubbo-js": Peer("node dubbo_client apache-dubbo-js", cannot=frozenset({"bytes"})),
    "dubbo2.js": Peer("node dubbo_client dubbo2.js", cannot=frozenset({"bytes"})),
    # Knows no maps, takes lists for arrays; stops reading at an answer to a call that it gave up.
    "dubbo-ssl-python": Peer(
        "python dubbo-ssl dubbo_ssl_peer", cannot=SIMPLE | {"map", "list", "timeout", "late answer"}
    ),
    # Takes any answer for that of the last call.
    "dubbo-py": Peer("python dubbo-py dubbo_py_peer", cannot=SIMPLER | {"timeout", "late answer"}),
}
SERVERS = {
    "java": Peer("java dubbo"),
    "go": Peer("go dubbo-peer"),
    # Answers null for what JavaScript takes for false.
    "node": Peer("node dubbo_server", cannot=frozenset({"empty text"})),
    "python": Peer("python dubbo-py dubbo_py_peer", cannot=SIMPLER),
}
# The client takes exceptions for values, the server sends their messages alone.
FAULTS = {("dubbo-py", "node", "exception")}
# What goes wrong between two peers, but not when there is a sidecar between them.
ONLY_THROUGH_SIDECARS = {
    ("java", "node"): {case.name for case in CASES},  # the server answers ids above 2**53 with another one
    ("go", "node"): {"one-way"},  # the server answers one-way calls, of which the client dies
    ("go", "python"): {"one-way"},
    ("dubbo-py", "node"): {"one-way"},  # the same, and the client takes the answer for that of the next call
    ("dubbo-py", "python"): {"one-way"},
}
PATHS = {
    "dubbo_proxy": [dubbo_proxy],
    "generic_proxy": [lambda cluster: generic_proxy(DUBBO, cluster)],
    "two sidecars": [dubbo_proxy, lambda cluster: generic_proxy(DUBBO, cluster)],
}


def pairs() -> Iterator[tuple[str, str]]:
    """Clients and servers with a serialization in common: fastjson2 is known to Java alone."""
    for client, peer in CLIENTS.items():
        for server in SERVERS:
            if peer.variant == "hessian2" or server == "java":
                yield client, server


def calls() -> Iterator[tuple[str, str, Case]]:
    """What each pair can do."""
    for client, server in pairs():
        for case in CASES:
            known = case.name not in CLIENTS[client].cannot | SERVERS[server].cannot
            if known and (client, server, case.name) not in FAULTS:
                yield client, server, case


def works_directly(client: str, server: str, case: Case) -> bool:
    """Whether there is something to compare with."""
    return case.name not in ONLY_THROUGH_SIDECARS.get((client, server), set())


PAIRS = list(pairs())
CALLS = [pytest.param(*call, id=f"{call[0]} to {call[1]}: {call[2].name}") for call in calls()]
DIRECT_CALLS = [call for call, asked in zip(CALLS, calls(), strict=True) if works_directly(*asked)]


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    with matrix(tmp_path_factory.mktemp("dubbo"), CLIENTS, SERVERS, PATHS) as found:
        yield found


@pytest.mark.parametrize(("client", "server", "case"), DIRECT_CALLS)
def test_caller_gets_what_is_expected(peers: Matrix, client: str, server: str, case: Case) -> None:
    result = peers.result(client, server, DIRECT, case)
    assert matches(result, case.expected), result


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("client", "server", "case"), CALLS)
def test_caller_gets_the_same_through_sidecars(peers: Matrix, client: str, server: str, case: Case, path: str) -> None:
    result = peers.result(client, server, path, case)
    if works_directly(client, server, case):
        direct = peers.result(client, server, DIRECT, case)
        assert same(case, result, direct), (result, direct)
    else:
        assert matches(result, case.expected), result


@pytest.fixture(scope="module")
def idle_connections(peers: Matrix) -> Iterator[Idle]:
    """Connections of the clients that send heartbeats, after a time without calls."""
    with idle(peers, ["java", "go"], ["java", "go"], [DIRECT, *PATHS], dubbo_frames) as found:
        yield found


@pytest.mark.parametrize("path", [DIRECT, *PATHS])
@pytest.mark.parametrize("server", ["java", "go"])
@pytest.mark.parametrize("client", ["java", "go"])
def test_idle_connection_is_kept_by_heartbeats(idle_connections: Idle, client: str, server: str, path: str) -> None:
    idle_connections.check(client, server, path)


def test_sidecar_keeps_its_idle_connections_with_heartbeats(peers: Matrix, tmp_path: Path) -> None:
    make = PATHS["generic_proxy"][0]
    check_upstream_heartbeats(peers, "apache-dubbo-js", SERVERS, make, "dubbo", tmp_path, dubbo_frames)


@pytest.mark.parametrize("path", [DIRECT, *PATHS])
@pytest.mark.parametrize(
    ("client", "server"), [("java", "java"), ("java fastjson2", "java"), ("java", "go"), ("go", "java")]
)
def test_large_messages_flow_both_ways(peers: Matrix, client: str, server: str, path: str) -> None:
    text = "0123456789abcdef" * (1 << 18)
    assert peers.result(client, server, path, Case("4 MB", lambda ask: ask([Call("text", (text,), 30_000)]), None)) == [
        {"value": text}
    ]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("server", SERVERS)
def test_server_that_was_killed_is_used_again(peers: Matrix, server: str, path: str) -> None:
    check_restart(peers, [client for client, other in PAIRS if other == server], server, path)
