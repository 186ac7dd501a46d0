"""What the demo saw, as a table for people and as JSON for machines, and what to try next."""

from __future__ import annotations

from typing import Any

from plait.cli.demo.files import HOST, DemoFiles
from plait.cli.demo.load import Tally
from plait.cli.demo.scenario import CLIENT, Result, shares

_HEADINGS = ("phase", "requests", "failures", "p50 ms", "p99 ms", "who answered")


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
    rows = [_HEADINGS, *(_row(phase) for phase in result.phases), _row(result.total), _row(result.tcp)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    lines = [_line(row, widths) for row in rows]
    rule = "-" * max(len(line) for line in lines)
    lines[1:1] = [rule]
    lines[-2:-2] = [rule]
    refusals = result.refusals
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
            f"it took {result.elapsed_s:.1f} s",
        )
    )


def next_steps(result: Result, files: DemoFiles, *, running: bool) -> str:
    """Commands to try: on the ports in use, or on those of the files when nothing runs any more."""
    as_written = {new: port for port, new in files.ports.items()}
    ports = (result.ports[name] for name in ("http", "tcp", f"{CLIENT} admin"))
    http, tcp, admin = (port if running else as_written.get(port, port) for port in ports)
    steps = [
        (f"curl -i {HOST}:{http}/", "a request, and who answered it"),
        (f"curl -i -H 'x-user: mallory' {HOST}:{http}/", "the same for a caller whom a policy refuses"),
        (f"curl -i -H 'x-user: alice' {HOST}:{http}/admin", "a page for one caller alone"),
        (f"curl telnet://{HOST}:{tcp}", "TCP: type a line, it comes back"),
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
        steps.insert(0, ("mesh demo --keep", "leaves all of this running; then, elsewhere:"))
        steps.append(("$EDITOR examples/demo/*.yaml", "change what the demo runs"))
    width = max(len(command) for command, _ in steps)
    return "\n".join(["try next:", *(f"  {command.ljust(width)}  # {why}" for command, why in steps)])


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
