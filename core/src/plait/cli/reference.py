"""``docs/reference/commands.md``, made from the parsers and the exit codes: ``tools/reference`` writes it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from plait.cli.exits import Exit
from plait.cli.verbs import own_commands, parser

_HEAD = """\
# Commands and exit codes

<!-- Made by tools/reference from the code; change it there. -->

Plugins add verbs of their own through the hook `plait_commands`; `mesh --help` lists them too.
"""


def render() -> str:
    """The whole page."""
    lines = [_HEAD]
    for name, below in _verbs(parser(own_commands()), "mesh"):
        lines += [f"## `{name}`", "", f"{below.description}.", ""]
        flags = [_flag(action) for action in below._actions if not isinstance(action, argparse._HelpAction)]
        if flags:
            lines += ["| flag | meaning |", "|---|---|", *flags, ""]
    lines += ["## Exit codes", "", "| code | name | meaning |", "|---|---|---|"]
    lines += [f"| {int(code)} | {code.name} | {code.meaning} |" for code in Exit]
    return "\n".join(lines) + "\n"


def _verbs(above: argparse.ArgumentParser, prefix: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """The verbs that have none below them; argparse tells of its actions only in private names."""
    for action in above._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                further = list(_verbs(below, f"{prefix} {name}"))
                yield from further or [(f"{prefix} {name}", below)]


def _flag(action: argparse.Action) -> str:
    value = default = ""
    if action.nargs != 0:
        choices = "{" + ",".join(str(choice) for choice in action.choices or ()) + "}"
        value = str(action.metavar or (choices if action.choices else action.dest))
        if action.option_strings and action.default not in (None, "", []):
            shown = f"{action.default:g}" if isinstance(action.default, float) else action.default
            default = f" (default `{shown}`)"
    *others, last = action.option_strings or [""]
    names = [f"`{name}`" for name in others] + [f"`{f'{last} {value}'.strip()}`"]
    return f"| {', '.join(names)} | {action.help}{default} |"


if __name__ == "__main__":
    print(render(), end="")
