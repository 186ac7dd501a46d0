"""Which hosts a checker looks after, what it knows of them and when it asks; most of it without asking anybody."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import attrs
import pytest

from plait.api.config import Address, Endpoint, HealthCheck, TcpHealthCheck
from plait.api.config import Cluster as ClusterConfig
from plait.testing import FakeStats, on_every_loop, until
from plait.testing.peers import Server, echo
from plait.upstream import Cluster, ClusterStats
from plait.upstream.cluster import SocketName
from plait.upstream.health import HealthChecker
from plait.upstream.health.probe import CheckFailed, Probe

CHECK = HealthCheck(TcpHealthCheck(), 5, 600, 1, 1, 600, 600, 600, 600, 600)


def at(port: int, **more: Any) -> Endpoint:
    return Endpoint(Address("127.0.0.1", port), **more)


def resolved(*endpoints: Endpoint) -> list[tuple[Endpoint, SocketName]]:
    return [(endpoint, (endpoint.address.host, endpoint.address.port)) for endpoint in endpoints]


def no_protocol(name: str) -> Any:
    raise AssertionError("TCP checks need none")


class Said(Probe[Any]):
    """Finds what it was told."""

    def __init__(self, well: bool) -> None:
        self._well = well

    def _new(self) -> Any: ...

    async def _ask(self, connection: Any) -> None: ...

    def _judge(self, connection: Any) -> None: ...

    async def check(self) -> None:
        if not self._well:
            raise CheckFailed("not well", at_once=True)


class Place:
    """A checked cluster; its tasks are those of the running loop, or (``idle``) never begin."""

    def __init__(self, check: HealthCheck = CHECK, stats: FakeStats | None = None, *, idle: bool = True) -> None:
        self.stats = stats or FakeStats()
        self.tasks: list[asyncio.Task[None]] = []
        self.cluster = Cluster(ClusterConfig("c", health_check=check), ClusterStats(self.stats, "c"))
        self.checker = HealthChecker(self.cluster, check, no_protocol, self.stats, self._idle if idle else self._spawn)
        self.cluster.checker = self.checker

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        self.tasks.append(asyncio.get_running_loop().create_task(work, name=name))
        return self.tasks[-1]

    def _idle(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        work.close()
        return self._spawn(asyncio.sleep(3600), name)

    async def found(self, *well: bool) -> None:
        """Let the checks of the hosts find this."""
        for host, one in zip(self.cluster.hosts, well, strict=True):
            await self.checker._ask(host, self.checker._watched[host].state, Said(one))

    @property
    def failing(self) -> list[bool]:
        return [host.failed_check for host in self.cluster.hosts]

    @property
    def healthy(self) -> int:
        return self.stats.values().get("cluster.c.health_check.healthy", 0)


@on_every_loop
async def test_a_host_is_failing_until_it_was_checked_unless_it_wants_no_checks() -> None:
    place = Place()
    assert place.checker.first_round.is_set()
    place.cluster.update(resolved(at(1), at(2, health_check=False)))
    assert place.failing == [True, False]
    assert not place.checker.first_round.is_set()
    assert [task.get_name() for task in place.tasks] == ["health check 127.0.0.1:1"]


@on_every_loop
async def test_tasks_end_with_their_hosts_and_with_the_cluster() -> None:
    place = Place()
    place.cluster.update(resolved(at(1), at(2)))
    first, second = place.tasks
    place.cluster.update(resolved(at(2)))
    await asyncio.wait([first])
    assert not second.done()
    place.cluster.drain()
    await asyncio.wait([second])
    assert place.checker.first_round.is_set()
    place.cluster.update(resolved(at(3)))  # by a resolver that has not heard of it
    assert len(place.tasks) == 2


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ({"weight": 3}, False),
        ({"metadata": {"a": "b"}}, False),
        ({"healthy": False}, False),
        ({"health_check_port": 9}, True),
        ({"health_check_hostname": "a"}, True),
    ],
)
@on_every_loop
async def test_a_host_is_a_new_one_to_its_checks_where_it_is_asked_otherwise(
    change: dict[str, Any], again: bool
) -> None:
    place = Place()
    place.cluster.update(resolved(at(1)))
    place.cluster.update(resolved(at(1, **change)))
    assert len(place.tasks) == 1 + again


@on_every_loop
async def test_checks_may_be_turned_off_for_a_host() -> None:
    place = Place()
    place.cluster.update(resolved(at(1)))
    place.cluster.update(resolved(at(1, health_check=False)))
    await asyncio.wait(place.tasks)
    assert place.failing == [False]


@on_every_loop
async def test_a_successor_knows_what_was_known_of_the_hosts_that_stay() -> None:
    stats = FakeStats()
    before, after = Place(stats=stats), Place(attrs.evolve(CHECK, healthy_threshold=2), stats)
    before.cluster.update(resolved(at(1), at(2), at(3), at(4)))
    await before.found(True, False, True, True)
    before.cluster.drain()
    after.checker.succeed(before.checker)
    after.cluster.update(resolved(at(1), at(2), at(3, health_check_port=9), at(5)))
    assert after.failing == [False, True, True, True]
    after.cluster.update(resolved(at(1), at(2), at(4)))
    assert after.failing == [False, True, True]  # what was known of the fourth is old by now
    second = after.checker._watched[after.cluster.hosts[1]].state
    assert not second.succeeded()
    assert second.succeeded()


@on_every_loop
async def test_verdicts_count_in_the_gauge_once() -> None:
    stats = FakeStats()
    before, after = Place(stats=stats), Place(stats=stats)
    before.cluster.update(resolved(at(1), at(2)))
    assert before.healthy == 0
    await before.found(True, False)
    assert before.healthy == 1
    before.cluster.drain()
    assert before.healthy == 0
    after.checker.succeed(before.checker)
    after.cluster.update(resolved(at(1), at(2)))
    assert after.healthy == 1
    after.cluster.update(resolved(at(2)))
    assert after.healthy == 0


@on_every_loop
async def test_the_first_round_is_over_when_all_were_asked_once() -> None:
    async with Server(echo) as server:
        place = Place(idle=False)
        gone = at(1)
        place.cluster.update(resolved(at(server.port), gone))
        await place.checker.first_round.wait()
        assert place.failing == [False, True]
        values = place.stats.values()
        assert values["cluster.c.health_check.attempt"] == 2
        assert values["cluster.c.health_check.success"] == 1
        assert values["cluster.c.health_check.network_failure"] == 1
        assert values["cluster.c.membership_healthy"] == 1
        place.cluster.drain()
        await asyncio.wait(place.tasks)


@pytest.mark.parametrize("traffic", ["upstream_cx_total", "upstream_cx_tx_bytes_total", ""])
@on_every_loop
async def test_a_cluster_with_traffic_is_checked_more_often(traffic: str) -> None:
    async with Server(echo) as server:
        place = Place(attrs.evolve(CHECK, interval_s=0.01), idle=False)
        if traffic:
            place.stats.counter(f"cluster.c.{traffic}").value = 1
        place.cluster.update(resolved(at(server.port)))
        await place.checker.first_round.wait()
        if traffic:
            await until(lambda: server.accepted > 3, "more checks")
        else:
            await asyncio.sleep(0)
            assert place.stats.values()["cluster.c.health_check.attempt"] == 1
        place.cluster.drain()
        await asyncio.wait(place.tasks)


@on_every_loop
async def test_jitter_makes_pauses_longer_within_its_bounds() -> None:
    place = Place(attrs.evolve(CHECK, interval_jitter_s=2, interval_jitter_percent=50))
    drawn = [place.checker._jitter_s(10) for _ in range(500)]
    assert all(0 <= one < 7 for one in drawn)
    assert max(drawn) > 5
    assert Place().checker._jitter_s(10) == 0
