"""The plugin as a whole, by the rules for all plugins."""

from plait.testing import check_plugin


def test_plugin_keeps_the_rules() -> None:
    registered = check_plugin("registries:file")
    assert [found.name for found in registered] == ["plait.registries.file"]
