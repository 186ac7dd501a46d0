"""UDP: ``envoy.filters.udp_listener.udp_proxy``, which carries datagrams to a cluster and back, in sessions."""

import plait
from plait_protocol_udp.proxy import UdpProxy
from plait_protocol_udp.settings import UdpProxySettings

__all__ = ["UdpProxy", "UdpProxySettings", "plait_protocols"]


@plait.hookimpl
def plait_protocols() -> list[plait.UdpFilterType]:
    """Registers udp_proxy."""
    return [
        plait.UdpFilterType(
            "envoy.filters.udp_listener.udp_proxy",
            UdpProxySettings,
            UdpProxy,
            proto="envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig",
            translate="plait_protocol_udp.translate:udp_proxy",
        )
    ]
