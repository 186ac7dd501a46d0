"""HTTP's edge for Plait: http_connection_manager, for any HTTP codec."""

from plait import NetworkFilterType, hookimpl
from plait_protocol_http.edge import HttpEdge
from plait_protocol_http.filter import http_connection_manager
from plait_protocol_http.settings import EdgeSettings, HcmSettings

__all__ = ["EdgeSettings", "HcmSettings", "HttpEdge", "http_connection_manager", "plait_protocols"]


@hookimpl
def plait_protocols() -> list[NetworkFilterType]:
    """The connection manager: a terminal filter of connections."""
    return [
        NetworkFilterType(
            "envoy.filters.network.http_connection_manager",
            HcmSettings,
            http_connection_manager,
            proto="envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            translate="plait_protocol_http.translate:http_connection_manager",
            terminal=True,
        )
    ]
