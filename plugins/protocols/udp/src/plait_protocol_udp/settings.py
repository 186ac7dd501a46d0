"""The settings of udp_proxy, frozen."""

import attrs

from plait import Extension


@attrs.frozen
class UdpProxySettings:
    """envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig.

    A session ends after ``idle_timeout_s`` (more than 0) without a datagram either way. With ``per_packet`` every
    datagram is balanced for itself, and a session is that of a downstream address and a host.
    """

    stat_prefix: str
    cluster: str
    idle_timeout_s: float = 60.0
    per_packet: bool = False
    access_log: tuple[Extension, ...] = ()
