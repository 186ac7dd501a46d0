"""Balancers: weights are honoured, least_request prefers who has less to do."""

from __future__ import annotations

from collections import Counter

import pytest

from plait.api import Address, ConfigError, Endpoint
from plait.api import Cluster as ClusterConfig
from plait.testing import FakeStats
from plait.upstream import Cluster, ClusterStats, Host
from plait.upstream.balancer import RoundRobin, make_balancer


def hosts(*weights: int) -> list[Host]:
    cluster = Cluster(ClusterConfig("c"), ClusterStats(FakeStats(), "c"))
    addresses = [("127.0.0.1", 1000 + index) for index in range(len(weights))]
    return [
        Host(cluster, Endpoint(Address(*address), weight=weight), address)
        for address, weight in zip(addresses, weights, strict=True)
    ]


def test_round_robin_goes_round() -> None:
    three = hosts(1, 1, 1)
    balancer = RoundRobin(three)
    first = [balancer.pick() for _ in range(3)]
    assert sorted(first, key=three.index) == three
    assert [balancer.pick() for _ in range(6)] == first * 2


def test_round_robin_begins_anywhere() -> None:
    three = hosts(1, 1, 1)
    assert len({RoundRobin(three).pick() for _ in range(200)}) == 3


@pytest.mark.parametrize("weights", [(3, 1), (5, 3, 2), (200, 100), (1, 1, 8), (7,)])
def test_round_robin_honours_weights_in_every_turn(weights: tuple[int, ...]) -> None:
    some = hosts(*weights)
    balancer = RoundRobin(some)
    total = sum(weights)
    for _ in range(3):
        turn = Counter(balancer.pick() for _ in range(total))
        assert [turn[host] for host in some] == list(weights)


def test_round_robin_spreads_the_turns_of_a_heavy_host() -> None:
    heavy, light = hosts(4, 2)
    balancer = RoundRobin([heavy, light])
    picked = "".join("h" if balancer.pick() is heavy else "l" for _ in range(60))
    assert "hhh" not in picked
    assert "ll" not in picked


def test_weights_far_apart_make_no_endless_turn() -> None:
    heavy, light = hosts(1_000_000, 1)
    balancer = RoundRobin([heavy, light])
    turn = Counter(balancer.pick() for _ in range(101))
    assert (turn[heavy], turn[light]) == (100, 1)


@pytest.mark.parametrize("policy", ["random", "least_request"])
@pytest.mark.parametrize("weights", [(1, 1), (4, 1)])
def test_draws_have_the_probability_of_the_weights(policy: str, weights: tuple[int, int]) -> None:
    some = hosts(*weights)
    balancer = make_balancer(policy, 2, some)
    draws = Counter(balancer.pick() for _ in range(8000))
    share = draws[some[0]] / 8000
    if policy == "random":
        assert share == pytest.approx(weights[0] / sum(weights), abs=0.04)
    else:
        assert share >= weights[0] / sum(weights) - 0.04


def test_least_request_prefers_the_idle_host() -> None:
    busy, idle = hosts(1, 1)
    busy.active = 10
    balancer = make_balancer("least_request", 2, [busy, idle])
    draws = Counter(balancer.pick() for _ in range(4000))
    assert draws[idle] / 4000 == pytest.approx(0.75, abs=0.04)  # the busy one only when it is drawn twice


def test_least_request_with_more_choices_finds_the_idle_host_more_often() -> None:
    busy, idle = hosts(1, 1)
    busy.active = 10
    draws = Counter(make_balancer("least_request", 8, [busy, idle]).pick() for _ in range(2000))
    assert draws[idle] > 1950


def test_least_request_measures_what_a_host_does_by_its_weight() -> None:
    heavy, light = hosts(10, 1)
    heavy.active, light.active = 5, 1
    balancer = make_balancer("least_request", 64, [heavy, light])
    assert Counter(balancer.pick() for _ in range(200)).most_common(1)[0][0] is heavy


def test_least_request_levels_what_is_under_way() -> None:
    some = hosts(1, 1, 1, 1)
    balancer = make_balancer("least_request", 2, some)
    for _ in range(400):
        balancer.pick().active += 1
    assert max(host.active for host in some) - min(host.active for host in some) <= 10


def test_one_host_is_picked_by_all() -> None:
    [only] = hosts(3)
    for policy in ("round_robin", "random", "least_request"):
        assert {make_balancer(policy, 2, [only]).pick() for _ in range(5)} == {only}


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(ConfigError, match="maglev"):
        make_balancer("maglev", 2, hosts(1))
