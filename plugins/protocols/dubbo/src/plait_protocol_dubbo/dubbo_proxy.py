"""dubbo_proxy: the proxy of RPC protocols, speaking Dubbo, under Envoy's older message for it.

All that is its own is the shape of its routes (``routes``, ``translate``) and the names of its statistics.
"""

from __future__ import annotations

from plait import Context, NetworkFilterType
from plait.stream import StreamProxy
from plait_protocol_generic import RpcProxySettings, rpc_proxy


def dubbo_proxy(settings: RpcProxySettings, context: Context) -> StreamProxy:
    """The terminal filter of a chain that speaks Dubbo; raises as ``rpc_proxy`` does."""
    proxy = rpc_proxy(settings, context)
    prefix, stats, observe = settings.stat_prefix, proxy.stats, context.stats.observe
    total, classes, decoding, unanswered = stats.rq_total, stats.classes, stats.cx_protocol_error, stats.rq_unanswered
    answered = tuple(classes[first] for first in range(1, 6))
    success, client, server = classes[2], classes[4], classes[5]

    def responses() -> int:
        return sum([counter.value for counter in answered])

    observe(f"{prefix}.request", lambda: total.value, grows=True)
    observe(f"{prefix}.request_active", lambda: total.value - responses() - unanswered.value, grows=False)
    observe(f"{prefix}.request_decoding_error", lambda: decoding.value, grows=True)
    observe(f"{prefix}.response", responses, grows=True)
    observe(f"{prefix}.response_success", lambda: success.value, grows=True)
    observe(f"{prefix}.response_error", lambda: client.value + server.value, grows=True)
    return proxy


DUBBO_PROXY = NetworkFilterType(
    "envoy.filters.network.dubbo_proxy",
    RpcProxySettings,
    dubbo_proxy,
    proto="envoy.extensions.filters.network.dubbo_proxy.v3.DubboProxy",
    translate="plait_protocol_dubbo.translate:dubbo_proxy",
    terminal=True,
)
