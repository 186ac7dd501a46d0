"""A filter for Plait that lets browsers call gRPC services: gRPC-Web on their side, gRPC on the other."""

from plait import FilterType, hookimpl
from plait_filter_grpc_web.filter import NAME, GrpcWebFilter, GrpcWebSettings

__all__ = ["GrpcWebFilter", "GrpcWebSettings", "plait_filters"]


@hookimpl
def plait_filters() -> list[FilterType]:
    """The filter, which has no settings."""
    return [
        FilterType(
            NAME,
            GrpcWebSettings,
            GrpcWebFilter,
            proto="envoy.extensions.filters.http.grpc_web.v3.GrpcWeb",
            translate="plait_filter_grpc_web.translate:grpc_web",
        )
    ]
