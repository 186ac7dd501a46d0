"""Configurations of sidecars whose listeners take either HTTP and whose clusters speak the one that they are told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

_TYPE = "type.googleapis.com/envoy.extensions"
_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def address(port: int) -> dict[str, Any]:
    """An address of this machine."""
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def cluster(name: str, port: int, version: int, **options: Any) -> dict[str, Any]:
    """A cluster with one endpoint, spoken to in HTTP/1.1 or HTTP/2 with these options."""
    protocol = {f"http{'' if version == 1 else version}_protocol_options": options}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [{"max_requests": 4096, "max_pending_requests": 4096}]},
        "typed_extension_protocol_options": {
            _OPTIONS: {"@type": f"type.googleapis.com/{_OPTIONS}", "explicit_http_config": protocol}
        },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(port)}}]}],
        },
    }


def manager(name: str, routes: Sequence[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A connection manager with one virtual host; ``more`` are fields of Envoy's message."""
    config = {
        "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "codec_type": "AUTO",
        "http_protocol_options": {"enable_trailers": True},
        "route_config": {"name": name, "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": list(routes)}]},
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_TYPE}.filters.http.router.v3.Router"}}
        ],
        **more,
    }
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": config}


def listener(name: str, port: int, network_filter: dict[str, Any]) -> dict[str, Any]:
    """A listener with one filter."""
    return {"name": name, "address": address(port), "filter_chains": [{"filters": [network_filter]}]}


def bootstrap(admin: int, listeners: Sequence[dict[str, Any]], clusters: Sequence[dict[str, Any]]) -> str:
    """JSON, which is YAML too."""
    resources = {"listeners": list(listeners), "clusters": list(clusters)}
    return json.dumps({"admin": {"address": address(admin)}, "static_resources": resources}, indent=1)


class Ways:
    """A sidecar with a listener for each way: ``add(name, port, upstream, version)``."""

    def __init__(self) -> None:
        self.ports: list[int] = []
        self._listeners: list[dict[str, Any]] = []
        self._clusters: list[dict[str, Any]] = []

    def add(self, name: str, port: int, upstream: int, version: int) -> None:
        """A listener from which everything goes to ``upstream``, in that version of HTTP."""
        self.ports.append(port)
        route = {"match": {"prefix": "/"}, "route": {"cluster": name, "timeout": "120s"}}
        self._listeners.append(listener(name, port, manager(name, [route])))
        options = {"enable_trailers": True} if version == 1 else {}
        self._clusters.append(cluster(name, upstream, version, **options))

    def config(self, admin: int) -> str:
        """The bootstrap."""
        self.ports.append(admin)
        return bootstrap(admin, self._listeners, self._clusters)
