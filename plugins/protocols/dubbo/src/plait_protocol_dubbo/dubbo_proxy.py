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
    total, decoding, unanswered = stats.rq_total, stats.cx_protocol_error, stats.rq_unanswered
    answers, success, client, server = stats.answers.values(), *map(stats.of_class, (2, 4, 5))

    def responses() -> int:
        return sum([counter.value for counter in answers])

    observe(f"{prefix}.request", lambda: total.value, grows=True)
    observe(f"{prefix}.request_active", lambda: total.value - responses() - unanswered.value, grows=False)
    observe(f"{prefix}.request_decoding_error", lambda: decoding.value, grows=True)
    observe(f"{prefix}.response", responses, grows=True)
    observe(f"{prefix}.response_success", success, grows=True)
    observe(f"{prefix}.response_error", lambda: client() + server(), grows=True)
    return proxy


DUBBO_PROXY = NetworkFilterType(
    "envoy.filters.network.dubbo_proxy",
    RpcProxySettings,
    dubbo_proxy,
    proto="envoy.extensions.filters.network.dubbo_proxy.v3.DubboProxy",
    translate="plait_protocol_dubbo.translate:dubbo_proxy",
    terminal=True,
)
