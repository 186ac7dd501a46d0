"""``mesh plugins``: what is installed, from metadata alone; ``--check`` imports it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from plait.api.extension import CommandType
from plait.cli.exits import Exit
from plait.plugins import KINDS, Checked, PluginInfo, check, discover

_HEADINGS = ("NAME", "KIND", "DISTRIBUTION", "VERSION", "STATUS", "SECURITY POSTURE", "REGISTERS")


def configure(parser: argparse.ArgumentParser) -> None:
    """What to list and how."""
    parser.add_argument(
        "--kind", metavar="KIND", choices=tuple(KINDS), help=f"only plugins of one kind: {', '.join(KINDS)}"
    )
    parser.add_argument("--json", action="store_true", help="a JSON list of objects")
    parser.add_argument(
        "--check",
        action="store_true",
        help="import each plugin, verify its answers, and compare what it declares with what it registers; exit code 3 "
        "if one fails",
    )


def run(arguments: argparse.Namespace) -> int:
    """List, and check if asked to."""
    plugins = [info for info in discover() if arguments.kind in (None, info.kind)]
    findings = {found.info: found for found in check(discover())} if arguments.check else {}
    if arguments.json:
        print(json.dumps([_object(info, findings.get(info)) for info in plugins], indent=2))
    elif plugins:
        _print_table(plugins, findings)
    else:
        print("no plugins are installed")
    failed = [error for info in plugins if info in findings and (error := findings[info].error)]
    for error in failed:
        print(f"mesh: {error}", file=sys.stderr)
    return Exit.PLUGIN if failed else Exit.OK


def _object(info: PluginInfo, found: Checked | None) -> dict[str, object]:
    described: dict[str, object] = {
        "name": info.name,
        "kind": info.kind,
        "distribution": info.distribution,
        "version": info.version,
        "status": info.status,
        "security_posture": info.security_posture,
        "module": info.module,
        "registers": list(info.registers),
    }
    if found is not None:
        error = found.error
        described["check"] = {
            "ok": error is None,
            "cause": error.cause if error else "",
            "remedy": error.remedy if error else "",
            "names": list(found.names),
            "undeclared": list(found.undeclared),
        }
    return described


def _print_table(plugins: Sequence[PluginInfo], findings: dict[PluginInfo, Checked]) -> None:
    headings = (*_HEADINGS[:6], "CHECK", _HEADINGS[6]) if findings else _HEADINGS
    rows: list[tuple[str, ...]] = [headings]
    for info in plugins:
        found = findings.get(info)
        names = list(info.registers)
        cells = [info.name, info.kind, info.distribution, info.version, info.status, info.security_posture]
        if found is not None:
            names += [f"{name} (not declared)" for name in found.undeclared]
            cells.append("failed" if found.error else "ok")
        rows.append((*cells, names[0] if names else ""))
        rows += [(*[""] * len(cells), name) for name in names[1:]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(headings))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


COMMAND = CommandType("plugins", "List the installed plugins", configure, run)
