"""``docs/reference/metrics.md``: the statistics of a sidecar that has everything, each with its meaning.

The names and types are those that the code makes when a configuration is provisioned; ``MEANINGS`` is the only thing
written here, and a name without one is an error. Statistics made when they are first needed are in ``LATER``.
"""

from __future__ import annotations

import asyncio
import os

from plait.api.config import Extension
from plait.api.registry import Registry, RegistrySink
from plait.plugins import Catalogue, discover
from plait.runtime.configuration import resources_of
from plait.runtime.dataplane import DataPlane
from plait.runtime.registries import Registries
from plait.runtime.server_stats import ServerStats
from plait.runtime.statistics import StatsStore
from plait.xds import load_bootstrap
from plait.xds.store import ConfigStore
from tools.pages.meanings import LATER, MEANINGS

_TITLE = "# Statistics\n"
_INTRO = """\
The names are Envoy's where Envoy has them. `/stats` shows them as they are here, `/stats/prometheus` as the plugin
`plait-telemetry-prometheus` names them. What stands in angle brackets is a name out of the configuration. Counters
survive the worker that counted them; gauges go with it, and are sums over workers unless they say the same in each.
Times are in milliseconds.
"""

_TYPE = "type.googleapis.com/envoy.extensions."
_CONFIGURATION = f"""
static_resources:
  listeners:
  - name: http
    stat_prefix: <address>
    address: {{socket_address: {{address: 127.0.0.1, port_value: 1}}}}
    filter_chains:
    - filters:
      - name: mixer
        typed_config: {{"@type": type.googleapis.com/xds.type.v3.TypedStruct, type_url: plait.filters.network.mixer}}
      - name: http
        typed_config:
          "@type": {_TYPE}filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: <stat_prefix>
          codec_type: HTTP1
          access_log:
          - name: log
            typed_config: {{"@type": {_TYPE}access_loggers.file.v3.FileAccessLog, path: {os.devnull}}}
          route_config: {{virtual_hosts: [{{name: all, domains: ["*"]}}]}}
          http_filters:
          - name: fault
            typed_config: {{"@type": {_TYPE}filters.http.fault.v3.HTTPFault}}
          - name: grpc_web
            typed_config: {{"@type": {_TYPE}filters.http.grpc_web.v3.GrpcWeb}}
          - name: router
            typed_config: {{"@type": {_TYPE}filters.http.router.v3.Router}}
  - name: rpc
    stat_prefix: <address>
    address: {{socket_address: {{address: 127.0.0.1, port_value: 4}}}}
    filter_chains:
    - filters:
      - name: rpc
        typed_config:
          "@type": {_TYPE}filters.network.generic_proxy.v3.GenericProxy
          stat_prefix: <stat_prefix>
          codec_config: {{name: plait.generic_proxy.codecs.bolt}}
          route_config: {{}}
          filters: [{{name: envoy.filters.generic.router}}]
  - name: dubbo
    stat_prefix: <address>
    address: {{socket_address: {{address: 127.0.0.1, port_value: 5}}}}
    filter_chains:
    - filters:
      - name: dubbo
        typed_config:
          "@type": {_TYPE}filters.network.dubbo_proxy.v3.DubboProxy
          stat_prefix: <stat_prefix>
          route_config: [{{interface: "*"}}]
  - name: tcp
    stat_prefix: <address>
    address: {{socket_address: {{address: 127.0.0.1, port_value: 2}}}}
    listener_filters:
    - name: tls
      typed_config: {{"@type": {_TYPE}filters.listener.tls_inspector.v3.TlsInspector}}
    - name: http
      typed_config: {{"@type": {_TYPE}filters.listener.http_inspector.v3.HttpInspector}}
    - name: protocol
      typed_config:
        "@type": type.googleapis.com/xds.type.v3.TypedStruct
        type_url: plait.filters.listener.protocol_inspector
        value: {{protocols: [http1]}}
    filter_chains:
    - filters:
      - name: tcp
        typed_config:
          "@type": {_TYPE}filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: <stat_prefix>
          cluster: <cluster>
  - name: udp
    stat_prefix: <address>
    address: {{socket_address: {{protocol: UDP, address: 127.0.0.1, port_value: 3}}}}
    udp_listener_config: {{}}
    listener_filters:
    - name: udp
      typed_config:
        "@type": {_TYPE}filters.udp.udp_proxy.v3.UdpProxyConfig
        stat_prefix: <stat_prefix>
        cluster: <cluster>
  clusters:
  - name: <cluster>
    load_assignment: {{cluster_name: <cluster>}}
    health_checks:
    - {{timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, tcp_health_check: {{}}}}
    transport_socket:
      name: tls
      typed_config:
        "@type": {_TYPE}transport_sockets.tls.v3.UpstreamTlsContext
        common_tls_context: {{validation_context: {{system_root_certs: {{}}}}}}
"""

_GROUPS = (
    ("listener.", "Listeners", "Of the address that a listener is bound to, or its `stat_prefix`."),
    ("http.", "HTTP", "Of a connection manager, by its `stat_prefix`; `rq_…` and `no_…` are the router's."),
    ("generic_proxy.", "RPC", "Of a `generic_proxy`, by its `stat_prefix`; `rq_…` and `no_…` are the router's."),
    ("dubbo.", "Dubbo", "Of a `dubbo_proxy`, by its `stat_prefix`; `rq_…` and `no_…` are the router's."),
    ("tcp.", "TCP", "Of a `tcp_proxy`, by its `stat_prefix`."),
    ("udp.", "UDP", "Of a `udp_proxy`, by its `stat_prefix`; that of the upstream's side is below `cluster.`."),
    ("cluster.", "Clusters", "Of an upstream cluster, by its name or its `alt_stat_name`."),
    ("tls_inspector.", "TLS inspector", ""),
    ("http_inspector.", "HTTP inspector", ""),
    ("protocol_inspector.", "Protocol inspector", "Of all listeners that have one."),
    ("mixer.", "Mixer", ""),
    ("filesystem.", "Access logs", ""),
    ("registry.", "Registries", "Of a registry, by its name in `bootstrap_extensions`."),
    ("", "The process", "Counted by the supervisor."),
)


def names() -> dict[str, str]:
    """Every statistic that a sidecar with everything has from its start, and its type."""
    return asyncio.run(_names())


async def _names() -> dict[str, str]:
    catalogue = Catalogue(discover())
    bootstrap = load_bootstrap("", _CONFIGURATION, catalogue)
    plane = DataPlane(catalogue, bootstrap.node)
    try:
        plane.provision(ConfigStore().set_source("bootstrap", resources_of(bootstrap)))
        stores = plane.stats, ServerStats(ConfigStore(), 1).stats, await _watching()
    finally:
        await plane.close()
    found: dict[str, str] = {}
    for store in stores:
        delta = store.take()  # a new name is told once, whatever its value
        for kind in ("counters", "gauges", "histograms"):
            found |= dict.fromkeys(getattr(delta, kind), kind.removesuffix("s"))
    return found


async def _watching() -> StatsStore:
    """The statistics of a registry."""
    stats = StatsStore()

    async def change(source: str, resources: object) -> None:
        pass

    async with asyncio.TaskGroup() as group:
        registries = Registries(group, lambda extension: _Silent(), change, stats)
        await registries.configure((Extension("<registry>", ""),))
        await asyncio.sleep(0)  # its watch begins
        await registries.close()
    return stats


class _Silent(Registry):
    async def watch(self, sink: RegistrySink) -> None:
        await asyncio.Event().wait()


def render(head: str) -> str:
    """The whole page."""
    found = names() | {name: kind for name, (kind, _) in LATER.items()}
    meanings = dict(MEANINGS) | {name: meaning for name, (_, meaning) in LATER.items()}
    missing, unknown = sorted(found.keys() - meanings.keys()), sorted(meanings.keys() - found.keys())
    if missing or unknown:
        raise ValueError(f"tools/pages/meanings.py: without a meaning: {missing}; there is no: {unknown}")
    lines = [_TITLE, head, _INTRO]
    left = sorted(found)
    for start, title, text in _GROUPS:
        group = [name for name in left if name.startswith(start)]
        left = [name for name in left if name not in group]
        lines += [f"## {title}", "", *([text, ""] if text else []), "| statistic | type | meaning |", "|---|---|---|"]
        lines += [f"| `{name}` | {found[name]} | {meanings[name]} |" for name in group]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"
