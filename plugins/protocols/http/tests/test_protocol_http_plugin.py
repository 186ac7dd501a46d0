"""The plugin as a whole, by the rules for all plugins."""

from plait.testing import check_plugin


def test_plugin_keeps_the_rules() -> None:
    registered = check_plugin("protocols:http")
    assert [found.name for found in registered] == ["envoy.filters.network.http_connection_manager"]
