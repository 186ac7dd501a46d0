"""From Envoy's DubboProxy to the settings of the RPC proxy and a route table; runs where configuration is read.

Envoy asks its route configurations one after the other: the first that a call's interface, version and group match and
that has a route for it decides. That is a list of matchers with a list below each.

Its routes of Dubbo have a cluster and nothing else. What else the router can do for them, a RouteAction of HTTP's says
for all of them, as the configuration of the router.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs

from plait import (
    AllOf,
    Condition,
    FilterType,
    ForwardAction,
    InputMatches,
    MatcherList,
    MatchInput,
    Not,
    OnMatch,
    Route,
    RouteConfiguration,
    RouteMatch,
    StringMatcher,
    VirtualHost,
)
from plait.xds import Translator, Where, forward, header_matcher, string_matcher, weighted_clusters
from plait_protocol_dubbo.routes import Argument, ArgumentsMatch, AttachmentsMatch, ServiceIs
from plait_protocol_generic import RpcProxySettings

_HANDLED = frozenset(
    ("stat_prefix", "protocol_type", "serialization_type", "route_config", "multiple_route_config", "dubbo_filters")
)
_ROUTER = "envoy.filters.dubbo.router"
_COMMON = "envoy.config.route.v3.RouteAction"
_COMMON_FIELDS = frozenset(("timeout", "idle_timeout", "retry_policy", "request_mirror_policies", "hash_policy"))
_SERVICE = MatchInput("service")
_METHOD = MatchInput("method")
_IDLE_S = 300.0
_NOTHING = ForwardAction(timeout_s=0.0)
"""Routes have no timeout, as in Envoy; ``_IDLE_S`` is there so that no call waits for ever."""


def dubbo_proxy(message: Any, where: Where, translator: Translator) -> RpcProxySettings:
    """The settings; raises or reports ConfigError for what is contradictory or not supported."""
    translator.only(message, where, _HANDLED)
    if not message.stat_prefix:
        translator.report((where / "stat_prefix").error("stat_prefix is empty", "a name for its statistics"))
    at = where / "dubbo_filters"
    common = _NOTHING
    if message.dubbo_filters:
        listed = [*message.dubbo_filters]
        if listed[-1].name == _ROUTER and listed[-1].config.TypeName() == _COMMON:
            common = _common(listed[-1].config, at / (len(listed) - 1) / "config", translator)
            listed[-1] = type(listed[-1])(name=_ROUTER)
        filters = translator.stream_filters(listed, at, f"the router, {_ROUTER}", field="config")
    else:
        filters = (translator.extension(FilterType, _ROUTER, None, at),)
    return RpcProxySettings(
        stat_prefix=f"dubbo.{message.stat_prefix}",
        protocol="dubbo",
        routes=translator.add_route_configuration(_table(message, where, translator, common)),
        filters=filters,
        stream_idle_timeout_s=_IDLE_S,
    )


def _common(packed: Any, where: Where, translator: Translator) -> ForwardAction:
    """What a RouteAction without a cluster says for all routes."""
    held = translator.typed_config(packed, where)
    message = held.for_proto(_COMMON)
    translator.only(message, held.where, _COMMON_FIELDS)
    named = type(message)()
    named.CopyFrom(message)
    named.cluster = "of each route"
    made = forward(named, held.where, translator, check_clusters=False)
    if not message.HasField("timeout"):
        made = attrs.evolve(made, timeout_s=0.0)
    for index, policy in enumerate(message.request_mirror_policies):
        translator.cluster_reference(policy.cluster, held.where / "request_mirror_policies" / index / "cluster")
    return made


def _table(message: Any, where: Where, translator: Translator, common: ForwardAction) -> RouteConfiguration:
    several, at = message.multiple_route_config, where / "multiple_route_config"
    listed = message.route_config, where / "route_config"
    name = several.name
    if message.HasField("multiple_route_config"):
        translator.only(several, at, {"name", "route_config"})
        if message.route_config:
            translator.report(listed[1].error("'route_config' excludes 'multiple_route_config'", "one of the two"))
        listed = several.route_config, at / "route_config"
    elif message.route_config:
        name = message.route_config[0].name
    elif not message.HasField("drds"):
        translator.report(where.error("the proxy has no routes of its own", "route_config or multiple_route_config"))
    entries: list[tuple[Condition, OnMatch]] = []
    for index, one in enumerate(listed[0]):
        with translator.collect():
            entries.append(_interface(one, listed[1] / index, translator, common))
    host = VirtualHost("*", ("*",), matcher=MatcherList(tuple(entries)))
    return RouteConfiguration(name or message.stat_prefix, (host,), any_case=False)


def _interface(message: Any, where: Where, translator: Translator, common: ForwardAction) -> tuple[Condition, OnMatch]:
    translator.only(message, where, {"name", "interface", "group", "version", "routes"})
    condition = _named(message.interface, where)
    if message.version or message.group:
        condition = AllOf((condition, ServiceIs(message.version, message.group)))
    routes: list[tuple[Condition, OnMatch]] = []
    for index, one in enumerate(message.routes):
        with translator.collect():
            routes.append(_route(one, where / "routes" / index, translator, common))
    return condition, OnMatch(tree=MatcherList(tuple(routes)))


def _named(interface: str, where: Where) -> Condition:
    """``*``, ``*suffix``, ``prefix*`` or the interface itself; a wildcard stands for at least one character."""
    if not interface:
        raise (where / "interface").error("the interface is empty", expected="name, *suffix, prefix* or *")
    if interface == "*":
        return Not(InputMatches(_SERVICE, StringMatcher("exact", "")))
    kind, value = "exact", interface
    if interface[0] == "*":
        kind, value = "suffix", interface[1:]
    elif interface[-1] == "*":
        kind, value = "prefix", interface[:-1]
    named = InputMatches(_SERVICE, StringMatcher(kind, value))
    if kind == "exact":
        return named
    return AllOf((named, Not(InputMatches(_SERVICE, StringMatcher("exact", value)))))


def _route(message: Any, where: Where, translator: Translator, common: ForwardAction) -> tuple[Condition, OnMatch]:
    translator.only(message, where, {"match", "route"})
    for field in ("match", "route"):
        if not message.HasField(field):
            raise where.error(f"the route has no {field}", expected=f"{field}:")
    match, at = message.match, where / "match"
    translator.only(match, at, {"method", "headers"})
    conditions: list[Condition] = []
    if match.HasField("method"):
        conditions += _method(match.method, at / "method", translator)
    if match.headers:
        headers = tuple(header_matcher(one, at / "headers" / index) for index, one in enumerate(match.headers))
        conditions.append(AttachmentsMatch(headers))
    # what a call costs to read grows in this order: its method, its attachments, its arguments
    conditions += _arguments(match.method, at / "method" / "params_match")
    action = _action(message.route, where / "route", translator, common)
    condition = conditions[0] if len(conditions) == 1 else AllOf(tuple(conditions))
    return condition, OnMatch(Route(RouteMatch(), action))


def _method(message: Any, where: Where, translator: Translator) -> Iterator[Condition]:
    translator.only(message, where, {"name", "params_match"})
    if message.HasField("name"):
        yield InputMatches(_METHOD, string_matcher(message.name, where / "name"))


def _arguments(message: Any, where: Where) -> Iterator[Condition]:
    wanted: list[Argument] = []
    for index in sorted(message.params_match):
        one, at = message.params_match[index], where / index
        kind = one.WhichOneof("parameter_match_specifier")
        if kind == "range_match":
            if one.range_match.end <= one.range_match.start:
                raise (at / kind).error("the range is empty", expected="an end above its start")
            wanted.append(Argument(index, range=(one.range_match.start, one.range_match.end)))
        else:
            wanted.append(Argument(index, one.exact_match))
    if wanted:
        yield ArgumentsMatch(tuple(wanted))


def _action(message: Any, where: Where, translator: Translator, common: ForwardAction) -> ForwardAction:
    translator.only(message, where, {"cluster", "weighted_clusters"})
    kind = message.WhichOneof("cluster_specifier")
    if kind == "weighted_clusters":
        shares = weighted_clusters(message.weighted_clusters, where / kind, translator)
        return attrs.evolve(common, cluster="", weighted=shares)
    if not message.cluster:
        raise where.error("the route has no cluster", expected="cluster or weighted_clusters")
    translator.cluster_reference(message.cluster, where / "cluster")
    return attrs.evolve(common, cluster=message.cluster)
