"""Active health checks of a cluster: who is asked when, and from which answer on a host counts as well or not.

Each worker checks on its own, as each process of Envoy's does. A host that is new counts as failing until its first
check succeeds; while fewer than half of the hosts are well, the balancer takes them all (``Cluster``). How a host is
asked is with ``plait.upstream.health_probes``.

Source: Envoy, "Health checking" and ``envoy.config.core.v3.HealthCheck``.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from plait.api.config import HealthCheck
from plait.api.context import Stats
from plait.api.protocol import ProtocolType
from plait.upstream.cluster import Cluster, Host, HostWatch
from plait.upstream.health_probes import CheckFailed, Probe, make_probe

_log = logging.getLogger("plait.upstream")

Spawn = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]


class HealthStats:
    """Envoy's ``cluster.<name>.health_check.…`` statistics, as attributes."""

    def __init__(self, stats: Stats, name: str) -> None:
        prefix = f"cluster.{name}.health_check."
        self.attempt = stats.counter(prefix + "attempt")
        self.success = stats.counter(prefix + "success")
        self.failure = stats.counter(prefix + "failure")
        self.network_failure = stats.counter(prefix + "network_failure")
        self.healthy = stats.gauge(prefix + "healthy")


class HostState:
    """What the checks of one host have found; knows no clock and asks nobody."""

    def __init__(self, check: HealthCheck) -> None:
        self._check = check
        self._first = True
        self._in_turn = 0  # successes or failures in a row that contradict what the host counts as
        self.failing = True

    def succeeded(self) -> bool:
        """Take note of a success; True when the host counts as well from now on."""
        if not self.failing:
            self._in_turn = 0
            return False
        self._in_turn += 1
        first, self._first = self._first, False
        if not first and self._in_turn < self._check.healthy_threshold:
            return False
        self.failing, self._in_turn = False, 0
        return True

    def failed(self, at_once: bool) -> bool:
        """Take note of a failure; True when the host counts as failing from now on."""
        self._first = False
        if self.failing:
            self._in_turn = 0
            return False
        self._in_turn += 1
        if not at_once and self._in_turn < self._check.unhealthy_threshold:
            return False
        self.failing, self._in_turn = True, 0
        return True

    def pause_s(self, traffic: bool) -> float:
        """How long to wait for the next check, without jitter. ``traffic`` says that the cluster has had any."""
        check, settled = self._check, not self._in_turn
        if not traffic:
            return check.no_traffic_healthy_interval_s if settled and not self.failing else check.no_traffic_interval_s
        if settled:
            return check.unhealthy_interval_s if self.failing else check.interval_s
        # the last check was a success while it counts as failing, or the other way round
        return check.healthy_edge_interval_s if self.failing else check.unhealthy_edge_interval_s


class HealthChecker(HostWatch):
    """Checks the hosts of one cluster, which calls ``follow`` whenever they change, until ``close``."""

    def __init__(
        self, cluster: Cluster, check: HealthCheck, protocol: Callable[[str], ProtocolType], stats: Stats, spawn: Spawn
    ) -> None:
        self._cluster = cluster
        self._check = check
        self._protocol = protocol
        self._spawn = spawn
        self.stats = HealthStats(stats, cluster.config.alt_stat_name or cluster.name)
        self._tasks: dict[Host, asyncio.Task[None]] = {}
        self._unknown: set[Host] = set()  # not checked yet
        self.first_round = asyncio.Event()
        """Set while every host has been checked once."""
        self.first_round.set()

    def follow(self, hosts: Iterable[Host]) -> None:
        current = [host for host in hosts if host.endpoint.health_check]
        for gone in self._tasks.keys() - set(current):
            self._forget(gone)
        for host in current:
            if host not in self._tasks:
                host.failed_check = True
                self._unknown.add(host)
                self.first_round.clear()
                self._tasks[host] = self._spawn(self._watch(host), f"health check {host.name}")
        self._all_known()

    def close(self) -> None:
        for host in tuple(self._tasks):
            self._forget(host)

    def _forget(self, host: Host) -> None:
        self._tasks.pop(host).cancel()
        self._unknown.discard(host)
        if not host.failed_check:
            self.stats.healthy.value -= 1
        host.failed_check = False
        self._all_known()

    def _all_known(self) -> None:
        if not self._unknown:
            self.first_round.set()

    async def _watch(self, host: Host) -> None:
        check, state = self._check, HostState(self._check)
        probe = make_probe(check, self._target(host), self._protocol)
        try:
            if check.initial_jitter_s:
                await asyncio.sleep(random.random() * check.initial_jitter_s)
            while True:
                await self._ask(host, state, probe)
                self._unknown.discard(host)
                self._all_known()
                pause_s = state.pause_s(bool(self._cluster.stats.cx_total.value))
                await asyncio.sleep(pause_s + self._jitter_s(pause_s))
        finally:
            probe.close()

    async def _ask(self, host: Host, state: HostState, probe: Probe) -> None:
        stats = self.stats
        stats.attempt.value += 1
        try:
            async with asyncio.timeout(self._check.timeout_s):
                await probe.check()
        except TimeoutError:
            self._failed(host, state, CheckFailed(f"no answer within {self._check.timeout_s:g} s", network=True))
        except CheckFailed as error:
            self._failed(host, state, error)
        else:
            stats.success.value += 1
            if state.succeeded():
                host.failed_check = False
                stats.healthy.value += 1
                _log.info("cluster %s: host %s is well", self._cluster.name, host.name)
                self._cluster.rebalance()

    def _failed(self, host: Host, state: HostState, error: CheckFailed) -> None:
        self.stats.failure.value += 1
        if error.network:
            self.stats.network_failure.value += 1
        if state.failed(error.at_once):
            host.failed_check = True
            self.stats.healthy.value -= 1
            _log.warning("cluster %s: host %s failed its health check: %s", self._cluster.name, host.name, error)
            self._cluster.rebalance()

    def _jitter_s(self, pause_s: float) -> float:
        check = self._check
        return random.random() * (check.interval_jitter_s + pause_s * check.interval_jitter_percent / 100)

    def _target(self, host: Host) -> Host:
        """The host at the port where it is checked; one of its own, so that no check is counted as traffic."""
        port, address = host.endpoint.health_check_port or self._check.alt_port, host.address
        if port and not isinstance(address, str):
            address = (address[0], port)
        return Host(self._cluster, host.endpoint, address)
