"""The scenarios of RPC: the same closed loop over Bolt, over Dubbo through either of Envoy's two proxies for it."""

import os
import sys
from pathlib import Path

from bench.peers import ROOT
from bench.process import Process
from bench.rpc.calls import Calls, call_once
from bench.rpc.wires import Wire, bolt, bolt_traced, dubbo
from bench.scenario import Scenario

# Connections of the load, and calls under way on each.
SHAPES = ((16, 16), (64, 1), (1, 64))
# Plait's CPU time for a call of Bolt or Dubbo over that of Envoy's dubbo_proxy for a call of Dubbo.
CPU_TARGET = 0.5


def scenarios() -> list[Scenario]:
    found: list[Scenario] = []
    for connections, depth in SHAPES:
        shape = f"{connections}x{depth}"
        title = f"{connections} connections, {depth} calls under way on each"
        by_dubbo_proxy = _rpc(f"dubbo-{shape}", f"Dubbo through dubbo_proxy, {title}", "dubbo", dubbo(), shape)
        found += [
            by_dubbo_proxy,
            _rpc(f"dubbo-generic-{shape}", f"Dubbo through generic_proxy, {title}", "dubbo-generic", dubbo(), shape),
        ]
        for name, wire, what in (("bolt", bolt(), "Bolt"), ("bolt-traced", bolt_traced(), "Bolt with trace ids")):
            found.append(
                _rpc(f"{name}-{shape}", f"{what}, {title} (Envoy: Dubbo)", "bolt", wire, shape, by_dubbo_proxy)
            )
    return found


def _rpc(name: str, title: str, config: str, wire: Wire, shape: str, for_envoy: Scenario | None = None) -> Scenario:
    connections, depth = map(int, shape.split("x"))

    def start(port: int, core: int, directory: Path) -> Process:
        return start_echo(wire, port, core, directory)

    def probe(port: int) -> dict[str, str]:
        call_once(wire, port)
        return {}

    return Scenario(
        name,
        title,
        config,
        wire.body,
        Calls(wire, connections, depth),
        start,
        probe,
        cpu_target=CPU_TARGET,
        instead={"envoy": for_envoy} if for_envoy is not None else {},
    )


def start_echo(wire: Wire, port: int, core: int, directory: Path) -> Process:
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    command = ["env", f"PYTHONPATH={path}", sys.executable, "-m", "bench.rpc.echo", wire.name, str(port)]
    upstream = Process(f"upstream of {wire.name}", command, core, directory)
    try:
        upstream.wait_until(lambda: call_once(wire, port))
    except BaseException:
        upstream.stop()
        raise
    return upstream
