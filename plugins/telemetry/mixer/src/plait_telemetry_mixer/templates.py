"""Mixer's templates: what the instances of each are made of, and whether they belong to a check, a quota or a report.

Checks are dispatched today. Quotas and reports have their place in the table, and ``Adapter.allocate`` and ``report``
in the interface.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import attrs

from plait_telemetry_mixer.values import ValueType

Shape: TypeAlias = "ValueType | Mapping[str, Shape] | None"
"""The type of a field, the fields of a message, or None for a map of whatever expressions give."""

_S = ValueType.STRING


@attrs.frozen
class Template:
    """``variety`` is ``check``, ``quota`` or ``report``; ``fields`` by name; ``required`` ones must be given."""

    name: str
    variety: str
    fields: Mapping[str, Shape] = attrs.field(factory=dict, hash=False)
    required: tuple[str, ...] = ()


_SUBJECT: Mapping[str, Shape] = {"user": _S, "groups": _S, "properties": None}
_ACTION: Mapping[str, Shape] = {"namespace": _S, "service": _S, "method": _S, "path": _S, "properties": None}
_APIKEY: Mapping[str, Shape] = {
    "api": _S,
    "api_version": _S,
    "api_operation": _S,
    "api_key": _S,
    "timestamp": ValueType.TIMESTAMP,
}
TEMPLATES: Mapping[str, Template] = {
    template.name: template
    for template in (
        Template("checknothing", "check"),
        Template("listentry", "check", {"value": _S}, ("value",)),
        Template("apikey", "check", _APIKEY, ("api_key",)),
        Template("authorization", "check", {"subject": _SUBJECT, "action": _ACTION}),
        Template("quota", "quota", {"dimensions": None}),
        Template("reportnothing", "report"),
        Template("logentry", "report"),
        Template("metric", "report"),
        Template("tracespan", "report"),
        Template("edge", "report"),
    )
}
"""All of them by name."""
