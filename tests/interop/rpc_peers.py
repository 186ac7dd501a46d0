"""The RPC peers that ``tools/peers`` installs: how each is started, and what it cannot do by itself."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.interop.peers import ROOT, tool

PEERS = ROOT / ".peers"
PROGRAMS = Path(__file__).parent / "programs" / "rpc"
HOSTS = PROGRAMS / "dubbo_java" / "hosts"
HEARTBEAT_MS = 1000  # what those clients are told that can be told

JAVA = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Xmx192m")
JAVA_OPTIONS = {
    "sofarpc": (f"-Dbolt.tcp.heartbeat.interval={HEARTBEAT_MS}",),
    "dubbo": (f"-Dheartbeat={HEARTBEAT_MS}", "-Djava.net.preferIPv4Stack=true", f"-Djdk.net.hosts.file={HOSTS}"),
}


class Peer(NamedTuple):
    """``program`` and ``variant`` say how a client calls; ``cannot`` names cases that are beyond the peer's library."""

    program: str
    variant: str = "hessian2"
    cannot: frozenset[str] = frozenset()


def command(program: str) -> list[str | Path]:
    """The command of a program, to be followed by ``server PORT`` or ``client``; skips when it is not installed."""
    language, _, name = program.partition(" ")
    if language == "java":
        installed = "dubbo" if name == "triple" else name  # the same libraries
        classes = _installed(PEERS / "java" / installed / "classes")
        main = f"plait.interop.{ {'sofarpc': 'Sofa', 'dubbo': 'Dubbo', 'triple': 'Triple'}[name] }Peer"
        options = JAVA_OPTIONS[installed]
        return [tool("java"), *JAVA, *options, "-cp", f"{classes}:{classes.parent}/lib/*", main]
    if language == "node":
        _installed(PEERS / "node" / "node_modules")
        script, *arguments = name.split(" ")
        return [tool("node"), PROGRAMS / "node" / f"{script}.js", *arguments]
    if language == "go":
        return [_installed(PEERS / "bin" / name)]
    environment, script = name.split(" ")
    return [_installed(PEERS / f"python-{environment}" / "bin" / "python"), PROGRAMS / "python" / f"{script}.py"]


def environment() -> dict[str, str]:
    """What the programs are told by the environment."""
    return {"NODE_PATH": str(PEERS / "node" / "node_modules"), "HEARTBEAT_MS": str(HEARTBEAT_MS)}


def _installed(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"{path.relative_to(ROOT)} is not installed: `make interop` says why")
    return path
