"""``mesh validate``: everything is provisioned and nothing runs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from plait.api.extension import CommandType
from plait.cli.exits import Exit
from plait.cli.options import add_configuration, checked_options

if TYPE_CHECKING:
    from plait.runtime.options import RunOptions


def configure(parser: argparse.ArgumentParser) -> None:
    """The configuration and the choice of plugins."""
    add_configuration(parser)


def run(arguments: argparse.Namespace) -> int:
    """Say that the configuration is right, or raise what is wrong with it."""
    return validate(checked_options(arguments))


def validate(options: RunOptions) -> int:
    """Provision; the errors are ``main``'s to print."""
    from plait import runtime

    runtime.validate(options)
    print(f"configuration {options.config_path or '--config-yaml'!r} is valid")
    return Exit.OK


COMMAND = CommandType("validate", "Check a configuration and everything it needs, and run nothing", configure, run)
