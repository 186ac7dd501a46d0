"""What the demo saw, as a table for people and as JSON for machines, and what to try next."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from plait.cli.demo.files import HOST, DemoFiles
from plait.cli.demo.load import Tally
from plait.cli.demo.rpc import REFUSED_APP
from plait.cli.demo.scenario import CLIENT, Result, shares

_HEADINGS = ("phase", "requests", "failures", "p50 ms", "p99 ms", "who answered")
_WIDEST = 64


def as_object(result: Result) -> dict[str, Any]:
    """For ``json.dumps``; latencies in milliseconds."""
    refusals = result.refusals
    return {
        "ok": not result.problems,
        "problems": result.problems,
        "ports": dict(result.ports),
        "pids": dict(result.pids),
        "total": _object(result.total),
        "phases": [_object(phase) for phase in result.phases],
        "tcp": _object(result.tcp),
        "rpc": {protocol: _object(caller.tally) for protocol, caller in result.rpc.callers.items()},
        "rpc_refusals": {
            "refused": result.rpc.refused.errors.total(),
            "counted_by_sidecars": result.rpc.counted,
            "answers": list(result.rpc.refused.errors),
        },
        "rpc_outage": {"errors": result.rpc.outage.total(), "answers": list(result.rpc.outage)},
        "refusals": {
            "asked": refusals.asked,
            "refused": refusals.refused,
            "let_pass": refusals.let_pass,
            "counted_by_sidecars": result.denied,
            "answers": refusals.reasons,
        },
        "retries": {"sent": result.retries, "succeeded": result.retries_succeeded},
        "connections": {"used": result.connections, "opened": result.connections_opened},
        "elapsed_s": round(result.elapsed_s, 3),
    }


def table(result: Result) -> str:
    """The table and the lines below it."""
    others = [_row(tally) for tally in (result.tcp, *(caller.tally for caller in result.rpc.callers.values()))]
    rows = [_HEADINGS, *(_row(phase) for phase in result.phases), _row(result.total), *others]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    lines = [_line(row, widths) for row in rows]
    rule = "-" * max(len(line) for line in lines)
    lines[1:1] = [rule]
    after_phases = -1 - len(others)
    lines[after_phases:after_phases] = [rule]
    refusals, rpc = result.refusals, result.rpc
    return "\n".join(
        (
            *lines,
            "",
            f"retries by the client's sidecar: {result.retries}, of which {result.retries_succeeded} gave the caller "
            "a good answer",
            f"policies: {refusals.refused} requests were refused, and the sidecars counted {result.denied}; "
            f"{refusals.let_pass} of a caller they allow got through",
            f"connections: {result.connections} used, {result.connections_opened} opened in all: "
            + ("none was lost" if result.connections == result.connections_opened else "some were lost"),
            f"SOFARPC: {rpc.refused.errors.total()} calls of {REFUSED_APP} were refused over one connection, and the "
            f"sidecar counted {rpc.counted}",
            f"Dubbo: {rpc.outage.total()} calls got an error while their service was gone, over the connection that "
            "served all others",
            f"it took {result.elapsed_s:.1f} s",
        )
    )


def next_steps(result: Result, files: DemoFiles, *, running: bool) -> str:
    """Commands to try: on the ports in use, or on those of the files when nothing runs any more."""
    as_written = {new: port for port, new in files.ports.items()}
    ports = (result.ports[name] for name in ("http", "tcp", f"{CLIENT} admin", "sofarpc", "dubbo"))
    http, tcp, admin, sofarpc, dubbo = (port if running else as_written.get(port, port) for port in ports)
    caller = f"{_python()} {files.folder if running else 'examples/demo'}/rpc/caller.py"
    steps = [
        (f"curl -i {HOST}:{http}/", "a request, and who answered it"),
        (f"curl -i -H 'x-user: mallory' {HOST}:{http}/", "the same for a caller whom a policy refuses"),
        (f"curl -i -H 'x-user: alice' {HOST}:{http}/admin", "a page for one caller alone"),
        (f"curl telnet://{HOST}:{tcp}", "TCP: type a line, it comes back"),
        (f"{caller} sofarpc {sofarpc} sayHello sayGoodbye", "SOFARPC: by method, to two versions"),
        (f"{caller} sofarpc {sofarpc} --app {REFUSED_APP}", "the same for an application that is refused"),
        (f"{caller} dubbo {dubbo}", "Dubbo"),
        (f"curl '{HOST}:{admin}/stats?filter=hello-v2&usedonly'", "what the client's sidecar counted"),
        (f"curl {HOST}:{admin}/stats/prometheus", "the same for Prometheus"),
        (f"curl {HOST}:{admin}/clusters", "where it sends to"),
        (f"curl {HOST}:{admin}/config_dump", "its configuration"),
    ]
    if running:
        steps += [
            (f"tail -f {files.folder}/access.log", "its access log"),
            (f"$EDITOR {files.folder}/services.yaml", "take out an instance: the registry is watched"),
            (f"$EDITOR {files.folder}/{files.sidecars[CLIENT].file.name}", "change a weight, then:"),
            (f"kill -HUP {result.pids[CLIENT]}", "the next request follows it"),
        ]
    else:
        steps.insert(
            0,
            (
                f"{_python().removesuffix(Path(sys.executable).name)}mesh demo --keep",
                "leaves all of this running; then, elsewhere:",
            ),
        )
        steps.append(("$EDITOR examples/demo/*.yaml", "change what the demo runs"))
    width = min(_WIDEST, max(len(command) for command, _ in steps))
    return "\n".join(["try next:", *(f"  {command.ljust(width)}  # {why}" for command, why in steps)])


def _python() -> str:
    """Python as it is typed here."""
    python, here = Path(sys.executable), Path.cwd()
    return str(python.relative_to(here) if python.is_relative_to(here) else python)


def _object(tally: Tally) -> dict[str, Any]:
    return {
        "name": tally.name,
        "requests": tally.requests,
        "failures": tally.failures,
        "p50_ms": round(tally.quantile_ms(0.5), 3),
        "p99_ms": round(tally.quantile_ms(0.99), 3),
        "answered": dict(sorted(tally.answered.items())),
    }


def _row(tally: Tally) -> tuple[str, ...]:
    numbers = (str(tally.requests), str(tally.failures))
    latencies = (f"{tally.quantile_ms(0.5):.1f}", f"{tally.quantile_ms(0.99):.1f}")
    return (tally.name, *numbers, *latencies, shares(tally))


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:5], widths[1:5], strict=True))]
    return "  ".join((*cells, row[5]))
