"""What a translation is done with: finds extensions, collects what is wrong, and remembers what refers to what.

One ``Translator`` serves one configuration. Functions that translate raise ``ConfigError`` for what keeps them from
giving a result, and ``report`` what does not; whoever translates several things of a kind puts ``collect`` around each,
so that one broken thing does not hide what is wrong with the others. ``raise_all`` ends it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from types import TracebackType
from typing import Any

import attrs

from plait.api.config import Extension, RouteConfiguration
from plait.api.errors import ConfigError, ConfigErrors
from plait.api.extension import AccessLogType, FilterType
from plait.api.protocol import ProtocolType
from plait.plugins.catalogue import Catalogue, MissingPluginError
from plait.xds.positions import Where, did_you_mean
from plait.xds.translate import extensions
from plait.xds.translate.chain import check_terminal

_log = logging.getLogger("plait.xds")


class Collecting:
    """See ``Translator.collect``."""

    def __init__(self, translator: Translator) -> None:
        self._translator = translator

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if isinstance(error, ConfigError):
            self._translator.report(error)
            return True
        return False


class Translator:
    """See the module. ``catalogue`` says which plugins there are, ``check_format`` raises for bad format strings."""

    def __init__(self, catalogue: Catalogue, check_format: Callable[[str], object] = str) -> None:
        self.catalogue = catalogue
        self.check_format = check_format
        self.errors: list[ConfigError] = []
        self.routes: list[RouteConfiguration] = []
        self._cluster_references: list[tuple[str, Where]] = []
        self._endpoints_wanted: list[Where] = []

    # what is wrong

    def report(self, error: ConfigError) -> None:
        """Keep an error, and go on."""
        self.errors += error.errors if isinstance(error, ConfigErrors) else (error,)

    def collect(self) -> Collecting:
        """Keep the ``ConfigError`` that a ``with`` block raises, and go on after the block."""
        return Collecting(self)

    def raise_all(self) -> None:
        """Raise ``ConfigErrors`` with everything reported, in the order of the text, if there is anything."""
        if self.errors:
            files = list(dict.fromkeys(error.file for error in self.errors))
            order = sorted(self.errors, key=lambda error: (files.index(error.file), error.line, error.column))
            raise ConfigErrors(order)

    def only(
        self, message: Any, where: Where, handled: Collection[str], no_effect: Mapping[str, str] | None = None
    ) -> None:
        """Report every field that is set in ``message`` and is not ``handled``: none is ignored silently.

        ``no_effect`` are fields that change nothing here and hurt nobody, with the reason: they are logged.
        """
        for field, _ in message.ListFields():
            if field.name in handled:
                continue
            if no_effect and field.name in no_effect:
                self.warn(where / field.name, f"field {field.name!r} has no effect: {no_effect[field.name]}")
            else:
                self.report((where / field.name).error(f"field {field.name!r} is not supported yet by plait"))

    def warn(self, where: Where, text: str) -> None:
        """Log something about a place that is not an error."""
        _log.warning("%s: %s", where.position, text)

    # extensions

    def extension(self, kind: str | type, name: str, any_message: Any, where: Where) -> Extension:
        """The extension called ``name`` that ``any_message`` (or None), written at ``where``, configures.

        ``kind`` is an entry-point group without ``plait.``, or one category of it (``FilterType`` …). Raises
        ConfigError where no plugin answers for it or its settings are wrong, PluginError for a broken plugin.
        """
        return extensions.extension(kind, name, any_message, where, self)[0]

    def resolve(self, kind: str | type, name: str, any_message: Any, where: Where) -> tuple[Extension, Any]:
        """The same, and what is registered for it (a ``FilterType`` …)."""
        return extensions.extension(kind, name, any_message, where, self)

    def typed_config(self, packed: Any, where: Where) -> extensions.Settings:
        """What an Any at ``where`` holds, for those who know a few types themselves; raises ConfigError."""
        return extensions.Settings(packed, where)

    def structured(self, cls: type | None, name: str, mapping: Mapping[str, Any], where: Where) -> Any:
        """An object of the attrs class ``cls``, of what is called ``name``, from a plain mapping at ``where``.

        Raises ConfigErrors that say where; ``cls`` None takes no fields and gives None.
        """
        return extensions.structured(cls, name, mapping, where)

    def access_logs(self, messages: Iterable[Any], where: Where) -> tuple[Extension, ...]:
        """A list of envoy.config.accesslog.v3.AccessLog."""
        logs = []
        for index, message in enumerate(messages):
            at = where / index
            with self.collect():
                self.only(message, at, handled={"name", "typed_config"})
                logs.append(self.extension(AccessLogType, message.name, message.typed_config, at / "typed_config"))
        return tuple(logs)

    def http_filters(self, messages: Iterable[Any], where: Where) -> tuple[Extension, ...]:
        """A list of HttpFilter of a connection manager, of which the last one and no other ends the chain."""
        return self.stream_filters(messages, where, "the router, envoy.filters.http.router")

    def stream_filters(
        self, messages: Iterable[Any], where: Where, last: str, field: str = "typed_config"
    ) -> tuple[Extension, ...]:
        """A chain of stream filters: messages with ``name`` and an Any in ``field``; ``last`` says what ends it."""
        chain: list[tuple[Extension, Any, Where]] = []
        broken = False
        for index, message in enumerate(messages):
            at = where / index
            with self.collect():
                self.only(message, at, handled={"name", field})
                made = self.resolve(FilterType, message.name, getattr(message, field), at / field)
                chain.append((*made, at))
            broken = len(chain) <= index
        if not broken:
            check_terminal(chain, where, self, last)
        return tuple(made for made, _, _ in chain)

    def filter_settings(self, by_name: Mapping[str, Any], where: Where) -> dict[str, object]:
        """A ``typed_per_filter_config``: the settings of filters on a route, by the filters' names."""
        found: dict[str, object] = {}
        for name in sorted(by_name):
            with self.collect():
                found[name] = extensions.route_settings(name, by_name[name], where / name, self)
        return found

    def protocol_options(self, protocol: str, where: Where, messages: Mapping[str, Any], **more: object) -> object:
        """The options of a registered protocol, from the fields of messages that are named as they are there.

        ``messages`` maps the fields in which they were found (under ``where``) to messages; a field that is set and
        that the options do not have is refused. ``more`` is added where not None. None stands for the defaults.
        """
        registered = self.protocol(protocol, where)
        cls: Any = registered.options
        known = {field.name for field in attrs.fields(cls)} if cls is not None else set()
        values: dict[str, object] = {name: value for name, value in more.items() if value is not None}
        for step, message in messages.items():
            self.only(message, where / step, handled=known)
            for field, value in message.ListFields():
                if field.name in known:
                    wrapper = field.message_type is not None and hasattr(value, "value")
                    values[field.name] = value.value if wrapper else value
        if not values:
            return None
        unknown = sorted(set(values) - known)
        if unknown:
            raise where.error(f"protocol {protocol!r} has no option {unknown[0]!r}")
        return cls(**values)

    def protocol(self, name: str, where: Where) -> ProtocolType:
        """The registered protocol; raises ConfigError that says what to install."""
        try:
            return self.catalogue.find(ProtocolType, name)[0]
        except MissingPluginError as error:
            what = f"protocol {name!r} cannot be used: {error.cause}"
            raise where.error(what, hint=error.remedy) from error

    # what refers to what

    def cluster_reference(self, name: str, where: Where) -> None:
        """Say that a cluster must exist; whether it does is known in the end."""
        self._cluster_references.append((name, where))

    def check_cluster_references(self, known: Collection[str]) -> None:
        """Report every reference to a cluster that there is not."""
        for name, where in self._cluster_references:
            if name not in known:
                self.report(
                    where.error(f"unknown cluster {name!r}", "the name of a cluster", did_you_mean(name, known))
                )

    def endpoints_wanted(self, where: Where) -> None:
        """Say that a cluster gets its endpoints from somewhere else."""
        self._endpoints_wanted.append(where)

    def check_endpoint_sources(self) -> None:
        """Report the clusters that want endpoints from somewhere else, where there is nowhere else."""
        for where in self._endpoints_wanted:
            hint = "name a registry in bootstrap_extensions"
            self.report(where.error("the cluster is of type EDS, and nothing tells its endpoints", "a registry", hint))

    def route_configuration(self, message: Any, where: Where) -> RouteConfiguration:
        """An envoy.config.route.v3.RouteConfiguration."""
        from plait.xds.translate.route import route_configuration

        return route_configuration(message, where, self)

    def add_route_configuration(self, routes: RouteConfiguration) -> str:
        """Make the routes written in a listener a resource of their own; return the name that it has as such."""
        taken = {known.name for known in self.routes}
        base = routes.name or "inline"
        name, number = base, 1
        while name in taken:
            number += 1
            name = f"{base}#{number}"
        self.routes.append(attrs.evolve(routes, name=name))
        return name
