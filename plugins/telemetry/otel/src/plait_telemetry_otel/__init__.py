"""Statistics of Plait to an OpenTelemetry collector: a sink that speaks OTLP over HTTP or gRPC.

``settings`` says what can be configured, ``translate`` reads Envoy's message, ``sink`` is fed by the supervisor. What
it takes to speak OTLP (``exporting`` and below it) is imported with the first flush, in a thread.
"""

from plait import StatsSinkType, hookimpl
from plait_telemetry_otel.settings import OtlpSettings
from plait_telemetry_otel.sink import OtlpSink

__all__ = ["OtlpSettings", "plait_telemetry"]


@hookimpl
def plait_telemetry() -> list[StatsSinkType]:
    """The sink under Envoy's name, with Envoy's settings, and under Plait's, with all there are."""
    return [
        StatsSinkType(
            "envoy.stat_sinks.open_telemetry",
            OtlpSettings,
            OtlpSink,
            proto="envoy.extensions.stat_sinks.open_telemetry.v3.SinkConfig",
            translate="plait_telemetry_otel.translate:sink",
        ),
        StatsSinkType("plait.stat_sinks.otlp", OtlpSettings, OtlpSink),
    ]
