"""What is wrong with a configuration is said at its place, all of it at once, and mostly where Envoy says so too."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from plait.api.errors import ConfigErrors
from plait.plugins import Catalogue, discover
from plait.stream import compile_format
from plait.xds import load_bootstrap

ENVOY = Path(__file__).parents[2] / ".peers/envoy/bin/envoy"

BASE = """\
static_resources:
  listeners:
  - name: in
    address: {socket_address: {address: 127.0.0.1, port_value: 10000}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          route_config:
            name: r
            virtual_hosts:
            - name: a
              domains: ["a.com"]
              routes:
              - match: {prefix: /}
                route: {cluster: one}
            - name: b
              domains: ["*"]
              routes:
              - match: {prefix: /}
                route: {cluster: one}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  - name: raw
    address: {socket_address: {address: 127.0.0.1, port_value: 10001}}
    filter_chains:
    - filters:
      - name: tcp
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: raw
          cluster: one
  clusters:
  - name: one
    type: STATIC
    load_assignment:
      cluster_name: one
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 81}}}
"""
FAULT = "{'@type': type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault}"
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def line(number: int, text: str) -> tuple[int, str]:
    """Put ``text`` in the place of a line."""
    return number, text


def match(text: str) -> tuple[int, str]:
    return line(17, f"              - match: {text}")


def route(text: str) -> tuple[int, str]:
    return line(18, f"                {text}")


def listener(text: str) -> tuple[int, str]:
    """Add a line to the second listener."""
    return line(30, f"    {text}\n    filter_chains:")


def cluster(text: str) -> tuple[int, str]:
    return line(39, f"    {text}")


def check(kind: str, numbers: str = "timeout: 1s, interval: 1s, healthy_threshold: 1, unhealthy_threshold: 1") -> str:
    """Return the field of a cluster with one health check."""
    return f"health_checks: [{{{numbers}, {kind}}}]"


def endpoint(text: str) -> tuple[int, str]:
    """Add a field to the endpoint."""
    address = "address: {socket_address: {address: 127.0.0.1, port_value: 81}}"
    return line(44, f"        - endpoint: {{{text}, {address}}}")


def extra(text: str) -> tuple[int, str]:
    """Add a line at the end."""
    return line(44, f"{BASE.splitlines()[43]}\n{text}")


UNSUPPORTED = "is not supported yet by plait"
CHECKS = "one of http_health_check, tcp_health_check, grpc_health_check"
HTTP2_CLUSTER = (
    f"typed_extension_protocol_options: {{{HTTP_OPTIONS}: {{'@type': type.googleapis.com/{HTTP_OPTIONS}, "
    "explicit_http_config: {http2_protocol_options: {}}}}"
)

# name: (changed line, what is said of it)
REFUSED_BY_ENVOY_TOO: dict[str, tuple[tuple[int, str], str]] = {
    "a check of nothing": (
        cluster(check("alt_port: 80")),
        f"39:21: the health check does not say how, expected {CHECKS}",
    ),
    "a check of a kind of its own": (
        cluster(check("custom_health_check: {name: redis}")),
        f"39:95: custom_health_check {UNSUPPORTED}, expected {CHECKS}",
    ),
    "two checks": (
        cluster(
            "health_checks: [{timeout: 1s, interval: 1s, healthy_threshold: 1, unhealthy_threshold: 1, "
            "tcp_health_check: {}}, {timeout: 1s, interval: 1s, healthy_threshold: 1, unhealthy_threshold: 1, "
            "tcp_health_check: {}}]"
        ),
        "39:118: the cluster has more than one health check, expected one",
    ),
    "a check without a limit": (
        cluster(check("tcp_health_check: {}", "interval: 1s, healthy_threshold: 1, unhealthy_threshold: 1")),
        "39:21: the health check has no timeout, expected timeout",
    ),
    "a check that is never made": (
        cluster(check("tcp_health_check: {}", "timeout: 1s, healthy_threshold: 1, unhealthy_threshold: 1")),
        "39:21: the health check has no interval, expected interval",
    ),
    "a check that has no time": (
        cluster(
            check("tcp_health_check: {}", "timeout: 0s, interval: 1s, healthy_threshold: 1, unhealthy_threshold: 1")
        ),
        "39:31: timeout is 0s, expected more than 0s",
    ),
    "a check that never succeeds": (
        cluster(check("tcp_health_check: {}", "timeout: 1s, interval: 1s, unhealthy_threshold: 1")),
        "39:21: the health check has no healthy_threshold, expected healthy_threshold",
    ),
    "gRPC's check of a cluster of HTTP/1": (
        cluster(check("grpc_health_check: {}")),
        "39:95: the cluster is not spoken to in HTTP/2, and so it cannot be asked by gRPC, expected "
        "http2_protocol_options in the cluster's HttpProtocolOptions",
    ),
    "gRPC's check with another host": (
        cluster(
            HTTP2_CLUSTER + "\n    " + check("grpc_health_check: {initial_metadata: [{header: {key: host, value: a}}]}")
        ),
        "40:149: header 'host' may not be changed, expected a name without ':' that is not host",
    ),
    "an HTTP check of no path": (
        cluster(check("http_health_check: {}")),
        "39:95: the path is empty, expected the path to ask for, such as /healthz",
    ),
    "an HTTP check with CONNECT": (
        cluster(check("http_health_check: {path: /, method: CONNECT}")),
        "39:132: the method is CONNECT, expected any other",
    ),
    "an HTTP check over QUIC": (
        cluster(check("http_health_check: {path: /, codec_client_type: HTTP3}")),
        "39:143: codec_client_type HTTP3 is not supported, expected HTTP1 or HTTP2",
    ),
    "statuses from behind": (
        cluster(check("http_health_check: {path: /, expected_statuses: [{start: 300, end: 200}]}")),
        "39:144: the statuses from 300 up to but not 200, expected 100 to 600, the end behind the start",
    ),
    "a TCP check that sends no digits": (
        cluster(check("tcp_health_check: {send: {text: xy}}")),
        "39:127: 'xy' is not hexadecimal, expected pairs of digits",
    ),
    "a TCP check that sends nothing": (
        cluster(check("tcp_health_check: {send: {text: ''}}")),
        "39:114: the payload is empty, expected text (hexadecimal) or binary",
    ),
    "more panic than all": (
        cluster("common_lb_config: {healthy_panic_threshold: {value: 120}}"),
        "39:24: 120 is no percentage, expected 0 to 100",
    ),
    "a port for checks that there is not": (
        endpoint("health_check_config: {port_value: 70000}"),
        "44:56: port_value is 70000, expected at most 65535",
    ),
    "HTTP/3 upstream": (
        cluster(
            f"typed_extension_protocol_options: {{{HTTP_OPTIONS}: {{'@type': type.googleapis.com/{HTTP_OPTIONS}, "
            "explicit_http_config: {http3_protocol_options: {}}}}"
        ),
        "39:182: protocol 'http3' cannot be used: no installed plugin registers this ProtocolType, "
        "did you mean 'http2'?",
    ),
    "unknown cluster": (
        route("route: {cluster: ome}"),
        "18:34: unknown cluster 'ome', expected the name of a cluster, did you mean 'one'",
    ),
    "unknown mirror cluster": (
        route("route: {cluster: one, request_mirror_policies: [{cluster: two}]}"),
        "18:75: unknown cluster 'two', expected the name of a cluster",
    ),
    "unknown weighted cluster": (
        route("route: {weighted_clusters: {clusters: [{name: two, weight: 1}]}}"),
        "18:63: unknown cluster 'two', expected the name of a cluster",
    ),
    "weights of nothing": (
        route("route: {weighted_clusters: {clusters: [{name: one, weight: 0}]}}"),
        "18:45: the sum of the weights is 0, expected 1 to 4294967295",
    ),
    "no weight": (
        route("route: {weighted_clusters: {clusters: [{name: one}]}}"),
        "18:56: the weighted cluster has no weight, expected weight: 0 or more",
    ),
    "domain twice": (
        line(20, '              domains: ["A.com"]'),
        "20:25: domain 'A.com' is there twice, expected each domain once, first given at F:15:25",
    ),
    "no domains": (
        line(15, ""),
        '14:15: the virtual host has no domains, expected at least one, such as "*"',
    ),
    "open group": (
        match('{safe_regex: {regex: "(a"}}'),
        "17:45: bad regular expression '(a': missing ): (a, expected RE2 syntax",
    ),
    "look-ahead": (
        match('{safe_regex: {regex: "(?=a)"}}'),
        "17:45: bad regular expression '(?=a)': invalid perl operator: (?=, expected RE2 syntax",
    ),
    "match of nothing": (
        match("{}"),
        "17:17: the match says nothing of the path, expected one of prefix, path, safe_regex, "
        "path_separated_prefix, connect_matcher",
    ),
    "no action": (route(""), "17:17: the route has no action, expected one of route, redirect, direct_response"),
    "trailing slash": (
        match("{path_separated_prefix: /a/}"),
        "17:48: path_separated_prefix is '/a/', expected a path without '?' and '#' that does not end with '/'",
    ),
    "header without a name": (
        match('{prefix: /, headers: [{name: ""}]}'),
        "17:53: the header has no name, expected the name of a header",
    ),
    "empty contains": (
        match('{prefix: /, headers: [{name: a, string_match: {contains: ""}}]}'),
        "17:81: the contains is empty, expected at least one character",
    ),
    "two rewrites": (
        route("route: {cluster: one, prefix_rewrite: /a, regex_rewrite: {pattern: {regex: a}, substitution: b}}"),
        "18:59: 'regex_rewrite' excludes 'prefix_rewrite', expected one of the two",
    ),
    "status of nothing": (
        route("direct_response: {status: 199}"),
        "18:43: the status is 199, expected 200 to 599",
    ),
    "body too long": (
        route(f"direct_response: {{status: 200, body: {{inline_string: {'a' * 4097}}}}}"),
        "18:48: the body has 4097 bytes, expected at most 4096, max_direct_response_body_size_bytes allows more",
    ),
    "body of no file": (
        route("direct_response: {status: 200, body: {filename: /nonexistent}}"),
        "18:65: cannot read '/nonexistent': No such file or directory, expected a file",
    ),
    "pseudo header": (
        route('route: {cluster: one}\n                request_headers_to_add: [{header: {key: ":path"}}]'),
        "19:57: header ':path' may not be changed, expected a name without ':' that is not host",
    ),
    "host header": (
        route("route: {cluster: one}\n                request_headers_to_remove: [host]"),
        "19:45: header 'host' may not be changed, expected a name without ':' that is not host",
    ),
    "header format": (
        route('route: {cluster: one}\n                response_headers_to_add: [{header: {key: a, value: "%NOPE%"}}]'),
        "19:68: format operator %NOPE% is unknown or not supported",
    ),
    "back-off without base": (
        route("route: {cluster: one, retry_policy: {retry_back_off: {max_interval: 1s}}}"),
        "18:54: retry_back_off has no base_interval, expected base_interval",
    ),
    "back-off backwards": (
        route("route: {cluster: one, retry_policy: {retry_back_off: {base_interval: 2s, max_interval: 1s}}}"),
        "18:104: max_interval is 1s, expected at least base_interval, 2s",
    ),
    "negative timeout": (
        route("route: {cluster: one, timeout: -1s}"),
        "18:48: timeout is -1s, expected 0s or more",
    ),
    "upgrade twice": (
        route("route: {cluster: one, upgrade_configs: [{upgrade_type: a}, {upgrade_type: A}]}"),
        "18:91: upgrade 'A' is there twice, expected each once",
    ),
    "router twice": (
        line(24, f"{BASE.splitlines()[23]}\n" + "\n".join(BASE.splitlines()[24:27])),
        "25:13: 'envoy.filters.http.router' ends the filter chain, and others come after it, expected it to be the "
        "last one",
    ),
    "fault last": (
        line(27, f"{BASE.splitlines()[26]}\n          - {{name: fault, typed_config: {FAULT}}}"),
        "25:13: 'envoy.filters.http.router' ends the filter chain, and others come after it, expected it to be the "
        "last one\n"
        "F:28:13: the last filter, 'fault', does not end the filter chain, expected a last filter such as the "
        "router, envoy.filters.http.router",
    ),
    "network filter among stream filters": (
        line(
            24,
            f"{BASE.splitlines()[23]}\n          - {{name: x, typed_config: {{'@type': "
            "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: a, "
            "cluster: one}}",
        ),
        "25:23: 'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy' is a network filter, expected a stream filter",
    ),
    "address taken": (
        line(29, "    address: {socket_address: {address: 127.0.0.1, port_value: 10000}}"),
        "29:5: listener 'raw' has the address of 'in', 127.0.0.1:10000, expected an address of its own",
    ),
    "listener at a name": (
        line(29, "    address: {socket_address: {address: localhost, port_value: 10001}}"),
        "29:41: 'localhost' is not an IP address, expected an IP address to listen on",
    ),
    "no port": (
        line(29, "    address: {socket_address: {address: 127.0.0.1}}"),
        "29:15: the address has no port, expected port_value",
    ),
    "port too high": (
        line(29, "    address: {socket_address: {address: 127.0.0.1, port_value: 65536}}"),
        "29:64: port_value is 65536, expected 0 to 65535",
    ),
    "mode too wide": (
        line(29, "    address: {pipe: {path: /tmp/a, mode: 512}}"),
        "29:42: mode is 512, expected at most 511 (0777)",
    ),
    "no address": (line(29, ""), "28:5: the listener has no address, expected address: {socket_address: …}"),
    "bad prefix": (
        line(31, "    - filter_chain_match: {prefix_ranges: [{address_prefix: 10.0.0}]}\n      filters:"),
        "31:61: '10.0.0' is not an IP address, expected an address such as 10.0.0.0 or fd00::",
    ),
    "wildcard inside": (
        line(31, '    - filter_chain_match: {server_names: ["a*.com"]}\n      filters:'),
        "31:43: server name 'a*.com' has a wildcard inside, expected a name, or '*.' and the end of names",
    ),
    "port 0 to match": (
        line(31, "    - filter_chain_match: {destination_port: 0}\n      filters:"),
        "31:46: the port is 0, expected 1 to 65535",
    ),
    "chain twice": (
        line(
            31,
            "    - filter_chain_match: {destination_port: 1}\n      filters: &f\n"
            + "\n".join(BASE.splitlines()[31:36])
            + "\n    - filter_chain_match: {destination_port: 1}\n      filters: *f\n"
            "    - filters:",
        ),
        "38:7: this filter chain matches the same connections as an earlier one, expected a match of its own",
    ),
    "cluster twice": (
        extra("  - name: one"),
        "45:11: cluster 'one' is there twice, expected a name of its own, first given at F:38:11",
    ),
    "cluster without a name": (extra("  - type: STATIC"), "45:5: the cluster has no name, expected a name of its own"),
    "static name": (
        line(44, "        - endpoint: {address: {socket_address: {address: localhost, port_value: 81}}}"),
        "44:58: 'localhost' is not an IP address, expected an IP address in a STATIC or EDS cluster, a name in one of "
        "type STRICT_DNS or LOGICAL_DNS",
    ),
    "endpoint of no weight": (
        line(44, BASE.splitlines()[43] + "\n          load_balancing_weight: 0"),
        "45:34: the weight is 0, expected at least 1",
    ),
    "two logical endpoints": (
        line(
            39,
            "    type: LOGICAL_DNS\n    load_assignment: {cluster_name: one, endpoints: [{lb_endpoints: ["
            "{endpoint: {address: {socket_address: {address: a, port_value: 1}}}}, "
            "{endpoint: {address: {socket_address: {address: b, port_value: 1}}}}]}]}\n  - name: two",
        ),
        "40:5: a LOGICAL_DNS cluster has 2 endpoints, expected one",
    ),
    "EDS without a source": (
        extra("  - {name: two, type: EDS}"),
        "45:5: the cluster is of type EDS, and nothing tells its endpoints, expected a registry, "
        "name a registry in bootstrap_extensions",
    ),
    "EDS settings of another type": (
        cluster("eds_cluster_config: {service_name: a}"),
        "39:5: eds_cluster_config is given for another type of cluster, expected type: EDS",
    ),
    "no time to connect": (cluster("connect_timeout: 0s"), "39:22: connect_timeout is 0s, expected more than 0s"),
    "choice of one": (
        cluster("least_request_lb_config: {choice_count: 1}"),
        "39:45: choice_count is 1, expected at least 2",
    ),
    "options of no protocol": (
        cluster(
            f"typed_extension_protocol_options: {{{HTTP_OPTIONS}: {{'@type': type.googleapis.com/{HTTP_OPTIONS}}}}}"
        ),
        "39:40: no protocol is given, expected explicit_http_config or use_downstream_protocol_config",
    ),
    "flushed never": (
        extra("stats_flush_interval: 400s"),
        "45:23: stats_flush_interval is 400s, expected at least 0.001s and less than 300s",
    ),
    "unknown field": (
        cluster("lb_polcy: RANDOM"),
        "39:5: unknown field 'lb_polcy' in envoy.config.cluster.v3.Cluster, expected a field of it, "
        "did you mean 'lb_policy'",
    ),
}

REFUSED_BY_PLAIT_ALONE: dict[str, tuple[tuple[int, str], str]] = {
    "unknown cluster of tcp_proxy": (
        line(36, "          cluster: onne"),
        "36:20: unknown cluster 'onne', expected the name of a cluster, did you mean 'one'",
    ),
    "virtual host twice": (
        line(19, "            - name: a"),
        "19:21: virtual host 'a' is there twice, expected a name of its own, first given at F:14:21",
    ),
    "listener twice": (
        line(28, "  - name: in"),
        "28:11: listener 'in' is there twice, expected a name of its own, first given at F:3:11",
    ),
    "group that is not there": (
        route("route: {cluster: one, regex_rewrite: {pattern: {regex: a}, substitution: '\\1'}}"),
        "18:90: the substitution wants group 1, and the pattern has 0, expected groups of the pattern",
    ),
    "header with a space": (
        route('route: {cluster: one}\n                request_headers_to_add: [{header: {key: "a b"}}]'),
        "19:57: 'a b' is not the name of a header, expected letters, digits and -",
    ),
    "no network filters": (
        line(31, "    - filters: []\n    - filter_chain_match: {destination_port: 1}\n      filters:"),
        "31:7: the filter chain has no filters, expected a last filter such as envoy.filters.network.tcp_proxy",
    ),
    "prefix too long": (
        line(
            31,
            "    - filter_chain_match: {prefix_ranges: [{address_prefix: 10.0.0.0, prefix_len: 40}]}\n      filters:",
        ),
        "31:83: prefix_len is 40, expected at most 32 for 10.0.0.0",
    ),
    "no buffer": (
        listener("per_connection_buffer_limit_bytes: 0"),
        "30:40: per_connection_buffer_limit_bytes is 0, expected at least 1",
    ),
    "settings of another filter": (
        route(
            "route: {cluster: one}\n                typed_per_filter_config: {envoy.filters.http.router: " + FAULT + "}"
        ),
        "19:43: typed_config is a envoy.extensions.filters.http.fault.v3.HTTPFault, "
        "expected settings of 'envoy.filters.http.router'",
    ),
    # what is not there yet
    "dynamic resources": (
        extra(
            "node: {id: a, cluster: b}\ndynamic_resources: {cds_config: {ads: {}, resource_api_version: V3}, "
            "ads_config: {api_type: GRPC, transport_api_version: V3, "
            "grpc_services: [{envoy_grpc: {cluster_name: one}}]}}"
        ),
        f"46:1: field 'dynamic_resources' {UNSUPPORTED}, expected static_resources, xDS comes in a later version",
    ),
    "overload manager": (
        extra(
            "overload_manager: {resource_monitors: [{name: envoy.resource_monitors.global_downstream_max_connections, "
            "typed_config: {'@type': type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3."
            "DownstreamConnectionsConfig, max_active_downstream_connections: 1000}}]}"
        ),
        f"45:1: field 'overload_manager' {UNSUPPORTED}",
    ),
    "a check that nothing fails": (
        cluster(
            check("tcp_health_check: {}", "timeout: 1s, interval: 1s, healthy_threshold: 1, unhealthy_threshold: 0")
        ),
        "39:92: unhealthy_threshold is 0, expected at least 1",
    ),
    "a check with another ALPN": (
        cluster(check("tcp_health_check: {}, tls_options: {alpn_protocols: [h2]}")),
        f"39:117: field 'tls_options' {UNSUPPORTED}",
    ),
    "a check of who answers": (
        cluster(check("http_health_check: {path: /, service_name_matcher: {prefix: a}}")),
        f"39:124: field 'service_name_matcher' {UNSUPPORTED}",
    ),
    "operators in a check's headers": (
        cluster(
            check("http_health_check: {path: /, request_headers_to_add: [{header: {key: a, value: '%HOSTNAME%'}}]}")
        ),
        "39:174: operators mean nothing in a health check's headers, expected text, with %% for a per cent sign",
    ),
    "another port for checks that there is not": (
        cluster(check("tcp_health_check: {}, alt_port: 70000")),
        "39:127: alt_port is 70000, expected at most 65535",
    ),
    "another address for checks": (
        endpoint("health_check_config: {address: {socket_address: {address: 127.0.0.1, port_value: 82}}}"),
        f"44:44: field 'address' {UNSUPPORTED}",
    ),
    "weights of localities": (
        cluster("common_lb_config: {locality_weighted_lb_config: {}}"),
        f"39:24: field 'locality_weighted_lb_config' {UNSUPPORTED}",
    ),
    "ring hash": (
        cluster("lb_policy: RING_HASH"),
        f"39:16: lb_policy RING_HASH {UNSUPPORTED}, expected one of ROUND_ROBIN, LEAST_REQUEST, RANDOM",
    ),
    "PROXY protocol upstream": (
        cluster(
            "transport_socket: {name: envoy.transport_sockets.upstream_proxy_protocol, typed_config: {'@type': "
            "type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport, "
            "transport_socket: {name: envoy.transport_sockets.raw_buffer, typed_config: {'@type': "
            "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}}}"
        ),
        "39:79: extension 'envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport' "
        "cannot be used: no installed plugin registers this UpstreamTransportSocketType, install the distribution that "
        "has it (`mesh plugins` lists what there is)",
    ),
    "filter of Envoy's": (
        line(
            24,
            f"{BASE.splitlines()[23]}\n          - name: envoy.filters.http.ratelimit\n"
            "            typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer, "
            "max_request_bytes: 1}",
        ),
        "26:13: extension 'envoy.extensions.filters.http.buffer.v3.Buffer' cannot be used: no installed plugin "
        "registers this FilterType, install the distribution that has it (`mesh plugins` lists what there is)",
    ),
    "weighted host rewrite": (
        route("route: {weighted_clusters: {clusters: [{name: one, weight: 1, host_rewrite_literal: a}]}}"),
        f"18:101: field 'host_rewrite_literal' {UNSUPPORTED}",
    ),
    "route by TLS": (match("{prefix: /, tls_context: {presented: true}}"), f"17:36: field 'tls_context' {UNSUPPORTED}"),
    "address of several": (
        listener("additional_addresses: [{address: {socket_address: {address: 127.0.0.1, port_value: 1}}}]"),
        f"30:5: field 'additional_addresses' {UNSUPPORTED}",
    ),
}

ACCEPTED_BY_BOTH: dict[str, tuple[int, str]] = {
    "as it is": line(1, "static_resources:"),
    "bits beyond the prefix": line(
        31, "    - filter_chain_match: {prefix_ranges: [{address_prefix: 10.1.2.3, prefix_len: 8}]}\n      filters:"
    ),
    "strict DNS": line(39, "    type: STRICT_DNS"),
    "no endpoints": extra("  - {name: two, type: STRICT_DNS}"),
    "HTTP/1.1 upstream": cluster(
        f"typed_extension_protocol_options: {{{HTTP_OPTIONS}: {{'@type': type.googleapis.com/{HTTP_OPTIONS}, "
        "explicit_http_config: {http_protocol_options: {enable_trailers: true}}}}"
    ),
    "empty range": match("{prefix: /, headers: [{name: a, range_match: {start: 5, end: 5}}]}"),
    "odd domain": line(15, '              domains: ["a*b"]'),
    "old total weight": route("route: {weighted_clusters: {total_weight: 5, clusters: [{name: one, weight: 1}]}}"),
    "clusters not checked": line(12, "            name: r\n            validate_clusters: true"),
    "fault on a route": route(
        "route: {cluster: one}\n                typed_per_filter_config: {envoy.filters.http.fault: " + FAULT + "}"
    ),
    "admin without an address": extra("admin: {}"),
    "check by TCP": cluster(check("tcp_health_check: {send: {text: '00ff'}, receive: [{text: '0102'}]}")),
    "check by HTTP": cluster(
        check(
            "http_health_check: {path: /, host: a, method: HEAD, expected_statuses: [{start: 200, end: 300}], "
            "retriable_statuses: [{start: 500, end: 600}], codec_client_type: HTTP2, request_headers_to_add: "
            "[{header: {key: x, value: a}}], request_headers_to_remove: [user-agent]}, initial_jitter: 1s, "
            "interval_jitter: 1s, interval_jitter_percent: 10, no_traffic_interval: 1s, no_traffic_healthy_interval: "
            "1s, unhealthy_interval: 1s, unhealthy_edge_interval: 1s, healthy_edge_interval: 1s, reuse_connection: "
            "false, alt_port: 8080"
        )
    ),
    "check by gRPC": cluster(
        HTTP2_CLUSTER
        + "\n    "
        + check("grpc_health_check: {service_name: a, authority: b, initial_metadata: [{header: {key: x, value: a}}]}")
    ),
    "no panic": cluster("common_lb_config: {healthy_panic_threshold: {value: 0}}"),
    "check of an endpoint": endpoint("health_check_config: {port_value: 82, hostname: a}"),
    "match of the default chain": line(
        31,
        "    - filter_chain_match: {destination_port: 1}\n      filters: &f\n"
        + "\n".join(BASE.splitlines()[31:36])
        + "\n    default_filter_chain: {filter_chain_match: {destination_port: 2}, filters: *f}\n  - name: raw2\n"
        "    address: {socket_address: {address: 127.0.0.1, port_value: 10002}}\n    filter_chains:\n    - filters:",
    ),
}


def written(change: tuple[int, str], folder: Path) -> Path:
    """Write the base with one line changed."""
    number, text = change
    lines = BASE.splitlines()
    lines[number - 1] = text
    path = folder / "f.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue(discover())


def complaints(path: Path, catalogue: Catalogue) -> str:
    """Return everything said of a file, which is called F."""
    with pytest.raises(ConfigErrors) as caught:
        load_bootstrap(str(path), "", catalogue, check_format=compile_format)
    return str(caught.value).replace(str(path), "F")


@pytest.mark.parametrize("name", [*REFUSED_BY_ENVOY_TOO, *REFUSED_BY_PLAIT_ALONE])
def test_a_broken_configuration_is_refused_at_its_place(name: str, tmp_path: Path, catalogue: Catalogue) -> None:
    change, said = {**REFUSED_BY_ENVOY_TOO, **REFUSED_BY_PLAIT_ALONE}[name]
    assert complaints(written(change, tmp_path), catalogue) == f"F:{said}"


@pytest.mark.parametrize("name", ACCEPTED_BY_BOTH)
def test_a_configuration_without_errors_is_accepted(name: str, tmp_path: Path, catalogue: Catalogue) -> None:
    made = load_bootstrap(str(written(ACCEPTED_BY_BOTH[name], tmp_path)), "", catalogue, check_format=compile_format)
    assert [listener.name for listener in made.listeners][:2] == ["in", "raw"]


def test_everything_wrong_is_said_at_once_in_the_order_of_the_text(tmp_path: Path, catalogue: Catalogue) -> None:
    changes = (match('{safe_regex: {regex: "("}}'), route("route: {cluster: two}"), cluster("lb_policy: MAGLEV"))
    lines = BASE.splitlines()
    for number, text in changes:
        lines[number - 1] = text
    path = tmp_path / "f.yaml"
    path.write_text("\n".join(lines))
    said = complaints(path, catalogue).splitlines()
    assert [re.match(r"F:(\d+):", one)[1] for one in said] == ["17", "18", "39"]  # type: ignore[index]


def envoy_accepts(path: Path) -> bool:
    command = [str(ENVOY), "--mode", "validate", "--use-dynamic-base-id", "-l", "off", "-c", str(path)]
    return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0


@pytest.mark.interop
@pytest.mark.skipif(not ENVOY.exists(), reason="no Envoy: `make interop` installs it")
def test_envoy_judges_the_same(tmp_path: Path) -> None:
    accepted = ACCEPTED_BY_BOTH.items()
    refused = [(name, change) for name, (change, _) in REFUSED_BY_ENVOY_TOO.items()]
    alone = [(name, change) for name, (change, _) in REFUSED_BY_PLAIT_ALONE.items()]
    verdicts = {name: envoy_accepts(written(change, tmp_path)) for name, change in (*accepted, *refused, *alone)}
    assert [name for name, _ in accepted if not verdicts[name]] == []
    assert [name for name, _ in refused if verdicts[name]] == []
    assert [name for name, _ in alone if not verdicts[name]] == []
