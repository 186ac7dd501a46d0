"""One version for the whole workspace."""

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECTS = sorted(ROOT.glob("plugins/*/*/pyproject.toml"))
PROJECTS += [ROOT / "pyproject.toml", ROOT / "core/pyproject.toml", ROOT / "plait-all/pyproject.toml"]


@pytest.mark.parametrize("path", PROJECTS, ids=lambda path: path.parent.relative_to(ROOT).as_posix())
def test_version_equals_the_workspace_version(path: Path) -> None:
    assert tomllib.loads(path.read_text())["project"]["version"] == (ROOT / "VERSION").read_text().strip()
