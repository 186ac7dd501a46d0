"""Imports every plugin and says what is wrong with each: the work of ``mesh plugins --check``."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

import attrs

from plait.api.errors import PluginError
from plait.plugins.catalogue import Catalogue
from plait.plugins.discovery import PluginInfo
from plait.plugins.factory import describe
from plait.plugins.kinds import EXTENSIONS_GROUP


@attrs.frozen
class Checked:
    """The finding about one plugin: ``names`` are what it really registers, ``undeclared`` those of them that no entry
    point of ``plait.extensions`` names (harmless, but finding them imports more)."""

    info: PluginInfo
    names: tuple[str, ...] = ()
    undeclared: tuple[str, ...] = ()
    error: PluginError | None = None


def check(plugins: Iterable[PluginInfo]) -> list[Checked]:
    """Load each plugin into one catalogue, import its translations, and compare what it declares and registers."""
    plugins = list(plugins)
    claimed: dict[str, list[PluginInfo]] = {}
    for info in plugins:
        claimed.setdefault(info.id, []).append(info)
    catalogue = Catalogue([owners[0] for owners in claimed.values()])
    registered: dict[PluginInfo, tuple[Any, ...]] = {}
    errors: dict[PluginInfo, PluginError] = {}
    for info in plugins:
        try:
            if len(claimed[info.id]) > 1:
                Catalogue(claimed[info.id])
            registered[info] = catalogue.load(info.id)
            for item in registered[info]:
                _check_translations(info, item)
        except PluginError as error:
            errors[info] = error
    return [_compare(info, registered, errors) for info in plugins]


def _compare(
    info: PluginInfo, registered: dict[PluginInfo, tuple[Any, ...]], errors: dict[PluginInfo, PluginError]
) -> Checked:
    if info in errors:
        return Checked(info, error=errors[info])
    names = _names(registered[info])
    siblings = [other for other in registered if (other.distribution, other.module) == (info.distribution, info.module)]
    known = set().union(*(_all_names(registered[other]) for other in siblings))
    false = [name for name in info.registers if name not in known]
    whole = all(other not in errors for other in siblings)
    if false and whole:
        error = PluginError(
            info.id,
            f"its distribution declares {', '.join(false)} in {EXTENSIONS_GROUP}, {info.module} does not register it",
            distribution=info.distribution,
            remedy="report this to its authors",
        )
        return Checked(info, names, error=error)
    undeclared = tuple(sorted(_all_names(registered[info]) - set(info.registers))) if info.registers else names
    return Checked(info, names, undeclared)


def _names(items: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(item.name for item in items)


def _all_names(items: tuple[Any, ...]) -> set[str]:
    return {name for item in items for name in (item.name, getattr(item, "proto", "")) if name}


def _check_translations(info: PluginInfo, item: Any) -> None:
    for field in ("translate", "route_translate"):
        target = getattr(item, field, "")
        if not target:
            continue
        module, _, function = target.partition(":")
        try:
            found = getattr(importlib.import_module(module), function, None)
        except (Exception, SystemExit) as error:
            cause = f"{field} of {item.name!r}: {module} cannot be imported: {describe(error)}"
            remedy = f"repair the installation of {info.distribution}"
            raise PluginError(info.id, cause, distribution=info.distribution, remedy=remedy) from error
        if not callable(found):
            cause = f"{field} of {item.name!r} names {target!r}, which is no function"
            raise PluginError(info.id, cause, distribution=info.distribution, remedy="report this to its authors")
