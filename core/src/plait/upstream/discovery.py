"""Where a cluster's endpoints get their addresses from: as they are (static, eds) or by asking DNS again and again.

``strict_dns`` makes a host of every address that every name resolves to; ``logical_dns`` uses one, the first, for new
connections. A name that does not resolve leaves the hosts as they were.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any

from plait.api.config import Endpoint
from plait.upstream.cluster import Cluster

_log = logging.getLogger("plait.upstream")

_FAMILIES = {"v4_only": socket.AF_INET, "v6_only": socket.AF_INET6}
RESOLVE_TIMEOUT_S = 5.0

Resolved = list[tuple[Endpoint, tuple[str, int] | str]]


def static(endpoints: tuple[Endpoint, ...]) -> Resolved:
    """Endpoints whose addresses are what they say."""
    return [(e, e.address.path or (e.address.host, e.address.port)) for e in endpoints]


async def resolve(cluster: Cluster, ready: Callable[[], None]) -> None:
    """Keep a DNS cluster's hosts up to date until cancelled; ``ready`` is called once, after the first round."""
    config = cluster.config
    known: dict[Endpoint, list[tuple[str, int]]] = {}
    for host in cluster.hosts:  # of the cluster that this one replaced
        if not isinstance(host.address, str):
            known.setdefault(host.endpoint, []).append(host.address)
    while True:
        failed = False
        for endpoint in config.endpoints:
            try:
                found = await _lookup(endpoint, config.dns_lookup_family)
            except (OSError, UnicodeError) as error:  # the latter for what cannot be a name at all
                failed = True
                _log.warning("cluster %s: %s does not resolve: %s", config.name, endpoint.address.host, error)
                continue
            known[endpoint] = found[:1] if config.type == "logical_dns" else found
        if failed:
            cluster.stats.update_failure.value += 1
        resolved: Resolved = [(endpoint, address) for endpoint, addresses in known.items() for address in addresses]
        if resolved != [(host.endpoint, host.address) for host in cluster.hosts]:
            cluster.update(resolved)
        ready()
        await asyncio.sleep(config.dns_refresh_s)


async def _lookup(endpoint: Endpoint, family: str) -> list[tuple[str, int]]:
    async with asyncio.timeout(RESOLVE_TIMEOUT_S):
        found = await _getaddrinfo(endpoint.address.host, endpoint.address.port, _FAMILIES.get(family, 0))
    addresses = sorted({(str(item[4][0]), int(item[4][1])) for item in found}, key=lambda a: (":" in a[0], a))
    if family == "auto":  # Envoy's AUTO: IPv6 if there is any, else IPv4
        six = [address for address in addresses if ":" in address[0]]
        return six or addresses
    return addresses


async def _getaddrinfo(host: str, port: int, family: int) -> list[Any]:
    loop = asyncio.get_running_loop()
    return await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
