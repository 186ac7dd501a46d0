"""What is wrong with a configuration: each takes ``bench/configs/http.yaml`` and breaks one thing in it."""

from __future__ import annotations

from tests.interop.peers import ROOT

BASE = (ROOT / "bench" / "configs" / "http.yaml").read_text()

_ROUTE = 'match: {prefix: "/"}\n                route: {cluster: upstream}'
_ACTION = "route: {cluster: upstream}"
_ANY = 'match: {prefix: "/"}'
_ROUTER = """          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
"""


def _and(*lines: str) -> tuple[str, str]:
    """The route with more lines."""
    return _ROUTE, "\n                ".join((_ROUTE, *lines))


def _adding(header: str) -> tuple[str, str]:
    return _and(f"request_headers_to_add: [{{header: {header}}}]")


def _matching(match: str) -> tuple[str, str]:
    return _ANY, f"match: {{{match}}}"


def _acting(action: str) -> tuple[str, str]:
    return _ACTION, action


def _forwarding(fields: str) -> tuple[str, str]:
    return _ACTION, f"route: {{{fields}}}"


# What is replaced, by what.
BROKEN: dict[str, tuple[str, str]] = {
    "not YAML": ("admin:", "admin: ["),
    "empty": (BASE, ""),
    "a list": (BASE, "- a\n"),
    "unknown field": ("connect_timeout: 1s", "conect_timeout: 1s"),
    "unknown field in a typed_config": ("stat_prefix: bench", "stat_prefix: bench\n          prefix_stat: bench"),
    "unknown type": ("http.router.v3.Router", "http.router.v3.Rooter"),
    "no type": (_ROUTER, "          - name: envoy.filters.http.router\n"),
    "text for a number": ("port_value: 10000", "port_value: many"),
    "number too large": ("port_value: 10000", "port_value: 70000"),
    "negative number": ("port_value: 10000", "port_value: -1"),
    "text for a mapping": ('match: {prefix: "/"}', "match: /"),
    "bad duration": ("connect_timeout: 1s", "connect_timeout: 1 second"),
    "negative duration": ("connect_timeout: 1s", "connect_timeout: -1s"),
    "duration of nothing": ("connect_timeout: 1s", "connect_timeout: 0s"),
    "unknown enum value": ("type: STATIC", "type: STATICAL"),
    "address that is no IP": ("address: 127.0.0.1, port_value: 18080", "address: localhost, port_value: 18080"),
    "listener on a name": ("address: 127.0.0.1, port_value: 10000", "address: some.host.test, port_value: 10000"),
    "unknown cluster": _forwarding("cluster: downstream"),
    "two clusters of a name": (
        "  clusters:\n",
        "  clusters:\n  - {name: upstream, type: STATIC, connect_timeout: 1s}\n",
    ),
    "cluster without a name": ("  - name: upstream\n", '  - name: ""\n'),
    "two listeners on one address": (
        "  listeners:\n",
        "  listeners:\n  - name: other\n    address: {socket_address: {address: 127.0.0.1, port_value: 10000}}\n"
        "    filter_chains: [{filters: []}]\n",
    ),
    "no stat_prefix": ("          stat_prefix: bench\n", ""),
    "no routes specified": ("          route_config:", "          route_config_of_old:"),
    "domain twice": ('domains: ["*"]', 'domains: ["*", "*"]'),
    "domain in two hosts": (
        "            virtual_hosts:\n",
        '            virtual_hosts:\n            - {name: other, domains: ["*"]}\n',
    ),
    "no domains": ('domains: ["*"]', "domains: []"),
    "host without a name": ("            - name: bench\n              domains", "            - domains"),
    "two hosts of a name": (
        "            virtual_hosts:\n",
        '            virtual_hosts:\n            - {name: bench, domains: ["a"]}\n',
    ),
    "no match": ('match: {prefix: "/"}\n                route: {cluster: upstream}', "route: {cluster: upstream}"),
    "match of nothing": _matching(""),
    "no action": ("                route: {cluster: upstream}\n", ""),
    "two actions": _forwarding("cluster: upstream}\n                redirect: {"),
    "two matches": _matching('prefix: "/", path: "/a"'),
    "bad regex": _matching('safe_regex: {regex: "a("}'),
    "regex with a back-reference": _matching('safe_regex: {regex: "(a)\\\\1"}'),
    "regex with look-ahead": _matching('safe_regex: {regex: "(?=a)"}'),
    "separated prefix with a slash behind": _matching("path_separated_prefix: /a/"),
    "separated prefix without a slash": _matching("path_separated_prefix: a"),
    "header without a name": _matching('prefix: "/", headers: [{present_match: true}]'),
    "prefix and regex rewritten": _forwarding(
        "cluster: upstream, prefix_rewrite: /, regex_rewrite: {pattern: {regex: a}, substitution: b}"
    ),
    "substitution of a group that is not there": _forwarding(
        'cluster: upstream, regex_rewrite: {pattern: {regex: a}, substitution: "\\\\1"}'
    ),
    "weights of nothing": _forwarding("weighted_clusters: {clusters: [{name: upstream, weight: 0}]}"),
    "weights of nobody": _forwarding("weighted_clusters: {clusters: []}"),
    "retry on nothing known": _forwarding("cluster: upstream, retry_policy: {retry_on: 5xx, num_retries: -1}"),
    "back-off the wrong way round": _forwarding(
        "cluster: upstream, retry_policy: {retry_back_off: {base_interval: 2s, max_interval: 1s}}"
    ),
    "redirect with an unknown code": _acting("redirect: {response_code: TEAPOT}"),
    "direct response without a status": _acting("direct_response: {}"),
    "direct response with a status of 99": _acting("direct_response: {status: 99}"),
    "direct response with a status of 600": _acting("direct_response: {status: 600}"),
    "header with an unknown operator": _adding('{key: a, value: "%WHAT%"}'),
    "header with half an operator": _adding('{key: a, value: "%REQ(a)"}'),
    "host header removed": _and("request_headers_to_remove: [host]"),
    "pseudo-header added": _adding('{key: ":path", value: a}'),
    "header with a line end": _adding('{key: a, value: "b\\nc"}'),
    "no filters": ("          http_filters:\n", "          http_filters_of_old:\n"),
    "router not last": (_ROUTER, _ROUTER + _ROUTER),
    "router not there": ("http_filters:\n" + _ROUTER, "http_filters: []\n"),
    "filter that is not terminal": ("http.router.v3.Router", "http.fault.v3.HTTPFault"),
    "network filter among the HTTP filters": ("filters.http.router.v3.Router", "filters.network.tcp_proxy.v3.TcpProxy"),
    "no filter chains": ("    filter_chains:", "    filter_chain_of_old:"),
    "no network filters": ("    - filters:\n", "    - filters: []\n      filters_of_old:\n"),
    "unknown extension": (
        "      - name: envoy.filters.network.http_connection_manager\n",
        "      - name: some.filter\n      - name: envoy.filters.network.http_connection_manager\n",
    ),
    "endpoints of another cluster": ("cluster_name: upstream", 'cluster_name: ""'),
    "two endpoints of a logical DNS cluster": ("type: STATIC", "type: LOGICAL_DNS\n    lb_policy: RING_HASHED"),
    "per-route settings of a filter that is not there": _and(
        'typed_per_filter_config: {some.filter: {"@type": type.googleapis.com/some.Type}}'
    ),
    "fault with a status of 1000": _and(
        "typed_per_filter_config:",
        "  envoy.filters.http.fault:",
        '    "@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault',
        "    abort: {http_status: 1000}",
    ),
}
