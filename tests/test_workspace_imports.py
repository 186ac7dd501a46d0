"""Distributions import only what another package's `__all__` names; `import plait` stays light.

import-linter holds the floors inside the core; it cannot see names, so this file reads the sources.
"""

import ast
import functools
import importlib
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path
    for pattern in ("core/src", "plugins/*/*/src", "examples", "bench")
    for folder in ROOT.glob(pattern)
    for path in folder.rglob("*.py")
)


@functools.cache
def package(name: str) -> ModuleType | None:
    """The package of that name, or None for a plain module: a module is never public by itself."""
    spec = importlib.util.find_spec(name)
    return importlib.import_module(name) if spec is not None and spec.submodule_search_locations is not None else None


def owner(module: str) -> str | None:
    """The distribution's import name, when the module is ours."""
    top = module.partition(".")[0]
    return top if top == "plait" or top.startswith("plait_") else None


def dotted(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (base := dotted(node.value)) is not None:
        return f"{base}.{node.attr}"
    return None


def public(module: str, name: str) -> bool:
    found = package(module)
    return found is not None and name in getattr(found, "__all__", ())


def foreign_private_names(path: Path, source: str) -> Iterator[str]:
    """What the file takes from another distribution although no `__all__` names it."""
    parts = path.parts
    own = owner(parts[parts.index("src") + 1]) if "src" in parts else None
    aliases: dict[str, str] = {}
    tree = ast.parse(source, str(path))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if owner(alias.name) in {None, own}:
                    continue
                if package(alias.name) is None:
                    yield f"line {node.lineno}: import {alias.name}: not a package"
                else:
                    aliases[alias.asname or alias.name] = alias.name
        elif isinstance(node, ast.ImportFrom) and node.module and owner(node.module) not in {None, own}:
            for alias in node.names:
                # A package taken by name (`from plait import net`) is used through its own `__all__`.
                if package(node.module) and package(f"{node.module}.{alias.name}"):
                    aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                elif not public(node.module, alias.name):
                    yield f"line {node.lineno}: {node.module}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (base := dotted(node.value)) in aliases:
            module = aliases[base]
            if not public(module, node.attr) and package(f"{module}.{node.attr}") is None:
                yield f"line {node.lineno}: {module}.{node.attr}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_only_public_names_cross_distributions(path: Path) -> None:
    assert list(foreign_private_names(path.relative_to(ROOT), path.read_text())) == []


@pytest.mark.parametrize(
    ("source", "refused"),
    [
        ("import plait\nplait.StreamFilter", []),
        ("from plait import StreamFilter", []),
        ("from plait import no_such_name", ["line 1: plait.no_such_name"]),
        ("import plait\nplait.no_such_name", ["line 2: plait.no_such_name"]),
        ("from plait.api.errors import PlaitError", ["line 1: plait.api.errors.PlaitError"]),
        ("import plait.api.errors\nplait.api.errors.PlaitError", ["line 1: import plait.api.errors: not a package"]),
        ("import attrs\nattrs.no_such_name", []),
    ],
)
def test_private_names_of_the_core_are_refused(source: str, refused: list[str]) -> None:
    assert list(foreign_private_names(Path("plugins/filters/a/src/plait_filter_a/b.py"), source)) == refused


def test_import_of_plait_stays_light() -> None:
    code = "import sys, plait; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"google", "grpc", "envoy", "xds", "yaml", "uvloop", "asyncio_dgram"}.isdisjoint(loaded)
