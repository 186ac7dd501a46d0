"""From Envoy's access log messages to settings."""

from pathlib import Path
from typing import Any

import pytest
from envoy.extensions.access_loggers.file.v3.file_pb2 import FileAccessLog
from envoy.extensions.access_loggers.stream.v3.stream_pb2 import StderrAccessLog, StdoutAccessLog
from google.protobuf.json_format import ParseDict

from plait import ConfigError, ConfigErrors
from plait.plugins import Catalogue, discover
from plait.xds import Positions, Translator, Where
from plait_telemetry_accesslog import AccessLogSettings
from plait_telemetry_accesslog.settings import DEFAULT_FORMAT, StderrSettings, StdoutSettings
from plait_telemetry_accesslog.translate import file, stderr, stdout

HERE = Where(Positions.nowhere("log.yaml"))


def translated(translate: Any, message: Any, fields: dict[str, Any]) -> AccessLogSettings:
    translator = Translator(Catalogue(discover()))
    settings: AccessLogSettings = translate(ParseDict(fields, message), HERE, translator)
    translator.raise_all()
    return settings


def test_formats_are_translated(tmp_path: Path) -> None:
    assert translated(file, FileAccessLog(), {"path": "a"}) == AccessLogSettings("a", DEFAULT_FORMAT)
    assert translated(file, FileAccessLog(), {"path": "a", "format": "x\n"}) == AccessLogSettings("a", "x\n")
    assert translated(stdout, StdoutAccessLog(), {}) == StdoutSettings()
    text = {"log_format": {"text_format": "x", "omit_empty_values": True}}
    assert translated(stderr, StderrAccessLog(), text) == StderrSettings(text="x", omit_empty_values=True)
    source = tmp_path / "format"
    source.write_text("y\n")
    for data in ({"inline_string": "y\n"}, {"filename": str(source)}):
        found = translated(stdout, StdoutAccessLog(), {"log_format": {"text_format_source": data}})
        assert found == StdoutSettings(text="y\n")


@pytest.mark.parametrize("field", ["typed_json_format", "log_format"])
def test_json_has_its_fields_in_order_of_their_names(field: str) -> None:
    shape = {"b": "%PROTOCOL%", "a": {"d": 1.5, "c": ["%RESPONSE_CODE%"]}}
    settings = translated(
        file, FileAccessLog(), {"path": "a", field: {"json_format": shape} if field == "log_format" else shape}
    )
    assert settings.json == shape
    assert list(settings.json) == ["a", "b"]


@pytest.mark.parametrize(
    ("fields", "path", "message"),
    [
        ({}, ("path",), "the path is empty"),
        ({"path": "a", "format": "%PROTOCL%"}, ("format",), "format operator %PROTOCL% is unknown"),
        ({"path": "a", "json_format": {"a": "b"}}, ("json_format",), "json_format is not supported, use log_format"),
        ({"path": "a", "log_format": {}}, ("log_format",), "the format is empty"),
        (
            {"path": "a", "log_format": {"json_format": {"a": "%"}}},
            ("log_format", "json_format"),
            "format string has a % at 1 that begins no operator",
        ),
        (
            {"path": "a", "log_format": {"text_format_source": {"inline_bytes": "/w=="}}},
            ("log_format", "text_format_source"),
            "the format is not UTF-8",
        ),
        (
            {"path": "a", "log_format": {"text_format": "x", "formatters": [{"name": "y"}]}},
            ("log_format", "formatters"),
            "field 'formatters' is not supported yet",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_at_its_place(
    fields: dict[str, Any], path: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        translated(file, FileAccessLog(), fields)
    error = caught.value.errors[0] if isinstance(caught.value, ConfigErrors) else caught.value
    assert str(error).startswith(message)
    assert error.path == path
