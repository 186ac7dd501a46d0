"""A plugin's part of the configuration: finds who answers for it and has its settings made.

A message of a type of its own is looked up by that type; a TypedStruct by the type it names; a bare Struct, an Empty or
nothing at all by the extension's name. The settings are made by the registered ``translate`` function, which is
imported only now, or structured into the registered class.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from plait.api.config import Extension
from plait.api.errors import ConfigError, ConfigErrors, PlaitError, PluginError
from plait.api.extension import (
    AccessLogType,
    AdapterType,
    DownstreamTransportSocketType,
    FilterType,
    ListenerFilterType,
    NetworkFilterType,
    RegistryType,
    StatsSinkType,
    UdpFilterType,
    UpstreamTransportSocketType,
)
from plait.plugins.catalogue import Catalogue, MissingPluginError
from plait.plugins.kinds import KINDS
from plait.plugins.settings import structure
from plait.xds import messages
from plait.xds.positions import Where, did_you_mean
from plait.xds.translate.values import plain

if TYPE_CHECKING:
    from plait.xds.translator import Translator

_TYPED_STRUCTS = ("xds.type.v3.TypedStruct", "udpa.type.v1.TypedStruct")
_STRUCT = "google.protobuf.Struct"
_EMPTY = "google.protobuf.Empty"

WORDS: Mapping[type, str] = {
    FilterType: "a stream filter",
    NetworkFilterType: "a network filter",
    ListenerFilterType: "a listener filter",
    UdpFilterType: "a UDP listener's filter",
    DownstreamTransportSocketType: "a transport socket of filter chains",
    UpstreamTransportSocketType: "a transport socket of clusters",
    AccessLogType: "an access log",
    StatsSinkType: "a stats sink",
    RegistryType: "a registry",
    AdapterType: "a policy adapter",
}
"""The categories that a configuration can name, in words."""


def categories_of(kind: str | type) -> tuple[type, ...]:
    """The categories meant by a kind of plugins (``filters``), or the one given."""
    if isinstance(kind, type):
        return (kind,)
    if kind not in KINDS:
        raise ValueError(f"unknown kind of extension {kind!r}, expected one of {', '.join(KINDS)}")
    return tuple(category for category in KINDS[kind].categories if category in WORDS)


class Settings:
    """What the ``typed_config`` of an extension holds, before anybody has made settings of it.

    ``key`` is the name of the type that it is for ("" when only the extension's name says so); ``message`` is what
    that type's ``translate`` gets, or ``mapping`` what is structured, written at ``where``.
    """

    def __init__(self, packed: Any, where: Where) -> None:
        self.where = where
        self.key = ""
        self.message: Any = None
        self.mapping: Mapping[str, Any] | None = None
        if packed is None or not packed.type_url:
            return
        message = messages.unpack(packed)
        if message is None:
            name = messages.type_name(packed.type_url)
            raise where.error(
                f"unknown type {name!r}",
                expected="a message type of an installed distribution",
                hint=did_you_mean(name, messages.siblings(name)),
            )
        name = message.DESCRIPTOR.full_name
        if name in _TYPED_STRUCTS:
            inner: Any = message
            self.key = messages.type_name(inner.type_url) or inner.type_url
            if not self.key:
                raise (where / "type_url").error(
                    "the TypedStruct names no type", expected="type_url: and a type's name"
                )
            self.where = where / "value"
            self.mapping = plain(inner.value)
        elif name == _STRUCT:
            self.mapping = plain(message)
        elif name != _EMPTY:
            self.key = name
            self.message = message

    def for_proto(self, proto: str) -> Any:
        """The message of type ``proto`` that this is or spells out; raises ConfigError."""
        if self.message is not None:
            if self.message.DESCRIPTOR.full_name != proto:
                what = f"typed_config is a {self.message.DESCRIPTOR.full_name}"
                raise self.where.error(what, expected=f"a {proto}")
            return self.message
        made = messages.message_class(proto)
        if made is None:
            raise self.where.error(f"unknown type {proto!r}", expected="a message type of an installed distribution")
        if not self.mapping:
            return made()
        from plait.xds.translate.spelt import spelt_out  # few configurations spell messages out

        parsed = spelt_out(self.mapping, made, self.where)
        self.where = parsed.where
        return parsed.message


def find(
    catalogue: Catalogue, categories: Sequence[type], name: str, settings: Settings, where: Where
) -> tuple[Any, str]:
    """What is registered for an extension, and its plugin's id. Raises ConfigError, or the PluginError of a plugin."""
    names = [settings.key] if settings.message is not None else list(filter(None, (settings.key, name)))
    missing: MissingPluginError | None = None
    for wanted in names:
        for category in categories:
            try:
                return catalogue.find(category, wanted)
            except MissingPluginError as error:
                missing = missing or error
    if missing is None:
        raise where.error("the extension has neither a name nor a typed_config", expected="both")
    for category, words in WORDS.items():
        if category not in categories and any(_registered(catalogue, category, wanted) for wanted in names):
            expected = " or ".join(WORDS[each] for each in categories)
            raise where.error(f"{missing.name!r} is {words}", expected=expected)
    hint = missing.remedy
    if settings.message is not None and not missing.distribution:  # Envoy has the type: its name is no typing error
        hint = "install the distribution that has it (`mesh plugins` lists what there is)"
    raise where.error(f"extension {missing.name!r} cannot be used: {missing.cause}", hint=hint) from missing


def _registered(catalogue: Catalogue, category: type, name: str) -> bool:
    try:
        catalogue.find(category, name)
    except PluginError:
        return False
    return True


def settings_of(
    registered: Any, proto: str, translate: str, plugin: str, settings: Settings, translator: Translator
) -> Any:
    """The settings object, or None for defaults. Raises ConfigError(s) that say where, and PluginError."""
    if translate:
        if settings.message is not None and not proto:
            raise _not_its_type(settings, registered)
        argument = settings.for_proto(proto) if proto else dict(settings.mapping or {})
        result = _call(translate, argument, settings.where, translator, plugin)
    else:
        if settings.message is not None and not proto:
            raise _not_its_type(settings, registered)
        mapping = settings.mapping
        if mapping is None and settings.message is not None:
            from google.protobuf.json_format import MessageToDict

            mapping = MessageToDict(settings.for_proto(proto), preserving_proto_field_name=True)
        if mapping is None:
            mapping = {}
        result = _structured(registered, mapping, settings.where)
    expected = registered.settings
    if expected is not None and not isinstance(result, expected):
        cause = f"its translation gave an object of type {type(result).__name__}, expected {expected.__name__}"
        raise PluginError(plugin, cause, remedy="report this to its authors")
    return result


def structured(cls: type | None, name: str, mapping: Mapping[str, Any], where: Where) -> Any:
    """An object of the attrs class ``cls`` from a mapping written at ``where``; raises ConfigErrors that say where."""
    if cls is None:
        for field in mapping:
            raise (where / field).error(f"{name} has no settings", expected="no fields")
        return None
    return _structured(cls, mapping, where)


def _structured(registered: Any, mapping: Mapping[str, Any], where: Where) -> Any:
    try:
        return structure(registered, mapping)
    except ConfigErrors as errors:
        raise ConfigErrors([_at(error, where) for error in errors.errors]) from errors


def _not_its_type(settings: Settings, registered: Any) -> ConfigError:
    what = f"{registered.name!r} is not configured by a {settings.message.DESCRIPTOR.full_name}"
    return settings.where.error(what, expected=f"a TypedStruct whose type_url is {registered.name}")


def _call(translate: str, argument: Any, where: Where, translator: Translator, plugin: str) -> Any:
    module, _, name = translate.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        cause = f"its translation {translate} cannot be imported: {error}"
        raise PluginError(plugin, cause, remedy="report this to its authors") from error
    try:
        return function(argument, where, translator)
    except ConfigErrors as errors:
        raise ConfigErrors([_at(error, where) for error in errors.errors]) from errors
    except ConfigError as error:
        raise _at(error, where) from error
    except PlaitError:
        raise
    except Exception as error:
        cause = f"its translation {translate} raised {type(error).__name__}: {error}"
        raise PluginError(plugin, cause, remedy="report this to its authors") from error


def _at(error: ConfigError, where: Where) -> ConfigError:
    """The error with its place, if it did not know it: its path then leads from ``where``."""
    if error.line or error.file or (where.path and error.path[: len(where.path)] == where.path):
        return error
    for step in error.path:
        where = where / step
    return where.error(error.what, error.expected, error.hint)


def extension(kind: str | type, name: str, packed: Any, where: Where, translator: Translator) -> tuple[Extension, Any]:
    """The extension, and what is registered for it. ``packed`` is the Any that configures it, at ``where``, or None."""
    settings = Settings(packed, where)
    registered, plugin = find(translator.catalogue, categories_of(kind), name, settings, where)
    proto, translate = str(registered.proto), str(registered.translate)
    made = settings_of(registered, proto, translate, plugin, settings, translator)
    return Extension(name or registered.name, registered.name, made, plugin), registered


def route_settings(name: str, packed: Any, where: Where, translator: Translator) -> Any:
    """The settings of a filter on a route. ``name`` is the filter's in its chain, or that of its type."""
    settings = Settings(packed, where)
    if settings.message is not None and settings.key == "envoy.config.route.v3.FilterConfig":
        inner = settings.message
        translator.only(inner, where, handled={"config"})
        settings, where = Settings(inner.config, where / "config"), where / "config"
    catalogue = translator.catalogue
    try:
        registered, plugin = find(catalogue, (FilterType,), name, settings, where)
    except ConfigError:
        # the message may be one that is only for routes, which is not what a filter is found by
        if settings.message is None or not name:
            raise
        try:
            registered, plugin = catalogue.find(FilterType, name)
        except MissingPluginError:
            registered = None
        if registered is None or settings.key != registered.route_proto:
            raise
    if registered.terminal and not (registered.route_proto or registered.route_translate):
        raise where.error(f"{registered.name!r} has no settings on routes", hint="remove them")
    if settings.message is not None and _other_filter(catalogue, name, registered):
        raise where.error(f"typed_config is a {settings.key}", expected=f"settings of {name!r}")
    proto = str(registered.route_proto or registered.proto)
    translate = str(registered.route_translate or registered.translate)
    if settings.message is not None and settings.key == registered.proto and registered.route_proto:
        raise where.error(f"typed_config is a {settings.key}", expected=f"a {registered.route_proto} on a route")
    return settings_of(registered, proto, translate, plugin, settings, translator)


def _other_filter(catalogue: Catalogue, name: str, registered: Any) -> bool:
    """Whether ``name`` is that of another registered filter; it may be any name that a chain gives its filter."""
    return name != registered.name and name in catalogue.registered(FilterType)
