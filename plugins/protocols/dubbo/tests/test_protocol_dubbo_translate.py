"""From Envoy's DubboProxy to settings and a tree of routes, or to what is wrong with it and where."""

from typing import Any

import pytest
import yaml

from plait import (
    AllOf,
    ConfigErrors,
    ForwardAction,
    HeaderMatcher,
    InputMatches,
    MatcherList,
    MatchInput,
    Not,
    OnMatch,
    Route,
    RouteConfiguration,
    RouteMatch,
    StringMatcher,
    WeightedCluster,
)
from plait.api.config import Bootstrap
from plait.plugins import Catalogue, discover
from plait.xds import load_bootstrap
from plait_protocol_dubbo.routes import Argument, ArgumentsMatch, AttachmentsMatch, ServiceIs
from plait_protocol_generic import RpcProxySettings

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
      - name: dubbo
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.dubbo_proxy.v3.DubboProxy
"""
ANY = [{"name": "r", "interface": "*", "routes": [{"match": {}, "route": {"cluster": "one"}}]}]


def written(**fields: Any) -> str:
    """A DubboProxy, a field on each line."""
    whole = {"stat_prefix": "in", "route_config": ANY, **fields}
    return "".join(
        f"          {name}: {yaml.safe_dump([value], default_flow_style=True, width=10_000).strip()[1:-1]}\n"
        for name, value in whole.items()
        if value is not None
    )


def loaded(**fields: Any) -> Bootstrap:
    return load_bootstrap("", HEAD + written(**fields), Catalogue(discover()))


def settings(**fields: Any) -> RpcProxySettings:
    (listener,) = loaded(**fields).listeners
    made = listener.filter_chains[0].filters[0].settings
    assert isinstance(made, RpcProxySettings)
    return made


def table(**fields: Any) -> RouteConfiguration:
    (routes,) = loaded(**fields).routes
    return routes


def entries(*route_config: Any) -> Any:
    (host,) = table(route_config=list(route_config)).virtual_hosts
    assert host.domains == ("*",)
    assert isinstance(host.matcher, MatcherList)
    return host.matcher.entries


def to(cluster: str = "one") -> OnMatch:
    return OnMatch(Route(RouteMatch(), ForwardAction(cluster=cluster, timeout_s=0.0)))


def service(kind: str, value: str) -> InputMatches:
    return InputMatches(MatchInput("service"), StringMatcher(kind, value))


def errors(**fields: Any) -> list[str]:
    """What is wrong: ``line: message``, lines counted from the first field of the DubboProxy (1)."""
    with pytest.raises(ConfigErrors) as raised:
        loaded(**fields)
    return [f"{one.line - HEAD.count(chr(10))}: {one.what}" for one in raised.value.errors]


def test_the_whole() -> None:
    made = settings()
    assert (made.stat_prefix, made.protocol, made.routes) == ("dubbo.in", "dubbo", "r")
    assert made.stream_idle_timeout_s == 300.0, "routes have no timeout, and no call may wait for ever"
    assert [one.type for one in made.filters] == ["envoy.filters.dubbo.router"], "there without being named"


def test_filters() -> None:
    fault = {"@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault"}
    made = settings(
        dubbo_filters=[{"name": "envoy.filters.http.fault", "config": fault}, {"name": "envoy.filters.dubbo.router"}]
    )
    assert [one.type for one in made.filters] == ["envoy.filters.http.fault", "envoy.filters.dubbo.router"]


COMMON = {"@type": "type.googleapis.com/envoy.config.route.v3.RouteAction"}


def router(**fields: Any) -> list[Any]:
    return [{"name": "envoy.filters.dubbo.router", "config": {**COMMON, **fields}}]


def test_what_the_router_is_told_for_all_routes() -> None:
    made = loaded(
        dubbo_filters=router(
            timeout="2s",
            retry_policy={"retry_on": "reset", "num_retries": 2},
            request_mirror_policies=[{"cluster": "two"}],
        )
    )
    (table,) = made.routes
    (host,) = table.virtual_hosts
    assert isinstance(host.matcher, MatcherList)
    assert isinstance(host.matcher.entries[0][1].tree, MatcherList)
    action = host.matcher.entries[0][1].tree.entries[0][1].action
    assert isinstance(action, Route)
    assert isinstance(action.action, ForwardAction)
    assert (action.action.cluster, action.action.timeout_s) == ("one", 2.0)
    assert action.action.retry is not None
    assert (action.action.retry.retry_on, action.action.retry.num_retries) == (("reset",), 2)
    assert [one.cluster for one in action.action.mirrors] == ["two"]
    (extension,) = settings(dubbo_filters=router()).filters
    assert extension.type == "envoy.filters.dubbo.router"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"cluster": "one"}, "field 'cluster' is not supported"),
        ({"prefix_rewrite": "/x"}, "field 'prefix_rewrite' is not supported"),
        ({"request_mirror_policies": [{"cluster": "three"}]}, "unknown cluster 'three'"),
        ({"timeout": "-1s"}, "timeout is"),
    ],
)
def test_what_the_router_cannot_be_told(fields: Any, expected: str) -> None:
    found = errors(dubbo_filters=router(**fields))
    assert any(expected in one for one in found), found


def test_several_route_configurations_under_one_name() -> None:
    made = table(route_config=None, multiple_route_config={"name": "all", "route_config": ANY})
    assert (made.name, made.any_case) == ("all", False)
    assert made.virtual_hosts == table().virtual_hosts


@pytest.mark.parametrize(
    ("interface", "condition"),
    [
        ("a.B", service("exact", "a.B")),
        ("*", Not(service("exact", ""))),
        ("*.B", AllOf((service("suffix", ".B"), Not(service("exact", ".B"))))),
        ("a.*", AllOf((service("prefix", "a."), Not(service("exact", "a."))))),
    ],
)
def test_interfaces(interface: str, condition: Any) -> None:
    route = {"match": {}, "route": {"cluster": "one"}}
    below = OnMatch(tree=MatcherList(((AllOf(()), to()),)))
    assert entries({"interface": interface, "routes": [route]}) == ((condition, below),)
    ((with_version, _),) = entries({"interface": interface, "version": "1.0", "group": "g", "routes": [route]})
    assert with_version == AllOf((condition, ServiceIs("1.0", "g")))


def test_routes() -> None:
    params = {0: {"exact_match": "a"}, 2: {"range_match": {"start": -1, "end": 5}}}
    match = {
        "method": {"name": {"prefix": "get"}, "params_match": params},
        "headers": [{"name": "user", "string_match": {"exact": "ann"}}],
    }
    shares = {"clusters": [{"name": "one", "weight": 3}, {"name": "two", "weight": 1}]}
    routes = [
        {"match": match, "route": {"weighted_clusters": shares}},
        {"match": {"method": {"name": {"exact": "m"}}}, "route": {"cluster": "two"}},
    ]
    ((_, below),) = entries({"interface": "a", "routes": routes})
    method = MatchInput("method")
    everything = AllOf(
        (
            InputMatches(method, StringMatcher("prefix", "get")),
            AttachmentsMatch((HeaderMatcher("user", StringMatcher("exact", "ann")),)),
            ArgumentsMatch((Argument(0, "a"), Argument(2, range=(-1, 5)))),
        )
    )
    weighted = ForwardAction(weighted=(WeightedCluster("one", 3), WeightedCluster("two", 1)), timeout_s=0.0)
    assert below.tree == MatcherList(
        (
            (everything, OnMatch(Route(RouteMatch(), weighted))),
            (InputMatches(method, StringMatcher("exact", "m")), to("two")),
        )
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"stat_prefix": ""}, "1: stat_prefix is empty"),
        ({"route_config": None}, "-1: the proxy has no routes of its own"),
        ({"route_config": None, "drds": {"route_config_name": "a"}}, "2: field 'drds' is not supported yet by plait"),
        ({"multiple_route_config": {"name": "a"}}, "2: 'route_config' excludes 'multiple_route_config'"),
        (
            {"dubbo_filters": [{"name": "envoy.filters.dubbo.nope"}]},
            "3: extension 'envoy.filters.dubbo.nope' cannot be",
        ),
        (
            {"dubbo_filters": [{"name": "envoy.filters.http.fault"}]},
            "3: the last filter, 'envoy.filters.http.fault', do",
        ),
        ({"route_config": [{"name": "a", "routes": []}]}, "2: the interface is empty"),
    ],
)
def test_what_is_refused(fields: Any, expected: str) -> None:
    found = errors(**fields)
    assert any(one.startswith(expected) for one in found), found


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ({"route": {"cluster": "one"}}, "the route has no match"),
        ({"match": {}}, "the route has no route"),
        ({"match": {}, "route": {}}, "the route has no cluster"),
        ({"match": {}, "route": {"cluster": "three"}}, "unknown cluster 'three'"),
        ({"match": {}, "route": {"cluster": "one", "metadata_match": {}}}, "field 'metadata_match' is not supported"),
        (
            {
                "match": {"method": {"params_match": {0: {"range_match": {"start": 5, "end": 5}}}}},
                "route": {"cluster": "one"},
            },
            "the range is empty",
        ),
        ({"match": {"method": {"name": {}}}, "route": {"cluster": "one"}}, "the matcher matches nothing"),
        ({"match": {"headers": [{"present_match": True}]}, "route": {"cluster": "one"}}, "the header has no name"),
    ],
)
def test_routes_that_are_refused(route: Any, expected: str) -> None:
    (found,) = errors(route_config=[{"interface": "a", "routes": [route]}])
    assert found.startswith(f"2: {expected}")
