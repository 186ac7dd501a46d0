"""Statistics: counted in each worker, taken as deltas, merged in the supervisor.

A worker's ``StatsStore`` hands out the objects that the hot path writes to; ``take`` gives what changed since the last
take, small enough to send twice a second. ``MergedStats`` adds the deltas up: counters survive the worker that counted
them, gauges go with it. Nothing here knows how a page of statistics looks.

Histograms are binned when they are taken, in log-linear bins of two significant digits (90 to each power of ten, as
libcircllhist has them), after what is left of thousandths (of times: of microseconds) is cut off. Every bound of
Envoy's default buckets is the upper end of one of these bins, so that cumulative buckets are exact; quantiles are
interpolated within a bin, and off by 5 % at most.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Callable, Mapping, Sequence

import attrs

from plait.api.context import Counter, Gauge, Histogram, Stats
from plait.api.telemetry import HistogramSnapshot, Snapshot

BUCKETS = (
    *(0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0),
    *(30000.0, 60000.0, 300000.0, 600000.0, 1800000.0, 3600000.0),
)
"""Envoy's default upper bounds, in milliseconds."""

QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1.0)

BOUNDS = (*(mantissa * 10.0**power / 1000 for power in range(9) for mantissa in range(10, 100)), 10.0**7)
"""Upper ends of the bins, 0.01 to 10 000 000; bin ``i`` holds what is above bound ``i - 1`` and at most bound ``i``."""

_THOUSANDTHS = (1000.0).__mul__
_BUCKET_BINS = tuple(bisect_left(BOUNDS, bound * (1 - 1e-9)) for bound in BUCKETS)

SAME_IN_EVERY_WORKER = (
    ".membership_total",
    ".membership_healthy",
    ".membership_degraded",
    ".membership_excluded",
    ".health_check.healthy",
    ".max_host_weight",
    ".version",
    "cluster_manager.active_clusters",
    "cluster_manager.warming_clusters",
    "listener_manager.total_listeners_active",
    "listener_manager.total_listeners_warming",
    "listener_manager.total_filter_chains_draining",
)
"""Ends of names of gauges that say the same in each worker: their largest value counts, not the sum."""

COUNTED_IN_EVERY_WORKER = (
    ".membership_change",
    ".update_attempt",
    ".update_success",
    ".update_failure",
    ".update_empty",
)
"""Ends of names of counters that each worker counts for the same event: the first worker's count."""


@attrs.frozen
class Bins:
    """Binned values: how many by bin, and their sum."""

    counts: Mapping[int, int]
    sum: float


@attrs.frozen
class StatsDelta:
    """What changed in one worker: counters by how much they grew, gauges as they are now, histograms' new values."""

    counters: Mapping[str, int]
    gauges: Mapping[str, int]
    histograms: Mapping[str, Bins]

    def __bool__(self) -> bool:
        return bool(self.counters or self.gauges or self.histograms)


def _binned(values: Sequence[float]) -> Bins:
    try:
        tally = Tally(map(int, map(_THOUSANDTHS, values)))  # many values, few of these
    except (OverflowError, ValueError):  # somebody recorded an infinity, or no number
        return _binned([value for value in values if math.isfinite(value)])
    counts: dict[int, int] = {}
    for thousandths, count in tally.items():
        index = bisect_left(BOUNDS, thousandths / 1000)
        counts[index] = counts.get(index, 0) + count
    return Bins(counts, sum(values))


class StatsStore(Stats):
    """The statistics of one worker."""

    def __init__(self) -> None:
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        self._counted: dict[str, int] = {}
        self._gauged: dict[str, int] = {}
        self._told: set[str] = set()
        self._observed: dict[str, tuple[Callable[[], int], bool]] = {}

    def counter(self, name: str) -> Counter:
        """The counter called ``name``."""
        counter = self._counters.get(name)
        if counter is None:
            counter = self._counters[name] = Counter(name)
        return counter

    def gauge(self, name: str) -> Gauge:
        """The gauge called ``name``."""
        gauge = self._gauges.get(name)
        if gauge is None:
            gauge = self._gauges[name] = Gauge(name)
        return gauge

    def histogram(self, name: str) -> Histogram:
        """The histogram called ``name``."""
        histogram = self._histograms.get(name)
        if histogram is None:
            histogram = self._histograms[name] = Histogram(name)
        return histogram

    def observe(self, name: str, read: Callable[[], int], *, grows: bool) -> None:
        """Let ``read`` say the value of a counter (``grows``) or gauge whenever statistics are taken."""
        self._observed[name] = (read, grows)

    def refresh(self) -> None:
        """Read what is observed: counters and gauges are then as they are now."""
        for name, (read, grows) in self._observed.items():
            (self.counter(name) if grows else self.gauge(name)).value = read()

    def take(self) -> StatsDelta:
        """What changed since the last take; a new name is told once even where nothing was counted.

        Take at least once a second: until then each value of a histogram is kept.
        """
        self.refresh()
        counters: dict[str, int] = {}
        counted = self._counted
        for name, counter in self._counters.items():
            value, before = counter.value, counted.get(name)
            if value != before:
                counters[name] = value - (before or 0)
                counted[name] = value
        gauges: dict[str, int] = {}
        gauged = self._gauged
        for name, gauge in self._gauges.items():
            value = gauge.value
            if value != gauged.get(name):
                gauges[name] = gauged[name] = value
        histograms: dict[str, Bins] = {}
        for name, histogram in self._histograms.items():
            values = histogram.values
            if values or name not in self._told:
                histograms[name] = _binned(values)
                values.clear()  # the same list: the hot path may hold its ``append``
                self._told.add(name)
        return StatsDelta(counters, gauges, histograms)


class _MergedHistogram:
    """All values since the start, and those since the last interval began."""

    __slots__ = ("counts", "recent", "sum")

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.recent: dict[int, int] = {}
        self.sum = 0.0

    def add(self, bins: Bins) -> None:
        for index, count in bins.counts.items():
            self.counts[index] = self.counts.get(index, 0) + count
            self.recent[index] = self.recent.get(index, 0) + count
        self.sum += bins.sum


class MergedStats:
    """The statistics of all workers together."""

    def __init__(self) -> None:
        self._counters: dict[str, int] = {}
        self._gauges: dict[int, dict[str, int]] = {}
        self._histograms: dict[str, _MergedHistogram] = {}
        self._interval: dict[str, Mapping[float, float]] = {}

    def add(self, worker: int, delta: StatsDelta) -> None:
        """Take in what changed in ``worker``."""
        counters = self._counters
        for name, grown in delta.counters.items():
            if worker > 0 and name.endswith(COUNTED_IN_EVERY_WORKER):
                grown = 0
            counters[name] = counters.get(name, 0) + grown
        self._gauges.setdefault(worker, {}).update(delta.gauges)
        for name, bins in delta.histograms.items():
            histogram = self._histograms.get(name)
            if histogram is None:
                histogram = self._histograms[name] = _MergedHistogram()
            histogram.add(bins)

    def drop(self, worker: int) -> None:
        """``worker`` is gone: its gauges fall to nothing, what it counted stays counted."""
        for name in self._gauges.pop(worker, ()):
            self._gauges.setdefault(-1, {}).setdefault(name, 0)

    def next_interval(self) -> None:
        """Begin a new interval for ``interval_quantiles``."""
        self._interval = {name: _quantiles(histogram.recent) for name, histogram in self._histograms.items()}
        for histogram in self._histograms.values():
            histogram.recent = {}

    def interval_quantiles(self, name: str) -> Mapping[float, float]:
        """Quantiles of the last full interval; empty when nothing was recorded in it."""
        return self._interval.get(name, {})

    def snapshot(self) -> Snapshot:
        """Everything as of now, names in order."""
        gauges: dict[str, int] = {}
        for worker in self._gauges.values():
            for name, value in worker.items():
                if name.endswith(SAME_IN_EVERY_WORKER):
                    gauges[name] = max(gauges.get(name, 0), value)
                else:
                    gauges[name] = gauges.get(name, 0) + value
        return Snapshot(
            counters=dict(sorted(self._counters.items())),
            gauges=dict(sorted(gauges.items())),
            histograms={name: _snapshot(self._histograms[name]) for name in sorted(self._histograms)},
        )


def _snapshot(histogram: _MergedHistogram) -> HistogramSnapshot:
    counts = sorted(histogram.counts.items())
    buckets, below, position = [], 0, 0
    for bound, last in zip(BUCKETS, _BUCKET_BINS, strict=True):
        while position < len(counts) and counts[position][0] <= last:
            below += counts[position][1]
            position += 1
        buckets.append((bound, below))
    total = sum(histogram.counts.values())
    return HistogramSnapshot(tuple(buckets), total, histogram.sum, _quantiles(histogram.counts))


def _quantiles(counts: Mapping[int, int]) -> dict[float, float]:
    """Every one of ``QUANTILES``, or none when nothing was recorded."""
    total = sum(counts.values())
    if not total:
        return {}
    found: dict[float, float] = {}
    bins = iter(sorted(counts.items()))
    index, count = next(bins)
    below = 0
    for quantile in QUANTILES:
        rank = quantile * total
        while below + count < rank:
            below += count
            index, count = next(bins)
        lower = BOUNDS[index - 1] if index else 0.0
        upper = BOUNDS[min(index, len(BOUNDS) - 1)]
        found[quantile] = round(lower + (upper - lower) * (rank - below) / count, 6)
    return found
