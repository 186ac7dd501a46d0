"""A filter for Plait that counts gRPC's calls and messages by method."""

from plait import FilterType, hookimpl
from plait_filter_grpc_stats.filter import GrpcStatsFilter
from plait_filter_grpc_stats.settings import NAME, GrpcStatsSettings

__all__ = ["GrpcStatsFilter", "GrpcStatsSettings", "plait_filters"]


@hookimpl
def plait_filters() -> list[FilterType]:
    """The filter; routes have no settings of their own."""
    return [
        FilterType(
            NAME,
            GrpcStatsSettings,
            GrpcStatsFilter,
            proto="envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",
            translate="plait_filter_grpc_stats.translate:grpc_stats",
        )
    ]
