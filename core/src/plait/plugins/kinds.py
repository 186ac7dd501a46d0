"""The kinds of plugins: their entry-point group, hook, API version and what their hook may return.

This is the one table that discovery, loading and documentation read; it does nothing by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import attrs

from plait.api.extension import (
    AccessLogType,
    AdapterType,
    CommandType,
    DownstreamTransportSocketType,
    FilterType,
    ListenerFilterType,
    NetworkFilterType,
    RegistryType,
    StatsFormatType,
    StatsSinkType,
    UdpFilterType,
    UpstreamTransportSocketType,
)
from plait.api.protocol import ProtocolType

EXTENSIONS_GROUP = "plait.extensions"
"""The entry-point group in which a distribution may say what its plugins register, so that no other is imported."""


@attrs.frozen
class Kind:
    """A kind of plugin; ``api`` is its API version, which grows when plugins must change to go on working."""

    name: str
    api: int
    categories: tuple[type, ...]

    @property
    def group(self) -> str:
        """The entry-point group."""
        return f"plait.{self.name}"

    @property
    def hook(self) -> str:
        """The name of the hook that a plugin of this kind implements."""
        return f"plait_{self.name}"


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            Kind("protocols", 1, (ProtocolType, NetworkFilterType, UdpFilterType)),
            Kind("filters", 1, (FilterType, ListenerFilterType, NetworkFilterType)),
            Kind("transports", 1, (DownstreamTransportSocketType, UpstreamTransportSocketType)),
            Kind("registries", 1, (RegistryType,)),
            Kind("telemetry", 1, (AccessLogType, StatsSinkType, StatsFormatType)),
            Kind("policies", 1, (AdapterType,)),
            Kind("commands", 1, (CommandType,)),
        )
    }
)


def kinds_of(category: type) -> tuple[str, ...]:
    """The kinds whose plugins may register objects of ``category`` (``FilterType``, ``NetworkFilterType`` …)."""
    return tuple(kind.name for kind in KINDS.values() if category in kind.categories)
