"""Which distribution answers for an extension: what to install when a configuration needs one that is missing.

Plain data, and no list of what is installed. A test holds it against the entry points of this repository.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_PROTOS = "envoy.extensions."

KNOWN: Mapping[str, str] = MappingProxyType(
    {
        # protocols
        "envoy.filters.network.tcp_proxy": "plait-protocol-tcp",
        _PROTOS + "filters.network.tcp_proxy.v3.TcpProxy": "plait-protocol-tcp",
        "envoy.filters.udp_listener.udp_proxy": "plait-protocol-udp",
        _PROTOS + "filters.udp.udp_proxy.v3.UdpProxyConfig": "plait-protocol-udp",
        "envoy.filters.network.http_connection_manager": "plait-protocol-http",
        _PROTOS + "filters.network.http_connection_manager.v3.HttpConnectionManager": "plait-protocol-http",
        "envoy.filters.network.generic_proxy": "plait-protocol-generic",
        _PROTOS + "filters.network.generic_proxy.v3.GenericProxy": "plait-protocol-generic",
        "http1": "plait-protocol-http1",
        "http2": "plait-protocol-http2",
        "bolt": "plait-protocol-bolt",
        "dubbo": "plait-protocol-dubbo",
        "envoy.filters.network.dubbo_proxy": "plait-protocol-dubbo",
        _PROTOS + "filters.network.dubbo_proxy.v3.DubboProxy": "plait-protocol-dubbo",
        "envoy.generic_proxy.codecs.dubbo": "plait-protocol-dubbo",
        _PROTOS + "filters.network.generic_proxy.codecs.dubbo.v3.DubboCodecConfig": "plait-protocol-dubbo",
        # filters
        "envoy.filters.http.router": "plait-filter-router",
        _PROTOS + "filters.http.router.v3.Router": "plait-filter-router",
        "envoy.filters.generic.router": "plait-filter-router",
        _PROTOS + "filters.network.generic_proxy.router.v3.Router": "plait-filter-router",
        "envoy.filters.dubbo.router": "plait-filter-router",
        _PROTOS + "filters.network.dubbo_proxy.router.v3.Router": "plait-filter-router",
        "envoy.filters.http.fault": "plait-filter-fault",
        _PROTOS + "filters.http.fault.v3.HTTPFault": "plait-filter-fault",
        "envoy.filters.http.grpc_http1_bridge": "plait-filter-grpc-http1-bridge",
        _PROTOS + "filters.http.grpc_http1_bridge.v3.Config": "plait-filter-grpc-http1-bridge",
        "envoy.filters.http.grpc_web": "plait-filter-grpc-web",
        _PROTOS + "filters.http.grpc_web.v3.GrpcWeb": "plait-filter-grpc-web",
        "envoy.filters.http.grpc_stats": "plait-filter-grpc-stats",
        _PROTOS + "filters.http.grpc_stats.v3.FilterConfig": "plait-filter-grpc-stats",
        "envoy.filters.listener.tls_inspector": "plait-filter-inspector",
        _PROTOS + "filters.listener.tls_inspector.v3.TlsInspector": "plait-filter-inspector",
        "envoy.filters.listener.http_inspector": "plait-filter-inspector",
        _PROTOS + "filters.listener.http_inspector.v3.HttpInspector": "plait-filter-inspector",
        "plait.filters.listener.protocol_inspector": "plait-filter-inspector",
        # transports
        "envoy.transport_sockets.tls": "plait-transport-tls",
        _PROTOS + "transport_sockets.tls.v3.DownstreamTlsContext": "plait-transport-tls",
        _PROTOS + "transport_sockets.tls.v3.UpstreamTlsContext": "plait-transport-tls",
        # registries
        "plait.registries.file": "plait-registry-file",
        # telemetry and policies
        "envoy.access_loggers.file": "plait-telemetry-accesslog",
        _PROTOS + "access_loggers.file.v3.FileAccessLog": "plait-telemetry-accesslog",
        "envoy.access_loggers.stdout": "plait-telemetry-accesslog",
        _PROTOS + "access_loggers.stream.v3.StdoutAccessLog": "plait-telemetry-accesslog",
        "envoy.access_loggers.stderr": "plait-telemetry-accesslog",
        _PROTOS + "access_loggers.stream.v3.StderrAccessLog": "plait-telemetry-accesslog",
        "prometheus": "plait-telemetry-prometheus",
        "envoy.stat_sinks.open_telemetry": "plait-telemetry-otel",
        _PROTOS + "stat_sinks.open_telemetry.v3.SinkConfig": "plait-telemetry-otel",
        "plait.stat_sinks.otlp": "plait-telemetry-otel",
        "plait.filters.mixer": "plait-telemetry-mixer",
        "plait.filters.network.mixer": "plait-telemetry-mixer",
        "denier": "plait-telemetry-mixer",
        "list": "plait-telemetry-mixer",
        "listchecker": "plait-telemetry-mixer",
    }
)
