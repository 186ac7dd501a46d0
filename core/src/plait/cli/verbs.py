"""Which verbs ``mesh`` has: its own, one module each, and those of plugins.

A module ``plait.cli.<verb>`` has a ``COMMAND``; a plugin answers the hook ``plait_commands``. Plugins are only looked
for when a verb is not Plait's own, or all are to be listed.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
from collections.abc import Sequence

from plait.api.errors import PluginError
from plait.api.extension import CommandType
from plait.cli.version import version

OWN = ("run", "validate", "plugins", "config", "demo", "version")


def own_commands() -> list[CommandType]:
    """Plait's own, in the order of ``--help``."""
    found = [verb for verb in OWN if importlib.util.find_spec(f"plait.cli.{verb}")]
    return [importlib.import_module(f"plait.cli.{verb}").COMMAND for verb in found]


def plugin_command(verb: str) -> CommandType | None:
    """The verb of a plugin; None when no installed one has it. Raises PluginError for a plugin that fails."""
    from plait.plugins import Catalogue, MissingPluginError, discover

    catalogue = Catalogue(info for info in discover() if info.kind == "commands")
    try:
        return catalogue.find(CommandType, verb)[0]
    except MissingPluginError:
        return None


def plugin_commands() -> tuple[list[CommandType], list[PluginError]]:
    """Every verb of every plugin, and what is wrong with those that fail."""
    from plait.plugins import Catalogue, discover

    errors: list[PluginError] = []
    try:
        catalogue = Catalogue(info for info in discover() if info.kind == "commands")
    except PluginError as error:
        return [], [error]
    for info in catalogue.plugins:
        try:
            catalogue.load(info.id)
        except PluginError as error:
            errors.append(error)
    return [command for command, _ in catalogue.registered(CommandType).values()], errors


def parser(commands: Sequence[CommandType]) -> argparse.ArgumentParser:
    """The command line of ``mesh`` with these verbs."""
    mesh = argparse.ArgumentParser(
        "mesh", description="Service-mesh sidecars composed of Python plugins", allow_abbrev=False
    )
    mesh.add_argument("--version", action="version", version=f"plait {version()}", help="print the version")
    verbs = mesh.add_subparsers(dest="verb", metavar="VERB", required=True)
    for command in commands:
        below = verbs.add_parser(command.name, help=command.summary, description=command.summary, allow_abbrev=False)
        command.configure(below)
        below.set_defaults(run_verb=command.run)
    return mesh
