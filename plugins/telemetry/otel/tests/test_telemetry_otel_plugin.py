"""The plugin as a whole, by the rules for all plugins."""

import subprocess
import sys

from plait.testing import check_plugin


def test_plugin_keeps_the_rules() -> None:
    registered = check_plugin("telemetry:otel")
    assert [found.name for found in registered] == ["envoy.stat_sinks.open_telemetry", "plait.stat_sinks.otlp"]


def test_opentelemetry_is_not_imported_before_the_first_flush() -> None:
    code = "import sys, plait_telemetry_otel; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"opentelemetry", "urllib3", "grpc", "google"}.isdisjoint(loaded)
