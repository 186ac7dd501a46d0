"""From snapshots to OpenTelemetry's metrics, with its own data classes; remembers what deltas start from."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Self, TypeVar

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from plait import HistogramSnapshot, Node, Snapshot, extract_tags
from plait_telemetry_otel.settings import OtlpSettings

Attributes = tuple[tuple[str, str], ...]
V = TypeVar("V")

EMPTY = Snapshot({}, {}, {})

STARTED_TOGETHER_NS = 10 * 10**9
"""A sink that is made later after the start than this was made by a reload."""


class Bucketed:
    """A histogram as OTLP has it: ``counts`` of each bucket alone, the last one of what is above all bounds."""

    def __init__(self, histogram: HistogramSnapshot) -> None:
        self.bounds = [bound for bound, _ in histogram.buckets]
        cumulative = [*(count for _, count in histogram.buckets), histogram.count]
        self.counts = [count - before for before, count in zip([0, *cumulative], cumulative, strict=False)]
        self.sum = histogram.sum

    def __iadd__(self, other: Bucketed) -> Self:
        self.counts = [one + two for one, two in zip(self.counts, other.counts, strict=True)]
        self.sum += other.sum
        return self

    def __isub__(self, other: Bucketed) -> Self:
        self.counts = [one - two for one, two in zip(self.counts, other.counts, strict=True)]
        self.sum -= other.sum
        return self


class Reports:
    """Makes the report for each snapshot; ``delivered`` says that the last one need not be told again.

    ``built_ns`` is when the sink was made, in nanoseconds after the epoch.
    """

    def __init__(self, settings: OtlpSettings, node: Node, built_ns: int) -> None:
        self._settings = settings
        self._built_ns = built_ns
        about = {"service.name": node.cluster or "plait", "service.instance.id": node.id}
        attributes = {key: value for key, value in about.items() if value} | dict(settings.resource_attributes)
        self._resource = Resource(attributes)
        self._scope = InstrumentationScope("plait", version("plait"))
        self._named = functools.lru_cache(maxsize=1 << 16)(self._name)
        self._started_ns = 0
        self._told = self._told_next = EMPTY
        self._told_ns = self._told_next_ns = 0

    def make(self, snapshot: Snapshot, now_ns: int) -> MetricsData:
        """What is to be told of ``snapshot``, taken at ``now_ns`` after the epoch."""
        if not self._started_ns:
            self._started_ns = now_ns - snapshot.gauges.get("server.uptime", 0) * 10**9
            self._told_ns = self._started_ns
            if self._built_ns - self._started_ns > STARTED_TOGETHER_NS:
                # A reload made this sink: the one before it has told the deltas until now.
                self._told, self._told_ns = snapshot, now_ns
        self._told_next, self._told_next_ns = snapshot, now_ns
        metrics = [
            *self._sums(snapshot, now_ns),
            *self._gauges(snapshot, now_ns),
            *self._histograms(snapshot, now_ns),
        ]
        scope = ScopeMetrics(self._scope, metrics, schema_url="")
        return MetricsData([ResourceMetrics(self._resource, [scope], schema_url="")])

    def delivered(self) -> None:
        """The collector has the last report: deltas start from there."""
        self._told, self._told_ns = self._told_next, self._told_next_ns

    def _sums(self, snapshot: Snapshot, now_ns: int) -> list[Metric]:
        deltas = self._settings.report_counters_as_deltas
        told = self._told.counters if deltas else EMPTY.counters
        start_ns, temporality = self._since(deltas)
        values = {name: value - told.get(name, 0) for name, value in snapshot.counters.items()}
        return [
            _metric(name, Sum(_numbers(points, start_ns, now_ns), temporality, is_monotonic=True))
            for name, points in self._grouped(values).items()
        ]

    def _gauges(self, snapshot: Snapshot, now_ns: int) -> list[Metric]:
        grouped = self._grouped(snapshot.gauges)
        return [_metric(name, Gauge(_numbers(points, 0, now_ns))) for name, points in grouped.items()]

    def _histograms(self, snapshot: Snapshot, now_ns: int) -> list[Metric]:
        deltas = self._settings.report_histograms_as_deltas
        start_ns, temporality = self._since(deltas)
        values = {name: Bucketed(histogram) for name, histogram in snapshot.histograms.items()}
        if deltas:
            for name, histogram in self._told.histograms.items():
                if name in values:
                    values[name] -= Bucketed(histogram)
        return [
            _metric(name, Histogram([_distribution(*point, start_ns, now_ns) for point in points.items()], temporality))
            for name, points in self._grouped(values).items()
        ]

    def _since(self, deltas: bool) -> tuple[int, AggregationTemporality]:
        if deltas:
            return self._told_ns, AggregationTemporality.DELTA
        return self._started_ns, AggregationTemporality.CUMULATIVE

    def _grouped(self, values: Mapping[str, V]) -> dict[str, dict[Attributes, V]]:
        """By metric and attributes; what names and attributes do not tell apart is added up."""
        metrics: dict[str, dict[Attributes, Any]] = {}
        for name, value in values.items():
            metric, attributes = self._named(name)
            points = metrics.setdefault(metric, {})
            if attributes in points:
                points[attributes] += value
            else:
                points[attributes] = value
        return metrics

    def _name(self, name: str) -> tuple[str, Attributes]:
        settings = self._settings
        left, tags = extract_tags(name)
        metric = left if settings.use_tag_extracted_name else name
        if settings.prefix:
            metric = f"{settings.prefix}.{metric}"
        return metric, tags if settings.emit_tags_as_attributes else ()


def _metric(name: str, data: Sum | Gauge | Histogram) -> Metric:
    return Metric(name, description="", unit="", data=data)


def _numbers(points: Mapping[Attributes, int], start_ns: int, now_ns: int) -> list[NumberDataPoint]:
    return [NumberDataPoint(dict(attributes), start_ns, now_ns, value) for attributes, value in points.items()]


def _distribution(attributes: Attributes, value: Bucketed, start_ns: int, now_ns: int) -> HistogramDataPoint:
    unknown: Any = None  # the encoder leaves it out
    return HistogramDataPoint(
        attributes=dict(attributes),
        start_time_unix_nano=start_ns,
        time_unix_nano=now_ns,
        count=sum(value.counts),
        sum=value.sum,
        bucket_counts=value.counts,
        explicit_bounds=value.bounds,
        min=unknown,
        max=unknown,
    )
