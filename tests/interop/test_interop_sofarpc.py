"""SOFARPC clients and servers in Java, Node and Python, directly and through sidecars: a caller gets the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.relay import bolt_frames
from tests.interop.rpc import Call
from tests.interop.rpc_cases import CASES, PROTOBUF_CASES, Case, matches, same
from tests.interop.rpc_idle import Idle, idle
from tests.interop.rpc_matrix import DIRECT, Matrix, matrix
from tests.interop.rpc_peers import Peer
from tests.interop.rpc_restart import check_restart
from tests.interop.rpc_sidecars import BOLT, generic_proxy
from tests.interop.rpc_upstream import check_upstream_heartbeats

pytestmark = pytest.mark.timeout(120)

CLIENTS = {
    "java": Peer("java sofarpc"),
    "node": Peer("node sofarpc"),
    "node v2": Peer("node sofarpc", "v2"),
    "node v2 with checksums": Peer("node sofarpc", "v2-crc"),
    "java protobuf": Peer("java sofarpc", "protobuf"),
    "node protobuf": Peer("node sofarpc", "protobuf"),
    "python protobuf": Peer("python sofarpc sofarpc", "protobuf"),
}
SERVERS = {
    "java": Peer("java sofarpc"),
    "node": Peer("node sofarpc"),
    "python": Peer("python sofarpc sofarpc"),
}
# What peers get wrong by themselves.
FAULTS = {
    (
        "node protobuf",
        "java",
        "late answer",
    ): "the client closes its connection for a message that answers no waiting call",
}
# The server gives up after the timeout too, and its error is none of those of the client.
RACES = {"timeout", "late answer"}
PATHS = {
    "one sidecar": [lambda cluster: generic_proxy(BOLT, cluster)],
    "two sidecars": [lambda cluster: generic_proxy(BOLT, cluster)] * 2,
}


def pairs() -> Iterator[tuple[str, str]]:
    """Clients and servers with a serialization in common: all have protobuf, Python has no other."""
    for client, peer in CLIENTS.items():
        for server in SERVERS:
            if peer.variant == "protobuf" or server != "python":
                yield client, server


def calls() -> Iterator[tuple[str, str, Case]]:
    """What each pair can do."""
    for client, server in pairs():
        for case in PROTOBUF_CASES if CLIENTS[client].variant == "protobuf" else CASES:
            if (client, server, case.name) not in FAULTS:
                yield client, server, case


PAIRS = list(pairs())
CALLS = [pytest.param(*call, id=f"{call[0]} to {call[1]}: {call[2].name}") for call in calls()]


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    with matrix(tmp_path_factory.mktemp("sofarpc"), CLIENTS, SERVERS, PATHS) as found:
        yield found


@pytest.mark.parametrize(("client", "server", "case"), CALLS)
def test_caller_gets_what_is_expected(peers: Matrix, client: str, server: str, case: Case) -> None:
    result = peers.result(client, server, DIRECT, case)
    assert matches(result, case.expected), result


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("client", "server", "case"), CALLS)
def test_caller_gets_the_same_through_sidecars(peers: Matrix, client: str, server: str, case: Case, path: str) -> None:
    result = peers.result(client, server, path, case)
    if server == "python" and case.name in RACES:
        assert matches(result, case.expected), result
    else:
        direct = peers.result(client, server, DIRECT, case)
        assert same(case, result, direct), (result, direct)


@pytest.fixture(scope="module")
def idle_connections(peers: Matrix) -> Iterator[Idle]:
    """Connections of the clients that send heartbeats, after a time without calls."""
    clients = ["java", "node", "node v2 with checksums"]
    with idle(peers, clients, ["java", "node"], [DIRECT, *PATHS], bolt_frames) as found:
        yield found


@pytest.mark.parametrize("path", [DIRECT, *PATHS])
@pytest.mark.parametrize("server", ["java", "node"])
@pytest.mark.parametrize("client", ["java", "node", "node v2 with checksums"])
def test_idle_connection_is_kept_by_heartbeats(idle_connections: Idle, client: str, server: str, path: str) -> None:
    idle_connections.check(client, server, path)


def test_sidecar_keeps_its_idle_connections_with_heartbeats(peers: Matrix, tmp_path: Path) -> None:
    make = PATHS["one sidecar"][0]
    check_upstream_heartbeats(peers, "java protobuf", SERVERS, make, "bolt", tmp_path, bolt_frames)


@pytest.mark.parametrize("path", [DIRECT, *PATHS])
@pytest.mark.parametrize(("client", "server"), [("java", "java"), ("node", "java"), ("java", "node"), ("node", "node")])
def test_large_messages_flow_both_ways(peers: Matrix, client: str, server: str, path: str) -> None:
    text = "0123456789abcdef" * (1 << 18)
    assert peers.result(client, server, path, Case("4 MB", lambda ask: ask([Call("text", (text,), 30_000)]), None)) == [
        {"value": text}
    ]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("server", SERVERS)
def test_server_that_was_killed_is_used_again(peers: Matrix, server: str, path: str) -> None:
    check_restart(peers, [client for client, other in PAIRS if other == server], server, path)
