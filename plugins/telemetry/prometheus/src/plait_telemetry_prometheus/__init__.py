"""Prometheus exposition for Plait under Envoy's stat names: the page /stats/prometheus."""

from plait import StatsFormatType, hookimpl
from plait_telemetry_prometheus.exposition import CONTENT_TYPE, render

__all__ = ["CONTENT_TYPE", "plait_telemetry", "render"]


@hookimpl
def plait_telemetry() -> list[StatsFormatType]:
    """The page of the admin server."""
    return [StatsFormatType("prometheus", CONTENT_TYPE, render)]
