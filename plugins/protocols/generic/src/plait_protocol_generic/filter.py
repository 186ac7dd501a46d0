"""The proxy of an RPC protocol: its codec and the configured filters, in front of the core's stream proxy."""

from __future__ import annotations

from typing import Any

from plait import Context, StreamFilter
from plait.stream import FilterChain, Limits, StreamProxy
from plait_protocol_generic.settings import RpcProxySettings
from plait_protocol_generic.statistics import observe


def rpc_proxy(settings: RpcProxySettings, context: Context) -> StreamProxy:
    """The terminal filter of a chain that speaks an RPC protocol.

    Raises PluginError when the codec is missing or a filter cannot be made, ConfigError for what they refuse.
    """
    protocol: Any = context.protocol(settings.protocol)
    prefix = settings.stat_prefix
    filters: list[StreamFilter] = []
    names: list[str] = []
    of_chain = context.for_chain(prefix, settings.routes)
    try:
        for extension in settings.filters:
            filters.append(of_chain.build("filters", extension))
            names.append(extension.name)
        proxy = StreamProxy(
            FilterChain(filters, names),
            [protocol],
            context,
            stat_prefix=prefix,
            # a call has the time that its route or its frame gives it; only where neither does is there another clock
            limits=Limits(
                idle_timeout_s=settings.idle_timeout_s,
                heartbeats=True,
                stream_idle_timeout_s=settings.stream_idle_timeout_s,
            ),
            codec_options={} if settings.codec_options is None else {protocol.name: settings.codec_options},
            access_logs=[context.build("telemetry", log) for log in settings.access_log],
            rpc=True,
        )
    except Exception:
        for made in filters:
            made.close()
        raise
    observe(proxy, context, prefix)
    return proxy
