"""One worker's data plane: the clusters, routes and listeners in force, and the change from one update to the next.

``apply`` builds everything an update needs before it touches anything; a failure leaves all as it was. A listener,
route table or cluster that changes is swapped whole, and what is under way finishes on the old one. ``provision``
builds the same without sockets or hosts: it is how a configuration is proven before any worker sees it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import time
import weakref
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import attrs

from plait.api.config import Cluster as ClusterConfig
from plait.api.config import Endpoints, Extension, Node, RouteConfiguration, Thresholds
from plait.api.context import Context, Timer
from plait.api.errors import ConfigError
from plait.api.extension import UpstreamTransportSocketType
from plait.api.telemetry import AccessLog
from plait.api.transport import UpstreamTransportSocket
from plait.net.listener import ListenerServer
from plait.net.tasks import Tasks
from plait.net.wheel import TimerWheel
from plait.plugins import KINDS, Catalogue, build
from plait.runtime.listening import Listening
from plait.runtime.statistics import StatsStore
from plait.upstream.cluster import Cluster, ClusterStats
from plait.upstream.discovery import RESOLVE_TIMEOUT_S, resolve, static
from plait.upstream.health import HealthChecker
from plait.xds.store import Update

LOG_FLUSH_S = 1.0
LOG_CLOSE_TIMEOUT_S = 3.0  # for what the access logs still write when the process ends


_Tables = tuple[dict[str, Cluster], dict[str, RouteConfiguration], dict[str, Endpoints]]


class DataPlane(Context):
    """See the module. ``close`` must be awaited by who made it."""

    def __init__(
        self, catalogue: Catalogue, node: Node, worker: int = 0, concurrency: int = 1, drain_time_s: float = 600.0
    ) -> None:
        self.catalogue = catalogue
        self.node = node
        self.worker = worker
        self.concurrency = max(1, concurrency)
        self.drain_time_s = drain_time_s
        self.stats: StatsStore = StatsStore()
        self.wheel: TimerWheel = TimerWheel()
        self.tasks = Tasks()
        self._clusters: dict[str, Cluster] = {}
        self._endpoints: dict[str, Endpoints] = {}
        self._cluster_stats: dict[str, ClusterStats] = {}
        self._routes: dict[str, RouteConfiguration] = {}
        # Asked for every request. The tables stay the same objects, so their own methods can answer.
        self.cluster = self._clusters.get  # type: ignore[method-assign,assignment]
        self.route_configuration = self._routes.get  # type: ignore[method-assign,assignment]
        self._listeners: dict[str, Listening] = {}
        self._retired: set[ListenerServer] = set()
        self._resolvers: dict[str, asyncio.Task[None]] = {}
        self._logs: weakref.WeakSet[AccessLog] = weakref.WeakSet()
        self._flusher: asyncio.Task[None] | None = None

    # what plugins ask for

    def build(self, kind: str | type, extension: Extension, *extra: object) -> Any:
        return self.build_for(self, kind, extension, *extra)

    def build_for(self, context: Context, kind: str | type, extension: Extension, *extra: object) -> Any:
        """``build`` with another context for the factory."""
        if extension.plugin:
            every = tuple(category for k in KINDS.values() for category in k.categories)
            categories = (kind,) if isinstance(kind, type) else every
            registered = self.catalogue.of(extension.plugin, extension.type, *categories)
            plugin = extension.plugin
        else:
            registered, plugin = self._find(kind, extension.type)
        info = self.catalogue.info(plugin)
        made = build(registered, extension.settings, context, *extra, name=plugin, distribution=info.distribution)
        if isinstance(made, AccessLog):
            self._logs.add(made)
        return made

    def _find(self, kind: str | type, name: str) -> tuple[Any, str]:
        if isinstance(kind, type):
            return self.catalogue.find(kind, name)
        categories = KINDS[kind].categories
        for category in categories[:-1]:
            if name in self.catalogue.registered(category):
                return self.catalogue.find(category, name)
        return self.catalogue.find(categories[-1] if kind != "filters" else categories[0], name)

    def cluster(self, name: str) -> Cluster | None:
        return self._clusters.get(name)

    def route_configuration(self, name: str) -> RouteConfiguration | None:
        return self._routes.get(name)

    def protocol(self, name: str) -> Any:
        from plait.api.protocol import ProtocolType

        return self.catalogue.find(ProtocolType, name)[0]

    def protocols(self) -> Mapping[str, Any]:
        from plait.api.protocol import ProtocolType

        return {name: found for name, (found, _) in self.catalogue.every(ProtocolType).items()}

    def call_later(self, delay_s: float, call: Callable[[], None]) -> Timer:
        timer: Timer = self.wheel.call_later(delay_s, call)
        return timer

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        return self.tasks.spawn(work, name)

    def for_chain(self, stat_prefix: str, routes: str = "") -> Context:
        return _ChainContext(self, stat_prefix, routes)

    # changing the configuration

    def provision(self, update: Update) -> None:
        """Build all that ``update`` asks for and throw it away; raises ConfigError or PluginError."""
        before = self._tables()
        built: list[Listening] = []
        try:
            tables, _ = self._next(update)
            self._install(tables)
            built = [Listening.build(config, self) for config in update.listeners.values()]
        finally:
            self._install(before)
            for listening in built:
                listening.discard()

    async def apply(self, update: Update, sockets: Mapping[str, socket.socket]) -> None:
        """Bring ``update`` into force; ``sockets`` are bound ones, by listener, for those that are new here.

        Raises ConfigError or PluginError and changes nothing then.
        """
        before = self._tables()
        built: dict[str, Listening] = {}
        try:
            tables, made = self._next(update)
            self._install(tables)
            for name, config in update.listeners.items():
                built[name] = Listening.build(config, self)
                old = self._listeners.get(name)
                keeps = old is not None and old.config.address == config.address
                sock = sockets.get(name) or (old.sock if old is not None and keeps else None)
                if sock is None and config.bind_to_port:
                    raise ConfigError(f"listener {name!r} has no socket for {config.address}")
                built[name].sock = sock
        except BaseException:
            self._install(before)
            for listening in built.values():
                listening.discard()
            raise
        # from here on nothing can be refused
        old_clusters = before[0]
        await self._settle_clusters(old_clusters, made, update)
        for name, listening in built.items():
            replaced = self._listeners.pop(name, None)
            await listening.start(self)
            self._listeners[name] = listening
            if replaced is not None:
                self._retire(replaced, keep_socket=listening.sock is replaced.sock)
        for name in update.removed_listeners:
            gone = self._listeners.pop(name, None)
            if gone is not None:
                self._retire(gone, keep_socket=False)
        if self._flusher is None:
            self._flusher = self.spawn(self._flush_logs(), "access log flush")

    def _tables(self) -> _Tables:
        return dict(self._clusters), dict(self._routes), dict(self._endpoints)

    def _install(self, tables: _Tables) -> None:
        """Let the tables in force hold these; nothing runs in between."""
        for table, contents in zip((self._clusters, self._routes, self._endpoints), tables, strict=True):
            table.clear()  # type: ignore[attr-defined]
            table.update(contents)  # type: ignore[attr-defined]

    def _next(self, update: Update) -> tuple[_Tables, dict[str, Cluster]]:
        """The tables as they will be, and the clusters that were made for them."""
        clusters, made = dict(self._clusters), {}
        for name, config in update.clusters.items():
            old = clusters.get(name)
            if old is None or attrs.evolve(old.config, endpoints=()) != attrs.evolve(self._share(config), endpoints=()):
                clusters[name] = made[name] = self._make_cluster(config)
        for name in update.removed_clusters:
            clusters.pop(name, None)
        routes = {**self._routes, **update.routes}
        for name in update.removed_routes:
            routes.pop(name, None)
        endpoints = {**self._endpoints, **update.endpoints}
        for name in update.removed_endpoints:
            endpoints.pop(name, None)
        return (clusters, routes, endpoints), made

    def _make_cluster(self, config: ClusterConfig) -> Cluster:
        made: UpstreamTransportSocket | None = None
        if config.transport_socket is not None:
            context = self.for_chain(f"cluster.{config.alt_stat_name or config.name}")
            made = context.build(UpstreamTransportSocketType, config.transport_socket, config)
        cluster = Cluster(self._share(config), self._stats_of(config), made)
        if config.health_check is not None:
            cluster.checker = HealthChecker(cluster, config.health_check, self.protocol, self.stats, self.spawn)
        return cluster

    def _stats_of(self, config: ClusterConfig) -> ClusterStats:
        name = config.alt_stat_name or config.name
        if name not in self._cluster_stats:
            self._cluster_stats[name] = ClusterStats(self.stats, name)
        return self._cluster_stats[name]

    def _share(self, config: ClusterConfig) -> ClusterConfig:
        """The cluster as one worker sees it: its share of the circuit breakers."""
        if self.concurrency == 1:
            return config
        t, n = config.thresholds, self.concurrency
        share = Thresholds(*(math.ceil(value / n) for value in attrs.astuple(t)))
        return attrs.evolve(config, thresholds=share)

    async def _settle_clusters(self, old: Mapping[str, Cluster], made: Mapping[str, Cluster], update: Update) -> None:
        """Give clusters their hosts, let go of those that went, and wait (a little) for what is not known of them.

        That is what DNS answers, and for new clusters what the first round of health checks finds.
        """
        waiting: list[asyncio.Event] = []
        for name, replaced in old.items():  # first, because its successor counts in the same statistics
            if self._clusters.get(name) is not replaced:
                replaced.drain()
                if name in self._resolvers:
                    self._resolvers.pop(name).cancel()
                checker = made[name].checker if name in made else None
                if checker is not None and replaced.checker is not None:
                    checker.succeed(replaced.checker)
        for name in {*update.clusters, *update.endpoints, *update.removed_endpoints}:
            cluster = self._clusters.get(name)
            if cluster is None:
                continue
            if name in update.clusters:
                cluster.config = self._share(update.clusters[name])
            if cluster.config.type == "eds":
                known = self._endpoints.get(name)
                cluster.update(static(known.endpoints if known is not None else ()))
            elif cluster.config.type == "static":
                cluster.update(static(cluster.config.endpoints))
            elif name in update.clusters:
                before = old.get(name)
                if before is not None and before is not cluster:  # what its names were, until DNS answers
                    stay = cluster.config.endpoints
                    cluster.update([(host.endpoint, host.address) for host in before.hosts if host.endpoint in stay])
                waiting.append(self._resolve(name, cluster))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RESOLVE_TIMEOUT_S):
                for event in waiting:
                    await event.wait()
                for new in made.values():
                    if new.checker is not None:
                        await new.checker.first_round.wait()

    def _resolve(self, name: str, cluster: Cluster) -> asyncio.Event:
        if name in self._resolvers:
            self._resolvers.pop(name).cancel()
        ready = asyncio.Event()
        self._resolvers[name] = self.spawn(resolve(cluster, ready.set), f"resolve {name}")
        return ready

    # listeners

    def _retire(self, listening: Listening, *, keep_socket: bool) -> None:
        """Stop accepting on an old listener and let its connections finish."""
        listening.retire(keep_socket=keep_socket)
        if listening.server is not None:
            self._retired.add(listening.server)
            self.spawn(self._wait_out(listening.server), f"drain {listening.config.name}")

    async def _wait_out(self, server: ListenerServer) -> None:
        await server.idle(self.drain_time_s)
        server.abort()
        server.close()
        self._retired.discard(server)

    # the end

    async def drain(self, timeout_s: float) -> None:
        """Stop accepting, let streams finish, and wait until the last connection is gone or the time is over."""
        servers = [listening.server for listening in self._listeners.values() if listening.server is not None]
        for server in servers:
            server.stop_accepting()
            server.drain()
        for listening in self._listeners.values():
            listening.close_socket()
        deadline = time.monotonic() + timeout_s
        for server in (*servers, *tuple(self._retired)):
            await server.idle(deadline - time.monotonic())

    async def close(self) -> None:
        """End what is left, flush the logs and let go."""
        for listening in self._listeners.values():
            listening.abort()
        for server in self._retired:
            server.abort()
        for cluster in self._clusters.values():
            cluster.drain()
        await asyncio.sleep(0)  # aborted connections say goodbye to their streams, which are logged
        for listening in self._listeners.values():
            listening.discard()
            listening.close_socket()
        for server in self._retired:
            server.close()
        logs = tuple(self._logs)
        for log in logs:
            log.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOG_CLOSE_TIMEOUT_S):
                for log in logs:
                    await log.closed()
        self._listeners.clear()
        await self.tasks.close()
        self.wheel.close()

    async def _flush_logs(self) -> None:
        while True:
            await asyncio.sleep(LOG_FLUSH_S)
            for log in tuple(self._logs):
                log.flush()

    # views

    @property
    def connections(self) -> int:
        """Downstream connections that are open now."""
        servers = [listening.server for listening in self._listeners.values() if listening.server is not None]
        return sum(len(server.connections) for server in (*servers, *self._retired))

    def clusters_view(self) -> list[dict[str, Any]]:
        """What ``/clusters`` shows: plain values only."""
        return [
            {
                "name": cluster.name,
                "type": cluster.config.type,
                "lb_policy": cluster.config.lb_policy,
                "thresholds": attrs.asdict(cluster.config.thresholds),
                "requests_active": cluster.requests_active,
                "hosts": [
                    {
                        "address": host.name,
                        "hostname": host.endpoint.hostname,
                        "weight": host.endpoint.weight,
                        "healthy": host.endpoint.healthy,
                        "failed_check": host.failed_check,
                        "check_timed_out": host.check_timed_out,
                        "locality": host.endpoint.locality,
                        "priority": host.endpoint.priority,
                        "cx_active": host.connections,
                        "rq_active": host.active,
                        "rq_total": host.requests,
                        "rq_error": host.failures,
                    }
                    for host in cluster.hosts
                ],
            }
            for cluster in self._clusters.values()
        ]


class _ChainContext(Context):
    """A worker's context as the filters of one chain get it: with the chain's statistics prefix and route table."""

    def __init__(self, plane: DataPlane, stat_prefix: str, routes: str) -> None:
        self._plane = plane
        self.stat_prefix = stat_prefix
        self.routes = routes
        self.stats = plane.stats
        self.node = plane.node
        self.worker = plane.worker
        self.concurrency = plane.concurrency
        self.wheel = plane.wheel
        self.cluster = plane.cluster  # type: ignore[method-assign]  # per request: no second call
        self.route_configuration = plane.route_configuration  # type: ignore[method-assign]
        self.call_later = plane.call_later  # type: ignore[method-assign]

    def build(self, kind: str | type, extension: Extension, *extra: object) -> Any:
        return self._plane.build_for(self, kind, extension, *extra)

    def cluster(self, name: str) -> Cluster | None:
        return self._plane.cluster(name)

    def route_configuration(self, name: str) -> RouteConfiguration | None:
        return self._plane.route_configuration(name)

    def protocol(self, name: str) -> Any:
        return self._plane.protocol(name)

    def protocols(self) -> Mapping[str, Any]:
        return self._plane.protocols()

    def call_later(self, delay_s: float, call: Callable[[], None]) -> Timer:
        return self._plane.call_later(delay_s, call)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        return self._plane.spawn(work, name)

    def for_chain(self, stat_prefix: str, routes: str = "") -> Context:
        return _ChainContext(self._plane, stat_prefix, routes)
