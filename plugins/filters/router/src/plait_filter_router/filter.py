"""The router filter: finds the route of a request and sends the request on its way.

One compiled table at a time: when the context's route configuration is another object than the one compiled, it is
compiled anew, and streams that have their route already go on with it. What happens upstream (pools, time-outs,
retries) is ``plait.stream.forward``'s business.
"""

from __future__ import annotations

import logging

from plait.api import (
    CONTINUE,
    UNSOUGHT,
    ConfigError,
    Context,
    ForwardAction,
    Request,
    RetryPolicy,
    Route,
    RouteConfiguration,
    RouterFilter,
    Stream,
    Verdict,
    VirtualHost,
)
from plait.stream import VIA_UPSTREAM, ForwardOptions, forward, grpc
from plait_filter_router.deadlines import limited
from plait_filter_router.headerops import Operation
from plait_filter_router.overrides import HEADERS, overridden
from plait_filter_router.plan import EXPECTED_TIMEOUT, Plan, PlannedRoute
from plait_filter_router.rewrite import ORIGINAL_HOST, ORIGINAL_PATH
from plait_filter_router.settings import RouterSettings
from plait_filter_router.table import RouteTable
from plait_filter_router.text import decode

_log = logging.getLogger("plait.router")

_SERVICE_TIME = b"x-envoy-upstream-service-time"
_TIMED = HEADERS | {EXPECTED_TIMEOUT}
_NUMBERS = tuple(b"%d" % number for number in range(100))
_SHARE_OPERATIONS = "router.response_operations"


def make_options(action: ForwardAction, retry: RetryPolicy | None, host: VirtualHost) -> ForwardOptions:
    """How the core forwards the requests of a route; raises ConfigError for what it cannot do."""
    return ForwardOptions(
        timeout_s=action.timeout_s,
        idle_timeout_s=action.idle_timeout_s,
        retry=retry,
        auto_host_rewrite=action.auto_host_rewrite,
        buffer_limit_bytes=host.per_request_buffer_limit_bytes or 1 << 20,
        attempt_header=host.include_request_attempt_count,
        mirrors=[(mirror.cluster, mirror.fraction) for mirror in action.mirrors],
    )


class Router(RouterFilter):
    """Made for the chain that ``context`` is of: it names the route configuration and the statistics."""

    def __init__(self, settings: RouterSettings, context: Context) -> None:
        self._quiet = settings.suppress_envoy_headers
        self._http = settings.http
        self._configuration = context.route_configuration
        self._cluster = context.cluster
        self._routes = routes = context.routes
        prefix = context.stat_prefix
        counter = context.stats.counter
        self._total = counter(f"{prefix}.rq_total")
        self._no_route = counter(f"{prefix}.no_route")
        self._no_cluster = counter(f"{prefix}.no_cluster")
        self._redirects = counter(f"{prefix}.rq_redirect")
        self._direct = counter(f"{prefix}.rq_direct_response")
        self._compiled: RouteConfiguration | None = None
        self._table: RouteTable | None = None
        current = context.route_configuration(routes)
        if current is not None:
            self._table = RouteTable(current, make_options)  # a table that does not compile refuses the chain
            self._compiled = current
        # Stays true: streams that began with an earlier table are answered by its rules.
        self._answers = self._table is not None and self._table.answers
        self._tells_time = self._http and not self._quiet
        self.sees_responses = self._tells_time or self._answers

    def route(self, stream: Stream) -> Route | None:
        """The route of ``stream.request`` in the table as it is now; a ``PlannedRoute``."""
        current = self._configuration(self._routes)
        if current is not self._compiled:
            self._renew(current)
        table = self._table
        return None if table is None else table.match(stream.request)

    def _renew(self, current: RouteConfiguration | None) -> None:
        self._compiled = current
        try:
            self._table = None if current is None else RouteTable(current, make_options)
            self._answers = self._answers or (self._table is not None and self._table.answers)
            self.sees_responses = self._tells_time or self._answers
        except ConfigError:
            _log.exception("route configuration %s does not compile; the one before stays in force", self._routes)

    def on_request(self, stream: Stream) -> Verdict:
        """Answer, redirect or forward, as the route says."""
        route = stream.found_route
        if route is UNSOUGHT:
            route = stream.found_route = self.route(stream)
        if route is None:
            self._no_route.value += 1
            return stream.reply(404, details="route_not_found", flag="NR")
        plan = route.plan  # type: ignore[attr-defined]  # the routes that ``route`` gives are PlannedRoute
        if plan.action is None:
            return self._answer(stream, plan)
        self._total.value += 1
        request = stream.request
        if plan.plain:
            name = plan.cluster
            operations: tuple[Operation, ...] = ()
        else:
            name, operations = self._destination(stream, plan)
        cluster = self._cluster(name)
        if cluster is None:
            self._no_cluster.value += 1
            stream.upstream_cluster = name
            return stream.reply(plan.cluster_not_found_status, details="cluster_not_found", flag="NC")
        options = plan.options
        if not self._http:
            pass  # what steers HTTP's requests are headers: an RPC's attachments steer nothing
        elif plan.limits_grpc:
            options = self._limit(request, plan)
        else:
            headers = request.headers
            expected = plan.expected_timeout
            known = headers.block.grown.get(expected)  # only blocks that override nothing grow here
            if known is not None and _TIMED.isdisjoint(headers.added):
                headers.block = known
            else:
                if not (HEADERS.isdisjoint(headers.block.index) and HEADERS.isdisjoint(headers.added)):
                    action, retry = overridden(plan.action, plan.retry, headers)
                    options = make_options(action, retry, plan.host)
                    expected = plan.expected(action, retry)
                if expected is not None and not self._quiet:
                    headers.extend(expected)
        if not plan.plain:
            for operation in operations:
                operation(request.headers, stream)
            self._rewrite(request, plan)
        return forward(stream, cluster, options)

    def on_response(self, stream: Stream) -> Verdict:
        """Say how long the upstream took, and apply the route's response headers."""
        response = stream.response
        assert response is not None
        if self._tells_time and stream.details == VIA_UPSTREAM:
            ended = stream.request_ended or stream.response_started
            headers = response.headers
            if _SERVICE_TIME in headers.block.index:
                headers.block = headers.block.without(_SERVICE_TIME)
            headers.changed = True
            spent_ms = int((stream.response_started - ended) * 1000)
            headers.added[_SERVICE_TIME] = _NUMBERS[spent_ms] if spent_ms < 100 else b"%d" % spent_ms
        if not self._answers:
            return CONTINUE
        route = stream.route
        if route is None:
            return CONTINUE
        assert isinstance(route, PlannedRoute)
        plan = route.plan
        operations = plan.response_operations
        if plan.shares:
            chosen = stream.attributes.get(_SHARE_OPERATIONS)
            operations = chosen if isinstance(chosen, tuple) else operations
        for operation in operations:
            operation(response.headers, stream)
        return CONTINUE

    def _limit(self, request: Request, plan: Plan) -> ForwardOptions:
        """The options of a request whose caller may say how long it waits."""
        assert plan.action is not None
        headers = request.headers
        wanted = limited(plan.action, request)
        action, retry = overridden(wanted, plan.retry, headers)
        limit_s = plan.limit_s(action, retry)
        if limit_s:
            if not self._quiet:
                headers.put(EXPECTED_TIMEOUT, b"%d" % round(limit_s * 1000))
            if action.max_grpc_timeout_s is not None and grpc.is_grpc(headers):
                headers.put(grpc.TIMEOUT, grpc.encode_timeout(limit_s))
        return plan.options if action is plan.action and retry is plan.retry else make_options(action, retry, plan.host)

    def _answer(self, stream: Stream, plan: Plan) -> Verdict:
        direct = plan.direct
        if direct is not None:
            self._direct.value += 1
            return stream.reply(direct.status, direct.body, details="direct_response")
        assert plan.location is not None
        self._redirects.value += 1
        location = decode(plan.location(stream.request))
        return stream.reply(plan.redirect_status, headers={"location": location}, details="direct_response")

    def _destination(self, stream: Stream, plan: Plan) -> tuple[str, tuple[Operation, ...]]:
        """The cluster of one request, and what to do to its headers."""
        if plan.shares:
            share = plan.share()
            if share.response_operations:
                stream.attributes[_SHARE_OPERATIONS] = share.response_operations
            return share.cluster, share.request_operations
        if plan.cluster_header:
            return decode(stream.request.headers.find(plan.cluster_header) or b""), plan.request_operations
        return plan.cluster, plan.request_operations

    def _rewrite(self, request: Request, plan: Plan) -> None:
        if plan.rewrite_host is not None:
            host = request.raw_authority
            plan.rewrite_host(request)
            if host != request.raw_authority and not self._quiet:
                request.headers.put(ORIGINAL_HOST, host)
        if plan.rewrite_path is not None:
            path = plan.rewrite_path(request.raw_path)
            if path != request.raw_path:
                if not self._quiet:
                    request.headers.put(ORIGINAL_PATH, request.raw_path)
                request.raw_path = path
                request.headers.changed = True
