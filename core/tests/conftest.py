"""Fixtures for tests of the core: real distributions, made of files and found through ``sys.path``."""

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest


class Site:
    """A folder like ``site-packages``: what is added to it is installed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.modules: set[str] = set()

    def add(
        self,
        distribution: str,
        entry_points: Mapping[str, Mapping[str, str]],
        *,
        version: str = "1.0",
        modules: Mapping[str, str] | None = None,
        status: str = "",
        keywords: Sequence[str] = (),
        requires: Sequence[str] = (),
    ) -> None:
        """Write its metadata, as an installer would, and its modules."""
        meta = [f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}"]
        meta += [f"Classifier: Development Status :: {status}"] if status else []
        meta += [f"Keywords: {','.join(keywords)}"] if keywords else []
        meta += [f"Requires-Dist: {requirement}" for requirement in requires]
        folder = self.path / f"{distribution.replace('-', '_')}-{version}.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text("\n".join(meta) + "\n")
        lines = []
        for group, names in entry_points.items():
            lines += [f"[{group}]", *(f"{name} = {value}" for name, value in names.items()), ""]
        (folder / "entry_points.txt").write_text("\n".join(lines))
        for name, source in (modules or {}).items():
            self.modules.add(name)
            (self.path / f"{name}.py").write_text(source)
        importlib.invalidate_caches()

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command of this interpreter in a process of its own that sees this folder first."""
        environment = {**os.environ, "PYTHONPATH": str(self.path)}
        return subprocess.run(
            [sys.executable, *command], env=environment, capture_output=True, text=True, timeout=50, check=False
        )


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """An empty folder at the front of ``sys.path``; its modules are forgotten afterwards."""
    folder = Site(tmp_path / "site")
    folder.path.mkdir()
    monkeypatch.syspath_prepend(str(folder.path))
    yield folder
    for name in folder.modules:
        sys.modules.pop(name, None)
