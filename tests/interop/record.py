"""`python -m tests.interop.record`: frames of the real peers, as a relay sees them, for tests that need no peers.

To be run when a peer has a newer version; it writes what ``tests/integration/test_recorded_frames.py`` reads.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.interop.peers import ROOT
from tests.interop.relay import Frame, Split, bolt_frames, dubbo_frames, relay
from tests.interop.rpc import Call
from tests.interop.rpc_cases import BYTES, MIXED_LIST, MIXED_MAP, PERSON
from tests.interop.rpc_matrix import Matrix, matrix
from tests.interop.test_interop_dubbo import CLIENTS as DUBBO_CLIENTS
from tests.interop.test_interop_dubbo import SERVERS as DUBBO_SERVERS
from tests.interop.test_interop_sofarpc import CLIENTS as SOFARPC_CLIENTS
from tests.interop.test_interop_sofarpc import SERVERS as SOFARPC_SERVERS

TARGET = ROOT / "tests" / "integration" / "recorded"
HEARTBEATS = ("java", "java fastjson2", "go", "node", "node v2 with checksums")
VERSIONS = {
    "java sofarpc": "sofa-rpc-all 5.13.2, Java 17",
    "node sofarpc": "sofa-rpc-node 2.10.0, sofa-bolt-node 2.0.1",
    "python sofarpc sofarpc": "anthunder 0.8.1",
    "java dubbo": "dubbo 3.3.6, Java 17",
    "go dubbo-peer": "dubbo-go 3.3.2, dubbo-go-hessian2 1.12.5",
    "node dubbo_server": "apache-dubbo-service 0.0.1",
    "node dubbo_client apache-dubbo-js": "apache-dubbo-js 3.0.0-rc6",
    "node dubbo_client dubbo2.js": "dubbo2.js 2.3.9",
    "python dubbo-ssl dubbo_ssl_peer": "dubbo-ssl-python 0.9.6",
    "python dubbo-py dubbo_py_peer": "dubbo-py 0.2.2",
}
SHORT = [Call("text", ("häß 你好",)), Call("fail", ("no way",))]
OBJECT = Call("older", ({"$person": PERSON}, 5))
LONG = [
    Call("text", ("a \N{GRINNING FACE}",)),
    Call("number", (123456789,)),
    Call("map", (MIXED_MAP,)),
    Call("list", (MIXED_LIST,)),
    Call("bytes", (BYTES,)),
    Call("note", ("word",)),
]
# Who calls whom with what: everything between two peers of one kind, less between others.
SOFARPC = {
    ("java", "java"): [*SHORT, OBJECT, *LONG],
    ("java", "node"): [SHORT[0], OBJECT],  # an exception of Node's names the folders of the machine
    ("node", "java"): [*SHORT, OBJECT, *LONG],
    ("node v2", "java"): SHORT,
    ("node v2 with checksums", "java"): SHORT,
    ("node v2 with checksums", "node"): SHORT[:1],
    ("java protobuf", "java"): [*SHORT, LONG[-1]],
    ("java protobuf", "python"): SHORT,
    ("python protobuf", "java"): [*SHORT, LONG[-1]],
    ("node protobuf", "node"): SHORT,
}
DUBBO = {
    ("java", "java"): [*SHORT, OBJECT, *LONG],
    ("java fastjson2", "java"): [*SHORT, OBJECT, *LONG],
    ("java", "go"): [*SHORT, OBJECT, *LONG],
    ("go", "java"): [*SHORT, OBJECT, *LONG],
    ("go", "go"): [*SHORT, OBJECT],
    ("apache-dubbo-js", "java"): [*SHORT, OBJECT, *LONG[:4]],
    ("apache-dubbo-js", "node"): [*SHORT, OBJECT],
    ("dubbo2.js", "java"): [SHORT[0], OBJECT],
    ("dubbo-ssl-python", "java"): [SHORT[0], OBJECT],
    ("dubbo-py", "java"): [SHORT[0], OBJECT, LONG[-1]],
    ("dubbo-py", "python"): [SHORT[0], OBJECT],
}


def record(
    peers: Matrix, client: str, server: str, variant: str, calls: Sequence[Call], split: Split
) -> list[dict[str, Any]]:
    """One entry for each call, and one for a heartbeat of the clients that send them."""
    found: list[dict[str, Any]] = []
    with relay(peers.server(server).port) as between:

        def frames(heartbeat: bool) -> list[dict[str, str]]:
            asked: list[Frame] = []
            answers: dict[int, Frame] = {}
            for connection in between.connections:  # one; anthunder has another for one-way calls
                asked += [each for each in split(bytes(connection.requests)) if each.heartbeat == heartbeat]
                answers |= {each.id: each for each in split(bytes(connection.responses)) if each.heartbeat == heartbeat}
            return [
                {"request": each.data.hex(), "response": answers[each.id].data.hex() if each.id in answers else ""}
                for each in asked
            ]

        for call in calls:
            (result,) = peers.calls(client, between.port, [call])
            time.sleep(0.2)  # an answer to a one-way call would come now
            about = {"client": client, "server": server, "serialization": variant, "method": call.method}
            found.append({**about, "args": call.args, "result": result, **frames(False)[-1]})
        if client in HEARTBEATS:
            time.sleep(3)
            kept = frames(True)
            if kept:
                found.append({"client": client, "server": server, "heartbeat": True, **kept[0]})
    return found


def main() -> None:
    """Write one file for each protocol."""
    TARGET.mkdir(exist_ok=True)
    protocols: list[tuple[str, Mapping[str, Any], Mapping[str, Any], Mapping[tuple[str, str], list[Call]], Split]] = [
        ("bolt", SOFARPC_CLIENTS, SOFARPC_SERVERS, SOFARPC, bolt_frames),
        ("dubbo", DUBBO_CLIENTS, DUBBO_SERVERS, DUBBO, dubbo_frames),
    ]
    for protocol, clients, servers, wanted, split in protocols:
        programs = {peer.program for peer in (*clients.values(), *servers.values())}
        entries: list[dict[str, Any]] = []
        with tempfile.TemporaryDirectory() as directory, matrix(Path(directory), clients, servers, {}) as peers:
            for (client, server), calls in wanted.items():
                entries += record(peers, client, server, clients[client].variant, calls, split)
        lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
        versions = json.dumps({program: VERSIONS[program] for program in sorted(programs)})
        (TARGET / f"{protocol}.json").write_text(f'{{"versions": {versions},\n"calls": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
