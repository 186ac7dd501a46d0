"""The plugin as a whole, by the rules for all plugins."""

from plait.testing import check_plugin


def test_plugin_keeps_the_rules() -> None:
    registered = check_plugin("filters:inspector")
    assert [found.name for found in registered] == [
        "envoy.filters.listener.tls_inspector",
        "envoy.filters.listener.http_inspector",
        "plait.filters.listener.protocol_inspector",
    ]
