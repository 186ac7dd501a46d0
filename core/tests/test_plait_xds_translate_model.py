"""A bootstrap that uses everything there is becomes the model that it says."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path

import pytest

from plait.api.config import (
    Address,
    Cluster,
    DirectResponse,
    Endpoint,
    FilterChainMatch,
    ForwardAction,
    HashPolicy,
    HeaderMatcher,
    HeaderOp,
    HeaderOps,
    MirrorPolicy,
    Node,
    QueryMatcher,
    RedirectAction,
    RegexRewrite,
    RetryPolicy,
    Route,
    RouteMatch,
    StringMatcher,
    Thresholds,
    VirtualHost,
    WeightedCluster,
)
from plait.plugins import Catalogue
from plait.xds import Positions, Translator, Where, load_bootstrap
from plait.xds.parse import Parsed, load
from plait.xds.translate.cluster import cluster
from plait.xds.translate.listener import listener
from plait.xds.translate.route import route_configuration

CONFIGS = Path(__file__).parents[2] / "bench/configs"


def translator() -> Translator:
    return Translator(Catalogue(()))


def made_cluster(text: str) -> Cluster:
    from envoy.config.cluster.v3.cluster_pb2 import Cluster as Message

    parsed: Parsed[Message] = load(text, Message)
    with_what = translator()
    made = cluster(parsed.message, parsed.where, with_what)
    with_what.raise_all()
    return made


def made_host(text: str) -> VirtualHost:
    """Return the virtual host whose routes are given."""
    from envoy.config.route.v3.route_pb2 import RouteConfiguration as Message

    parsed: Parsed[Message] = load(text, Message)
    with_what = translator()
    made = route_configuration(parsed.message, parsed.where, with_what)
    with_what.raise_all()
    return made.virtual_hosts[0]


def made_route(text: str) -> Route:
    return made_host(f"virtual_hosts: [{{name: a, domains: ['*'], routes: [{text}]}}]").routes[0]


def test_a_cluster_says_all_that_the_model_has() -> None:
    assert made_cluster(
        """
name: shop
alt_stat_name: shop_v1
type: LOGICAL_DNS
lb_policy: LEAST_REQUEST
least_request_lb_config: {choice_count: 3}
connect_timeout: 0.25s
dns_refresh_rate: 2s
dns_lookup_family: V4_ONLY
per_connection_buffer_limit_bytes: 4096
circuit_breakers:
  thresholds:
  - {priority: HIGH, max_connections: 1}
  - {max_connections: 7, max_requests: 9, max_retries: 0}
typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    common_http_protocol_options: {idle_timeout: 0s, max_requests_per_connection: 5}
    use_downstream_protocol_config: {}
transport_socket: {name: envoy.transport_sockets.raw_buffer}
load_assignment:
  cluster_name: shop
  endpoints:
  - locality: {region: eu, zone: a}
    priority: 1
    load_balancing_weight: 5
    lb_endpoints:
    - endpoint: {address: {socket_address: {address: shop.test, port_value: 80}}, hostname: shop}
      health_status: DRAINING
      load_balancing_weight: 4
      metadata: {filter_metadata: {envoy.lb: {version: v1, canary: true}, acme: {rack: 7}}}
"""
    ) == Cluster(
        name="shop",
        alt_stat_name="shop_v1",
        type="logical_dns",
        lb_policy="least_request",
        lb_choice_count=3,
        connect_timeout_s=0.25,
        endpoints=(
            Endpoint(
                Address("shop.test", 80),
                hostname="shop",
                weight=4,
                healthy=False,
                priority=1,
                locality="eu/a",
                metadata={"version": "v1", "canary": "true", "acme.rack": "7"},
            ),
        ),
        thresholds=Thresholds(max_connections=7, max_requests=9, max_retries=0),
        dns_refresh_s=2.0,
        dns_lookup_family="v4_only",
        max_requests_per_connection=5,
        per_connection_buffer_limit_bytes=4096,
        idle_timeout_s=0.0,
        protocol_by="caller",
    )


def test_a_cluster_that_says_little_has_envoys_defaults() -> None:
    assert made_cluster("name: a") == Cluster("a")


def test_a_load_balancing_policy_is_the_first_that_is_known() -> None:
    made = made_cluster(
        """
name: a
load_balancing_policy:
  policies:
  - typed_extension_config:
      name: a
      typed_config: {"@type": type.googleapis.com/envoy.extensions.load_balancing_policies.maglev.v3.Maglev}
  - typed_extension_config:
      name: b
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest
        choice_count: 5
"""
    )
    assert (made.lb_policy, made.lb_choice_count) == ("least_request", 5)


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ("{prefix: /a}", RouteMatch("prefix", "/a")),
        ("{path: /a, case_sensitive: false}", RouteMatch("path", "/a", case_sensitive=False)),
        ("{path_separated_prefix: /a}", RouteMatch("path_separated_prefix", "/a")),
        ("{safe_regex: {google_re2: {}, regex: '/[a-z]+'}}", RouteMatch("safe_regex", "/[a-z]+")),
        ("{connect_matcher: {}}", RouteMatch("connect")),
        ("{prefix: /, grpc: {}}", RouteMatch(grpc=True)),
        (
            "{prefix: /, runtime_fraction: {runtime_key: k, default_value: {numerator: 5, denominator: TEN_THOUSAND}}}",
            RouteMatch(runtime_fraction=500),
        ),
        (
            "{prefix: /, headers: [{name: a}, {name: b, present_match: false}, {name: c, exact_match: d, "
            "invert_match: true}, {name: e, range_match: {start: -1, end: 5}, treat_missing_header_as_empty: true}, "
            "{name: f, string_match: {suffix: G, ignore_case: true}}, {name: h, safe_regex_match: {regex: i}}]}",
            RouteMatch(
                headers=(
                    HeaderMatcher("a"),
                    HeaderMatcher("b", present=False),
                    HeaderMatcher("c", StringMatcher("exact", "d"), invert=True),
                    HeaderMatcher("e", range=(-1, 5), treat_missing_as_empty=True),
                    HeaderMatcher("f", StringMatcher("suffix", "G", ignore_case=True)),
                    HeaderMatcher("h", StringMatcher("safe_regex", "i")),
                )
            ),
        ),
        (
            "{prefix: /, query_parameters: [{name: a}, {name: b, string_match: {exact: c}}, {name: d, "
            "present_match: false}]}",
            RouteMatch(
                query=(
                    QueryMatcher("a"),
                    QueryMatcher("b", StringMatcher("exact", "c")),
                    QueryMatcher("d", present=False),
                )
            ),
        ),
    ],
)
def test_matches(match: str, expected: RouteMatch) -> None:
    assert made_route(f"{{match: {match}, direct_response: {{status: 200}}}}").match == expected


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("route: {cluster: a}", ForwardAction("a")),
        ("route: {cluster_header: x-to, timeout: 0s, idle_timeout: 0s}",
         ForwardAction(cluster_header="x-to", timeout_s=0.0, idle_timeout_s=0.0)),
        (
            "route: {weighted_clusters: {clusters: [{name: a, weight: 0}, {name: b, weight: 9, "
            "request_headers_to_remove: [x]}]}, cluster_not_found_response_code: NOT_FOUND}",
            ForwardAction(
                weighted=(WeightedCluster("a", 0), WeightedCluster("b", 9, HeaderOps(request_remove=("x",)))),
                cluster_not_found_status=404,
            ),
        ),
        (
            "route: {cluster: a, prefix_rewrite: /b, auto_host_rewrite: true, append_x_forwarded_host: true, "
            "upgrade_configs: [{upgrade_type: WebSocket}, {upgrade_type: x, enabled: false}]}",
            ForwardAction(
                "a",
                prefix_rewrite="/b",
                auto_host_rewrite=True,
                append_x_forwarded_host=True,
                upgrades={"websocket": True, "x": False},
            ),
        ),
        (
            "route: {cluster: a, regex_rewrite: {pattern: {regex: '/(.*)'}, substitution: '/\\1'}, "
            "host_rewrite_literal: h}",
            ForwardAction("a", regex_rewrite=RegexRewrite("/(.*)", "/\\1"), host_rewrite="h"),
        ),
        (
            "route: {cluster: a, request_mirror_policies: [{cluster: b}, {cluster: c, runtime_fraction: "
            "{default_value: {numerator: 5}}}], hash_policy: [{header: {header_name: x}, terminal: true}, "
            "{cookie: {name: c, ttl: 2s}}, {connection_properties: {source_ip: true}}, {query_parameter: {name: q}}, "
            "{connection_properties: {}}]}",
            ForwardAction(
                "a",
                mirrors=(MirrorPolicy("b"), MirrorPolicy("c", 50_000)),
                hash_policies=(
                    HashPolicy("header", "x", terminal=True),
                    HashPolicy("cookie", "c", ttl_s=2.0),
                    HashPolicy("source_ip"),
                    HashPolicy("query_parameter", "q"),
                ),
            ),
        ),
        (
            "route: {cluster: a, host_rewrite_header: x, retry_policy: {retry_on: '5xx, reset', num_retries: 3, "
            "per_try_timeout: 1s, retriable_status_codes: [409], retry_back_off: {base_interval: 0.1s}, "
            "host_selection_retry_max_attempts: 4, "
            "retry_host_predicate: [{name: envoy.retry_host_predicates.previous_hosts}]}}",
            ForwardAction(
                "a",
                host_rewrite_header="x",
                retry=RetryPolicy(("5xx", "reset"), 3, 1.0, (409,), 0.1, 1.0, True, 4),
            ),
        ),
        ("redirect: {https_redirect: true, port_redirect: 8443, path_redirect: /b, strip_query: true}",
         RedirectAction(https=True, port=8443, path="/b", strip_query=True)),
        ("redirect: {host_redirect: b, prefix_rewrite: /c, response_code: PERMANENT_REDIRECT}",
         RedirectAction(status=308, host="b", prefix_rewrite="/c")),
        ("redirect: {scheme_redirect: x, regex_rewrite: {pattern: {regex: a}, substitution: b}}",
         RedirectAction(scheme="x", regex_rewrite=RegexRewrite("a", "b"))),
        ("direct_response: {status: 418, body: {inline_string: tea}}", DirectResponse(418, b"tea")),
        ("direct_response: {status: 200, body: {inline_bytes: dGVh}}", DirectResponse(200, b"tea")),
    ],
)  # fmt: skip
def test_actions(action: str, expected: object) -> None:
    assert made_route(f"{{match: {{prefix: /}}, {action}}}").action == expected


def test_a_body_is_read_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "body").write_bytes(b"file")
    monkeypatch.setenv("PLAIT_TEST_BODY", "environment")
    action = "{{match: {{prefix: /}}, direct_response: {{status: 200, body: {{{}}}}}}}"
    assert made_route(action.format(f"filename: {tmp_path}/body")).action == DirectResponse(200, b"file")
    from_environment = made_route(action.format("environment_variable: PLAIT_TEST_BODY")).action
    assert from_environment == DirectResponse(200, b"environment")


def test_a_virtual_host_says_all_that_the_model_has() -> None:
    assert made_host(
        """
virtual_hosts:
- name: a
  domains: [a.com, "*.a.com"]
  require_tls: EXTERNAL_ONLY
  include_request_attempt_count: true
  per_request_buffer_limit_bytes: 9
  retry_policy: {retry_on: 5xx}
  request_headers_to_add:
  - {header: {key: a, value: "%PROTOCOL%"}}
  - {header: {key: b, value: c}, append: false}
  - {header: {key: d, raw_value: aGk=}, append_action: ADD_IF_ABSENT, keep_empty_value: true}
  response_headers_to_add: [{header: {key: e, value: f}, append_action: OVERWRITE_IF_EXISTS}]
  response_headers_to_remove: [server]
"""
    ) == VirtualHost(
        "a",
        ("a.com", "*.a.com"),
        require_tls="external_only",
        include_request_attempt_count=True,
        per_request_buffer_limit_bytes=9,
        retry=RetryPolicy(("5xx",)),
        headers=HeaderOps(
            request_add=(
                HeaderOp("a", "%PROTOCOL%"),
                HeaderOp("b", "c", "overwrite_if_exists_or_add"),
                HeaderOp("d", "hi", "add_if_absent", True),
            ),
            response_add=(HeaderOp("e", "f", "overwrite_if_exists"),),
            response_remove=("server",),
        ),
    )


def test_a_listener_says_all_that_the_model_has() -> None:
    from envoy.config.listener.v3.listener_pb2 import Listener as Message

    parsed = load(
        """
name: in
address: {socket_address: {address: "::1", port_value: 80}}
stat_prefix: s
traffic_direction: INBOUND
tcp_backlog_size: 9
bind_to_port: false
enable_reuse_port: true
per_connection_buffer_limit_bytes: 4096
listener_filters_timeout: 2s
filter_chains:
- name: c
  filter_chain_match:
    destination_port: 81
    prefix_ranges: [{address_prefix: 10.1.2.3, prefix_len: 8}, {address_prefix: "fd00::", prefix_len: 64}]
    source_prefix_ranges: [{address_prefix: 1.2.3.4, prefix_len: 32}]
    source_ports: [1, 2]
    server_names: [a.com, "*.b.com"]
    transport_protocol: raw_buffer
    application_protocols: [h2]
""",
        Message,
    )
    with_what = translator()
    made = listener(parsed.message, parsed.where, with_what)
    assert [error.what for error in with_what.errors] == ["the filter chain has no filters"]
    assert made.address == Address("::1", 80)
    assert str(made.address) == "[::1]:80"
    assert made.filter_chains[0].name == "c"
    assert made.filter_chains[0].match == FilterChainMatch(
        81, ("10.0.0.0/8", "fd00::/64"), ("1.2.3.4/32",), (1, 2), ("a.com", "*.b.com"), "raw_buffer", ("h2",)
    )
    assert (made.stat_prefix, made.traffic_direction, made.tcp_backlog_size) == ("s", "inbound", 9)
    assert (made.bind_to_port, made.per_connection_buffer_limit_bytes) == (False, 4096)
    assert made.listener_filters_timeout_s == 2.0


@pytest.mark.parametrize("name", ["http.yaml", "tcp.yaml"])
def test_the_configurations_of_the_benchmarks_are_read_and_cross_to_workers(name: str) -> None:
    from plait.plugins import discover

    made = load_bootstrap(str(CONFIGS / name), "", Catalogue(discover()), service_node="me", service_cluster="us")
    assert made.node == Node("me", "us")
    assert made.admin == Address("127.0.0.1", 9901)
    assert [one.name for one in made.clusters] == ["upstream"]
    assert made.listeners[0].filter_chains[0].filters[0].plugin.startswith("protocols:")
    assert pickle.loads(pickle.dumps(made)) == made


def test_fields_without_effect_are_logged_with_their_place_and_reason(caplog: pytest.LogCaptureFixture) -> None:
    text = (
        "node: {id: a}\nlayered_runtime: {layers: [{name: a, static_layer: {}}]}\nadmin: {access_log_path: /dev/null}"
    )
    with caplog.at_level(logging.WARNING, "plait.xds"):
        load_bootstrap("", text, Catalogue(()))
    assert [record.getMessage() for record in caplog.records] == [
        "--config-yaml:2:1: field 'layered_runtime' has no effect: runtime keys keep the defaults that are written "
        "beside them",
        "--config-yaml:3:26: field 'access_log_path' has no effect: requests to the admin server are not logged",
    ]


def test_routes_written_in_listeners_get_names_of_their_own() -> None:
    from envoy.config.route.v3.route_pb2 import RouteConfiguration as Message

    with_what = translator()
    where = Where(Positions.nowhere())
    tables = [with_what.route_configuration(Message(name=name), where) for name in ("r", "r", "")]
    assert [with_what.add_route_configuration(table) for table in tables] == ["r", "r#2", "inline"]
    assert [table.name for table in with_what.routes] == ["r", "r#2", "inline"]
