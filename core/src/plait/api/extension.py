"""What hooks return: the types that a plugin registers.

A factory is called with the settings, or with the settings and the ``Context`` if it takes two arguments. ``proto`` is
the full name of the Envoy message that configures the type, when there is one, and ``translate`` a
``"module:function"`` that turns it into the settings: it is imported where configuration is read and never in a
worker. Without it the settings come as a TypedStruct (or any plain mapping) and are structured into the ``settings``
class.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs


@attrs.frozen
class _Made:
    """What is made of settings, by ``factory``; see the module."""

    name: str
    settings: type | None
    factory: Callable[..., Any]
    proto: str = ""
    translate: str = ""


@attrs.frozen
class FilterType(_Made):
    """A stream filter. ``factory`` makes a ``StreamFilter``; ``terminal`` for routers, which end a chain.

    ``route_proto`` and ``route_translate`` are those of its settings on routes (default: the same as on the chain).
    """

    terminal: bool = False
    route_proto: str = ""
    route_translate: str = ""


@attrs.frozen
class NetworkFilterType(_Made):
    """A filter of connections: ``factory`` makes a ``NetworkFilter``, or a ``TerminalFilter`` when ``terminal``."""

    terminal: bool = False


@attrs.frozen
class UdpFilterType(_Made):
    """The terminal filter of a UDP listener: ``factory`` makes a ``UdpFilter``."""


@attrs.frozen
class ListenerFilterType(_Made):
    """Looks at a connection before its chain is chosen: ``factory`` makes a ``ListenerFilter``."""


@attrs.frozen
class DownstreamTransportSocketType(_Made):
    """What filter chains name as their ``transport_socket``: ``factory`` makes a ``DownstreamTransportSocket``.

    Its context has the ``stat_prefix`` of the listener, such as ``listener.127.0.0.1_443``.
    """


@attrs.frozen
class UpstreamTransportSocketType(_Made):
    """What clusters name as their ``transport_socket``: ``factory`` makes an ``UpstreamTransportSocket``.

    Its context has the ``stat_prefix`` of the cluster, such as ``cluster.orders``; a third argument is the ``Cluster``
    of the configuration. The two sides of one transport may share a name.
    """


@attrs.frozen
class RegistryType(_Made):
    """A service registry: ``factory`` makes a ``Registry``. ``can`` names what it can do beyond ``watch``."""

    can: frozenset[str] = frozenset()


@attrs.frozen
class AccessLogType(_Made):
    """An access log: ``factory`` makes an ``AccessLog``."""


@attrs.frozen
class StatsSinkType(_Made):
    """Somewhere to send statistics from the supervisor: ``factory`` makes a ``StatsSink``."""


@attrs.frozen
class StatsFormatType:
    """A page of the admin server, ``/stats/<name>``: ``render`` takes a ``Snapshot`` and gives its text."""

    name: str
    content_type: str
    render: Callable[..., str]


@attrs.frozen
class AdapterType:
    """A policy adapter in Mixer's sense: ``factory`` makes an ``Adapter``; ``templates`` are those it handles."""

    name: str
    settings: type | None
    factory: Callable[..., Any]
    templates: tuple[str, ...]
    proto: str = ""
    translate: str = ""


@attrs.frozen
class CommandType:
    """A verb of ``mesh``: ``configure`` fills an argparse parser, ``run`` takes what it parsed, gives the exit code."""

    name: str
    summary: str
    configure: Callable[[Any], None]
    run: Callable[[Any], int]
