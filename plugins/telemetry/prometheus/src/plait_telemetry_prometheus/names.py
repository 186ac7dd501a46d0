"""From Envoy's dotted names to Prometheus's: which parts of a name are labels.

These are Envoy's default tag extraction rules (its ``well_known_names.cc``) for the statistics that Plait has:

    cluster.shop.upstream_rq_503       envoy_cluster_upstream_rq{envoy_response_code="503",envoy_cluster_name="shop"}
    http.in.downstream_rq_2xx          envoy_http_downstream_rq_xx{envoy_response_code_class="2",…_prefix="in"}

One thing is judged otherwise: a dot in the name of a cluster, listener or prefix does not end it, since services are
called ``name:1.0`` and listeners by their addresses. What follows a name is known: one word, or a group and a word.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

_TAIL = (
    r"(?:(?:circuit_breakers\.\w+|outlier_detection|external|internal|canary|http1|http2|ssl|worker_\d+"
    r"|http(?:\.[^.]+)?|fault(?:\.[^.]+)?|rds(?:\.[^.]+)?|rbac|cors|zone\.[^.]+\.[^.]+)\.)?[^.]+"
)


class Rule(NamedTuple):
    """Where ``pattern`` is found, ``label`` gets its group 2, and the name loses the group ``drop`` around that."""

    label: str
    pattern: re.Pattern[str]


def _rule(label: str, pattern: str) -> Rule:
    return Rule(label, re.compile(pattern, re.DOTALL))


RULES = (
    _rule("envoy_response_code", r"_rq(?P<drop>_(\d{3}))$"),
    _rule("envoy_response_code_class", r"_rq_(?P<drop>(\d))xx$"),
    _rule("envoy_fault_downstream_cluster", r"^http\..+\.fault\.(?P<drop>([^.]+)\.)\w+$"),
    _rule("envoy_rds_route_config", r"^http\..+?\.rds\.(?P<drop>(.+)\.)\w+$"),
    _rule("envoy_http_conn_manager_prefix", rf"^http\.(?P<drop>(.+?)\.){_TAIL}$"),
    _rule("envoy_http_conn_manager_prefix", r"^listener\..+?\.http\.(?P<drop>([^.]+)\.)[^.]+$"),
    _rule("envoy_worker_id", r"^(?:listener\..+|listener_manager|server)\.(?P<drop>worker_(\d+)\.)"),
    _rule("envoy_listener_address", rf"^listener\.(?P<drop>(.+?)\.){_TAIL}$"),
    _rule("envoy_cluster_name", rf"^cluster\.(?P<drop>(.+?)\.){_TAIL}$"),
    _rule("envoy_tcp_prefix", r"^tcp\.(?P<drop>(.+)\.)[^.]+$"),
    _rule("envoy_udp_prefix", r"^udp\.(?P<drop>(.+)\.)[^.]+$"),
    _rule("envoy_dubbo_prefix", r"^dubbo\.(?P<drop>(.+?)\.)[^.]+$"),
    _rule("plait_registry", r"^registry\.(?P<drop>(.+)\.)[^.]+$"),
)
"""Applied in this order, each to what those before left of the name."""

_UNFIT = re.compile(r"[^a-zA-Z0-9_:]")
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


@functools.lru_cache(maxsize=1 << 16)
def prometheus_name(name: str) -> tuple[str, str]:
    """The metric's name and its labels as they are written between braces."""
    labels: list[tuple[str, str]] = []
    for rule in RULES:
        found = rule.pattern.search(name)
        if found is not None and all(label != rule.label for label, _ in labels):
            labels.append((rule.label, found[2]))
            name = name[: found.start("drop")] + name[found.end("drop") :]
    metric = "envoy_" + _UNFIT.sub("_", name)
    return metric, ",".join(f'{label}="{value.translate(_ESCAPES)}"' for label, value in labels)
