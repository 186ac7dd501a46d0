"""The router filter for Plait: virtual hosts, matches, retries and redirects."""

from plait import FilterType, hookimpl
from plait_filter_router.filter import Router
from plait_filter_router.settings import RouterSettings
from plait_filter_router.table import RouteTable

__all__ = ["RouteTable", "Router", "RouterSettings", "plait_filters"]


@hookimpl
def plait_filters() -> list[FilterType]:
    """The router, which ends chains of stream filters, under the names that it has in HTTP's and in those of RPC."""
    return [
        FilterType(
            "envoy.filters.http.router",
            RouterSettings,
            Router,
            proto="envoy.extensions.filters.http.router.v3.Router",
            translate="plait_filter_router.translate:router",
            terminal=True,
        ),
        FilterType(
            "envoy.filters.generic.router",
            RouterSettings,
            Router,
            proto="envoy.extensions.filters.network.generic_proxy.router.v3.Router",
            translate="plait_filter_router.translate:generic_router",
            terminal=True,
        ),
        FilterType(
            "envoy.filters.dubbo.router",
            RouterSettings,
            Router,
            proto="envoy.extensions.filters.network.dubbo_proxy.router.v3.Router",
            translate="plait_filter_router.translate:dubbo_router",
            terminal=True,
        ),
    ]
