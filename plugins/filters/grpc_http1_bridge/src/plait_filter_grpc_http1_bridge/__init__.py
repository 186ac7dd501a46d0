"""A filter for Plait that lets HTTP/1.1 clients, which see no trailers, call gRPC services."""

from plait import FilterType, hookimpl
from plait_filter_grpc_http1_bridge.filter import NAME, BridgeSettings, GrpcHttp1Bridge

__all__ = ["BridgeSettings", "GrpcHttp1Bridge", "plait_filters"]


@hookimpl
def plait_filters() -> list[FilterType]:
    """The filter; routes have no settings of their own."""
    return [
        FilterType(
            NAME,
            BridgeSettings,
            GrpcHttp1Bridge,
            proto="envoy.extensions.filters.http.grpc_http1_bridge.v3.Config",
            translate="plait_filter_grpc_http1_bridge.translate:bridge",
        )
    ]
