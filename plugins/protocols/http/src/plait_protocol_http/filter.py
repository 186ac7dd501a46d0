"""http_connection_manager: HTTP's edge and the configured filters, in front of the core's stream proxy.

The core serves the streams; this puts together what it serves them with.
"""

from __future__ import annotations

from typing import Any, cast

from plait import Context, PluginError, ProtocolType, StreamFilter
from plait.stream import FilterChain, Limits, StreamProxy
from plait_protocol_http.edge import HttpEdge
from plait_protocol_http.local import with_grpc
from plait_protocol_http.settings import HcmSettings

EDGE = "http edge"

_PROTOCOLS = {"http1": ("http1",), "http2": ("http2",), "auto": ("http1", "http2")}


def http_connection_manager(settings: HcmSettings, context: Context) -> StreamProxy:
    """The terminal filter of a chain that speaks HTTP.

    Raises PluginError when a codec is missing or a filter cannot be made, ConfigError for what they refuse.
    """
    protocols = _protocols(settings.codec, context)
    prefix = f"http.{settings.stat_prefix}"
    # the edge first: nothing looks at a request before it is in shape, and nothing touches a response after it
    filters: list[StreamFilter] = [HttpEdge(settings.edge)]
    names = [EDGE]
    of_chain = context.for_chain(prefix, settings.routes)
    try:
        for extension in settings.http_filters:
            filters.append(of_chain.build("filters", extension))
            names.append(extension.name)
        chain = FilterChain(filters, names)
        return StreamProxy(
            chain,
            protocols,
            context,
            stat_prefix=prefix,
            limits=Limits(
                idle_timeout_s=settings.idle_timeout_s,
                request_timeout_s=settings.request_timeout_s,
                request_headers_timeout_s=settings.request_headers_timeout_s,
                stream_idle_timeout_s=settings.stream_idle_timeout_s,
                max_connection_duration_s=settings.max_connection_duration_s,
                max_requests_per_connection=settings.max_requests_per_connection,
            ),
            codec_options=settings.codec_options,
            upstream=_upstream(protocols, context),
            access_logs=[context.build("telemetry", log) for log in settings.access_log],
        )
    except Exception:
        for made in filters:
            made.close()
        raise


def _protocols(codec: str, context: Context) -> list[ProtocolType]:
    """Those that ``codec`` names; ``auto`` is HTTP/1 and, where its plugin is there, HTTP/2."""
    found: list[ProtocolType] = []
    for name in _PROTOCOLS[codec]:
        try:
            protocol: Any = context.protocol(name)
        except PluginError:
            if codec != "auto" or name != "http2":
                raise
            continue
        found.append(with_grpc(protocol))
    return found


def _upstream(protocols: list[ProtocolType], context: Context) -> ProtocolType:
    """What is spoken to clusters that do not say: HTTP/1.1, whatever the caller speaks; or the one there is."""
    try:
        protocol: Any = context.protocol("http1")
    except PluginError:
        return protocols[0]
    return cast("ProtocolType", protocol)
