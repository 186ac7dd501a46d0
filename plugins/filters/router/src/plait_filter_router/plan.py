"""What becomes of the requests of one route, worked out when the table is compiled.

A ``PlannedRoute`` is the route of the configuration with its plan beside it: the core and other filters read the
route, this plugin reads the plan.
"""

from __future__ import annotations

import bisect
import itertools
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from plait.api import (
    DirectResponse,
    Extra,
    ForwardAction,
    HeaderOps,
    Request,
    RetryPolicy,
    Route,
    RouteConfiguration,
    RouteMatch,
    VirtualHost,
    WeightedCluster,
)
from plait_filter_router.headerops import Operation, compile_operations
from plait_filter_router.rewrite import (
    PathRewrite,
    compile_host_rewrite,
    compile_location,
    compile_path_rewrite,
)

if TYPE_CHECKING:
    from plait.stream import ForwardOptions

EXPECTED_TIMEOUT = b"x-envoy-expected-rq-timeout-ms"


class Share:
    """One of the weighted clusters of a route."""

    def __init__(self, cluster: WeightedCluster, outer: tuple[HeaderOps, ...]) -> None:
        self.cluster = cluster.name
        self.request_operations, self.response_operations = _operations((cluster.headers, *outer))


class Plan:
    """Compiled from a route, its virtual host and its table.

    ``plain`` says that a request goes on as it came: one cluster, nothing to add, remove or rewrite. ``limits_grpc``
    says that callers of gRPC have a say in the timeout.
    """

    options: ForwardOptions
    host: VirtualHost

    def __init__(
        self, action: ForwardAction | None, operations: tuple[tuple[Operation, ...], tuple[Operation, ...]]
    ) -> None:
        self.action = action
        self.request_operations, self.response_operations = operations
        self.cluster = ""
        self.cluster_header = b""
        self.cluster_not_found_status = 503
        self.shares: tuple[Share, ...] = ()
        self.totals: tuple[int, ...] = ()
        self.location: Callable[[Request], bytes] | None = None
        self.direct: DirectResponse | None = None
        self.redirect_status = 0
        self.rewrite_path: PathRewrite | None = None
        self.rewrite_host: Callable[[Request], None] | None = None
        self.expected_timeout: Extra | None = None
        self.retry: RetryPolicy | None = None
        self.plain = True
        self.limits_grpc = False

    def share(self) -> Share:
        """One of the weighted clusters, by chance and weight."""
        totals = self.totals
        return self.shares[bisect.bisect_right(totals, random.random() * totals[-1])]

    def expected(self, action: ForwardAction, retry: RetryPolicy | None) -> Extra | None:
        """The field that says how many milliseconds an answer may take at most; None for no limit."""
        timeout_s = self.limit_s(action, retry)
        return Extra({EXPECTED_TIMEOUT: b"%d" % round(timeout_s * 1000)}) if timeout_s else None

    def limit_s(self, action: ForwardAction, retry: RetryPolicy | None) -> float:
        """How long the upstream may take for one answer; 0 for no limit."""
        timeout_s = action.timeout_s
        if retry is not None and retry.per_try_timeout_s:
            timeout_s = min(timeout_s or retry.per_try_timeout_s, retry.per_try_timeout_s)
        return timeout_s


@attrs.frozen(eq=False)
class PlannedRoute(Route):
    """A route with its plan; its ``filter_settings`` are those of the table, the virtual host and the route in one."""

    plan: Plan = attrs.field(kw_only=True, repr=False)


def plan_route(
    route: Route, host: VirtualHost, table: RouteConfiguration, options: Callable[..., ForwardOptions]
) -> PlannedRoute:
    """Compile one route; raises ConfigError for a format, expression or substitution that does not compile."""
    outer = (host.headers, table.headers)
    action = route.action
    operations = _operations((route.headers, *outer))
    if isinstance(action, ForwardAction):
        plan = Plan(action, operations)
        _plan_forward(plan, route.match, action, (route.headers, *outer))
        plan.host = host
        plan.retry = action.retry if action.retry is not None else host.retry
        plan.options = options(action, plan.retry, host)
        plan.expected_timeout = plan.expected(action, plan.retry)
    else:
        plan = Plan(None, operations)
        if isinstance(action, DirectResponse):
            plan.direct = action
        else:
            plan.location = compile_location(route.match, action)
            plan.redirect_status = action.status
    return PlannedRoute(
        route.match,
        action,
        route.name,
        route.headers,
        {**table.filter_settings, **host.filter_settings, **route.filter_settings},
        route.metadata,
        plan=plan,
    )


def _plan_forward(plan: Plan, match: RouteMatch, action: ForwardAction, levels: tuple[HeaderOps, ...]) -> None:
    plan.cluster = action.cluster
    plan.cluster_header = action.cluster_header.lower().encode()
    plan.cluster_not_found_status = action.cluster_not_found_status
    if action.weighted:
        plan.shares = tuple(Share(cluster, levels) for cluster in action.weighted if cluster.weight)
        plan.totals = tuple(itertools.accumulate(cluster.weight for cluster in action.weighted if cluster.weight))
    plan.rewrite_path = compile_path_rewrite(match, action.prefix_rewrite, action.regex_rewrite)
    plan.rewrite_host = compile_host_rewrite(action)
    plan.limits_grpc = action.grpc_timeout_header_max_s is not None or action.max_grpc_timeout_s is not None
    plan.plain = bool(
        action.cluster and not plan.request_operations and plan.rewrite_path is None and plan.rewrite_host is None
    )


def _operations(levels: tuple[HeaderOps, ...]) -> tuple[tuple[Operation, ...], tuple[Operation, ...]]:
    return (
        compile_operations((level.request_remove, level.request_add) for level in levels),
        compile_operations((level.response_remove, level.response_add) for level in levels),
    )
