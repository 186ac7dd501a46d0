"""``/config_dump``: the config store as JSON, in the shape of Envoy's dump with Plait's own model inside.

A resource that came from the bootstrap is static, any other dynamic. Fields that have their default are left out.
"""

from __future__ import annotations

import re
import time
from typing import Any

import attrs

from plait.api.config import Bootstrap
from plait.runtime.plain import plain
from plait.xds.store import ConfigStore, Failure, ResourceState

_TYPE = "type.googleapis.com/envoy.admin.v3."


def moment(at: float) -> str:
    """Unix time as protobuf's JSON writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1000):03d}Z"


def _failure(failure: Failure) -> dict[str, Any]:
    return {
        "version_info": failure.version,
        "last_update_attempt": moment(failure.at),
        "details": failure.details,
    }


def _flat(field: str, state: ResourceState) -> dict[str, Any]:
    shown: dict[str, Any] = {"version_info": state.version, "source": state.source}
    if state.resource is not None:
        shown[field] = plain(state.resource)
        shown["last_updated"] = moment(state.updated)
    else:
        shown["name"] = state.name
    if state.failure is not None:
        shown["error_state"] = _failure(state.failure)
    return shown


def _dynamic_listener(state: ResourceState) -> dict[str, Any]:
    flat = _flat("listener", state)
    shown: dict[str, Any] = {"name": state.name}
    if state.resource is not None:
        shown["active_state"] = {key: flat[key] for key in ("version_info", "listener", "last_updated")}
    if "error_state" in flat:
        shown["error_state"] = flat["error_state"]
    return shown


_SECTIONS = (
    ("clusters", "ClustersConfigDump", "static_clusters", "dynamic_active_clusters", "cluster"),
    ("endpoints", "EndpointsConfigDump", "static_endpoint_configs", "dynamic_endpoint_configs", "endpoint_config"),
    ("listeners", "ListenersConfigDump", "static_listeners", "dynamic_listeners", "listener"),
    ("routes", "RoutesConfigDump", "static_route_configs", "dynamic_route_configs", "route_config"),
)
"""Kind of the store, Envoy's message, its lists of static and of dynamic entries, and the entry's field."""


def config_dump(
    bootstrap: Bootstrap, loaded_at: float, store: ConfigStore, resource: str = "", name_regex: str = ""
) -> dict[str, Any]:
    """The dump; ``resource`` picks one list of it, ``name_regex`` resources by name. Raises re.error."""
    matching = re.compile(name_regex)
    sections: list[dict[str, Any]] = []
    own = attrs.evolve(bootstrap, listeners=(), clusters=(), routes=())
    sections.append(
        {"@type": _TYPE + "BootstrapConfigDump", "bootstrap": plain(own), "last_updated": moment(loaded_at)}
    )
    picked: list[dict[str, Any]] = []
    for kind, dump_type, static, dynamic, field in _SECTIONS:
        section: dict[str, Any] = {"@type": _TYPE + dump_type, "version_info": str(store.version)}
        for state in store.states(kind):
            if not matching.search(state.name):
                continue
            if state.source == "bootstrap":
                listed, shown = static, _flat(field, state)
            else:
                listed = dynamic
                shown = _dynamic_listener(state) if kind == "listeners" else _flat(field, state)
            section.setdefault(listed, []).append(shown)
            if listed == resource:
                picked.append(
                    {"@type": _TYPE + dump_type.replace("sConfigDump", "sConfigDump." + _entry(listed)), **shown}
                )
        sections.append(section)
    if resource:
        return {"configs": picked}
    failures = [{"source": source, **_failure(failure)} for source, failure in sorted(store.failures().items())]
    return {"configs": sections, **({"refused": failures} if failures else {})}


def _entry(listed: str) -> str:
    """The message of one entry of a list: ``dynamic_active_clusters`` holds ``DynamicCluster``."""
    words = [word.capitalize() for word in listed.removesuffix("s").split("_") if word != "active"]
    return "".join(words)


RESOURCES = tuple(name for section in _SECTIONS for name in section[2:4])
"""What ``resource`` may be."""
