"""Access logs for Plait in Envoy's text and JSON formats: to a file, to stdout, to stderr."""

from plait import AccessLogType, hookimpl
from plait_telemetry_accesslog.log import make_log
from plait_telemetry_accesslog.settings import AccessLogSettings, StderrSettings, StdoutSettings

__all__ = ["AccessLogSettings", "plait_telemetry"]


@hookimpl
def plait_telemetry() -> list[AccessLogType]:
    """The three logs, which differ in where they write."""
    return [
        AccessLogType(
            "envoy.access_loggers.file",
            AccessLogSettings,
            make_log,
            proto="envoy.extensions.access_loggers.file.v3.FileAccessLog",
            translate="plait_telemetry_accesslog.translate:file",
        ),
        AccessLogType(
            "envoy.access_loggers.stdout",
            StdoutSettings,
            make_log,
            proto="envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
            translate="plait_telemetry_accesslog.translate:stdout",
        ),
        AccessLogType(
            "envoy.access_loggers.stderr",
            StderrSettings,
            make_log,
            proto="envoy.extensions.access_loggers.stream.v3.StderrAccessLog",
            translate="plait_telemetry_accesslog.translate:stderr",
        ),
    ]
