"""The plugin kit checks an installed plugin as a whole."""

import os
from typing import TYPE_CHECKING

import pytest

import plait
from plait.testing import check_plugin

if TYPE_CHECKING:
    from conftest import Site

FILTER = """
import attrs, plait
{imports}

@attrs.{define}
class Settings:
    header: str = "x"

@plait.hookimpl
def plait_filters():
    return [plait.FilterType("acme.filters.kit", Settings, lambda settings: plait.StreamFilter())]
"""


def add(
    site: "Site",
    monkeypatch: pytest.MonkeyPatch,
    *,
    imports: str = "",
    define: str = "frozen",
    posture: str = "data_plane_agnostic",
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(site.path) + os.pathsep + os.environ.get("PYTHONPATH", ""))
    site.add(
        "acme-kit",
        {"plait.filters": {"kit": "acme_kit"}, "plait.extensions": {"acme.filters.kit": "acme_kit"}},
        modules={"acme_kit": FILTER.format(imports=imports, define=define)},
        status="3 - Alpha",
        keywords=[posture],
    )


def test_a_right_plugin_passes(site: "Site", monkeypatch: pytest.MonkeyPatch) -> None:
    add(site, monkeypatch)
    assert [item.name for item in check_plugin("filters:kit")] == ["acme.filters.kit"]


def test_a_heavy_import_is_refused(site: "Site", monkeypatch: pytest.MonkeyPatch) -> None:
    add(site, monkeypatch, imports="import yaml")
    with pytest.raises(AssertionError, match="acme_kit imports yaml, which has no place in workers"):
        check_plugin("acme_kit")


def test_settings_that_can_change_are_refused(site: "Site", monkeypatch: pytest.MonkeyPatch) -> None:
    add(site, monkeypatch, define="define")
    with pytest.raises(AssertionError, match="Settings is not frozen"):
        check_plugin("filters:kit")


def test_a_missing_security_posture_is_refused(site: "Site", monkeypatch: pytest.MonkeyPatch) -> None:
    add(site, monkeypatch, posture="mesh")
    with pytest.raises(AssertionError, match="acme-kit names no security posture"):
        check_plugin("filters:kit")


def test_a_broken_plugin_is_the_loaders_error(site: "Site", monkeypatch: pytest.MonkeyPatch) -> None:
    add(site, monkeypatch, imports="import no_such_module")
    with pytest.raises(plait.PluginError, match="'filters:kit' of acme-kit: acme_kit cannot be imported"):
        check_plugin("filters:kit")


def test_a_plugin_must_be_installed() -> None:
    with pytest.raises(AssertionError, match="no installed distribution has a plugin 'filters:nothing'"):
        check_plugin("filters:nothing")
