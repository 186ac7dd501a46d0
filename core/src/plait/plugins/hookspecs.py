"""The hooks that plugins implement, one per kind.

A hook takes no arguments, is called once when its plugin is loaded, and returns a list of what the plugin registers:
nothing here is ever called for traffic. A module marks its implementations with ``plait.hookimpl`` and its distribution
names the module in the entry-point group of the kind; one module may serve several kinds. A module that was made for
one API version says so with ``PLAIT_API = 1``; each hook below names the version of its kind.

The examples are whole plugins; ``plait.plugins.answers`` asks them as the loader does.
"""

from __future__ import annotations

import pluggy

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

hookspec = pluggy.HookspecMarker("plait")


@hookspec
def plait_protocols() -> list[ProtocolType | NetworkFilterType | UdpFilterType]:
    """Protocols that streams are carried in, and filters that take a connection or a UDP listener over.

    Entry-point group ``plait.protocols``, API version 1. Called once per process that uses the plugin. A
    ``ProtocolType`` is found by its name (``http1``), a filter by name or by the full name of its message.

    A terminal network filter that answers every connection with the time:

    >>> import asyncio, time
    >>> from types import SimpleNamespace
    >>> import plait
    >>> from plait.plugins import answers, build
    >>> class Daytime(asyncio.Protocol):
    ...     def connection_made(self, transport: asyncio.BaseTransport) -> None:
    ...         assert isinstance(transport, asyncio.WriteTransport)
    ...         transport.write(time.ctime().encode() + b"\\r\\n")
    ...         transport.close()
    >>> class DaytimeFilter(plait.TerminalFilter):
    ...     def protocol(self, connection: plait.Connection) -> asyncio.Protocol:
    ...         return Daytime()
    >>> @plait.hookimpl
    ... def plait_protocols() -> list[plait.NetworkFilterType]:
    ...     return [plait.NetworkFilterType("acme.network.daytime", None, DaytimeFilter, terminal=True)]

    >>> [daytime] = answers("protocols", SimpleNamespace(plait_protocols=plait_protocols))
    >>> build(daytime, None, None)  # doctest: +ELLIPSIS
    <...DaytimeFilter object at ...>
    """
    raise NotImplementedError


@hookspec
def plait_filters() -> list[FilterType | ListenerFilterType | NetworkFilterType]:
    """Filters of streams, of connections, and of listeners.

    Entry-point group ``plait.filters``, API version 1. Called once per process that uses the plugin. The settings of a
    filter that has no Envoy message of its own come as a TypedStruct and are structured into its ``settings`` class.

    A filter that refuses requests which name no tenant:

    >>> from types import SimpleNamespace
    >>> import attrs, plait
    >>> from plait.plugins import answers, build, structure
    >>> @attrs.frozen
    ... class Tenant:
    ...     header: str = "x-tenant"
    >>> class TenantFilter(plait.StreamFilter):
    ...     def __init__(self, settings: Tenant) -> None:
    ...         self.header = settings.header
    ...     def on_request(self, stream: plait.Stream) -> plait.Verdict:
    ...         if stream.request.headers.get(self.header) is None:
    ...             return stream.reply(401, "no tenant")
    ...         return plait.CONTINUE
    >>> @plait.hookimpl
    ... def plait_filters() -> list[plait.FilterType]:
    ...     return [plait.FilterType("acme.filters.tenant", Tenant, TenantFilter)]

    >>> [tenant] = answers("filters", SimpleNamespace(plait_filters=plait_filters))
    >>> build(tenant, structure(tenant, {"header": "x-company"}), None).header
    'x-company'
    """
    raise NotImplementedError


@hookspec
def plait_transports() -> list[DownstreamTransportSocketType | UpstreamTransportSocketType]:
    """Transport sockets: what stands between a socket and what is spoken on it, such as TLS.

    Entry-point group ``plait.transports``, API version 1. Called once per process that uses the plugin. The two sides
    may share a name.

    A transport socket that lets a caller in when its first byte is the right one:

    >>> import asyncio
    >>> from collections.abc import Callable
    >>> from types import SimpleNamespace
    >>> import attrs, plait
    >>> from plait.plugins import answers, build
    >>> @attrs.frozen
    ... class Knock:
    ...     byte: int
    >>> class Knocking(asyncio.Protocol):
    ...     def __init__(self, byte: int, connection: plait.Connection, proceed: Callable[[], None]) -> None:
    ...         self.byte, self.connection, self.proceed = byte, connection, proceed
    ...     def data_received(self, data: bytes) -> None:
    ...         transport = self.connection.transport
    ...         if data[0] != self.byte:
    ...             transport.close()
    ...             return
    ...         self.proceed()
    ...         if data[1:] and isinstance(inner := transport.get_protocol(), asyncio.Protocol):
    ...             inner.data_received(data[1:])
    ...     def connection_lost(self, error: Exception | None) -> None:
    ...         self.connection.ended()
    >>> class KnockSocket(plait.DownstreamTransportSocket):
    ...     def __init__(self, settings: Knock) -> None:
    ...         self.byte = settings.byte
    ...     def accept(self, connection: plait.Connection, seen: bytes, proceed: Callable[[], None]) -> None:
    ...         protocol = Knocking(self.byte, connection, proceed)
    ...         connection.transport.set_protocol(protocol)
    ...         if seen:
    ...             protocol.data_received(seen)
    >>> @plait.hookimpl
    ... def plait_transports() -> list[plait.DownstreamTransportSocketType]:
    ...     return [plait.DownstreamTransportSocketType("acme.transports.knock", Knock, KnockSocket)]

    >>> [knock] = answers("transports", SimpleNamespace(plait_transports=plait_transports))
    >>> build(knock, Knock(7), None).byte
    7
    """
    raise NotImplementedError


@hookspec
def plait_registries() -> list[RegistryType]:
    """Service registries, whose services become clusters.

    Entry-point group ``plait.registries``, API version 1. Called once in the supervisor.

    A registry that knows one service and never changes:

    >>> import asyncio
    >>> from types import SimpleNamespace
    >>> import plait
    >>> from plait.plugins import answers, build
    >>> class OneService(plait.Registry):
    ...     async def watch(self, sink: plait.RegistrySink) -> None:
    ...         sink.update(plait.Service("echo"), [plait.Instance(plait.Address("127.0.0.1", 7))])
    ...         await asyncio.Event().wait()
    >>> @plait.hookimpl
    ... def plait_registries() -> list[plait.RegistryType]:
    ...     return [plait.RegistryType("acme.registries.one", None, OneService)]

    >>> [one] = answers("registries", SimpleNamespace(plait_registries=plait_registries))
    >>> isinstance(build(one, None, None), plait.Registry)
    True
    """
    raise NotImplementedError


@hookspec
def plait_telemetry() -> list[AccessLogType | StatsSinkType | StatsFormatType]:
    """Access logs, destinations of statistics, and pages of statistics of the admin server.

    Entry-point group ``plait.telemetry``, API version 1. Called once per process that uses the plugin.

    A page ``/stats/count`` that says how many counters there are:

    >>> from types import SimpleNamespace
    >>> import plait
    >>> from plait.plugins import answers
    >>> def render(snapshot: plait.Snapshot) -> str:
    ...     return f"{len(snapshot.counters)} counters\\n"
    >>> @plait.hookimpl
    ... def plait_telemetry() -> list[plait.StatsFormatType]:
    ...     return [plait.StatsFormatType("count", "text/plain", render)]

    >>> [page] = answers("telemetry", SimpleNamespace(plait_telemetry=plait_telemetry))
    >>> page.render(plait.Snapshot({"http.in.downstream_rq_total": 3}, {}, {}))
    '1 counters\\n'
    """
    raise NotImplementedError


@hookspec
def plait_policies() -> list[AdapterType]:
    """Policy adapters in Mixer's sense: they handle instances of templates.

    Entry-point group ``plait.policies``, API version 1. Called once per process that uses the plugin.

    An adapter that lets only one namespace through:

    >>> from collections.abc import Mapping
    >>> from types import SimpleNamespace
    >>> import attrs, plait
    >>> from plait.plugins import answers, build
    >>> @attrs.frozen
    ... class OnlyFrom:
    ...     namespace: str
    >>> class OnlyFromAdapter(plait.Adapter):
    ...     def __init__(self, settings: OnlyFrom) -> None:
    ...         self.namespace = settings.namespace
    ...     def check(self, template: str, instance: Mapping[str, object]) -> plait.CheckResult:
    ...         allowed = instance.get("value") == self.namespace
    ...         return plait.CheckResult() if allowed else plait.CheckResult(7, "wrong namespace")
    >>> @plait.hookimpl
    ... def plait_policies() -> list[plait.AdapterType]:
    ...     return [plait.AdapterType("onlyfrom", OnlyFrom, OnlyFromAdapter, ("listentry",))]

    >>> [only_from] = answers("policies", SimpleNamespace(plait_policies=plait_policies))
    >>> build(only_from, OnlyFrom("shop"), None).check("listentry", {"value": "bank"}).message
    'wrong namespace'
    """
    raise NotImplementedError


@hookspec
def plait_commands() -> list[CommandType]:
    """Verbs of the command ``mesh``.

    Entry-point group ``plait.commands``, API version 1. Called when ``mesh`` meets a verb that is not its own, and for
    ``mesh --help``. What ``run`` returns is the exit code.

    A verb ``mesh hello NAME``:

    >>> import argparse
    >>> from types import SimpleNamespace
    >>> import plait
    >>> from plait.plugins import answers
    >>> def configure(parser: argparse.ArgumentParser) -> None:
    ...     parser.add_argument("name")
    >>> def run(arguments: argparse.Namespace) -> int:
    ...     print("hello,", arguments.name)
    ...     return 0
    >>> @plait.hookimpl
    ... def plait_commands() -> list[plait.CommandType]:
    ...     return [plait.CommandType("hello", "Greet somebody", configure, run)]

    >>> [hello] = answers("commands", SimpleNamespace(plait_commands=plait_commands))
    >>> parser = argparse.ArgumentParser()
    >>> hello.configure(parser)
    >>> hello.run(parser.parse_args(["mesh"]))
    hello, mesh
    0
    """
    raise NotImplementedError
