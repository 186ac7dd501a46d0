"""Which filter chain a connection belongs to: Envoy's FilterChainMatch, most specific first."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from typing import TypeVar

from plait.api.config import FilterChainMatch
from plait.api.connection import Connection

_T = TypeVar("_T")

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _prefix_length(prefixes: Sequence[_Network], address: str) -> int:
    """Length of the longest prefix that holds ``address``; 0 when there is none to match, -1 when none does."""
    if not prefixes:
        return 0
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return -1
    return max((prefix.prefixlen + 1 for prefix in prefixes if ip in prefix), default=-1)


def _server_name_score(names: Sequence[str], server_name: str) -> int:
    """Exact names beat wildcards, longer wildcards beat shorter ones; 0 when nothing is asked, -1 on a miss."""
    if not names:
        return 0
    server_name = server_name.lower()
    best = -1
    for name in names:
        lowered = name.lower()
        if lowered == server_name:
            return 1000 + len(name)
        if lowered.startswith("*.") and server_name.endswith(lowered[1:]):
            best = max(best, len(name))
    return best


def _score(match: FilterChainMatch) -> Callable[[Connection], tuple[int, ...] | None]:
    prefixes = [ipaddress.ip_network(text, strict=False) for text in match.prefix_ranges]
    protocols = frozenset(match.application_protocols)
    sources = [ipaddress.ip_network(text, strict=False) for text in match.source_prefix_ranges]

    def score(connection: Connection) -> tuple[int, ...] | None:
        # Envoy's order: destination port, destination address, server name, transport, application protocol, source.
        if match.destination_port and match.destination_port != connection.local_port:
            return None
        destination = _prefix_length(prefixes, connection.local_ip)
        name = _server_name_score(match.server_names, connection.server_name)
        source = _prefix_length(sources, connection.peer_ip)
        if destination < 0 or name < 0 or source < 0:
            return None
        if match.transport_protocol and match.transport_protocol != connection.transport_protocol:
            return None
        if protocols and protocols.isdisjoint(connection.application_protocols):
            return None
        if match.source_ports and connection.peer_port not in match.source_ports:
            return None
        return (
            1 if match.destination_port else 0,
            destination,
            name,
            1 if match.transport_protocol else 0,
            1 if match.application_protocols else 0,
            source,
            1 if match.source_ports else 0,
        )

    return score


def compile_match(
    chains: Sequence[tuple[FilterChainMatch, _T]], default: _T | None
) -> Callable[[Connection], _T | None]:
    """A function from a connection to its chain, or ``default``. Raises ValueError for a prefix that is none."""
    scored = [(_score(match), chain) for match, chain in chains]
    if len(chains) == 1 and chains[0][0] == FilterChainMatch():
        only = chains[0][1]
        return lambda connection: only

    def find(connection: Connection) -> _T | None:
        best: tuple[int, ...] | None = None
        found = default
        for score, chain in scored:
            rank = score(connection)
            if rank is not None and (best is None or rank > best):
                best, found = rank, chain
        return found

    return find
