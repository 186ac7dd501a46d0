"""Clusters: who may be picked, who stays through a change, and what is counted."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from plait.api import Address, Endpoint, Thresholds
from plait.api import Cluster as ClusterConfig
from plait.runtime.statistics import StatsStore
from plait.testing import FakeStats, RunningPlane, on_every_loop
from plait.upstream import Cluster, ClusterStats, ConnectionPool, Host
from plait.upstream.cluster import SocketName


class Pool(ConnectionPool):
    def __init__(self) -> None:
        self.drained = 0

    def drain(self) -> None:
        self.drained += 1


def at(port: int, **more: Any) -> Endpoint:
    return attrs.evolve(Endpoint(Address("127.0.0.1", port)), **more)


def resolved(*endpoints: Endpoint) -> list[tuple[Endpoint, SocketName]]:
    return [(endpoint, (endpoint.address.host, endpoint.address.port)) for endpoint in endpoints]


def made(*endpoints: Endpoint, stats: FakeStats | None = None, policy: str = "round_robin") -> Cluster:
    cluster = Cluster(ClusterConfig("c", lb_policy=policy), ClusterStats(stats or FakeStats(), "c"))
    cluster.update(resolved(*endpoints))
    return cluster


def picked(cluster: Cluster) -> set[str]:
    found = {cluster.pick() for _ in range(200)}
    return {host.name for host in found if host is not None}


def test_a_cluster_without_hosts_picks_none_and_counts_it() -> None:
    stats = FakeStats()
    cluster = made(stats=stats)
    assert cluster.pick() is None
    assert stats.values()["cluster.c.upstream_cx_none_healthy"] == 1


def test_hosts_are_picked_and_counted() -> None:
    stats = FakeStats()
    cluster = made(at(1), at(2), stats=stats)
    assert picked(cluster) == {"127.0.0.1:1", "127.0.0.1:2"}
    assert stats.values()["cluster.c.membership_total"] == 2
    assert stats.values()["cluster.c.membership_healthy"] == 2


def test_the_alternative_name_is_that_of_the_statistics() -> None:
    stats = FakeStats()
    Cluster(ClusterConfig("c", alt_stat_name="other"), ClusterStats(stats, "other")).update(resolved(at(1)))
    assert stats.values()["cluster.other.membership_total"] == 1


def test_a_unix_socket_is_a_host() -> None:
    cluster = Cluster(ClusterConfig("c"), ClusterStats(FakeStats(), "c"))
    cluster.update([(Endpoint(Address(path="/run/x")), "/run/x")])
    host = cluster.pick()
    assert host is not None
    assert (host.name, host.address) == ("unix:/run/x", "/run/x")


def test_thresholds_are_those_of_the_configuration() -> None:
    cluster = Cluster(ClusterConfig("c", thresholds=Thresholds(1, 2, 3, 4)), ClusterStats(FakeStats(), "c"))
    assert (cluster.max_connections, cluster.max_pending, cluster.max_requests, cluster.max_retries) == (1, 2, 3, 4)


# updates


def _with_pool(cluster: Cluster, port: int) -> tuple[Host, Pool]:
    [host] = [host for host in cluster.hosts if host.name.endswith(f":{port}")]
    pool = Pool()
    host.pools["http/1"] = pool
    return host, pool


def test_a_host_that_stays_is_the_same_object_with_its_pools() -> None:
    stats = FakeStats()
    cluster = made(at(1), at(2), stats=stats)
    host, pool = _with_pool(cluster, 1)
    cluster.update(resolved(at(3), at(1)))
    assert host in cluster.hosts
    assert host.pools == {"http/1": pool}
    assert not pool.drained
    assert picked(cluster) == {"127.0.0.1:1", "127.0.0.1:3"}
    assert stats.values()["cluster.c.membership_change"] == 2


def test_a_host_that_goes_is_drained() -> None:
    cluster = made(at(1), at(2))
    host, pool = _with_pool(cluster, 2)
    cluster.update(resolved(at(1)))
    assert host not in cluster.hosts
    assert pool.drained == 1
    assert host.pools == {}
    assert picked(cluster) == {"127.0.0.1:1"}


@pytest.mark.parametrize("change", [{"weight": 5}, {"healthy": False}, {"metadata": {"a": "b"}}, {"locality": "z"}])
def test_a_host_that_changes_keeps_its_connections(change: dict[str, object]) -> None:
    cluster = made(at(1), at(2))
    host, pool = _with_pool(cluster, 1)
    cluster.update(resolved(at(1, **change), at(2)))
    assert host in cluster.hosts
    assert host.endpoint == at(1, **change)
    assert not pool.drained


def test_the_same_hosts_again_change_nothing() -> None:
    stats = FakeStats()
    cluster = made(at(1), at(2), stats=stats)
    before = cluster.hosts
    cluster.update(resolved(at(1), at(2)))
    assert cluster.hosts == before
    assert stats.values()["cluster.c.membership_change"] == 1
    assert stats.values()["cluster.c.update_success"] == 2


def test_an_address_may_be_named_twice() -> None:
    cluster = made(at(1), at(1))
    assert len(cluster.hosts) == 2
    cluster.update(resolved(at(1)))
    assert len(cluster.hosts) == 1


def test_a_new_weight_is_honoured_at_once() -> None:
    cluster = made(at(1), at(2))
    cluster.update(resolved(at(1, weight=3), at(2)))
    names = [host.name for host in (cluster.pick() for _ in range(40)) if host is not None]
    assert names.count("127.0.0.1:1") == 30


def test_a_cluster_that_goes_drains_its_hosts() -> None:
    cluster = made(at(1))
    _, pool = _with_pool(cluster, 1)
    cluster.drain()
    assert pool.drained == 1


# health and priorities


def test_unhealthy_hosts_are_not_picked() -> None:
    stats = FakeStats()
    cluster = made(at(1), at(2), at(3, healthy=False), stats=stats)
    assert picked(cluster) == {"127.0.0.1:1", "127.0.0.1:2"}
    assert stats.values()["cluster.c.membership_healthy"] == 2
    assert "cluster.c.lb_healthy_panic" not in stats.values()


def test_half_of_the_hosts_is_enough() -> None:
    assert picked(made(at(1), at(2, healthy=False))) == {"127.0.0.1:1"}


def test_in_a_panic_health_is_ignored() -> None:
    stats = FakeStats()
    cluster = made(at(1), at(2, healthy=False), at(3, healthy=False), stats=stats)
    assert picked(cluster) == {"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"}
    assert stats.values()["cluster.c.lb_healthy_panic"] == 1


def test_a_panic_ends_with_the_next_update() -> None:
    cluster = made(at(1), at(2, healthy=False), at(3, healthy=False))
    cluster.update(resolved(at(1), at(2), at(3, healthy=False)))
    assert picked(cluster) == {"127.0.0.1:1", "127.0.0.1:2"}


def test_only_the_first_priority_that_has_a_healthy_host_is_picked_from() -> None:
    assert picked(made(at(1), at(2, priority=1))) == {"127.0.0.1:1"}
    assert picked(made(at(1, healthy=False), at(2, priority=1))) == {"127.0.0.1:2"}


def test_who_failed_a_health_check_is_not_picked() -> None:
    stats = FakeStats()
    cluster = made(at(1), at(2), at(3), stats=stats)
    cluster.hosts[1].failed_check = True
    cluster.rebalance()
    assert picked(cluster) == {"127.0.0.1:1", "127.0.0.1:3"}
    assert stats.values()["cluster.c.membership_healthy"] == 2


@pytest.mark.parametrize(
    ("threshold", "expected"), [(0.0, set()), (0.25, {"127.0.0.1:1"}), (0.26, {f"127.0.0.1:{n}" for n in (1, 2, 3, 4)})]
)
def test_the_panic_threshold_is_the_configuration_s(threshold: float, expected: set[str]) -> None:
    cluster = Cluster(ClusterConfig("c", panic_threshold=threshold), ClusterStats(FakeStats(), "c"))
    cluster.update(resolved(at(1, healthy=bool(expected)), *[at(port, healthy=False) for port in (2, 3, 4)]))
    assert picked(cluster) == expected


def test_a_priority_that_is_out_is_no_panic_while_another_is_well() -> None:
    stats = FakeStats()
    cluster = made(*[at(port, healthy=False) for port in (1, 2, 3)], at(4, priority=1), stats=stats)
    assert picked(cluster) == {"127.0.0.1:4"}
    assert "cluster.c.lb_healthy_panic" not in stats.values()


# another try


def test_another_try_avoids_the_host_that_failed() -> None:
    for policy in ("round_robin", "random", "least_request"):
        cluster = made(at(1), at(2), at(3), policy=policy)
        failed = cluster.hosts[0]
        assert all(cluster.pick_other({failed}) is not failed for _ in range(20) if policy == "round_robin")
        others = [cluster.pick_other({failed}) for _ in range(100)]
        assert others.count(failed) < 10


def test_another_try_takes_the_only_host_again() -> None:
    cluster = made(at(1))
    assert cluster.pick_other(set(cluster.hosts)) is cluster.hosts[0]
    assert made().pick_other(()) is None


# in the data plane


@on_every_loop
async def test_a_replaced_cluster_has_its_hosts_counted_and_a_removed_one_none() -> None:
    config = ClusterConfig("c", endpoints=(at(1), at(2)))
    async with RunningPlane(clusters=[config]) as running:
        assert running.gauge("cluster.c.membership_total") == 2
        before = running.plane.cluster("c")
        await running.change(clusters=[attrs.evolve(config, endpoints=(at(1),))])
        assert running.plane.cluster("c") is before
        assert running.gauge("cluster.c.membership_total") == 1
        await running.change(clusters=[attrs.evolve(config, lb_policy="random")])
        assert running.plane.cluster("c") is not before
        assert running.gauge("cluster.c.membership_total") == 2
        assert running.gauge("cluster.c.membership_healthy") == 2
        await running.change()
        assert running.plane.cluster("c") is None
        assert running.gauge("cluster.c.membership_total") == 0


def test_a_successor_goes_on_counting_where_its_predecessor_was() -> None:
    store = StatsStore()
    stats = ClusterStats(store, "c")
    before, after = Cluster(ClusterConfig("c"), stats), Cluster(ClusterConfig("c", connect_timeout_s=1), stats)
    before.requests_active, after.requests_active = 2, 1
    stats.codes[200].value += 3
    taken = store.take()
    assert taken.counters["cluster.c.upstream_rq_2xx"] == 3
    assert taken.counters["cluster.c.upstream_rq_completed"] == 3
    assert taken.gauges["cluster.c.upstream_rq_active"] == 3
