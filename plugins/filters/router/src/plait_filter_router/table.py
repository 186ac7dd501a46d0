"""A route configuration, compiled: from a request to its route.

Virtual hosts are found by ``domains``, and their routes are tried in the order of the configuration, or found in a tree
(``trees``). Routes that ask for nothing but a prefix are compared on the spot; the others are calls made by
``matching``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from plait.api import (
    ConfigError,
    HeaderOps,
    MatcherTree,
    RedirectAction,
    Request,
    Route,
    RouteConfiguration,
    RouteMatch,
    VirtualHost,
)
from plait_filter_router.domains import Domains
from plait_filter_router.matching import Test, compile_match, plain_prefix
from plait_filter_router.plan import PlannedRoute, plan_route
from plait_filter_router.trees import Find, compile_remembering

TLS_RULES = ("", "none", "external_only", "all")


def _always(request: Request) -> bool:
    return True


class Host:
    """A virtual host: ``entries`` are (prefix, test, route), with no prefix where there is more to ask.

    ``planned`` are all its routes, those of its tree among them.
    """

    def __init__(self, host: VirtualHost, table: RouteConfiguration, options: Callable[..., Any]) -> None:
        self.name = host.name
        self.tls: PlannedRoute | None = None
        self.tls_external_only = False
        entries: list[tuple[bytes | None, Test, PlannedRoute]] = []
        for place, route in enumerate(host.routes):
            try:
                planned = plan_route(route, host, table, options)
                prefix = plain_prefix(route.match)
                entries.append((prefix, _always if prefix is not None else compile_match(route.match), planned))
            except ConfigError as error:
                what = f"route {route.name or place} of virtual host {host.name!r}: {error.what}"
                raise ConfigError(what, expected=error.expected, hint=error.hint) from error
        self.entries = tuple(entries)
        self.planned = [route for _, _, route in entries]
        self.tree: Find[PlannedRoute] | None = None
        if host.matcher is not None:
            self.tree = self._tree(host.matcher, host, table, options)
        rule = host.require_tls.lower()
        if rule not in TLS_RULES:
            raise ConfigError(
                f"virtual host {host.name!r} has require_tls {rule!r}", expected="none, external_only or all"
            )
        if rule not in ("", "none"):
            bare = VirtualHost(host.name, host.domains)
            redirect = Route(RouteMatch(), RedirectAction(https=True), headers=HeaderOps())
            self.tls = plan_route(redirect, bare, RouteConfiguration(table.name), options)
            self.tls_external_only = rule == "external_only"

    def _tree(
        self, matcher: MatcherTree, host: VirtualHost, table: RouteConfiguration, options: Callable[..., Any]
    ) -> Find[PlannedRoute]:
        def plan(route: object) -> PlannedRoute:
            if not isinstance(route, Route):
                raise ConfigError("an action of its matcher is no route")
            made = plan_route(route, host, table, options)
            self.planned.append(made)
            return made

        try:
            return compile_remembering(matcher, plan)
        except ConfigError as error:
            what = f"matcher of virtual host {host.name!r}: {error.what}"
            raise ConfigError(what, expected=error.expected, hint=error.hint) from error

    def find(self, request: Request) -> PlannedRoute | None:
        """The first route that matches; that to https where the caller must use TLS and does not."""
        if self.tls is not None and (request.headers.find(b"x-forwarded-proto") or request.raw_scheme) != b"https":
            internal = request.headers.find(b"x-envoy-internal") == b"true"
            if not (internal and self.tls_external_only):
                return self.tls
        if self.tree is not None:
            return self.tree(request)
        path = request.raw_path
        for prefix, test, route in self.entries:
            if prefix is None:
                if test(request):
                    return route
            elif path.startswith(prefix):
                return route
        return None


class RouteTable:
    """``options`` makes the core's ForwardOptions of a forward action, its retry policy and its virtual host."""

    def __init__(self, configuration: RouteConfiguration, options: Callable[..., Any]) -> None:
        """Raises ConfigError, which names virtual host and route, for what does not compile."""
        self.configuration = configuration
        hosts = [(host.domains, Host(host, configuration, options)) for host in configuration.virtual_hosts]
        try:
            domains = Domains(hosts, ignore_port=configuration.ignore_port_in_host, any_case=configuration.any_case)
        except ConfigError as error:
            what = f"route configuration {configuration.name!r}: {error.what}"
            raise ConfigError(what, expected=error.expected, hint=error.hint) from error
        self._find_host: Callable[[bytes], Host | None] = domains.find
        self.match: Callable[[Request], PlannedRoute | None] = self._match
        """The route of a request, or None."""
        only = domains.only  # the virtual host of every request: it is asked without a detour, and so is its tree
        if only is not None:
            self.match = only.find if only.tree is None or only.tls is not None else only.tree
        plans = [route.plan for _, host in hosts for route in host.planned]
        self.answers = any(plan.response_operations or plan.shares for plan in plans)
        """Whether any route does something to responses."""

    def _match(self, request: Request) -> PlannedRoute | None:
        host = self._find_host(request.raw_authority)
        return None if host is None else host.find(request)
