"""What is told of a snapshot."""

from typing import Any

import attrs
from opentelemetry.sdk.metrics.export import AggregationTemporality, Gauge, Histogram, MetricsData, Sum

from plait import HistogramSnapshot, Node, Snapshot
from plait_telemetry_otel import OtlpSettings
from plait_telemetry_otel.reports import Reports

SECOND = 10**9
NOW = 1_700_000_000 * SECOND

FIRST = Snapshot(
    counters={
        "cluster.a.upstream_rq_total": 3,
        "cluster.b.upstream_rq_total": 5,
        "cluster.a.upstream_rq_200": 2,
        "server.config_reload_success": 0,
    },
    gauges={"server.uptime": 60, "cluster.a.membership_total": 2},
    histograms={
        "http.in.downstream_rq_time": HistogramSnapshot(((1.0, 1), (5.0, 4)), 6, 30.5),
        "http.out.downstream_rq_time": HistogramSnapshot(((1.0, 0), (5.0, 1)), 1, 2.0),
    },
)
SECOND_ONE = attrs.evolve(
    FIRST,
    counters={**FIRST.counters, "cluster.a.upstream_rq_total": 10, "cluster.c.upstream_rq_total": 1},
    histograms={"http.in.downstream_rq_time": HistogramSnapshot(((1.0, 3), (5.0, 6)), 9, 40.0)},
)


def made(settings: OtlpSettings, *, built_ns: int = NOW - 59 * SECOND) -> Reports:
    return Reports(settings, Node(id="n1", cluster="shop"), built_ns)


def points(report: MetricsData) -> dict[tuple[str, tuple[str, ...]], Any]:
    """Data points by the metric's name and the values of their attributes."""
    return {
        (metric.name, tuple(map(str, (point.attributes or {}).values()))): point
        for resource in report.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    }


def values(report: MetricsData) -> dict[tuple[str, tuple[str, ...]], Any]:
    return {key: point.value for key, point in points(report).items() if hasattr(point, "value")}


def data(report: MetricsData) -> dict[str, Any]:
    [resource] = report.resource_metrics
    [scope] = resource.scope_metrics
    return {metric.name: metric.data for metric in scope.metrics}


def test_counters_and_histograms_are_cumulative_since_the_start_of_the_server() -> None:
    report = made(OtlpSettings()).make(FIRST, NOW)
    total, live, time = (
        data(report)[f"{name}"] for name in ("cluster.upstream_rq_total", "server.uptime", "http.downstream_rq_time")
    )
    assert isinstance(total, Sum)
    assert isinstance(live, Gauge)
    assert isinstance(time, Histogram)
    assert total.is_monotonic
    assert total.aggregation_temporality == time.aggregation_temporality == AggregationTemporality.CUMULATIVE
    assert values(report) == {
        ("cluster.upstream_rq_total", ("a",)): 3,
        ("cluster.upstream_rq_total", ("b",)): 5,
        ("cluster.upstream_rq", ("200", "a")): 2,
        ("server.config_reload_success", ()): 0,
        ("server.uptime", ()): 60,
        ("cluster.membership_total", ("a",)): 2,
    }
    found = points(report)
    assert found["cluster.upstream_rq", ("200", "a")].attributes == {
        "envoy.response_code": "200",
        "envoy.cluster_name": "a",
    }
    assert found["cluster.upstream_rq_total", ("a",)].start_time_unix_nano == NOW - 60 * SECOND
    assert found["cluster.upstream_rq_total", ("a",)].time_unix_nano == NOW


def test_a_histogram_has_its_buckets_one_by_one_and_what_is_above_them() -> None:
    point = points(made(OtlpSettings()).make(FIRST, NOW))["http.downstream_rq_time", ("in",)]
    assert (list(point.explicit_bounds), list(point.bucket_counts)) == ([1.0, 5.0], [1, 3, 2])
    assert (point.count, point.sum) == (6, 30.5)


def test_deltas_start_from_the_last_report_that_was_delivered() -> None:
    reports = made(OtlpSettings(report_counters_as_deltas=True, report_histograms_as_deltas=True))
    first = reports.make(FIRST, NOW)
    assert values(first)["cluster.upstream_rq_total", ("a",)] == 3
    reports.delivered()
    lost = reports.make(SECOND_ONE, NOW + 5 * SECOND)
    again = reports.make(SECOND_ONE, NOW + 10 * SECOND)
    for report in (lost, again):
        found = values(report)
        assert found["cluster.upstream_rq_total", ("a",)] == 7
        assert found["cluster.upstream_rq_total", ("b",)] == 0
        assert found["cluster.upstream_rq_total", ("c",)] == 1
        assert found["server.uptime", ()] == 60, "a gauge is what it is"
        point = points(report)["http.downstream_rq_time", ("in",)]
        assert (list(point.bucket_counts), point.count, point.sum) == ([2, 0, 1], 3, 9.5)
        assert point.start_time_unix_nano == NOW
    assert data(again)["cluster.upstream_rq_total"].aggregation_temporality == AggregationTemporality.DELTA


def test_a_sink_that_a_reload_made_tells_no_delta_twice() -> None:
    settings = OtlpSettings(report_counters_as_deltas=True, report_histograms_as_deltas=True)
    reports = made(settings, built_ns=NOW - SECOND)
    report = reports.make(FIRST, NOW)
    assert values(report)["cluster.upstream_rq_total", ("a",)] == 0
    assert points(report)["http.downstream_rq_time", ("in",)].count == 0
    assert values(reports.make(SECOND_ONE, NOW + SECOND))["cluster.upstream_rq_total", ("a",)] == 7


def test_names_can_be_left_whole_and_prefixed() -> None:
    settings = OtlpSettings(use_tag_extracted_name=False, emit_tags_as_attributes=False, prefix="mesh")
    report = made(settings).make(FIRST, NOW)
    assert values(report)["mesh.cluster.a.upstream_rq_200", ()] == 2
    assert points(report)["mesh.http.in.downstream_rq_time", ()].count == 6


def test_what_only_left_out_tags_tell_apart_is_added_up() -> None:
    report = made(OtlpSettings(emit_tags_as_attributes=False)).make(FIRST, NOW)
    assert values(report)["cluster.upstream_rq_total", ()] == 8
    point = points(report)["http.downstream_rq_time", ()]
    assert (list(point.bucket_counts), point.count, point.sum) == ([1, 4, 2], 7, 32.5)


def test_the_resource_is_the_node_unless_settings_say_otherwise() -> None:
    [resource] = made(OtlpSettings()).make(FIRST, NOW).resource_metrics
    assert resource.resource.attributes == {"service.name": "shop", "service.instance.id": "n1"}
    settings = OtlpSettings(resource_attributes={"service.name": "cart", "zone": "z"})
    [resource] = made(settings).make(FIRST, NOW).resource_metrics
    assert resource.resource.attributes == {"service.name": "cart", "service.instance.id": "n1", "zone": "z"}
    [resource] = Reports(OtlpSettings(), Node(), NOW).make(FIRST, NOW).resource_metrics
    assert resource.resource.attributes == {"service.name": "plait"}
