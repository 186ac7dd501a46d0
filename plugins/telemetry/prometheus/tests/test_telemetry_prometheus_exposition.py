"""The page, as Prometheus reads it."""

from prometheus_client.parser import text_string_to_metric_families

from plait import HistogramSnapshot, Snapshot, StatsFormatType
from plait_telemetry_prometheus import plait_telemetry, render

SNAPSHOT = Snapshot(
    counters={
        "http.in.downstream_rq_2xx": 7,
        "http.in.downstream_rq_5xx": 1,
        "cluster.b.upstream_rq_total": 3,
        "cluster.a.upstream_rq_total": 2,
        'cluster.odd"name.upstream_rq_total': 1,
        "server.x": 4,
    },
    gauges={"server.live": 1, "server_x": 5},
    histograms={
        "http.in.downstream_rq_time": HistogramSnapshot(((0.5, 1), (1.0, 2), (3600000.0, 3)), 4, 12.5),
        "plain_ms": HistogramSnapshot(((0.5, 0),), 2, 4.0),
    },
)


def test_page_is_as_envoy_writes_it() -> None:
    text = render(SNAPSHOT, ignored=True)
    assert (
        "# TYPE envoy_cluster_upstream_rq_total counter\n"
        'envoy_cluster_upstream_rq_total{envoy_cluster_name="a"} 2\n'
        'envoy_cluster_upstream_rq_total{envoy_cluster_name="b"} 3\n'
    ) in text
    assert "# TYPE envoy_server_live gauge\nenvoy_server_live{} 1\n" in text
    assert (
        "# TYPE envoy_plain_ms histogram\n"
        'envoy_plain_ms_bucket{le="0.5"} 0\n'
        'envoy_plain_ms_bucket{le="+Inf"} 2\n'
        "envoy_plain_ms_sum{} 4\n"
        "envoy_plain_ms_count{} 2\n"
    ) in text
    assert 'envoy_http_downstream_rq_time_bucket{envoy_http_conn_manager_prefix="in",le="3600000"} 3\n' in text


def test_prometheus_reads_the_page() -> None:
    families = {family.name: family for family in text_string_to_metric_families(render(SNAPSHOT))}
    read = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families.values()
        for sample in family.samples
    }
    prefix = ("envoy_http_conn_manager_prefix", "in")
    # the parser, too, ends the names of counters in _total
    assert read["envoy_http_downstream_rq_xx_total", (prefix, ("envoy_response_code_class", "2"))] == 7
    assert read["envoy_cluster_upstream_rq_total", (("envoy_cluster_name", 'odd"name'),)] == 1
    assert read["envoy_http_downstream_rq_time_bucket", (prefix, ("le", "1"))] == 2
    assert read["envoy_http_downstream_rq_time_bucket", (prefix, ("le", "+Inf"))] == 4
    assert read["envoy_http_downstream_rq_time_sum", (prefix,)] == 12.5
    assert families["envoy_http_downstream_rq_time"].type == "histogram"
    assert families["envoy_server_live"].type == "gauge"


def test_one_name_has_one_type() -> None:
    families = [line for line in render(SNAPSHOT).splitlines() if line.startswith("# TYPE envoy_server_x")]
    assert families == ["# TYPE envoy_server_x counter", "# TYPE envoy_server_x_gauge gauge"]


def test_nothing_is_an_empty_page() -> None:
    assert render(Snapshot({}, {}, {})) == ""


def test_hook_registers_the_page() -> None:
    (found,) = plait_telemetry()
    assert isinstance(found, StatsFormatType)
    assert (found.name, found.render) == ("prometheus", render)
    assert found.content_type.startswith("text/plain")
