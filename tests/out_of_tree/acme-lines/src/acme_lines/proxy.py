"""``acme.network.lines``: a stream proxy for acme-lines, whose router knows services by name."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from plait import Context, ForwardAction, Route, RouteMatch, RouterFilter, Stream, Verdict
from plait.stream import FilterChain, ForwardOptions, StreamProxy, forward


@attrs.frozen
class Lines:
    """Settings: the cluster of each service, ``*`` for all others."""

    stat_prefix: str
    services: Mapping[str, str]
    timeout_s: float = 15.0


class LinesRouter(RouterFilter):
    """Finds the cluster of a service."""

    def __init__(self, settings: Lines, context: Context) -> None:
        self._cluster = context.cluster
        self._options = ForwardOptions(timeout_s=settings.timeout_s)
        self._routes = {
            service: Route(RouteMatch(), ForwardAction(cluster=cluster), name=service)
            for service, cluster in settings.services.items()
        }

    def route(self, stream: Stream) -> Route | None:
        return self._routes.get(stream.request.authority) or self._routes.get("*")

    def on_request(self, stream: Stream) -> Verdict:
        route = stream.route
        if route is None:
            return stream.reply(404, f"no service {stream.request.authority}", details="route_not_found", flag="NR")
        assert isinstance(route.action, ForwardAction)
        cluster = self._cluster(route.action.cluster)
        if cluster is None:
            return stream.reply(503, f"no cluster {route.action.cluster}", details="cluster_not_found", flag="NC")
        return forward(stream, cluster, self._options)


def lines(settings: Lines, context: Context) -> StreamProxy:
    """The terminal filter of a chain."""
    chain = FilterChain([LinesRouter(settings, context)], ["acme router"])
    protocol = context.protocol("acme-lines")
    return StreamProxy(chain, [protocol], context, stat_prefix=f"acme.{settings.stat_prefix}")
