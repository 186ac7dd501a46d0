"""Imports one plugin and asks it what it registers, or says why it cannot be used; keeps nothing."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from plait.api.errors import PluginError
from plait.plugins.answers import answers
from plait.plugins.discovery import PluginInfo
from plait.plugins.factory import describe
from plait.plugins.kinds import KINDS

API_ATTRIBUTE = "PLAIT_API"
"""Module attribute with the API version that a plugin was made for; a mapping of kinds to versions if they differ."""


def load(info: PluginInfo) -> tuple[Any, ...]:
    """Everything that the plugin registers. Raises PluginError: cannot be imported, wrong API version, wrong answer."""
    if info.unmet:
        cause = f"it requires {info.unmet!r}, which the installed plait does not meet"
        raise _error(info, cause, f"install a release of {info.distribution} made for this plait, or another plait")
    module, plugin = _imported(info)
    _check_version(info, module)
    return answers(info.kind, plugin, name=info.id, distribution=info.distribution)


def _error(info: PluginInfo, cause: str, remedy: str) -> PluginError:
    return PluginError(info.id, cause, distribution=info.distribution, remedy=remedy)


def _imported(info: PluginInfo) -> tuple[ModuleType, Any]:
    remedy = f"repair the installation of {info.distribution}, or leave the plugin out with --no-plugins {info.id}"
    try:
        module = importlib.import_module(info.module)
    except (Exception, SystemExit) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and missing != info.module and not info.module.startswith(f"{missing}."):
            remedy = f"install what provides {missing!r}, or leave the plugin out with --no-plugins {info.id}"
        raise _error(info, f"{info.module} cannot be imported: {describe(error)}", remedy) from error
    plugin: Any = module
    for part in filter(None, info.attribute.split(".")):
        try:
            plugin = getattr(plugin, part)
        except AttributeError as error:
            raise _error(info, f"{info.module} has no attribute {info.attribute!r}", remedy) from error
    return module, plugin


def _check_version(info: PluginInfo, module: ModuleType) -> None:
    made_for = getattr(module, API_ATTRIBUTE, None)
    if isinstance(made_for, Mapping):
        made_for = made_for.get(info.kind)
    current = KINDS[info.kind].api
    if made_for is None or made_for == current:
        return
    if not isinstance(made_for, int):
        raise _error(info, f"{API_ATTRIBUTE} is {made_for!r}, expected a whole number", "report this to its authors")
    newer = made_for > current
    remedy = "install a newer plait" if newer else f"install a newer release of {info.distribution}"
    cause = f"it was made for version {made_for} of the {info.kind} API, and this plait has version {current}"
    raise _error(info, cause, remedy)
