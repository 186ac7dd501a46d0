"""What the trees of generic_proxy lead to: routes, as one of three messages.

Envoy has envoy.extensions.filters.network.generic_proxy.action.v3.RouteAction. HTTP's own RouteAction and Route
(envoy.config.route.v3) are taken too, so that everything the router does for HTTP can be had for an RPC: header
operations, per-try timeouts, retries by status, mirrors, answers of our own.
"""

from __future__ import annotations

from typing import Any

import attrs

from plait import ForwardAction, RedirectAction, RetryPolicy, Route, RouteMatch
from plait.xds import (
    Translator,
    Where,
    back_off,
    duration_s,
    forward,
    metadata,
    previous_hosts,
    route,
    weighted_clusters,
    wrapped,
)

GENERIC = "envoy.extensions.filters.network.generic_proxy.action.v3.RouteAction"
ACTION = "envoy.config.route.v3.RouteAction"
ROUTE = "envoy.config.route.v3.Route"

_GENERIC = frozenset(
    ("name", "cluster", "weighted_clusters", "metadata", "per_filter_config", "timeout", "retry_policy")
)
_RETRY = frozenset(
    ("num_retries", "retry_on", "retry_back_off", "retry_host_predicate", "host_selection_retry_max_attempts")
)
_OF_HTTP = {
    "prefix_rewrite": "regex_rewrite, which rewrites the method",
    "auto_host_rewrite": "host_rewrite_literal, which rewrites the service",
    "append_x_forwarded_host": "no such field",
    "upgrade_configs": "no such field",
}
UNSENT = ("connect-failure", "refused-stream")
"""When to try again where nothing is said: a call that may have been worked on is not sent twice."""


def route_action(name: str, packed: Any, where: Where, translator: Translator) -> Route:
    """The route that an action called ``name`` stands for; raises or reports ConfigError."""
    held = translator.typed_config(packed, where)
    if held.key == GENERIC:
        return _generic(held.for_proto(GENERIC), held.where, translator)
    if held.key == ACTION:
        message = held.for_proto(ACTION)
        refuse_what_is_http_s(message, held.where, translator)
        return Route(RouteMatch(), forward(message, held.where, translator), name)
    if held.key == ROUTE:
        return _route(name, held.for_proto(ROUTE), held.where, translator)
    raise held.where.error(f"{held.key!r} is no action of generic_proxy", expected=f"{GENERIC}, {ACTION} or {ROUTE}")


def refuse_what_is_http_s(message: Any, where: Where, translator: Translator) -> None:
    """Report fields of HTTP's RouteAction that mean nothing where there are services and methods."""
    for field, _ in message.ListFields():
        if field.name in _OF_HTTP:
            what = f"field {field.name!r} is about HTTP, and this is an RPC"
            translator.report((where / field.name).error(what, expected=_OF_HTTP[field.name]))


def _generic(message: Any, where: Where, translator: Translator) -> Route:
    translator.only(message, where, _GENERIC)
    kind = message.WhichOneof("cluster_specifier")
    shares: tuple[Any, ...] = ()
    if kind == "weighted_clusters":
        shares = weighted_clusters(message.weighted_clusters, where / kind, translator)
    elif not message.cluster:
        raise where.error("the route has no cluster", expected="cluster or weighted_clusters")
    else:
        translator.cluster_reference(message.cluster, where / "cluster")
    action = ForwardAction(
        cluster=message.cluster,
        weighted=shares,
        timeout_s=duration_s(message, "timeout", where, 15.0),
        retry=_retry(message, where, translator),
    )
    return Route(
        RouteMatch(),
        action,
        message.name,
        filter_settings=translator.filter_settings(message.per_filter_config, where / "per_filter_config"),
        metadata=metadata(message.metadata, where / "metadata", translator),
    )


def _retry(message: Any, where: Where, translator: Translator) -> RetryPolicy | None:
    """A core.v3.RetryPolicy. Its ``num_retries`` counts the first try too, as generic_proxy's documentation says."""
    if not message.HasField("retry_policy"):
        return None
    policy, at = message.retry_policy, where / "retry_policy"
    translator.only(policy, at, _RETRY)
    words = tuple(word.strip() for word in policy.retry_on.split(",") if word.strip())
    base, longest = back_off(policy, at)
    retries = wrapped(policy, "num_retries", 1) - 1
    if retries < 1:
        return None
    return RetryPolicy(
        retry_on=words or UNSENT,
        num_retries=retries,
        base_interval_s=base,
        max_interval_s=longest,
        previous_hosts=previous_hosts(policy.retry_host_predicate, at / "retry_host_predicate"),
        host_selection_retry_max_attempts=policy.host_selection_retry_max_attempts or 1,
    )


def _route(name: str, message: Any, where: Where, translator: Translator) -> Route:
    if message.HasField("route"):
        refuse_what_is_http_s(message.route, where / "route", translator)
    made = route(message, where, translator)
    if made.match != RouteMatch():
        what = "the matcher has chosen the route already"
        translator.report((where / "match").error(what, expected="match: {prefix: /}, and conditions in the matcher"))
    if isinstance(made.action, RedirectAction):
        translator.report((where / "redirect").error("an RPC has no redirects", expected="route or direct_response"))
    return made if made.name else attrs.evolve(made, name=name)
