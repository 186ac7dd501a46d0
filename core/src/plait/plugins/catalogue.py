"""What the loaded plugins registered, by category and by name; loads a plugin when something asks for it.

This chooses and remembers; ``plait.plugins.loader`` imports. Nothing here is called for traffic.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

from plait.api.errors import PluginError
from plait.plugins import loader
from plait.plugins.discovery import PluginInfo
from plait.plugins.kinds import kinds_of
from plait.plugins.known import KNOWN

T = TypeVar("T")


class MissingPluginError(PluginError):
    """No plugin that may be used answers for a name; the remedy says what to install or allow."""


class DuplicateError(PluginError):
    """Two plugins claim one name; ``claimed`` is that name."""

    def __init__(self, name: str, claimed: str, cause: str, *, distribution: str, remedy: str) -> None:
        self.claimed = claimed
        super().__init__(name, cause, distribution=distribution, remedy=remedy)


class Catalogue:
    """The plugins that a process may use.

    ``discovered`` is what ``discover()`` found. ``only`` restricts it to the plugins named (``fault`` or
    ``filters:fault``), ``blocked`` takes plugins out of it. Making one imports nothing. Raises PluginError for a name
    that is not installed, and for two distributions that claim the same plugin. A plugin that fails leaves no trace:
    what was registered before stays as it was, and asking for it again gives the same error.
    """

    def __init__(
        self, discovered: Iterable[PluginInfo], only: Sequence[str] | None = None, blocked: Sequence[str] = ()
    ) -> None:
        self._installed = tuple(discovered)
        wanted = None if only is None else _named(self._installed, only, "--plugins")
        refused = _named(self._installed, blocked, "--no-plugins")
        self._left_out: dict[PluginInfo, str] = {}
        for info in self._installed:
            if info in refused:
                self._left_out[info] = f"take {info.id} out of --no-plugins"
            elif wanted is not None and info not in wanted:
                self._left_out[info] = f"add {info.id} to --plugins"
        self.plugins = tuple(info for info in self._installed if info not in self._left_out)
        self._by_id: dict[str, PluginInfo] = {}
        for info in self.plugins:
            if info.id in self._by_id:
                raise _duplicate_plugin(self._by_id[info.id], info)
            self._by_id[info.id] = info
        self._loaded: dict[str, tuple[Any, ...]] = {}
        self._failed: dict[str, PluginError] = {}
        self._names: dict[type, dict[str, tuple[Any, str]]] = {}
        self._protos: dict[type, dict[str, tuple[Any, str]]] = {}
        self._found: dict[tuple[type, str], tuple[Any, str]] = {}

    def info(self, plugin_id: str) -> PluginInfo:
        """The plugin with that id (``filters:fault``); raises MissingPluginError."""
        info = self._by_id.get(plugin_id)
        if info is not None:
            return info
        for left_out, remedy in self._left_out.items():
            if left_out.id == plugin_id:
                raise MissingPluginError(plugin_id, "it is left out", distribution=left_out.distribution, remedy=remedy)
        remedy = _did_you_mean(plugin_id, self._by_id) or "install the distribution that has it"
        raise MissingPluginError(plugin_id, "it is not installed", remedy=remedy)

    def load(self, plugin_id: str) -> tuple[Any, ...]:
        """Everything the plugin registers; it is imported once. Raises PluginError."""
        loaded = self._loaded.get(plugin_id)
        if loaded is not None:
            return loaded
        info = self.info(plugin_id)
        if plugin_id in self._failed:
            raise self._failed[plugin_id]
        try:
            registered = loader.load(info)
            self._check_free(info, registered)
        except PluginError as error:
            self._failed[plugin_id] = error
            raise
        self._loaded[plugin_id] = registered
        for item in registered:
            self._names.setdefault(type(item), {})[item.name] = (item, plugin_id)
            if _proto(item):
                self._protos.setdefault(type(item), {}).setdefault(item.proto, (item, plugin_id))
        return registered

    def find(self, category: type[T], name: str) -> tuple[T, str]:
        """The ``category`` (``FilterType`` …) registered under a name or a message's full name, and its plugin's id.

        Imports what declares the name in the group ``plait.extensions``, then plugins that declare nothing, then
        whatever else may register the category. Raises MissingPluginError when none has it, and PluginError when one
        that declares it fails.
        """
        found = self._found.get((category, name))
        if found is None:
            found = self._found[category, name] = self._search(category, name)
        return found

    def of(self, plugin_id: str, name: str, *categories: type) -> Any:
        """What one plugin registered as ``name``, of ``categories`` if any are given.

        The way of a worker, which knows the plugin from the configuration. Raises PluginError.
        """
        matching = [
            item
            for item in self.load(plugin_id)
            if name in (item.name, _proto(item)) and (not categories or isinstance(item, categories))
        ]
        for item in sorted(matching, key=lambda item: not hasattr(item, "factory")):
            return item  # what can be built goes before a page of the same name
        cause = f"it registers no {name!r}"
        raise PluginError(plugin_id, cause, distribution=self.info(plugin_id).distribution, remedy="check the name")

    def every(self, category: type[T]) -> Mapping[str, tuple[T, str]]:
        """All of a category by name, with their plugins' ids; imports every plugin of its kinds. Raises PluginError."""
        for info in self._of_kinds(category):
            self.load(info.id)
        return self.registered(category)

    def registered(self, category: type[T]) -> Mapping[str, tuple[T, str]]:
        """What the plugins loaded so far registered of a category, by name."""
        return MappingProxyType(self._names.get(category, {}))

    def _of_kinds(self, category: type) -> list[PluginInfo]:
        kinds = kinds_of(category)
        return [info for info in self.plugins if info.kind in kinds]

    def _search(self, category: type[T], name: str) -> tuple[T, str]:
        candidates = self._of_kinds(category)
        for info in candidates:
            if name in info.registers:
                self.load(info.id)
        found = self._lookup(category, name)
        if found is not None:
            return found
        errors: list[PluginError] = []
        silent = [info for info in candidates if not info.registers]
        others = [info for info in candidates if info.registers]
        for group in (silent, others):
            for info in group:
                try:
                    self.load(info.id)
                except DuplicateError as error:
                    if error.claimed == name:
                        raise
                    errors.append(error)
                except PluginError as error:
                    errors.append(error)
            found = self._lookup(category, name)
            if found is not None:
                return found
        if errors and name not in KNOWN:
            raise errors[0]
        raise self._missing(category, name)

    def _lookup(self, category: type[T], name: str) -> tuple[T, str] | None:
        return self._names.get(category, {}).get(name) or self._protos.get(category, {}).get(name)

    def _missing(self, category: type, name: str) -> MissingPluginError:
        kinds = kinds_of(category)
        for info, remedy in self._left_out.items():
            if name in info.registers and info.kind in kinds:
                cause = f"its plugin {info.id} is left out"
                return MissingPluginError(name, cause, distribution=info.distribution, remedy=remedy)
        if name in KNOWN:
            distribution = KNOWN[name]
            remedy = f"install the distribution {distribution}"
            return MissingPluginError(name, "it is not installed", distribution=distribution, remedy=remedy)
        names = {*self._names.get(category, {}), *self._protos.get(category, {}), *KNOWN}
        remedy = _did_you_mean(name, names)
        silent = [(info, how) for info, how in self._left_out.items() if info.kind in kinds and not info.registers]
        if silent and not remedy:  # one left out does not say what it registers, and is not imported to find out
            remedy = " or ".join(f"{how} if {info.distribution} has it" for info, how in silent)
        remedy = remedy or "install the distribution that has it (`mesh plugins` lists what there is)"
        among = "plugin that may be used" if self._left_out else "installed plugin"
        return MissingPluginError(name, f"no {among} registers this {category.__name__}", remedy=remedy)

    def _check_free(self, info: PluginInfo, registered: tuple[Any, ...]) -> None:
        for item in registered:
            category: type = type(item)
            taken = self._names.get(category, {}).get(item.name)
            claimed = item.name
            if taken is None and _proto(item):
                taken = self._protos.get(category, {}).get(item.proto)
                claimed = item.proto
            if taken is not None:
                other = self._by_id[taken[1]]
                raise DuplicateError(
                    info.id,
                    claimed,
                    f"it registers the {category.__name__} {claimed!r}, and so does {other.id} of {other.distribution}",
                    distribution=info.distribution,
                    remedy=f"uninstall one of the two, or leave one out with --no-plugins {info.id}",
                )


def _proto(item: Any) -> str:
    return str(getattr(item, "proto", ""))


def _duplicate_plugin(first: PluginInfo, second: PluginInfo) -> DuplicateError:
    return DuplicateError(
        first.id,
        first.id,
        f"two distributions have a plugin of this name: {first.distribution} {first.version} ({first.module}) and "
        f"{second.distribution} {second.version} ({second.module})",
        distribution=first.distribution,
        remedy="uninstall one of the two, or leave both out with --no-plugins " + first.id,
    )


def _named(installed: Sequence[PluginInfo], names: Sequence[str], option: str) -> set[PluginInfo]:
    chosen: set[PluginInfo] = set()
    for name in names:
        matching = [info for info in installed if name in (info.name, info.id)]
        if not matching:
            remedy = _did_you_mean(name, [info.name for info in installed] + [info.id for info in installed])
            remedy = remedy or "`mesh plugins` lists what there is"
            raise MissingPluginError(name, f"{option} names it, and it is not installed", remedy=remedy)
        chosen.update(matching)
    return chosen


def _did_you_mean(name: str, among: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, sorted(among), 1)
    return f"did you mean {close[0]!r}?" if close else ""
