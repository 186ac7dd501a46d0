"""The settings of tcp_proxy, frozen."""

import attrs

from plait import Extension


@attrs.frozen
class TcpProxySettings:
    """envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.

    ``clusters`` are (name, weight) pairs; one pair is the plain ``cluster``. ``idle_timeout_s`` and
    ``max_downstream_connection_duration_s`` 0 mean none.
    """

    stat_prefix: str
    clusters: tuple[tuple[str, int], ...]
    idle_timeout_s: float = 3600.0
    max_connect_attempts: int = 1
    max_downstream_connection_duration_s: float = 0.0
    access_log: tuple[Extension, ...] = ()
