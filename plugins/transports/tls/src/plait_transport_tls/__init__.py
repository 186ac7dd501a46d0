"""TLS for Plait: ``envoy.transport_sockets.tls`` of filter chains and of clusters."""

from plait import DownstreamTransportSocketType, UpstreamTransportSocketType, hookimpl
from plait_transport_tls.downstream import DownstreamTlsSocket
from plait_transport_tls.settings import NAME, DownstreamTls, UpstreamTls
from plait_transport_tls.upstream import UpstreamTlsSocket

__all__ = ["DownstreamTls", "DownstreamTlsSocket", "UpstreamTls", "UpstreamTlsSocket", "plait_transports"]

_PROTOS = "envoy.extensions.transport_sockets.tls.v3."


@hookimpl
def plait_transports() -> list[DownstreamTransportSocketType | UpstreamTransportSocketType]:
    """Both sides, which have messages of their own."""
    return [
        DownstreamTransportSocketType(
            NAME,
            DownstreamTls,
            DownstreamTlsSocket,
            proto=_PROTOS + "DownstreamTlsContext",
            translate="plait_transport_tls.translate:downstream_tls",
        ),
        UpstreamTransportSocketType(
            NAME,
            UpstreamTls,
            UpstreamTlsSocket,
            proto=_PROTOS + "UpstreamTlsContext",
            translate="plait_transport_tls.translate:upstream_tls",
        ),
    ]
