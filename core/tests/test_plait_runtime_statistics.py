"""Statistics of workers: what a take tells, how deltas merge, how well histograms keep their values."""

import math
import pickle
import random

import pytest

from plait.runtime.statistics import BOUNDS, BUCKETS, MergedStats, StatsStore


def test_same_name_gives_the_same_object() -> None:
    stats = StatsStore()
    assert stats.counter("a") is stats.counter("a")
    assert stats.gauge("a") is stats.gauge("a")
    assert stats.histogram("a") is stats.histogram("a")


def test_take_tells_only_what_changed_and_new_names_once() -> None:
    stats = StatsStore()
    stats.counter("used").value += 3
    stats.counter("unused")
    stats.gauge("active").value = 2
    stats.histogram("time")
    first = pickle.loads(pickle.dumps(stats.take()))
    assert first.counters == {"used": 3, "unused": 0}
    assert first.gauges == {"active": 2}
    assert first.histograms["time"].counts == {}
    assert not stats.take()
    stats.counter("used").value += 1
    assert stats.take().counters == {"used": 1}


def test_what_is_no_time_is_left_out_of_a_histogram() -> None:
    stats = StatsStore()
    stats.histogram("time").values.extend([1.0, math.inf, math.nan, 3.0])
    taken = stats.take().histograms["time"]
    assert (sum(taken.counts.values()), taken.sum) == (2, 4.0)


def test_every_bound_is_in_its_own_bin() -> None:
    stats = StatsStore()
    for number, bound in enumerate(BOUNDS):
        stats.histogram("time").values.append(bound)
        assert stats.take().histograms["time"].counts == {number: 1}


def test_take_empties_the_list_that_the_hot_path_holds() -> None:
    stats = StatsStore()
    append = stats.histogram("time").values.append
    append(1.0)
    stats.take()
    append(2.0)
    assert stats.take().histograms["time"].sum == 2.0


def test_counters_outlive_their_worker_and_gauges_do_not() -> None:
    merged = MergedStats()
    for worker in (0, 1):
        stats = StatsStore()
        stats.counter("rq").value = 5
        stats.gauge("active").value = 4
        merged.add(worker, stats.take())
    assert merged.snapshot().counters == {"rq": 10}
    assert merged.snapshot().gauges == {"active": 8}
    merged.drop(1)
    assert merged.snapshot().counters == {"rq": 10}
    assert merged.snapshot().gauges == {"active": 4}
    merged.drop(0)
    assert merged.snapshot().gauges == {"active": 0}


def test_gauges_that_every_worker_repeats_are_not_summed() -> None:
    merged = MergedStats()
    for worker in (0, 1):
        stats = StatsStore()
        stats.gauge("cluster.a.membership_total").value = 3
        merged.add(worker, stats.take())
    assert merged.snapshot().gauges == {"cluster.a.membership_total": 3}


def test_events_that_every_worker_sees_are_counted_once() -> None:
    merged = MergedStats()
    for worker in (0, 1):
        stats = StatsStore()
        stats.counter("cluster.a.membership_change").value = 1
        merged.add(worker, stats.take())
    assert merged.snapshot().counters == {"cluster.a.membership_change": 1}


def test_every_bucket_of_envoy_is_the_end_of_a_bin() -> None:
    assert all(any(abs(bound - end) < 1e-9 * bound for end in BOUNDS) for bound in BUCKETS)
    assert list(BOUNDS) == sorted(set(BOUNDS))


def test_buckets_count_a_value_on_the_bound_and_none_above() -> None:
    stats, merged = StatsStore(), MergedStats()
    stats.histogram("time").values.extend([0, *BUCKETS, 1.01, 10.0**9])
    merged.add(0, stats.take())
    snapshot = merged.snapshot().histograms["time"]
    counts = dict(snapshot.buckets)
    assert counts[0.5] == 2
    assert counts[1.0] == 3
    assert counts[5.0] == 5
    assert counts[3600000.0] == len(BUCKETS) + 2
    assert snapshot.count == len(BUCKETS) + 3


def test_quantiles_are_within_a_twentieth_of_the_true_ones() -> None:
    chance = random.Random(1)
    values = [chance.lognormvariate(1.0, 1.5) for _ in range(20_000)]
    stats, merged = StatsStore(), MergedStats()
    stats.histogram("time").values.extend(values)
    merged.add(0, stats.take())
    quantiles = merged.snapshot().histograms["time"].quantiles
    ordered = sorted(values)
    for quantile in (0.25, 0.5, 0.9, 0.99, 0.999):
        true = ordered[int(quantile * len(ordered))]
        assert quantiles[quantile] == pytest.approx(true, rel=0.05)
    assert quantiles[0.0] <= ordered[0]
    assert quantiles[1.0] >= ordered[-1]


def test_interval_holds_what_came_since_the_last_one() -> None:
    stats, merged = StatsStore(), MergedStats()
    stats.histogram("time").values.append(3.0)
    merged.add(0, stats.take())
    merged.next_interval()
    assert merged.interval_quantiles("time")[0.5] == pytest.approx(3.0, rel=0.05)
    merged.next_interval()
    assert merged.interval_quantiles("time") == {}
    assert merged.snapshot().histograms["time"].count == 1
