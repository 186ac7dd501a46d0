"""Listener filters that recognize what a connection begins with, so that its filter chain can be chosen by that."""

from plait import ListenerFilterType, hookimpl
from plait_filter_inspector.http import HttpInspector
from plait_filter_inspector.protocol import ProtocolInspector
from plait_filter_inspector.settings import (
    HTTP_INSPECTOR,
    PROTOCOL_INSPECTOR,
    TLS_INSPECTOR,
    HttpInspection,
    ProtocolInspection,
    TlsInspection,
)
from plait_filter_inspector.tls import TlsInspector

__all__ = [
    "HttpInspection",
    "HttpInspector",
    "ProtocolInspection",
    "ProtocolInspector",
    "TlsInspection",
    "TlsInspector",
    "plait_filters",
]

_PROTOS = "envoy.extensions.filters.listener."


@hookimpl
def plait_filters() -> list[ListenerFilterType]:
    """Envoy's two, and ours, which asks the plugins of protocols."""
    return [
        ListenerFilterType(
            TLS_INSPECTOR,
            TlsInspection,
            TlsInspector,
            proto=_PROTOS + "tls_inspector.v3.TlsInspector",
            translate="plait_filter_inspector.translate:tls_inspection",
        ),
        ListenerFilterType(
            HTTP_INSPECTOR,
            HttpInspection,
            HttpInspector,
            proto=_PROTOS + "http_inspector.v3.HttpInspector",
            translate="plait_filter_inspector.translate:http_inspection",
        ),
        ListenerFilterType(
            PROTOCOL_INSPECTOR,
            ProtocolInspection,
            ProtocolInspector,
            translate="plait_filter_inspector.translate:protocol_inspection",
        ),
    ]
