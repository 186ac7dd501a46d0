"""The pages of statistics, clusters and listeners as text and JSON in Envoy's shapes; pure functions."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from plait.api.config import Thresholds
from plait.api.telemetry import Snapshot
from plait.runtime.statistics import QUANTILES

Quantiles = Mapping[float, float]


def select(snapshot: Snapshot, pattern: str = "", used_only: bool = False, kind: str = "all") -> Snapshot:
    """Part of a snapshot: names that match (anywhere), that were used, of one kind. Raises re.error."""
    matches = re.compile(pattern).search

    def keep(kinds: str, values: Mapping[str, Any], used: Callable[[Any], bool]) -> dict[str, Any]:
        if kind not in ("all", kinds):
            return {}
        return {name: value for name, value in values.items() if matches(name) and (used(value) or not used_only)}

    return Snapshot(
        keep("counters", snapshot.counters, bool),
        keep("gauges", snapshot.gauges, bool),
        keep("histograms", snapshot.histograms, lambda histogram: bool(histogram.count)),
    )


def stats_text(snapshot: Snapshot, interval: Callable[[str], Quantiles]) -> str:
    """Envoy's ``/stats``: counters and gauges by name, then histograms as ``P50(interval,cumulative)``."""
    lines = [f"{name}: {value}" for name, value in sorted({**snapshot.counters, **snapshot.gauges}.items())]
    for name, histogram in snapshot.histograms.items():
        if not histogram.count:
            lines.append(f"{name}: No recorded values")
            continue
        recent = interval(name)
        shown = [
            f"P{quantile * 100:g}({recent.get(quantile, math.nan):.6g},{histogram.quantiles[quantile]:.6g})"
            for quantile in QUANTILES
        ]
        lines.append(f"{name}: {' '.join(shown)}")
    return "\n".join(lines) + "\n" if lines else ""


def stats_json(snapshot: Snapshot, interval: Callable[[str], Quantiles]) -> dict[str, Any]:
    """Envoy's ``/stats?format=json``."""
    stats: list[dict[str, Any]] = [
        {"name": name, "value": value} for name, value in sorted({**snapshot.counters, **snapshot.gauges}.items())
    ]
    if snapshot.histograms:
        computed = []
        for name, histogram in snapshot.histograms.items():
            recent = interval(name)
            values = [
                {"interval": recent.get(quantile), "cumulative": histogram.quantiles.get(quantile)}
                for quantile in QUANTILES
            ]
            computed.append({"name": name, "values": values})
        supported = [round(quantile * 100, 3) for quantile in QUANTILES]
        stats.append({"histograms": {"supported_quantiles": supported, "computed_quantiles": computed}})
    return {"stats": stats}


_SUMMED = ("cx_active", "rq_active", "rq_total", "rq_error")
_CHECKED = ("failed_check", "check_timed_out")


def merge_clusters(views: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """What all workers tell of their clusters as one: numbers of hosts added up."""
    clusters: dict[str, dict[str, Any]] = {}
    hosts: dict[str, dict[str, dict[str, Any]]] = {}
    for view in views:
        for cluster in view:
            name = cluster["name"]
            clusters.setdefault(name, dict(cluster))
            known = hosts.setdefault(name, {})
            for host in cluster["hosts"]:
                merged = known.get(host["address"])
                if merged is None:
                    known[host["address"]] = dict(host)
                else:
                    for number in _SUMMED:
                        merged[number] = merged.get(number, 0) + host.get(number, 0)
                    # each worker checks on its own: what fails in one of them is worth a look
                    for flag in _CHECKED:
                        merged[flag] = bool(merged.get(flag) or host.get(flag))
    return [{**clusters[name], "hosts": list(hosts[name].values())} for name in sorted(clusters)]


def _health(host: Mapping[str, Any]) -> str:
    flags = (
        ("/failed_active_hc", host.get("failed_check")),
        ("/failed_eds_health", not host.get("healthy", True)),
        ("/active_hc_timeout", host.get("check_timed_out")),
    )
    return "".join([flag for flag, holds in flags if holds]) or "healthy"


def _health_json(host: Mapping[str, Any]) -> dict[str, Any]:
    status: dict[str, Any] = {"eds_health_status": "HEALTHY" if host.get("healthy", True) else "UNHEALTHY"}
    if host.get("failed_check"):
        status["failed_active_health_check"] = True
    if host.get("check_timed_out"):
        status["active_hc_timeout"] = True
    return status


def clusters_text(
    clusters: Sequence[Mapping[str, Any]], thresholds: Callable[[str], Thresholds], dynamic: Callable[[str], bool]
) -> str:
    """Envoy's ``/clusters``. ``thresholds`` gives those of a cluster as configured: a worker has a share of them."""
    lines: list[str] = []
    for cluster in clusters:
        name = cluster["name"]
        limits = thresholds(name)
        lines.append(f"{name}::observability_name::{name}")
        lines.append(f"{name}::default_priority::max_connections::{limits.max_connections}")
        lines.append(f"{name}::default_priority::max_pending_requests::{limits.max_pending_requests}")
        lines.append(f"{name}::default_priority::max_requests::{limits.max_requests}")
        lines.append(f"{name}::default_priority::max_retries::{limits.max_retries}")
        lines.append(f"{name}::added_via_api::{str(dynamic(name)).lower()}")
        for host in cluster["hosts"]:
            prefix = f"{name}::{host['address']}"
            lines += [f"{prefix}::{number}::{host.get(number, 0)}" for number in _SUMMED]
            lines.append(f"{prefix}::hostname::{host.get('hostname', '')}")
            lines.append(f"{prefix}::health_flags::{_health(host)}")
            lines.append(f"{prefix}::weight::{host.get('weight', 1)}")
            lines.append(f"{prefix}::zone::{host.get('locality', '')}")
            lines.append(f"{prefix}::priority::{host.get('priority', 0)}")
    return "\n".join(lines) + "\n" if lines else ""


def clusters_json(
    clusters: Sequence[Mapping[str, Any]], thresholds: Callable[[str], Thresholds], dynamic: Callable[[str], bool]
) -> dict[str, Any]:
    """Envoy's ``/clusters?format=json``."""
    statuses = []
    for cluster in clusters:
        limits = thresholds(cluster["name"])
        hosts = [
            {
                "address": address_json(host["address"]),
                "stats": [
                    {
                        "name": number,
                        "type": "GAUGE" if number.endswith("_active") else "COUNTER",
                        "value": str(host.get(number, 0)),
                    }
                    for number in _SUMMED
                ],
                "health_status": _health_json(host),
                "weight": host.get("weight", 1),
                "hostname": host.get("hostname", ""),
                "locality": {"zone": host["locality"]} if host.get("locality") else {},
                "priority": host.get("priority", 0),
            }
            for host in cluster["hosts"]
        ]
        statuses.append(
            {
                "name": cluster["name"],
                "observability_name": cluster["name"],
                "added_via_api": dynamic(cluster["name"]),
                "circuit_breakers": {
                    "thresholds": [
                        {
                            "max_connections": limits.max_connections,
                            "max_pending_requests": limits.max_pending_requests,
                            "max_requests": limits.max_requests,
                            "max_retries": limits.max_retries,
                        }
                    ]
                },
                "host_statuses": hosts,
            }
        )
    return {"cluster_statuses": statuses}


def listeners_text(addresses: Mapping[str, str]) -> str:
    """Envoy's ``/listeners``: where each one really listens."""
    return "".join(f"{name}::{address}\n" for name, address in sorted(addresses.items()))


def listeners_json(addresses: Mapping[str, str]) -> dict[str, Any]:
    """Envoy's ``/listeners?format=json``."""
    return {
        "listener_statuses": [
            {"name": name, "local_address": address_json(address)} for name, address in sorted(addresses.items())
        ]
    }


def address_json(address: str) -> dict[str, Any]:
    """``host:port`` or ``unix:path`` as envoy.config.core.v3.Address."""
    if address.startswith("unix:"):
        return {"pipe": {"path": address.removeprefix("unix:")}}
    host, _, port = address.rpartition(":")
    return {"socket_address": {"address": host.strip("[]"), "port_value": int(port) if port.isdigit() else 0}}
