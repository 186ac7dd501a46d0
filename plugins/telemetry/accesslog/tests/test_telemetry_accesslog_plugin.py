"""The plugin as a whole, by the rules for all plugins."""

from plait.testing import check_plugin


def test_plugin_keeps_the_rules() -> None:
    registered = check_plugin("telemetry:accesslog")
    assert [found.name for found in registered] == [
        "envoy.access_loggers.file",
        "envoy.access_loggers.stdout",
        "envoy.access_loggers.stderr",
    ]
