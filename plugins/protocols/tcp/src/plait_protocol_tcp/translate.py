"""From Envoy's TcpProxy message to ``TcpProxySettings``. Only where configuration is read."""

from typing import Any

from plait.xds import Translator, Where, duration_s, wrapped
from plait_protocol_tcp.settings import TcpProxySettings

_HANDLED = {
    "stat_prefix",
    "cluster",
    "weighted_clusters",
    "idle_timeout",
    "max_connect_attempts",
    "max_downstream_connection_duration",
    "access_log",
}


def tcp_proxy(message: Any, where: Where, translator: Translator) -> TcpProxySettings:
    """The settings; raises ConfigError for what is missing or not supported."""
    translator.only(message, where, handled=_HANDLED)
    if not message.stat_prefix:
        raise (where / "stat_prefix").error("tcp_proxy has no stat_prefix", expected="a name for its statistics")
    kind = message.WhichOneof("cluster_specifier")
    if kind == "cluster":
        clusters = [(message.cluster, 1)]
        translator.cluster_reference(message.cluster, where / "cluster")
    elif kind == "weighted_clusters":
        clusters = []
        for index, entry in enumerate(message.weighted_clusters.clusters):
            place = where / "weighted_clusters" / "clusters" / index
            translator.only(entry, place, handled={"name", "weight"})
            if not entry.weight:
                raise (place / "weight").error("the weight is 0", expected="at least 1")
            translator.cluster_reference(entry.name, place / "name")
            clusters.append((entry.name, entry.weight))
    else:
        clusters = []
    if not clusters:
        raise where.error("tcp_proxy has no cluster", expected="cluster or weighted_clusters")
    attempts = wrapped(message, "max_connect_attempts", 1)
    if attempts < 1:
        raise (where / "max_connect_attempts").error(f"max_connect_attempts is {attempts}", expected="at least 1")
    return TcpProxySettings(
        stat_prefix=message.stat_prefix,
        clusters=tuple(clusters),
        idle_timeout_s=duration_s(message, "idle_timeout", where, 3600.0),
        max_connect_attempts=attempts,
        max_downstream_connection_duration_s=duration_s(
            message, "max_downstream_connection_duration", where, positive=True
        ),
        access_log=translator.access_logs(message.access_log, where / "access_log"),
    )
