"""Health checks become the model that they say; what is refused of them is with all refusals."""

from __future__ import annotations

import pytest

from plait.api.config import Cluster, Endpoint, GrpcHealthCheck, HealthCheck, HttpHealthCheck, TcpHealthCheck
from plait.plugins import Catalogue, discover
from plait.xds import Translator
from plait.xds.parse import Parsed, load
from plait.xds.translate.cluster import cluster
from plait.xds.translate.endpoint import load_assignment

OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
AGENT = (b"user-agent", b"Envoy/HC")


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue(discover())


def made(text: str, catalogue: Catalogue) -> Cluster:
    from envoy.config.cluster.v3.cluster_pb2 import Cluster as Message

    parsed: Parsed[Message] = load(f"name: a\n{text}", Message)
    translator = Translator(catalogue)
    found = cluster(parsed.message, parsed.where, translator)
    translator.raise_all()
    return found


def check(kind: str, catalogue: Catalogue, more: str = "") -> HealthCheck:
    """Return the health check of a cluster of HTTP/2."""
    found = made(
        f"""
typed_extension_protocol_options:
  {OPTIONS}:
    "@type": type.googleapis.com/{OPTIONS}
    explicit_http_config: {{http2_protocol_options: {{}}}}
health_checks:
- {{timeout: 0.5s, interval: 2s, unhealthy_threshold: 3, healthy_threshold: 4, {kind}{more}}}
""",
        catalogue,
    ).health_check
    assert found is not None
    return found


def test_a_cluster_without_checks_has_none(catalogue: Catalogue) -> None:
    found = made("", catalogue)
    assert found.health_check is None
    assert found.panic_threshold == 0.5


def test_intervals_that_are_not_given_follow_from_those_that_are(catalogue: Catalogue) -> None:
    assert check("tcp_health_check: {}", catalogue) == HealthCheck(
        kind=TcpHealthCheck(),
        timeout_s=0.5,
        interval_s=2,
        unhealthy_threshold=3,
        healthy_threshold=4,
        unhealthy_interval_s=2,
        unhealthy_edge_interval_s=2,
        healthy_edge_interval_s=2,
        no_traffic_interval_s=60,
        no_traffic_healthy_interval_s=60,
    )
    found = check("tcp_health_check: {}", catalogue, ", unhealthy_interval: 9s, no_traffic_interval: 7s")
    assert (found.unhealthy_interval_s, found.unhealthy_edge_interval_s, found.healthy_edge_interval_s) == (9, 9, 2)
    assert (found.no_traffic_interval_s, found.no_traffic_healthy_interval_s) == (7, 7)


def test_every_interval_and_jitter_is_taken(catalogue: Catalogue) -> None:
    found = check(
        "tcp_health_check: {}",
        catalogue,
        ", initial_jitter: 1s, interval_jitter: 3s, interval_jitter_percent: 10, no_traffic_interval: 4s,"
        " no_traffic_healthy_interval: 5s, unhealthy_interval: 6s, unhealthy_edge_interval: 7s,"
        " healthy_edge_interval: 8s, reuse_connection: false, alt_port: 8080",
    )
    assert found == HealthCheck(TcpHealthCheck(), 0.5, 2, 3, 4, 6, 7, 8, 4, 5, 1, 3, 10, False, 8080)


def test_payloads_are_hexadecimal_or_bytes(catalogue: Catalogue) -> None:
    found = check("tcp_health_check: {send: {text: 00fF}, receive: [{text: '01'}, {binary: AgM=}]}", catalogue)
    assert found.kind == TcpHealthCheck(b"\x00\xff", (b"\x01", b"\x02\x03"))


def test_an_http_check_expects_200_of_a_get(catalogue: Catalogue) -> None:
    found = check("http_health_check: {path: /ok}", catalogue)
    assert found.kind == HttpHealthCheck("/ok", "", "GET", "http1", ((200, 201),), (), (AGENT,))


def test_an_http_check_says_all_it_can(catalogue: Catalogue) -> None:
    found = check(
        "http_health_check: {path: /ok, host: shop, method: HEAD, codec_client_type: HTTP2,"
        " expected_statuses: [{start: 200, end: 300}, {start: 404, end: 405}],"
        " retriable_statuses: [{start: 500, end: 600}],"
        " request_headers_to_add: [{header: {key: X-A, value: 100%%}}, {header: {key: x-b, value: b}}],"
        " request_headers_to_remove: [User-Agent, x-b]}",
        catalogue,
    )
    fields = ((b"x-a", b"100%"),)
    assert found.kind == HttpHealthCheck(
        "/ok", "shop", "HEAD", "http2", ((200, 300), (404, 405)), ((500, 600),), fields
    )


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("{header: {key: te, value: x}}", [b"trailers", b"x"]),
        ("{header: {key: te, value: x}, append_action: ADD_IF_ABSENT}", [b"trailers"]),
        ("{header: {key: te, value: x}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}", [b"x"]),
        ("{header: {key: te, value: x}, append_action: OVERWRITE_IF_EXISTS}", [b"x"]),
        ("{header: {key: te}}", [b"trailers"]),
        ("{header: {key: te}, keep_empty_value: true}", [b"trailers", b""]),
        ("{header: {key: new, value: x}, append_action: OVERWRITE_IF_EXISTS}", [b"trailers"]),
    ],
)
def test_initial_metadata_is_added_as_its_action_says(option: str, values: list[bytes], catalogue: Catalogue) -> None:
    kind = check(f"grpc_health_check: {{initial_metadata: [{option}]}}", catalogue).kind
    assert isinstance(kind, GrpcHealthCheck)
    assert [value for name, value in kind.fields if name in (b"te", b"new")] == values
    assert kind.fields[:2] == (AGENT, (b"content-type", b"application/grpc"))


def test_a_grpc_check_names_its_service(catalogue: Catalogue) -> None:
    kind = check("grpc_health_check: {service_name: shop.Cart, authority: shop}", catalogue).kind
    assert isinstance(kind, GrpcHealthCheck)
    assert (kind.service_name, kind.authority) == ("shop.Cart", "shop")


@pytest.mark.parametrize(("percent", "share"), [("{value: 0}", 0.0), ("{value: 25}", 0.25), ("{}", 0.0)])
def test_the_panic_threshold_is_a_share(percent: str, share: float, catalogue: Catalogue) -> None:
    assert made(f"common_lb_config: {{healthy_panic_threshold: {percent}}}", catalogue).panic_threshold == share


def test_an_endpoint_says_where_it_is_asked(catalogue: Catalogue) -> None:
    from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment as Message

    address = "address: {socket_address: {address: 127.0.0.1, port_value: 80}}"
    parsed: Parsed[Message] = load(
        f"""
cluster_name: a
endpoints:
- lb_endpoints:
  - endpoint: {{{address}, health_check_config: {{port_value: 81, hostname: one}}}}
  - endpoint: {{{address}, health_check_config: {{disable_active_health_check: true}}}}
  - endpoint: {{{address}}}
""",
        Message,
    )
    said = load_assignment(parsed.message, parsed.where, Translator(catalogue)).endpoints

    def of(endpoint: Endpoint) -> tuple[bool, int, str]:
        return endpoint.health_check, endpoint.health_check_port, endpoint.health_check_hostname

    assert [of(endpoint) for endpoint in said] == [(True, 81, "one"), (False, 0, ""), (True, 0, "")]
