"""From Envoy's messages to the settings. Imported where configuration is read, never in a worker.

Filters of access logs (``AccessLog.filter``) belong to the message around these, which the core refuses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from plait import ConfigError
from plait.stream import compile_format, compile_json_format
from plait.xds import data_source, plain
from plait_telemetry_accesslog.settings import AccessLogSettings, StderrSettings, StdoutSettings

if TYPE_CHECKING:
    from plait.xds import Translator, Where

S = TypeVar("S", bound=AccessLogSettings)


def file(message: Any, where: Where, translator: Translator) -> AccessLogSettings:
    """An envoy.extensions.access_loggers.file.v3.FileAccessLog."""
    if not message.path:
        raise (where / "path").error("the path is empty", expected="the path of a file")
    settings = AccessLogSettings(message.path)
    kind = message.WhichOneof("access_log_format")
    if kind == "format":
        return _with_text(settings, message.format, where / kind)
    if kind == "typed_json_format":
        return _with_json(settings, message.typed_json_format, False, where / kind)
    if kind == "json_format":
        raise (where / kind).error("json_format is not supported", hint="use log_format: {json_format: …}")
    return _substitution(settings, message, where, translator)


def stdout(message: Any, where: Where, translator: Translator) -> StdoutSettings:
    """An envoy.extensions.access_loggers.stream.v3.StdoutAccessLog."""
    return _substitution(StdoutSettings(), message, where, translator)


def stderr(message: Any, where: Where, translator: Translator) -> StderrSettings:
    """An envoy.extensions.access_loggers.stream.v3.StderrAccessLog."""
    return _substitution(StderrSettings(), message, where, translator)


def _substitution(settings: S, message: Any, where: Where, translator: Translator) -> S:
    """The field ``log_format``, an envoy.config.core.v3.SubstitutionFormatString."""
    if not message.HasField("log_format"):
        return settings
    log_format, at = message.log_format, where / "log_format"
    kind = log_format.WhichOneof("format")
    omit = bool(log_format.omit_empty_values)
    handled = {"text_format", "text_format_source", "json_format", "omit_empty_values", "json_format_options"}
    translator.only(log_format, at, handled, {"content_type": "a log has no content type"})
    if kind == "json_format":
        return _with_json(settings, log_format.json_format, omit, at / kind)
    if kind is None:
        raise at.error("the format is empty", expected="text_format, text_format_source or json_format")
    text = log_format.text_format
    if kind == "text_format_source":
        try:
            text = data_source(log_format.text_format_source, at / kind).decode()
        except UnicodeDecodeError:
            raise (at / kind).error("the format is not UTF-8", expected="text in UTF-8") from None
    return _with_text(settings, text, at / kind, omit)


def _with_text(settings: S, text: str, where: Where, omit: bool = False) -> S:
    try:
        compile_format(text)
    except ConfigError as error:
        raise where.error(error.what, error.expected, error.hint) from error
    return type(settings)(path=settings.path, text=text, omit_empty_values=omit)


def _with_json(settings: S, struct: Any, omit: bool, where: Where) -> S:
    shape = _sorted(plain(struct))
    try:
        compile_json_format(shape)
    except ConfigError as error:
        raise where.error(error.what, error.expected, error.hint) from error
    return type(settings)(path=settings.path, json=shape, omit_empty_values=omit)


def _sorted(value: Any) -> Any:
    """A Struct has no order: fields go by their names."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value
