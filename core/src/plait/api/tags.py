"""Which parts of a statistic's name are tags: what pages and sinks of statistics show as labels or attributes.

These are Envoy's default tag extraction rules (its ``well_known_names.cc``) for the statistics that Plait has:

    cluster.shop.upstream_rq_503    cluster.upstream_rq    envoy.response_code=503, envoy.cluster_name=shop
    tcp.in.downstream_cx_total      tcp.downstream_cx_total    envoy.tcp_prefix=in

Those called ``plait.…`` are our own. One thing is judged otherwise: a dot in the name of a cluster, listener or prefix
does not end it, since services are called ``name:1.0`` and listeners by their addresses. What follows a name is known:
one word, or a group and a word.
"""

from __future__ import annotations

import functools
import re

_TAIL = (
    r"(?:(?:circuit_breakers\.\w+|outlier_detection|external|internal|canary|http1|http2|ssl|worker_\d+"
    r"|http(?:\.[^.]+)?|fault(?:\.[^.]+)?|rds(?:\.[^.]+)?|rbac|cors|zone\.[^.]+\.[^.]+)\.)?[^.]+"
)

RULES = (
    ("envoy.response_code", r"_rq(?P<drop>_(\d{3}))$"),
    ("envoy.response_code", r"^generic_proxy\..+\.downstream_rq_code(?P<drop>\.(\d+))$"),
    ("plait.response_flag", r"^generic_proxy\..+\.downstream_rq_flag(?P<drop>\.(\w+))$"),
    ("envoy.response_code_class", r"_rq_(?P<drop>(\d))xx$"),
    ("envoy.fault_downstream_cluster", r"^http\..+\.fault\.(?P<drop>([^.]+)\.)\w+$"),
    ("envoy.rds_route_config", r"^http\..+?\.rds\.(?P<drop>(.+)\.)\w+$"),
    ("envoy.http_conn_manager_prefix", rf"^http\.(?P<drop>(.+?)\.){_TAIL}$"),
    ("envoy.http_conn_manager_prefix", r"^listener\..+?\.http\.(?P<drop>([^.]+)\.)[^.]+$"),
    ("envoy.ssl_cipher", r"^(?:listener|cluster)\..+\.ssl\.ciphers(?P<drop>\.([^.]+))$"),
    ("envoy.ssl_version", r"^(?:listener|cluster)\..+\.ssl\.versions(?P<drop>\.(TLSv[\d.]+))$"),
    ("envoy.worker_id", r"^(?:listener\..+|listener_manager|server)\.(?P<drop>worker_(\d+)\.)"),
    ("envoy.listener_address", rf"^listener\.(?P<drop>(.+?)\.){_TAIL}$"),
    ("envoy.cluster_name", rf"^cluster\.(?P<drop>(.+?)\.){_TAIL}$"),
    ("envoy.tcp_prefix", r"^tcp\.(?P<drop>(.+)\.)[^.]+$"),
    ("envoy.udp_prefix", r"^udp\.(?P<drop>(.+)\.)[^.]+$"),
    ("envoy.dubbo_prefix", r"^dubbo\.(?P<drop>(.+?)\.)[^.]+$"),
    ("plait.generic_proxy_prefix", r"^generic_proxy\.(?P<drop>(.+?)\.)[^.]+$"),
    ("plait.registry", r"^registry\.(?P<drop>(.+)\.)[^.]+$"),
)
"""A tag, and where it is found: its value is group 2, and the name loses the group ``drop`` around that.

Applied in this order, each to what those before left of the name.
"""


def extract_tags(name: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """What is left of a statistic's name without its tags, and the tags with their values.

    Names are few and asked for again and again: keep what you make of them.
    """
    tags: list[tuple[str, str]] = []
    for tag, pattern in _compiled():
        found = pattern.search(name)
        if found is not None and all(tag != known for known, _ in tags):
            tags.append((tag, found[2]))
            name = name[: found.start("drop")] + name[found.end("drop") :]
    return name, tuple(tags)


@functools.cache
def _compiled() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Compiled when first needed: most processes show no statistics."""
    return tuple((tag, re.compile(pattern, re.DOTALL)) for tag, pattern in RULES)
