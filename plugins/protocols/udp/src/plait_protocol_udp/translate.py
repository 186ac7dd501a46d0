"""From Envoy's UdpProxyConfig message to ``UdpProxySettings``. Only where configuration is read."""

from typing import Any

from plait.xds import Translator, Where, duration_s
from plait_protocol_udp.settings import UdpProxySettings

_HANDLED = {
    "stat_prefix",
    "cluster",
    "matcher",
    "idle_timeout",
    "use_per_packet_load_balancing",
    "access_log",
    "upstream_socket_config",
}
_SOCKET_NO_EFFECT = {
    "max_rx_datagram_size": "datagrams of any size are taken",
    "prefer_gro": "datagrams are read one by one",
}
_ROUTE = "envoy.extensions.filters.udp.udp_proxy.v3.Route"


def udp_proxy(message: Any, where: Where, translator: Translator) -> UdpProxySettings:
    """The settings; raises ConfigError for what is missing or not supported."""
    translator.only(message, where, _HANDLED)
    translator.only(message.upstream_socket_config, where / "upstream_socket_config", (), _SOCKET_NO_EFFECT)
    if not message.stat_prefix:
        raise (where / "stat_prefix").error("udp_proxy has no stat_prefix", expected="a name for its statistics")
    kind = message.WhichOneof("route_specifier")
    if kind == "cluster":
        cluster, at = message.cluster, where / "cluster"
    elif kind == "matcher":
        cluster, at = _matched(message.matcher, where / "matcher", translator)
    else:
        raise where.error("udp_proxy has no cluster", expected="matcher: {on_no_match: …} with a Route, or cluster")
    if not cluster:
        raise at.error("udp_proxy's cluster has no name", expected="the name of a cluster")
    translator.cluster_reference(cluster, at)
    return UdpProxySettings(
        stat_prefix=message.stat_prefix,
        cluster=cluster,
        idle_timeout_s=duration_s(message, "idle_timeout", where, 60.0, positive=True),
        per_packet=message.use_per_packet_load_balancing,
        access_log=translator.access_logs(message.access_log, where / "access_log"),
    )


def _matched(matcher: Any, where: Where, translator: Translator) -> tuple[str, Where]:
    """The cluster of a matcher that matches nothing and has a Route for that, and its place."""
    from envoy.extensions.filters.udp.udp_proxy.v3.route_pb2 import Route

    translator.only(matcher, where, {"on_no_match"})
    at = where / "on_no_match"
    translator.only(matcher.on_no_match, at, {"action"})
    if not matcher.on_no_match.HasField("action"):
        raise at.error("the matcher has no action", expected=f"on_no_match: {{action: …}} with a {_ROUTE}")
    at = at / "action" / "typed_config"
    route = Route()
    packed = matcher.on_no_match.action.typed_config
    if not packed.Is(Route.DESCRIPTOR):
        raise at.error(f"the action is a {packed.TypeName() or 'message without a type'}", expected=f"a {_ROUTE}")
    packed.Unpack(route)
    return route.cluster, at / "cluster"
