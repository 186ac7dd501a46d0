"""Configurations of sidecars for RPC protocols: a listener for each way to proxy each server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_TYPES = "type.googleapis.com/envoy.extensions.filters.network"
BOLT = {
    "name": "plait.generic_proxy.codecs.bolt",
    "typed_config": {
        "@type": "type.googleapis.com/xds.type.v3.TypedStruct",
        "type_url": "plait.generic_proxy.codecs.bolt",
        "value": {},
    },
}
DUBBO = {
    "name": "envoy.generic_proxy.codecs.dubbo",
    "typed_config": {"@type": f"{_TYPES}.generic_proxy.codecs.dubbo.v3.DubboCodecConfig"},
}


def generic_proxy(codec: dict[str, Any], cluster: str) -> dict[str, Any]:
    """Everything to one cluster."""
    action = {"@type": f"{_TYPES}.generic_proxy.action.v3.RouteAction", "cluster": cluster}
    routes = {"on_no_match": {"action": {"name": "route", "typed_config": action}}}
    config = {
        "@type": f"{_TYPES}.generic_proxy.v3.GenericProxy",
        "stat_prefix": cluster,
        "codec_config": codec,
        "route_config": {"name": cluster, "virtual_hosts": [{"name": "all", "hosts": ["*"], "routes": routes}]},
        "filters": [
            {
                "name": "envoy.filters.generic.router",
                "typed_config": {"@type": f"{_TYPES}.generic_proxy.router.v3.Router"},
            }
        ],
    }
    return {"name": "envoy.filters.network.generic_proxy", "typed_config": config}


def dubbo_proxy(cluster: str) -> dict[str, Any]:
    """Every method of the service of the tests to one cluster."""
    every = {"method": {"name": {"safe_regex": {"google_re2": {}, "regex": ".*"}}}}
    route = {"match": every, "route": {"cluster": cluster}}
    config = {
        "@type": f"{_TYPES}.dubbo_proxy.v3.DubboProxy",
        "stat_prefix": cluster,
        "protocol_type": "Dubbo",
        "serialization_type": "Hessian2",
        "route_config": [{"name": cluster, "interface": "plait.interop.Echo", "routes": [route]}],
        "dubbo_filters": [{"name": "envoy.filters.dubbo.router"}],
    }
    return {"name": "envoy.filters.network.dubbo_proxy", "typed_config": config}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


class Sidecar:
    """What is put together into the configuration of one sidecar."""

    def __init__(self) -> None:
        self._listeners: list[dict[str, Any]] = []
        self._clusters: list[dict[str, Any]] = []
        self.ports: list[int] = []

    def add(
        self,
        name: str,
        port: int,
        network_filter: dict[str, Any],
        upstream: int,
        options: Mapping[str, dict[str, Any]] | None = None,
    ) -> None:
        """A listener whose filter routes to the cluster ``name``, which has one endpoint.

        ``options`` are those of the protocol that the cluster is spoken to in, by the protocol's name.
        """
        self.ports.append(port)
        self._listeners.append(
            {"name": name, "address": _address(port), "filter_chains": [{"filters": [network_filter]}]}
        )
        packed = {}
        for protocol, values in (options or {}).items():
            key = f"plait.generic_proxy.codecs.{protocol}"
            packed[key] = {"@type": "type.googleapis.com/xds.type.v3.TypedStruct", "type_url": key, "value": values}
        endpoints = [{"lb_endpoints": [{"endpoint": {"address": _address(upstream)}}]}]
        self._clusters.append(
            {
                "name": name,
                "type": "STATIC",
                "connect_timeout": "2s",
                "typed_extension_protocol_options": packed,
                "load_assignment": {"cluster_name": name, "endpoints": endpoints},
            }
        )

    def config(self, admin: int) -> str:
        """The bootstrap, as JSON, which is YAML too."""
        self.ports.append(admin)
        resources = {"listeners": self._listeners, "clusters": self._clusters}
        return json.dumps({"admin": {"address": _address(admin)}, "static_resources": resources}, indent=1)
