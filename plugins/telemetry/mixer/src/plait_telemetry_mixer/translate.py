"""From the settings as they are written to those that workers get. Imported where configuration is read.

The parameters of a handler become its adapter's own settings, so that an unknown adapter, a wrong parameter or a rule
that hands a template to an adapter that does not handle it is found here, with its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from plait import AdapterType, ConfigError, ConfigErrors, Extension
from plait.plugins import MissingPluginError, structure
from plait_telemetry_mixer.engine import Rules
from plait_telemetry_mixer.settings import HandlerText, MixerSettings, MixerText

if TYPE_CHECKING:
    from plait.xds import Translator, Where


def mixer(mapping: Mapping[str, object], where: Where, translator: Translator) -> MixerSettings:
    """The settings of both filters. Raises ``ConfigError`` whose path leads from ``mapping`` to what is wrong."""
    text: MixerText = structure(MixerText, mapping)
    handlers, adapters = [], {}
    for index, handler in enumerate(text.handlers):
        at = ("handlers", index)
        if not handler.name:
            raise ConfigError("the handler has no name", expected="a name", path=at)
        extension, adapter = _handler(handler, where / "handlers" / index, at, translator)
        handlers.append(extension)
        adapters[handler.name] = adapter
    settings = MixerSettings(
        tuple(handlers),
        text.instances,
        text.rules,
        text.attribute_manifest,
        text.mixer_attributes,
        text.policy_check_fail_open,
        text.check_cache_entries,
    )
    Rules(settings)
    _check_templates(settings, adapters)
    return settings


def _handler(
    handler: HandlerText, where: Where, at: tuple[str | int, ...], translator: Translator
) -> tuple[Extension, AdapterType]:
    try:
        adapter, plugin = translator.catalogue.find(AdapterType, handler.adapter)
    except MissingPluginError as error:
        what = f"adapter {handler.adapter!r} cannot be used: {error.cause}"
        raise ConfigError(what, hint=error.remedy, path=(*at, "adapter")) from error
    if adapter.proto or adapter.translate:
        packed = _typed_struct(handler.adapter, handler.params)
        return translator.extension("policies", handler.name, packed, where / "params"), adapter
    try:
        params = structure(adapter, handler.params)
    except ConfigErrors as errors:
        raise ConfigErrors(
            [
                ConfigError(one.what, expected=one.expected, hint=one.hint, path=(*at, "params", *one.path))
                for one in errors.errors
            ]
        ) from errors
    return Extension(handler.name, adapter.name, params, plugin), adapter


def _check_templates(settings: MixerSettings, adapters: Mapping[str, AdapterType]) -> None:
    templates = {instance.name: instance.template for instance in settings.instances}
    for index, rule in enumerate(settings.rules):
        for number, action in enumerate(rule.actions):
            adapter = adapters[action.handler]
            for place, name in enumerate(action.instances):
                if templates[name] not in adapter.templates:
                    raise ConfigError(
                        f"adapter {adapter.name!r} does not handle template {templates[name]!r}",
                        expected=f"an instance of {' or '.join(adapter.templates)}",
                        path=("rules", index, "actions", number, "instances", place),
                    )


def _typed_struct(type_name: str, params: Mapping[str, object]) -> Any:
    """Parameters as the configuration of an extension that has a translation of its own."""
    from google.protobuf.any_pb2 import Any as AnyMessage
    from xds.type.v3.typed_struct_pb2 import TypedStruct

    message = TypedStruct(type_url=type_name)
    message.value.update(params)
    packed = AnyMessage()
    packed.Pack(message)
    return packed
