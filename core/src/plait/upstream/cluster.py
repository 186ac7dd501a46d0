"""A cluster at work: its hosts, who of them may be picked, its circuit breakers and statistics.

A cluster is replaced whole when its configuration changes; a change of endpoints keeps the hosts that stay, with their
pools. Numbers are per worker, as in Envoy they are per process: thresholds are divided among workers by the data plane.
"""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from plait.api.config import Address, Endpoint
from plait.api.config import Cluster as ClusterConfig
from plait.api.context import Counter, Stats
from plait.api.transport import UpstreamTransportSocket
from plait.upstream.balancer import make_balancer

if TYPE_CHECKING:
    from plait.upstream.health import HealthChecker


BY_ALPN = "by alpn"
"""What a cluster's protocol and its hosts' pools are called where each connection agrees on a protocol of its own."""

SocketName = tuple[str, int] | str  # what a socket connects to: host and port, or a path


class ConnectionPool(ABC):
    """Connections of one protocol to one host."""

    @abstractmethod
    def drain(self) -> None:
        """Close idle connections now and the others when their streams are over; take no new ones."""


class Host:
    """An endpoint of a cluster, with what it is doing.

    ``failed_check`` is what active health checks say of it, ``check_timed_out`` whether the last one had no answer.
    """

    def __init__(self, cluster: Cluster, endpoint: Endpoint, address: SocketName) -> None:
        self.active = 0
        self.requests = 0
        self.failures = 0
        self.connections = 0
        self.cluster = cluster
        self.endpoint = endpoint
        self.address = address
        self.name = str(Address(path=address) if isinstance(address, str) else Address(address[0], address[1]))
        self.pools: dict[str, ConnectionPool] = {}
        self.gone = False
        self.failed_check = False
        self.check_timed_out = False

    @property
    def healthy(self) -> bool:
        """Whether neither its configuration or registry nor a health check says otherwise."""
        return self.endpoint.healthy and not self.failed_check

    def drain(self) -> None:
        """The host is gone from the cluster."""
        self.gone = True
        for pool in self.pools.values():
            pool.drain()
        self.pools.clear()


class _Codes(dict[int, Counter]):
    """Counters of responses by status, made when one is first seen; those of the classes follow from them."""

    def __init__(self, stats: Stats, prefix: str) -> None:
        super().__init__()
        self._stats = stats
        self._prefix = prefix

    def __missing__(self, status: int) -> Counter:
        counter = self[status] = self._stats.counter(f"{self._prefix}upstream_rq_{status}")
        group = status // 100
        name = f"{self._prefix}upstream_rq_{group}xx"
        self._stats.observe(name, lambda: sum([c.value for s, c in self.items() if s // 100 == group]), grows=True)
        return counter


class ClusterStats:
    """Envoy's statistics of a cluster, as attributes; shared by the clusters that follow each other under a name."""

    def __init__(self, stats: Stats, name: str) -> None:
        prefix = f"cluster.{name}."
        self._stats = stats
        self._prefix = prefix
        counter, gauge = stats.counter, stats.gauge
        self.rq_total = counter(prefix + "upstream_rq_total")
        self.rq_pending_total = counter(prefix + "upstream_rq_pending_total")
        self.rq_pending_active = gauge(prefix + "upstream_rq_pending_active")
        self.rq_pending_overflow = counter(prefix + "upstream_rq_pending_overflow")
        self.rq_pending_failure_eject = counter(prefix + "upstream_rq_pending_failure_eject")
        self.rq_cancelled = counter(prefix + "upstream_rq_cancelled")
        self.rq_timeout = counter(prefix + "upstream_rq_timeout")
        self.rq_per_try_timeout = counter(prefix + "upstream_rq_per_try_timeout")
        self.rq_rx_reset = counter(prefix + "upstream_rq_rx_reset")
        self.rq_tx_reset = counter(prefix + "upstream_rq_tx_reset")
        self.rq_retry = counter(prefix + "upstream_rq_retry")
        self.rq_retry_success = counter(prefix + "upstream_rq_retry_success")
        self.rq_retry_overflow = counter(prefix + "upstream_rq_retry_overflow")
        self.rq_retry_limit_exceeded = counter(prefix + "upstream_rq_retry_limit_exceeded")
        self.took = stats.histogram(prefix + "upstream_rq_time").values.append
        self.cx_total = counter(prefix + "upstream_cx_total")
        self.cx_active = gauge(prefix + "upstream_cx_active")
        self.cx_connect_fail = counter(prefix + "upstream_cx_connect_fail")
        self.cx_connect_timeout = counter(prefix + "upstream_cx_connect_timeout")
        self.cx_connect_ms = stats.histogram(prefix + "upstream_cx_connect_ms")
        self.cx_overflow = counter(prefix + "upstream_cx_overflow")
        self.cx_destroy = counter(prefix + "upstream_cx_destroy")
        self.cx_destroy_local = counter(prefix + "upstream_cx_destroy_local")
        self.cx_destroy_remote = counter(prefix + "upstream_cx_destroy_remote")
        self.cx_destroy_with_active_rq = counter(prefix + "upstream_cx_destroy_with_active_rq")
        self.cx_idle_timeout = counter(prefix + "upstream_cx_idle_timeout")
        self.cx_max_requests = counter(prefix + "upstream_cx_max_requests")
        self.cx_none_healthy = counter(prefix + "upstream_cx_none_healthy")
        self.cx_heartbeat_timeout = counter(prefix + "upstream_cx_heartbeat_timeout")
        self.rx_unmatched = counter(prefix + "upstream_rx_unmatched_response")
        self.cx_protocol_error = counter(prefix + "upstream_cx_protocol_error")
        self.cx_rx_bytes = counter(prefix + "upstream_cx_rx_bytes_total")
        self.cx_tx_bytes = counter(prefix + "upstream_cx_tx_bytes_total")
        self.membership_total = gauge(prefix + "membership_total")
        self.membership_healthy = gauge(prefix + "membership_healthy")
        self.membership_change = counter(prefix + "membership_change")
        self.update_success = counter(prefix + "update_success")
        self.update_failure = counter(prefix + "update_failure")
        self.lb_panic = counter(prefix + "lb_healthy_panic")
        self.clusters: weakref.WeakSet[Cluster] = weakref.WeakSet()
        alive = self.clusters
        stats.observe(prefix + "upstream_rq_active", lambda: sum([c.requests_active for c in alive]), grows=False)
        self.codes: dict[int, Counter] = _Codes(stats, prefix)
        codes = self.codes
        stats.observe(prefix + "upstream_rq_completed", lambda: sum([c.value for c in codes.values()]), grows=True)

    def retried(self, status: int) -> Counter:
        """Responses with a status that were not passed on, because the request was tried again."""
        return self._stats.counter(f"{self._prefix}retry.upstream_rq_{status}")

    def protocol_error(self, counter: str) -> Counter:
        """One of the ways in which upstreams break their protocol, by the codec's name for it."""
        return self._stats.counter(f"{self._prefix}{counter}")

    def cx_protocol(self, protocol: str) -> Counter:
        """Connections made with one protocol (``upstream_cx_http1_total``)."""
        return self._stats.counter(f"{self._prefix}upstream_cx_{protocol}_total")


class Cluster:
    """Hosts that are alike. ``requests_active``, ``pending`` and the others are what the circuit breakers count."""

    def __init__(
        self,
        config: ClusterConfig,
        stats: ClusterStats,
        transport_socket: UpstreamTransportSocket | None = None,
        transport_sockets: Mapping[str, UpstreamTransportSocket] | None = None,
    ) -> None:
        """``transport_sockets`` are those of single protocols, where they differ from the other one."""
        self.requests_active = 0
        self.pending = 0
        self.connections = 0
        self.opening = 0  # connections that are about to be tried
        self.retries = 0
        self.config = config
        self.name = config.name
        self.protocol = BY_ALPN if config.protocol_by == "alpn" else config.protocol
        self.follows_caller = config.protocol_by == "caller"
        self.transport_socket = transport_socket
        self.transport_sockets = transport_sockets or {}
        self.stats = stats
        stats.clusters.add(self)
        thresholds = config.thresholds
        self.max_requests = thresholds.max_requests
        self.max_pending = thresholds.max_pending_requests
        self.max_connections = thresholds.max_connections
        self.max_retries = thresholds.max_retries
        self.hosts: tuple[Host, ...] = ()
        self.checker: HealthChecker | None = None
        self.pick: Callable[[], Host | None] = self._none
        """A host for a request, or None when there is none: the balancer's own method, for it is asked every time."""

    def update(self, endpoints: Iterable[tuple[Endpoint, SocketName]]) -> None:
        """Make these the hosts. One that was there with an equal endpoint stays the same object, pools and all."""
        known = {(host.address, host.endpoint): host for host in self.hosts}
        hosts = []
        for endpoint, address in endpoints:
            same = known.pop((address, endpoint)) if (address, endpoint) in known else None
            hosts.append(same if same is not None else self._renewed(known, endpoint, address))
        changed = bool(known) or len(hosts) != len(self.hosts)
        self.hosts = tuple(hosts)
        for gone in known.values():
            gone.drain()
        stats = self.stats
        stats.update_success.value += 1
        if changed:
            stats.membership_change.value += 1
        if self.checker is not None:
            self.checker.follow(hosts)
        self.rebalance()

    def _renewed(self, known: dict[tuple[SocketName, Endpoint], Host], endpoint: Endpoint, address: SocketName) -> Host:
        """The host at ``address`` under its new weight, health or metadata; a new host where there was none."""
        for key, host in known.items():
            if key[0] == address:
                del known[key]
                host.endpoint = endpoint
                return host
        return Host(self, endpoint, address)

    def rebalance(self) -> None:
        """Pick among the hosts that are healthy now, of the first priority that has any."""
        healthy = [host for host in self.hosts if host.healthy]
        self.stats.membership_total.value = len(self.hosts)
        self.stats.membership_healthy.value = len(healthy)
        config = self.config
        first = min((host.endpoint.priority for host in healthy or self.hosts), default=0)
        level = [host for host in self.hosts if host.endpoint.priority == first]
        eligible = [host for host in level if host.healthy]
        if len(eligible) < config.panic_threshold * len(level):
            eligible = level
            self.stats.lb_panic.value += 1
        self.pick = make_balancer(config.lb_policy, config.lb_choice_count, eligible).pick if eligible else self._none

    def _none(self) -> Host | None:
        self.stats.cx_none_healthy.value += 1
        return None

    def pick_other(self, avoid: Collection[Host]) -> Host | None:
        """A host for another try; one of ``avoid`` only when a few draws find no other."""
        host = self.pick()
        for _ in range(2 * len(self.hosts)):
            if host is None or host not in avoid:
                break
            host = self.pick()
        return host

    def drain(self) -> None:
        """The cluster was removed or replaced: requests under way finish, pools close behind them."""
        if self.checker is not None:
            self.checker.close()
        for host in self.hosts:
            host.drain()
        self.stats.membership_total.value = 0
        self.stats.membership_healthy.value = 0
