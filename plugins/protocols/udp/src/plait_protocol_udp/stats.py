"""Envoy's statistics of udp_proxy, as attributes."""

from __future__ import annotations

from plait import Stats


class DownstreamStats:
    """``udp.<stat_prefix>.``: of the listener's side."""

    def __init__(self, stats: Stats, stat_prefix: str) -> None:
        prefix = f"udp.{stat_prefix}."
        counter = stats.counter
        self.idle_timeout = counter(prefix + "idle_timeout")
        self.total = counter(prefix + "downstream_sess_total")
        self.active = stats.gauge(prefix + "downstream_sess_active")
        self.no_route = counter(prefix + "downstream_sess_no_route")
        self.rx_bytes = counter(prefix + "downstream_sess_rx_bytes")
        self.rx_datagrams = counter(prefix + "downstream_sess_rx_datagrams")
        self.rx_errors = counter(prefix + "downstream_sess_rx_errors")
        self.tx_bytes = counter(prefix + "downstream_sess_tx_bytes")
        self.tx_datagrams = counter(prefix + "downstream_sess_tx_datagrams")
        self.tx_errors = counter(prefix + "downstream_sess_tx_errors")


class UpstreamStats:
    """``cluster.<name>.udp.``: of the upstream's side."""

    def __init__(self, stats: Stats, cluster: str) -> None:
        prefix = f"cluster.{cluster}.udp."
        counter = stats.counter
        self.rx_datagrams = counter(prefix + "sess_rx_datagrams")
        self.rx_errors = counter(prefix + "sess_rx_errors")
        self.tx_datagrams = counter(prefix + "sess_tx_datagrams")
        self.tx_errors = counter(prefix + "sess_tx_errors")
