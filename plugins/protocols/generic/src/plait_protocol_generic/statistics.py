"""Envoy's names of generic_proxy for what the stream proxy counts anyway; to traffic they cost nothing."""

from __future__ import annotations

from plait import Context
from plait.stream import StreamProxy


def observe(proxy: StreamProxy, context: Context, prefix: str) -> None:
    """Tell them of a proxy."""
    stats, observe_as = proxy.stats, context.stats.observe
    client, server, decoding = stats.classes[4], stats.classes[5], stats.cx_protocol_error
    received, sent = stats.rq_rx_reset, stats.rq_tx_reset
    observe_as(f"{prefix}.downstream_rq_error", lambda: client.value + server.value, grows=True)
    observe_as(f"{prefix}.downstream_rq_reset", lambda: received.value + sent.value, grows=True)
    observe_as(f"{prefix}.downstream_rq_decoding_error", lambda: decoding.value, grows=True)
