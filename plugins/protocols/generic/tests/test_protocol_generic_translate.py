"""From Envoy's GenericProxy to settings and a route table, or to what is wrong with it and where."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
import yaml

import plait
from plait import (
    AllOf,
    AnyOf,
    ConfigErrors,
    DirectResponse,
    ForwardAction,
    HeaderOp,
    HeaderOps,
    InputMatches,
    MatcherList,
    MatcherMap,
    MatchInput,
    Not,
    OnMatch,
    ProtocolType,
    RetryPolicy,
    Route,
    RouteConfiguration,
    RouteMatch,
    StringMatcher,
    WeightedCluster,
)
from plait.api.config import Bootstrap
from plait.plugins import Catalogue, PluginInfo, discover
from plait.xds import load_bootstrap
from plait_protocol_generic import RpcProxySettings

MODULE = "plait_test_rpc"
HEAD = """\
static_resources:
  clusters:
  - {name: one, load_assignment: {cluster_name: one}}
  - {name: two, load_assignment: {cluster_name: two}}
  listeners:
  - name: in
    address: {socket_address: {address: 127.0.0.1, port_value: 10000}}
    filter_chains:
    - filters:
      - name: rpc
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.generic_proxy.v3.GenericProxy
"""
REST = """\
          stat_prefix: in
          codec_config: {name: plait.generic_proxy.codecs.rpc}
          filters: [{name: envoy.filters.generic.router}]
"""
GENERIC = "type.googleapis.com/envoy.extensions.filters.network.generic_proxy."
ROUTE = "type.googleapis.com/envoy.config.route.v3."


@attrs.frozen
class Options:
    limit: int = 1


def unused(*arguments: object) -> Any:
    raise NotImplementedError


@plait.hookimpl
def plait_protocols() -> list[ProtocolType]:
    return [
        ProtocolType("rpc", unused, unused, unused, options=Options),
        ProtocolType("bare", unused, unused, unused),
        ProtocolType("dubbo", unused, unused, unused),
    ]


@pytest.fixture(autouse=True)
def protocols() -> Iterator[None]:
    module = types.ModuleType(MODULE)
    module.plait_protocols = plait_protocols  # type: ignore[attr-defined]
    sys.modules[MODULE] = module
    yield
    del sys.modules[MODULE]


def loaded(text: str) -> Bootstrap:
    ours = PluginInfo("rpc", "protocols", "test", "1", MODULE, registers=("rpc", "bare", "dubbo"))
    others = [info for info in discover() if info.name not in ("bolt", "dubbo")]
    return load_bootstrap("", text, Catalogue([*others, ours]))


def settings(text: str) -> RpcProxySettings:
    (listener,) = loaded(HEAD + text).listeners
    made = listener.filter_chains[0].filters[0].settings
    assert isinstance(made, RpcProxySettings)
    return made


def written(part: Any) -> str:
    """A part in YAML's flow style: one line."""
    return yaml.safe_dump(part, default_flow_style=True, width=10_000).strip()


def table(**route_config: Any) -> RouteConfiguration:
    (routes,) = loaded(f"{HEAD}{REST}          route_config: {written(route_config)}\n").routes
    return routes


def tree(routes: Any) -> Any:
    (host,) = table(routes=routes).virtual_hosts
    return host.matcher


def action(routed: Any) -> Route:
    """The route of an action."""
    made = tree({"on_no_match": {"action": {"name": "named", "typed_config": routed}}})
    assert isinstance(made, MatcherList)
    assert made.on_no_match is not None
    assert isinstance(made.on_no_match.action, Route)
    return made.on_no_match.action


def errors(text: str) -> list[str]:
    """What is wrong with a GenericProxy, each with the word that is written at its place; ``~`` is for GENERIC."""
    whole = HEAD + text.replace("~", GENERIC)
    with pytest.raises(ConfigErrors) as raised:
        loaded(whole)
    lines = whole.splitlines()
    places = [lines[one.line - 1][one.column - 1 :] for one in raised.value.errors]
    words = [re.match(r"'?[@\w]*", place) for place in places]
    return [f"{word and word[0]}: {one}" for word, one in zip(words, raised.value.errors, strict=True)]


def to(cluster: str) -> Any:
    return {
        "action": {"name": cluster, "typed_config": {"@type": GENERIC + "action.v3.RouteAction", "cluster": cluster}}
    }


def routed(cluster: str) -> OnMatch:
    return OnMatch(Route(RouteMatch(), ForwardAction(cluster=cluster)))


def of(kind: str, **fields: Any) -> Any:
    return {"name": kind, "typed_config": {"@type": f"{GENERIC}matcher.v3.{kind}MatchInput", **fields}}


def single(kind: str, value: Any, **fields: Any) -> Any:
    return {"single_predicate": {"input": of(kind, **fields), "value_match": value}}


def exact(kind: str, value: str, name: str = "") -> InputMatches:
    return InputMatches(MatchInput(kind, name), StringMatcher("exact", value))


# what is understood


def test_the_whole() -> None:
    made = settings(
        REST
        + "          access_log: [{name: envoy.access_loggers.stdout}]\n"
        + f"          route_config: {written({'name': 'calls', 'routes': {'on_no_match': to('one')}})}\n"
    )
    assert (made.stat_prefix, made.protocol, made.routes, made.codec_options) == (
        "generic_proxy.in", "rpc", "calls", None
    )  # fmt: skip
    assert [one.type for one in made.filters] == ["envoy.filters.generic.router"]
    assert [one.type for one in made.access_log] == ["envoy.access_loggers.stdout"]


@pytest.mark.parametrize(
    ("config", "protocol", "options"),
    [
        ({"name": "plait.generic_proxy.codecs.rpc"}, "rpc", None),
        (
            {
                "name": "any",
                "typed_config": {
                    "@type": "type.googleapis.com/xds.type.v3.TypedStruct",
                    "type_url": "plait.generic_proxy.codecs.rpc",
                    "value": {"limit": 7},
                },
            },
            "rpc",
            Options(7),
        ),
        (
            {
                "name": "any",
                "typed_config": {
                    "@type": "type.googleapis.com/xds.type.v3.TypedStruct",
                    "type_url": "type.googleapis.com/plait.generic_proxy.codecs.bare",
                },
            },
            "bare",
            None,
        ),
        ({"name": "any", "typed_config": {"@type": GENERIC + "codecs.dubbo.v3.DubboCodecConfig"}}, "dubbo", None),
    ],
)
def test_codecs(config: Any, protocol: str, options: object) -> None:
    routes = written({"routes": {"on_no_match": to("one")}})
    text = REST.replace("{name: plait.generic_proxy.codecs.rpc}", written(config))
    made = settings(f"{text}          route_config: {routes}\n")
    assert (made.protocol, made.codec_options) == (protocol, options)


def test_virtual_hosts_and_the_default_one() -> None:
    hosts = [{"name": "a", "hosts": ["a", "b.*"], "routes": {"on_no_match": to("one")}}]
    made = table(name="calls", virtual_hosts=hosts, routes={"on_no_match": to("two")})
    assert (made.name, made.any_case) == ("calls", False)
    assert [(one.name, one.domains, one.matcher) for one in made.virtual_hosts] == [
        ("a", ("a", "b.*"), MatcherList((), routed("one"))),
        ("*", ("*",), MatcherList((), routed("two"))),
    ]


def test_predicates() -> None:
    user = single("Property", {"prefix": "a", "ignore_case": True}, property_name="User")
    predicate = {
        "or_matcher": {
            "predicate": [
                {"and_matcher": {"predicate": [single("Service", {"exact": "s"}), single("Host", {"exact": "h"})]}},
                {"not_matcher": user},
                single("Path", {"safe_regex": {"regex": "x+"}}),
            ]
        }
    }
    made = tree({"matcher_list": {"matchers": [{"predicate": predicate, "on_match": to("one")}]}})
    condition = AnyOf(
        (
            AllOf((exact("service", "s"), exact("service", "h"))),
            Not(InputMatches(MatchInput("header", "User"), StringMatcher("prefix", "a", True))),
            InputMatches(MatchInput("path"), StringMatcher("safe_regex", "x+")),
        )
    )
    assert made == MatcherList(((condition, routed("one")),))


def test_request_matcher_asks_for_all_it_says() -> None:
    custom = {
        "name": "request",
        "typed_config": {
            "@type": GENERIC + "matcher.v3.RequestMatcher",
            "host": {"exact": "h"},
            "path": {"exact": "p"},
            "method": {"exact": "m"},
            "properties": [{"name": "user", "string_match": {"exact": "u"}}],
        },
    }
    predicate = {"single_predicate": {"input": of("Request"), "custom_match": custom}}
    made = tree({"matcher_list": {"matchers": [{"predicate": predicate, "on_match": to("one")}]}})
    condition = AllOf(
        (exact("service", "h"), exact("path", "p"), exact("method", "m"), exact("header", "u", "user"))
    )  # fmt: skip
    assert made == MatcherList(((condition, routed("one")),))


@pytest.mark.parametrize("kind", ["exact_match_map", "prefix_match_map"])
def test_maps_and_nested_matchers(kind: str) -> None:
    below = {"matcher_list": {"matchers": [{"predicate": single("Method", {"exact": "m"}), "on_match": to("two")}]}}
    entries = {"a": to("one"), "b": {"matcher": below}}
    made = tree({"matcher_tree": {"input": of("Service"), kind: {"map": entries}}, "on_no_match": to("two")})
    nested = MatcherList(((exact("method", "m"), routed("two")),))
    assert made == MatcherMap(
        MatchInput("service"),
        (("a", routed("one")), ("b", OnMatch(tree=nested))),
        prefixes=kind == "prefix_match_map",
        on_no_match=routed("two"),
    )


def test_generic_action() -> None:
    made = action(
        {
            "@type": GENERIC + "action.v3.RouteAction",
            "name": "own",
            "weighted_clusters": {"clusters": [{"name": "one", "weight": 3}, {"name": "two", "weight": 1}]},
            "timeout": "2.5s",
            "metadata": {"filter_metadata": {"a": {"b": 1}}},
            "retry_policy": {"num_retries": 3, "retry_back_off": {"base_interval": "0.01s", "max_interval": "0.02s"}},
        }
    )
    assert made.name == "own"
    assert made.metadata == {"a": {"b": 1}}
    assert made.action == ForwardAction(
        weighted=(WeightedCluster("one", 3), WeightedCluster("two", 1)),
        timeout_s=2.5,
        retry=RetryPolicy(
            ("connect-failure", "refused-stream"), num_retries=2, base_interval_s=0.01, max_interval_s=0.02
        ),
    )


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({}, None),
        ({"num_retries": 1}, None),
        ({"num_retries": 0}, None),
        ({"num_retries": 2}, (("connect-failure", "refused-stream"), 1)),
        ({"num_retries": 4, "retry_on": "5xx, reset"}, (("5xx", "reset"), 3)),
    ],
)
def test_num_retries_of_a_generic_action_counts_the_first_try(policy: Any, expected: Any) -> None:
    made = action({"@type": GENERIC + "action.v3.RouteAction", "cluster": "one", "retry_policy": policy}).action
    assert isinstance(made, ForwardAction)
    assert (made.retry and (made.retry.retry_on, made.retry.num_retries)) == expected


def test_route_actions_of_http() -> None:
    made = action(
        {"@type": ROUTE + "RouteAction", "cluster": "one", "retry_policy": {"retry_on": "5xx", "num_retries": 2}}
    )
    assert made == Route(
        RouteMatch(), ForwardAction(cluster="one", retry=RetryPolicy(("5xx",), num_retries=2)), "named"
    )  # fmt: skip


def test_routes_of_http() -> None:
    header = {"header": {"key": "x-way", "value": "rpc"}}
    match = {"prefix": "/"}
    made = action(
        {"@type": ROUTE + "Route", "match": match, "route": {"cluster": "one"}, "request_headers_to_add": [header]}
    )
    assert made == Route(
        RouteMatch(), ForwardAction(cluster="one"), "named", HeaderOps(request_add=(HeaderOp("x-way", "rpc"),))
    )
    made = action({"@type": ROUTE + "Route", "name": "own", "match": match, "direct_response": {"status": 503}})
    assert (made.name, made.action) == ("own", DirectResponse(503))


def test_settings_of_filters_on_routes() -> None:
    fault = {"@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault"}
    made = action(
        {
            "@type": GENERIC + "action.v3.RouteAction",
            "cluster": "one",
            "per_filter_config": {"envoy.filters.http.fault": fault},
        }
    )
    assert list(made.filter_settings) == ["envoy.filters.http.fault"]


# what is refused, and where

ROUTES = "          route_config: {routes: {on_no_match: {action: {name: a, typed_config: {'@type': %s, %s}}}}}\n"
STRUCT = "typed_config: {'@type': type.googleapis.com/xds.type.v3.TypedStruct, type_url: plait.generic_proxy.codecs."


def test_fields_of_the_proxy() -> None:
    proxy = "          tracing: {}\n          generic_rds: {route_config_name: x}\n"
    found = errors(REST.replace("stat_prefix: in", "stat_prefix: ''") + proxy)
    assert [re.sub(r"--config-yaml:\d+:\d+: ", "", one) for one in found] == [
        "typed_config: the proxy has no routes of its own, expected route_config",
        "': stat_prefix is empty, expected a name for its statistics",
        "tracing: field 'tracing' is not supported yet by plait",
        "generic_rds: field 'generic_rds' is not supported yet by plait",
    ]


@pytest.mark.parametrize(
    ("config", "at", "what"),
    [
        (
            "{name: bolts}",
            "codec_config",
            "'bolts' is no codec of generic_proxy, expected plait.generic_proxy.codecs.<",
        ),
        ("{name: plait.generic_proxy.codecs.nope}", "codec_config", "protocol 'nope' cannot be used"),
        (
            "{name: a, typed_config: {'@type': ~codecs.http1.v3.Http1CodecConfig}}",
            "typed_config",
            "HTTP is not spoken by generic_proxy, expected an RPC protocol",
        ),
        (
            "{name: a, " + STRUCT + "rpc, value: {limits: 1}}}",
            "1",
            "unknown field 'limits', expected one of limit",
        ),
        ("{name: a, " + STRUCT + "bare, value: {limit: 1}}}", "1", "protocol 'bare' has no settings"),
    ],
)
def test_codecs_that_are_none(config: str, at: str, what: str) -> None:
    text = REST.replace("{name: plait.generic_proxy.codecs.rpc}", config)
    (found,) = errors(f"{text}          route_config: {{}}\n")
    assert found.startswith(f"{at}: ")
    assert what in found


@pytest.mark.parametrize(
    ("filters", "at", "what"),
    [
        (
            "[]",
            "filters",
            "the filter chain has no filters, expected a last filter such as the router, envoy.filters.g",
        ),
        ("[{name: envoy.filters.http.fault}]", "", "'envoy.filters.http.fault', does not end the filter chain"),
        ("[{name: envoy.filters.http.router}]", "", "envoy.filters.http.router would add HTTP's headers to calls"),
        (
            "[{name: r, typed_config: {'@type': ~router.v3.Router, bind_upstream_connection: true}}]",
            "true",
            "bind_upstream_connection is not supported: upstream connections are shared by all callers",
        ),
    ],
)
def test_filters_that_make_no_chain(filters: str, at: str, what: str) -> None:
    text = REST.replace("[{name: envoy.filters.generic.router}]", filters)
    (found,) = errors(f"{text}          route_config: {{}}\n")
    assert found.startswith(f"{at}: ")
    assert what in found


@pytest.mark.parametrize(
    ("hosts", "at", "what"),
    [
        ("[{name: a, routes: {}}]", "", "the virtual host has no hosts"),
        ("[{name: a, hosts: [a]}]", "", "the virtual host has no routes"),
        ("[{hosts: [a], routes: {}}]", "", "the virtual host has no name"),
        (
            "[{name: a, hosts: [a*b], routes: {}}]",
            "a",
            "host 'a*b' is not understood, expected name, *name, name* or *",
        ),
        ("[{name: a, hosts: [a, b], routes: {}}, {name: c, hosts: [b], routes: {}}]", "b", "host 'b' is there twice"),
        ("[{name: a, hosts: ['*'], routes: {}}]", "routes", "'routes' excludes a virtual host '*'"),
    ],
)
def test_virtual_hosts_that_are_wrong(hosts: str, at: str, what: str) -> None:
    found = errors(f"{REST}          route_config: {{virtual_hosts: {hosts}, routes: {{}}}}\n")
    assert any(one.startswith(f"{at}: ") and what in one for one in found), found


@pytest.mark.parametrize(
    ("routes", "at", "what"),
    [
        ("{}", "routes", "the matcher is empty, expected matcher_list, matcher_tree or on_no_match"),
        ("{matcher_list: {matchers: []}}", "matchers", "the list of matchers is empty"),
        ("{on_no_match: {}}", "on_no_match", "nothing follows the match, expected action or matcher"),
        ("{matcher_list: {matchers: [{predicate: {}, on_match: {}}]}}", "predicate", "the predicate is empty"),
        ("{matcher_list: {matchers: [{predicate: {}, on_match: {}}]}}", "on_match", "nothing follows the match"),
        (
            "{matcher_list: {matchers: [{predicate: {or_matcher: {predicate: [{}]}}, on_match: {}}]}}",
            "or_matcher",
            "or_matcher has 1 predicates, expected at least two",
        ),
        (
            "{matcher_list: {matchers: [{predicate: {single_predicate: {value_match: {exact: a}}}, on_match: {}}]}}",
            "single_predicate",
            "the matcher has no input",
        ),
        ("{matcher_tree: {}}", "matcher_tree", "the tree has no map, expected exact_match_map or prefix_match_map"),
        ("{matcher_tree: {exact_match_map: {map: {a: {}}}}}", "matcher_tree", "the matcher has no input"),
        (
            "{matcher_tree: {input: {name: a, typed_config: {'@type': ~matcher.v3.ServiceMatchInput}}, "
            "exact_match_map: {map: {}}}}",
            "map",
            "the map is empty",
        ),
        (
            "{matcher_tree: {input: {name: a, typed_config: {'@type': ~matcher.v3.RequestMatchInput}}, "
            "exact_match_map: {map: {}}}}",
            "input",
            "the input is no text",
        ),
        (
            "{matcher_tree: {input: {name: a, typed_config: {'@type': ~matcher.v3.PropertyMatchInput}}, "
            "exact_match_map: {map: {}}}}",
            "typed_config",
            "the property has no name",
        ),
        (
            "{matcher_tree: {input: {name: a, typed_config: {'@type': ~v3.RouteConfiguration}}, "
            "exact_match_map: {map: {}}}}",
            "typed_config",
            "is no input of generic_proxy, expected one of ServiceMatchInput",
        ),
        ("{matcher_tree: {custom_match: {name: a}}}", "custom_match", "field 'custom_match' is not supported yet"),
        ("{on_no_match: {keep_matching: true}}", "true", "field 'keep_matching' is not supported yet"),
    ],
)
def test_matchers_that_are_wrong(routes: str, at: str, what: str) -> None:
    found = errors(f"{REST}          route_config: {{routes: {routes}}}\n")
    assert any(one.startswith(f"{at}: ") and what in one for one in found), found


@pytest.mark.parametrize(
    ("looked_at", "custom", "at", "what"),
    [
        ("Service", "matcher.v3.RequestMatcher", "typed_config", "a RequestMatcher looks at the whole call"),
        ("Request", "v3.VirtualHost", "typed_config", "is not supported yet by plait, expected envoy.extensions.filte"),
        ("Request", "matcher.v3.RequestMatcher, properties: [{}]", "", "the property has no name"),
        ("Request", "matcher.v3.RequestMatcher, properties: [{name: a}]", "", "the property has no string_match"),
        ("Request", "matcher.v3.RequestMatcher, host: {}", "host", "the matcher matches nothing"),
    ],
)
def test_custom_matchers_that_are_wrong(looked_at: str, custom: str, at: str, what: str) -> None:
    single = (
        f"{{input: {{name: a, typed_config: {{'@type': ~matcher.v3.{looked_at}MatchInput}}}}, "
        f"custom_match: {{name: a, typed_config: {{'@type': ~{custom}}}}}}}"
    )
    matchers = f"[{{on_match: {{}}, predicate: {{single_predicate: {single}}}}}]"
    found = errors(f"{REST}          route_config: {{routes: {{matcher_list: {{matchers: {matchers}}}}}}}\n")
    assert any(one.startswith(f"{at}: ") and what in one for one in found), found


@pytest.mark.parametrize(
    ("message", "fields", "at", "what"),
    [
        ("~action.v3.RouteAction", "name: a", "typed_config", "the route has no cluster"),
        ("~action.v3.RouteAction", "cluster: three", "three", "unknown cluster 'three'"),
        ("~action.v3.RouteAction", "cluster: one, timeout: -1s", "", "timeout is -1s, expected 0s or more"),
        (
            "~action.v3.RouteAction",
            "cluster: one, retry_policy: {retry_priority: {name: a}}",
            "retry_priority",
            "field 'retry_priority' is not supported yet by plait",
        ),
        (
            ROUTE + "RouteAction",
            "cluster: one, prefix_rewrite: a",
            "a",
            "field 'prefix_rewrite' is about HTTP, and this is an RPC, expected regex_rewrite",
        ),
        (
            ROUTE + "RouteAction",
            "cluster: one, upgrade_configs: [{upgrade_type: a}]",
            "upgrade_configs",
            "is about HTTP",
        ),
        (ROUTE + "Route", "match: {prefix: /}, redirect: {}", "redirect", "an RPC has no redirects"),
        (ROUTE + "Route", "match: {path: /a}, route: {cluster: one}", "match", "the matcher has chosen the route"),
        (
            ROUTE + "Route",
            "match: {prefix: /}, route: {cluster: one, auto_host_rewrite: true}",
            "true",
            "is about HTTP",
        ),
        (ROUTE + "VirtualHost", "name: a", "typed_config", "is no action of generic_proxy, expected"),
    ],
)
def test_actions_that_are_wrong(message: str, fields: str, at: str, what: str) -> None:
    (found,) = errors(REST + ROUTES % (message, fields))
    assert found.startswith(f"{at}: ")
    assert what in found
