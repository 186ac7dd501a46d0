"""``mesh run``: a sidecar."""

from __future__ import annotations

import argparse

from plait.api.extension import CommandType
from plait.cli.options import add_configuration, add_running, checked_options
from plait.cli.validate import validate


def configure(parser: argparse.ArgumentParser) -> None:
    """Envoy's flags, and the choice of plugins."""
    add_configuration(parser)
    add_running(parser)
    parser.add_argument(
        "--mode", choices=("serve", "validate"), default="serve", help="`validate` does what `mesh validate` does"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run until told to stop."""
    options = checked_options(arguments)
    if options.mode == "validate":
        return validate(options)
    from plait import runtime

    return runtime.run(options)


COMMAND = CommandType("run", "Run a sidecar", configure, run)
