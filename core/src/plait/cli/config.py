"""``mesh config``: looks at configurations; ``show`` prints what one means."""

from __future__ import annotations

import argparse
import json

from plait.api.extension import CommandType
from plait.cli.exits import Exit
from plait.cli.options import add_configuration, checked_options


def configure(parser: argparse.ArgumentParser) -> None:
    """One verb below this one as yet."""
    verbs = parser.add_subparsers(dest="config_verb", metavar="VERB", required=True)
    summary = "Print the frozen model that a configuration becomes, defaults and all"
    show = verbs.add_parser("show", help=summary, description=summary, allow_abbrev=False)
    add_configuration(show)
    show.add_argument("--format", choices=("yaml", "json"), default="yaml", help="how it is written")


def run(arguments: argparse.Namespace) -> int:
    """Print the model."""
    from plait import runtime
    from plait.runtime.plain import plain

    model = plain(runtime.validate(checked_options(arguments)), whole=True)
    if arguments.format == "json":
        print(json.dumps(model, indent=2))
    else:
        import yaml

        print(yaml.safe_dump(model, sort_keys=False, allow_unicode=True, width=120), end="")
    return Exit.OK


COMMAND = CommandType("config", "Look at a configuration", configure, run)
