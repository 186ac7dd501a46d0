"""Asks the hosts of a cluster one by one, again and again, and has the balancer leave out those that are not well.

Each worker checks on its own, as each process of Envoy's does. A host that is new counts as failing until its first
check succeeds; while fewer hosts are well than the panic threshold wants, the balancer takes them all (``Cluster``).
Who succeeds a cluster goes on with what its predecessor knew of the hosts that stay.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import attrs

from plait.api.config import GrpcHealthCheck, HealthCheck, TcpHealthCheck
from plait.api.context import Stats
from plait.api.protocol import ProtocolType
from plait.upstream.cluster import Cluster, Host, SocketName
from plait.upstream.health.grpc import GrpcProbe
from plait.upstream.health.http import HttpProbe
from plait.upstream.health.probe import CheckFailed, Probe
from plait.upstream.health.state import HostState
from plait.upstream.health.tcp import TcpProbe

_log = logging.getLogger("plait.upstream")

Spawn = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]
_Place = tuple[SocketName, SocketName, str]  # the host's own address, and where and under which name it is asked


class HealthStats:
    """Envoy's ``cluster.<name>.health_check.…`` statistics, as attributes."""

    def __init__(self, stats: Stats, name: str) -> None:
        prefix = f"cluster.{name}.health_check."
        self.attempt = stats.counter(prefix + "attempt")
        self.success = stats.counter(prefix + "success")
        self.failure = stats.counter(prefix + "failure")
        self.network_failure = stats.counter(prefix + "network_failure")
        self.healthy = stats.gauge(prefix + "healthy")


@attrs.define(eq=False)
class _Watched:
    place: _Place
    state: HostState
    task: asyncio.Task[None]


class HealthChecker:
    """Checks the hosts of one cluster, which calls ``follow`` whenever they change, until ``close``."""

    def __init__(
        self,
        cluster: Cluster,
        check: HealthCheck,
        protocol: Callable[[str], ProtocolType],
        stats: Stats,
        spawn: Spawn,
    ) -> None:
        self._cluster = cluster
        self._check = check
        self._protocol = protocol
        self._spawn = spawn
        self._stats = HealthStats(stats, cluster.config.alt_stat_name or cluster.name)
        self._watched: dict[Host, _Watched] = {}
        self._known: dict[_Place, HostState] = {}  # what a checker found that is closed
        self._unchecked: set[HostState] = set()
        self._closed = False
        self.first_round = asyncio.Event()
        """Set while every host has been checked at least once."""
        self.first_round.set()

    def succeed(self, before: HealthChecker) -> None:
        """Go on with what ``before``, which is closed, knew of its hosts."""
        self._known = before._known

    def follow(self, hosts: Iterable[Host]) -> None:
        """These are the hosts from now on; called before one of them is picked."""
        if self._closed:
            return
        places = {host: self._place(host) for host in hosts if host.endpoint.health_check}
        for host, watched in tuple(self._watched.items()):
            if places.get(host) != watched.place:
                self._forget(host)
        for host, place in places.items():
            if host not in self._watched:
                known = self._known.pop(place, None)
                self._watch(host, place, known if known is not None else HostState(self._check))
        self._known = {}  # what nobody asked for now would be out of date when somebody does

    def close(self) -> None:
        """The cluster was removed or replaced."""
        self._closed = True
        for host, watched in tuple(self._watched.items()):
            self._forget(host)
            self._known[watched.place] = watched.state

    def _place(self, host: Host) -> _Place:
        endpoint, address = host.endpoint, host.address
        port = endpoint.health_check_port or self._check.alt_port
        asked = (address[0], port) if port and not isinstance(address, str) else address
        return address, asked, endpoint.health_check_hostname

    def _watch(self, host: Host, place: _Place, state: HostState) -> None:
        state.check = self._check
        host.failed_check = state.failing
        if not state.failing:
            self._stats.healthy.value += 1
        if not state.checked:
            self._unchecked.add(state)
            self.first_round.clear()
        # a host of its own, so that no check counts as its traffic
        probe = self._probe(Host(self._cluster, host.endpoint, place[1]))
        task = self._spawn(self._keep_asking(host, state, probe), f"health check {host.name}")
        self._watched[host] = _Watched(place, state, task)

    def _forget(self, host: Host) -> None:
        watched = self._watched.pop(host)
        watched.task.cancel()
        if not watched.state.failing:
            self._stats.healthy.value -= 1
        host.failed_check = host.check_timed_out = False
        self._known_now(watched.state)

    def _known_now(self, state: HostState) -> None:
        self._unchecked.discard(state)
        if not self._unchecked:
            self.first_round.set()

    def _probe(self, target: Host) -> Probe[Any]:
        kind, reuse = self._check.kind, self._check.reuse_connection
        if isinstance(kind, TcpHealthCheck):
            return TcpProbe(kind, target, reuse)
        if isinstance(kind, GrpcHealthCheck):
            return GrpcProbe(kind, target, reuse, self._protocol("http2"))
        return HttpProbe(kind, target, reuse, self._protocol(kind.protocol))

    async def _keep_asking(self, host: Host, state: HostState, probe: Probe[Any]) -> None:
        traffic = self._cluster.stats
        try:
            if self._check.initial_jitter_s:
                await asyncio.sleep(random.random() * self._check.initial_jitter_s)
            while True:
                await self._ask(host, state, probe)
                self._known_now(state)
                pause_s = state.pause_s(bool(traffic.cx_total.value or traffic.cx_tx_bytes.value))
                await asyncio.sleep(pause_s + self._jitter_s(pause_s))
        finally:
            probe.drop()

    async def _ask(self, host: Host, state: HostState, probe: Probe[Any]) -> None:
        stats = self._stats
        stats.attempt.value += 1
        try:
            async with asyncio.timeout(self._check.timeout_s):
                await probe.check()
        except TimeoutError:
            self._failed(host, state, CheckFailed(f"no answer within {self._check.timeout_s:g} s", network=True))
            host.check_timed_out = state.failing
        except CheckFailed as error:
            self._failed(host, state, error)
        else:
            stats.success.value += 1
            if state.succeeded():
                host.check_timed_out = False
                stats.healthy.value += 1
                _log.info("cluster %s: host %s is well", self._cluster.name, host.name)
                self._change(host, state)

    def _failed(self, host: Host, state: HostState, error: CheckFailed) -> None:
        first = not state.checked
        host.check_timed_out = False
        self._stats.failure.value += 1
        if error.network:
            self._stats.network_failure.value += 1
        changed = state.failed(error.at_once)
        if changed or first:
            _log.warning("cluster %s: host %s failed its health check: %s", self._cluster.name, host.name, error)
        if changed:
            self._stats.healthy.value -= 1
            self._change(host, state)

    def _change(self, host: Host, state: HostState) -> None:
        host.failed_check = state.failing
        self._cluster.rebalance()

    def _jitter_s(self, pause_s: float) -> float:
        check = self._check
        return (
            random.random() * check.interval_jitter_s + random.random() * pause_s * check.interval_jitter_percent / 100
        )
