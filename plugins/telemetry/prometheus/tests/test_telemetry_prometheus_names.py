"""Which parts of a name are labels."""

import pytest

from plait_telemetry_prometheus.names import prometheus_name


@pytest.mark.parametrize(
    ("name", "metric", "labels"),
    [
        ("cluster.x.upstream_rq_total", "envoy_cluster_upstream_rq_total", 'envoy_cluster_name="x"'),
        (
            "cluster.x.upstream_rq_503",
            "envoy_cluster_upstream_rq",
            'envoy_response_code="503",envoy_cluster_name="x"',
        ),
        (
            "cluster.x.external.upstream_rq_5xx",
            "envoy_cluster_external_upstream_rq_xx",
            'envoy_response_code_class="5",envoy_cluster_name="x"',
        ),
        (
            "cluster.x.circuit_breakers.default.cx_open",
            "envoy_cluster_circuit_breakers_default_cx_open",
            'envoy_cluster_name="x"',
        ),
        (
            "cluster.shop:1.0:blue.membership_total",
            "envoy_cluster_membership_total",
            'envoy_cluster_name="shop:1.0:blue"',
        ),
        ("cluster.a.b.http1.dropped", "envoy_cluster_http1_dropped", 'envoy_cluster_name="a.b"'),
        (
            "http.ingress.downstream_rq_2xx",
            "envoy_http_downstream_rq_xx",
            'envoy_response_code_class="2",envoy_http_conn_manager_prefix="ingress"',
        ),
        ("http.in.x.downstream_rq_time", "envoy_http_downstream_rq_time", 'envoy_http_conn_manager_prefix="in.x"'),
        (
            "http.in.fault.aborts_injected",
            "envoy_http_fault_aborts_injected",
            'envoy_http_conn_manager_prefix="in"',
        ),
        (
            "http.in.fault.shop.aborts_injected",
            "envoy_http_fault_aborts_injected",
            'envoy_fault_downstream_cluster="shop",envoy_http_conn_manager_prefix="in"',
        ),
        (
            "http.in.rds.local.version",
            "envoy_http_rds_version",
            'envoy_rds_route_config="local",envoy_http_conn_manager_prefix="in"',
        ),
        (
            "listener.127.0.0.1_80.downstream_cx_total",
            "envoy_listener_downstream_cx_total",
            'envoy_listener_address="127.0.0.1_80"',
        ),
        (
            "listener.0.0.0.0_80.http.in.downstream_rq_2xx",
            "envoy_listener_http_downstream_rq_xx",
            'envoy_response_code_class="2",envoy_http_conn_manager_prefix="in",envoy_listener_address="0.0.0.0_80"',
        ),
        (
            "listener.[__1]_80.worker_3.downstream_cx_active",
            "envoy_listener_downstream_cx_active",
            'envoy_worker_id="3",envoy_listener_address="[__1]_80"',
        ),
        ("tcp.in.downstream_cx_total", "envoy_tcp_downstream_cx_total", 'envoy_tcp_prefix="in"'),
        ("udp.in.idle_timeout", "envoy_udp_idle_timeout", 'envoy_udp_prefix="in"'),
        ("registry.local.services", "envoy_registry_services", 'plait_registry="local"'),
        ("server.live", "envoy_server_live", ""),
        ("mixer.check.ok", "envoy_mixer_check_ok", ""),
        ('cluster.a"\\\n.upstream-rq', "envoy_cluster_upstream_rq", 'envoy_cluster_name="a\\"\\\\\\n"'),
    ],
)
def test_name_gives_a_metric_and_its_labels(name: str, metric: str, labels: str) -> None:
    assert prometheus_name(name) == (metric, labels)
