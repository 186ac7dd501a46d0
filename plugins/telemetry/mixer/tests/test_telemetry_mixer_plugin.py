"""The plugin as a whole, by the rules for all plugins."""

import pytest

from plait.testing import check_plugin


@pytest.mark.parametrize(
    ("plugin", "names"),
    [
        ("filters:mixer", ["plait.filters.mixer", "plait.filters.network.mixer"]),
        ("policies:mixer-adapters", ["denier", "list", "listchecker"]),
    ],
)
def test_plugin_keeps_the_rules(plugin: str, names: list[str]) -> None:
    assert [found.name for found in check_plugin(plugin)] == names
