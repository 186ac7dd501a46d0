"""``mesh version``: which Plait this is."""

from __future__ import annotations

import argparse
import platform
import sys

from plait.api.extension import CommandType
from plait.cli.exits import Exit


def version() -> str:
    """The version of the installed distribution; ``unknown`` where there is only a source tree."""
    from importlib import metadata

    try:
        return metadata.version("plait")
    except metadata.PackageNotFoundError:
        return "unknown"


def configure(parser: argparse.ArgumentParser) -> None:
    """No flags."""


def run(arguments: argparse.Namespace) -> int:
    """One line."""
    print(f"plait {version()}, {platform.python_implementation()} {platform.python_version()} on {sys.platform}")
    return Exit.OK


COMMAND = CommandType("version", "Print the version", configure, run)
