"""Which plugins are installed, read from the metadata of distributions: nothing is imported.

This says nothing of whether they work; ``plait.plugins.loader`` finds that out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from plait.plugins.kinds import EXTENSIONS_GROUP, KINDS

if TYPE_CHECKING:
    from importlib.metadata import Distribution

_STATUSES = {"5": "stable", "6": "stable", "4": "beta", "3": "alpha"}

SECURITY_POSTURES = (
    "robust_to_untrusted_downstream",
    "robust_to_untrusted_downstream_and_upstream",
    "requires_trusted_downstream_and_upstream",
    "data_plane_agnostic",
    "unknown",
)
"""Envoy's words, of which a distribution names one among its keywords."""


@attrs.frozen
class PluginInfo:
    """An entry point of one of the groups ``plait.…``.

    ``status`` is stable, beta, alpha or wip, from the classifier "Development Status". ``registers`` are the names that
    the distribution declares for the module in the group ``plait.extensions``; empty when it declares none. ``unmet``
    is the requirement on Plait itself that the installed version does not meet.
    """

    name: str
    kind: str
    distribution: str
    version: str
    module: str
    attribute: str = ""
    status: str = "wip"
    security_posture: str = "unknown"
    registers: tuple[str, ...] = ()
    unmet: str = ""

    @property
    def id(self) -> str:
        """``kind:name``, as in ``filters:fault``."""
        return f"{self.kind}:{self.name}"


def discover(path: Sequence[str] | None = None) -> tuple[PluginInfo, ...]:
    """Every installed plugin, ordered by kind, name and distribution. ``path`` is ``sys.path`` unless given.

    A distribution that is there twice counts once: the one that imports find first. Two distributions that claim the
    same kind and name are both listed.
    """
    from importlib import metadata

    where: dict[str, Any] = {} if path is None else {"path": list(path)}
    names: dict[str, str] = {}
    for distribution in metadata.distributions(**where):
        if "[plait." in (distribution.read_text("entry_points.txt") or ""):
            name = _name(distribution)
            if name:
                names.setdefault(_normalized(name), name)
    plait = next(iter(metadata.distributions(name="plait", **where)), None)
    installed = plait.version if plait is not None else ""
    plugins: list[PluginInfo] = []
    for name in names.values():
        plugins += _plugins_of(next(iter(metadata.distributions(name=name, **where))), installed)
    order = list(KINDS)
    return tuple(sorted(plugins, key=lambda info: (order.index(info.kind), info.name, info.distribution)))


def _plugins_of(distribution: Distribution, installed: str) -> list[PluginInfo]:
    if not _name(distribution):
        return []
    meta = distribution.metadata
    entry_points = list(distribution.entry_points)
    declared: dict[str, list[str]] = {}
    for entry_point in entry_points:
        if entry_point.group == EXTENSIONS_GROUP:
            declared.setdefault(entry_point.module, []).append(entry_point.name)
    groups = {kind.group: kind.name for kind in KINDS.values()}
    keywords = {word.strip() for word in ",".join(meta.get_all("Keywords") or ()).split(",")}
    return [
        PluginInfo(
            name=entry_point.name,
            kind=groups[entry_point.group],
            distribution=meta["Name"],
            version=distribution.version,
            module=entry_point.module,
            attribute=entry_point.attr or "",
            status=_status(meta.get_all("Classifier") or ()),
            security_posture=next((word for word in SECURITY_POSTURES if word in keywords), "unknown"),
            registers=_registers(groups[entry_point.group], declared.get(entry_point.module, ())),
            unmet=unmet_requirement(distribution.requires or (), installed),
        )
        for entry_point in entry_points
        if entry_point.group in groups
    ]


def _name(distribution: Distribution) -> str:
    """The distribution's name; empty for the remains of one whose metadata are gone."""
    if not (distribution.read_text("METADATA") or distribution.read_text("PKG-INFO")):
        return ""
    return distribution.metadata["Name"] or ""


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _registers(kind: str, declared: Iterable[str]) -> tuple[str, ...]:
    """The declared names, without those that say themselves that they are of another kind (``plait.filters.mixer``)."""
    others = tuple(f"plait.{other}." for other in KINDS if other != kind)
    return tuple(sorted(name for name in declared if not name.startswith(others)))


def _status(classifiers: Iterable[str]) -> str:
    for classifier in classifiers:
        if classifier.startswith("Development Status :: "):
            return _STATUSES.get(classifier.removeprefix("Development Status :: ")[:1], "wip")
    return "wip"


_PLAIN = re.compile(r"plait\s*\(?\s*>=\s*(\d+(?:\.\d+)*)\s*\)?")
_REQUIREMENT_ON_PLAIT = re.compile(r"plait\s*(?:[\[(<>=!~;@].*)?", re.DOTALL)


def unmet_requirement(requires: Iterable[str], installed: str) -> str:
    """The first requirement on Plait that version ``installed`` does not meet; empty when there is none to be seen."""
    for requirement in requires:
        if not installed or not _REQUIREMENT_ON_PLAIT.fullmatch(requirement.strip()):
            continue
        plain = _PLAIN.fullmatch(requirement.strip())
        if plain and re.fullmatch(r"\d+(?:\.\d+)*", installed):
            # The usual form costs no import of `packaging`, which takes longer than all of discovery.
            met = _numbers(installed) >= _numbers(plain[1])
        else:
            met = _meets(requirement, installed)
        if not met:
            return requirement.strip()
    return ""


def _numbers(version: str) -> list[int]:
    numbers = [int(number) for number in version.split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return numbers


def _meets(text: str, installed: str) -> bool:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return False
    if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
        return True
    return requirement.specifier.contains(installed, prereleases=True)
