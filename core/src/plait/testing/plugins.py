"""What every plugin must keep to, whatever its kind: it loads, stays light, and its settings can cross to workers."""

from __future__ import annotations

import pickle
import subprocess
import sys
from types import ModuleType
from typing import Any

import attrs

from plait.plugins import Catalogue, PluginInfo, check, discover

HEAVY = ("google", "grpc", "envoy", "xds", "yaml", "cattrs")
"""What no plugin module may import: workers import it, and none of these belongs there."""


def check_plugin(plugin: str | ModuleType) -> tuple[Any, ...]:
    """Check an installed plugin (``filters:fault``, or its module); what it registers.

    It must load and register what it declares, name a development status and a security posture, import nothing heavy,
    and have settings that are frozen and pickle. Raises PluginError or AssertionError.
    """
    found = discover()
    name = plugin.__name__ if isinstance(plugin, ModuleType) else plugin
    mine = [info for info in found if name in (info.id, info.module)]
    if not mine:
        raise AssertionError(f"no installed distribution has a plugin {name!r}; install yours, even if editable")
    for checked in check(found):
        if checked.info in mine and checked.error is not None:
            raise checked.error
    registered: list[Any] = []
    catalogue = Catalogue(mine)
    for info in mine:
        _check_metadata(info)
        registered += catalogue.load(info.id)
    _check_light(mine[0].module)
    for item in registered:
        _check_settings(item)
    return tuple(registered)


def _check_metadata(info: PluginInfo) -> None:
    if info.security_posture == "unknown":
        raise AssertionError(
            f"{info.distribution} names no security posture, expected one of Envoy's words as a keyword"
        )
    if info.status == "wip":
        raise AssertionError(f"{info.distribution} has no classifier 'Development Status :: 3 - Alpha' or higher")


def _check_light(module: str) -> None:
    code = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise AssertionError(f"{module} cannot be imported by itself: {done.stderr}")
    heavy = sorted(set(HEAVY) & set(done.stdout.split()))
    if heavy:
        raise AssertionError(f"{module} imports {', '.join(heavy)}, which has no place in workers")


def _check_settings(item: Any) -> None:
    settings = getattr(item, "settings", None)
    if settings is None:
        return
    if not settings.__setattr__.__qualname__.startswith("_frozen"):
        raise AssertionError(f"{settings.__name__} is not frozen, expected attrs.frozen")
    if any(field.default is attrs.NOTHING for field in attrs.fields(settings) if field.init):
        return
    default = settings()
    if pickle.loads(pickle.dumps(default)) != default:
        raise AssertionError(f"{settings.__name__} changes when it is pickled, and settings cross to workers that way")
