"""Envoy's statistics of generic_proxy that the stream proxy does not keep: codes, flags, and who answered.

A filter, the first of its chain. What can be told from other statistics is, and costs traffic nothing.
"""

from __future__ import annotations

from plait import Context, Counter, Stream, StreamFilter
from plait.stream import StreamProxy

VIA_UPSTREAM = "via_upstream"


class RpcStatistics(StreamFilter):
    """``<prefix>.downstream_rq_code.<code>``, ``….downstream_rq_flag.<flag>`` and ``….downstream_rq_local``.

    The code is the protocol's own where it has one, else HTTP's.
    """

    def __init__(self, context: Context, prefix: str) -> None:
        self._counter = context.stats.counter
        self._code = f"{prefix}.downstream_rq_code."
        self._flag = f"{prefix}.downstream_rq_flag."
        self._local = context.stats.counter(f"{prefix}.downstream_rq_local")
        # codes and flags are few: those of a codec, and Envoy's
        self._codes: dict[int, Counter] = {}
        self._flags: dict[str, Counter] = {}

    def on_end(self, stream: Stream) -> None:
        """Count how the stream ended."""
        response = stream.response
        if response is not None:
            code = response.code or response.status
            counter = self._codes.get(code)
            if counter is None:
                counter = self._codes[code] = self._counter(f"{self._code}{code}")
            counter.value += 1
            if stream.details != VIA_UPSTREAM:
                self._local.value += 1
        for flag in stream.flags:
            counter = self._flags.get(flag)
            if counter is None:
                counter = self._flags[flag] = self._counter(f"{self._flag}{flag}")
            counter.value += 1


def observe(proxy: StreamProxy, context: Context, prefix: str) -> None:
    """Tell Envoy's names for what the stream proxy counts anyway."""
    stats, observe_as = proxy.stats, context.stats.observe
    client, server, decoding = stats.classes[4], stats.classes[5], stats.cx_protocol_error
    received, sent = stats.rq_rx_reset, stats.rq_tx_reset
    observe_as(f"{prefix}.downstream_rq_error", lambda: client.value + server.value, grows=True)
    observe_as(f"{prefix}.downstream_rq_reset", lambda: received.value + sent.value, grows=True)
    observe_as(f"{prefix}.downstream_rq_decoding_error", lambda: decoding.value, grows=True)
