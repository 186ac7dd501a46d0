"""TCP: ``envoy.filters.network.tcp_proxy``, which carries bytes to a cluster and back. No streams, no parsing."""

import plait
from plait_protocol_tcp.proxy import TcpProxy
from plait_protocol_tcp.settings import TcpProxySettings

__all__ = ["TcpProxy", "TcpProxySettings", "plait_protocols"]


@plait.hookimpl
def plait_protocols() -> list[plait.NetworkFilterType]:
    """Registers tcp_proxy."""
    return [
        plait.NetworkFilterType(
            "envoy.filters.network.tcp_proxy",
            TcpProxySettings,
            TcpProxy,
            proto="envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            translate="plait_protocol_tcp.translate:tcp_proxy",
            terminal=True,
        )
    ]
