"""The table of known extensions agrees with the plugins of this repository."""

import tomllib
from pathlib import Path

import pytest

from plait.plugins import KNOWN

ROOT = Path(__file__).parents[2]
PROJECTS = sorted(ROOT.glob("plugins/*/*/pyproject.toml"))


def test_only_distributions_that_there_are_can_be_told_to_be_installed() -> None:
    assert set(KNOWN.values()) <= {tomllib.loads(path.read_text())["project"]["name"] for path in PROJECTS}


@pytest.mark.parametrize("path", PROJECTS, ids=lambda path: path.parent.name)
def test_every_declared_extension_is_known_with_its_distribution(path: Path) -> None:
    project = tomllib.loads(path.read_text())["project"]
    declared = project.get("entry-points", {}).get("plait.extensions", {})
    assert {name: KNOWN.get(name) for name in declared} == dict.fromkeys(declared, project["name"])
