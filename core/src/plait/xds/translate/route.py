"""envoy.config.route.v3.RouteConfiguration, its virtual hosts and their routes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.api.config import (
    DirectResponse,
    ForwardAction,
    RedirectAction,
    Route,
    RouteConfiguration,
    RouteMatch,
    VirtualHost,
)
from plait.xds.positions import Where
from plait.xds.translate.headers import header_ops
from plait.xds.translate.route_action import direct_response, forward, redirect, retry_policy
from plait.xds.translate.route_match import route_match
from plait.xds.translate.values import enum_name, plain, wrapped

if TYPE_CHECKING:
    from plait.xds.translator import Translator

_HEADER_FIELDS = frozenset(
    ("request_headers_to_add", "request_headers_to_remove", "response_headers_to_add", "response_headers_to_remove")
)
_TABLE = _HEADER_FIELDS | {
    "name", "virtual_hosts", "validate_clusters", "max_direct_response_body_size_bytes", "ignore_port_in_host_matching",
    "typed_per_filter_config",
}  # fmt: skip
_HOST = _HEADER_FIELDS | {
    "name", "domains", "routes", "require_tls", "typed_per_filter_config", "include_request_attempt_count",
    "retry_policy", "per_request_buffer_limit_bytes",
}  # fmt: skip
_ROUTE = _HEADER_FIELDS | {
    "name", "match", "route", "redirect", "direct_response", "metadata", "typed_per_filter_config"
}  # fmt: skip
_METADATA_UNREAD = {"metadata": "nothing reads it"}
_HOST_NO_EFFECT = {**_METADATA_UNREAD, "virtual_clusters": "those statistics do not exist"}
_ROUTE_NO_EFFECT = {
    "decorator": "there is no tracing yet",
    "tracing": "there is no tracing yet",
    "stat_prefix": "those statistics do not exist",
}
_BODY_LIMIT_BYTES = 4096


def route_configuration(message: Any, where: Where, translator: Translator) -> RouteConfiguration:
    """The route table. Clusters it names must exist unless ``validate_clusters`` is false."""
    translator.only(message, where, _TABLE, _METADATA_UNREAD)
    checked = wrapped(message, "validate_clusters", True)
    limit = wrapped(message, "max_direct_response_body_size_bytes", _BODY_LIMIT_BYTES)
    hosts: list[VirtualHost] = []
    for index, one in enumerate(message.virtual_hosts):
        with translator.collect():
            hosts.append(_virtual_host(one, where / "virtual_hosts" / index, translator, checked, limit))
    _check_unique(message.virtual_hosts, where / "virtual_hosts", translator)
    with translator.collect():
        return RouteConfiguration(
            name=message.name,
            virtual_hosts=tuple(hosts),
            headers=header_ops(message, where, translator.check_format),
            filter_settings=translator.filter_settings(
                message.typed_per_filter_config, where / "typed_per_filter_config"
            ),
            ignore_port_in_host=message.ignore_port_in_host_matching,
        )
    return RouteConfiguration(message.name)


def _check_unique(hosts: Any, where: Where, translator: Translator) -> None:
    """Report names of virtual hosts, and domains, that are there twice."""
    names: dict[str, Where] = {}
    domains: dict[str, Where] = {}
    for index, host in enumerate(hosts):
        at = where / index / "name"
        first = names.setdefault(host.name, at)
        if first is not at and host.name:
            hint = f"first given at {first.position}"
            translator.report(at.error(f"virtual host {host.name!r} is there twice", "a name of its own", hint))
        for number, domain in enumerate(host.domains):
            at = where / index / "domains" / number
            first = domains.setdefault(domain.lower(), at)
            if first is not at:
                hint = f"first given at {first.position}"
                translator.report(at.error(f"domain {domain!r} is there twice", "each domain once", hint))


def _virtual_host(
    message: Any, where: Where, translator: Translator, check_clusters: bool, body_limit: int
) -> VirtualHost:
    translator.only(message, where, _HOST, _HOST_NO_EFFECT)
    if not message.name:
        translator.report((where / "name").error("the virtual host has no name", expected="a name of its own"))
    if not message.domains:
        translator.report(where.error("the virtual host has no domains", expected='at least one, such as "*"'))
    for index, domain in enumerate(message.domains):
        if not domain or "*" in domain[1:-1] or (len(domain) > 1 and domain[0] == domain[-1] == "*"):
            translator.warn(where / "domains" / index, f"domain {domain!r} is compared as it is, with no wildcard")
    routes: list[Route] = []
    for index, one in enumerate(message.routes):
        with translator.collect():
            routes.append(route(one, where / "routes" / index, translator, check_clusters, body_limit))
    tls = enum_name(message, "require_tls")
    return VirtualHost(
        name=message.name,
        domains=tuple(message.domains),
        routes=tuple(routes),
        headers=header_ops(message, where, translator.check_format),
        retry=retry_policy(message, where, translator),
        require_tls="" if tls == "none" else tls,
        filter_settings=translator.filter_settings(message.typed_per_filter_config, where / "typed_per_filter_config"),
        per_request_buffer_limit_bytes=wrapped(message, "per_request_buffer_limit_bytes", 0),
        include_request_attempt_count=message.include_request_attempt_count,
    )


def route(
    message: Any, where: Where, translator: Translator, check_clusters: bool = True, body_limit: int = _BODY_LIMIT_BYTES
) -> Route:
    """A Route."""
    translator.only(message, where, _ROUTE, _ROUTE_NO_EFFECT)
    match = RouteMatch()
    with translator.collect():
        if not message.HasField("match"):
            raise where.error("the route has no match", expected="match: {prefix: /} or another")
        match = route_match(message.match, where / "match", translator)
    kind = message.WhichOneof("action")
    action: ForwardAction | RedirectAction | DirectResponse = DirectResponse(200)
    with translator.collect():
        if kind == "route":
            action = forward(message.route, where / kind, translator, check_clusters)
        elif kind == "redirect":
            action = redirect(message.redirect, where / kind, translator)
        elif kind == "direct_response":
            action = direct_response(message.direct_response, where / kind, translator, body_limit)
        elif kind is None:
            raise where.error("the route has no action", expected="one of route, redirect, direct_response")
    return Route(
        match=match,
        action=action,
        name=message.name,
        headers=header_ops(message, where, translator.check_format),
        filter_settings=translator.filter_settings(message.typed_per_filter_config, where / "typed_per_filter_config"),
        metadata=metadata(message.metadata, where / "metadata", translator),
    )


def metadata(message: Any, where: Where, translator: Translator) -> dict[str, object]:
    """By namespace, as plain mappings."""
    translator.only(message, where, handled={"filter_metadata"})
    return {name: plain(message.filter_metadata[name]) for name in sorted(message.filter_metadata)}
