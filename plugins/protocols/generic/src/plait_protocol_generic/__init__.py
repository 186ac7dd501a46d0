"""generic_proxy for Plait: streams of any RPC protocol, with the router's full features.

``rpc_proxy`` and ``RpcProxySettings`` are for other proxies of RPC protocols that have messages of their own.
"""

from plait import NetworkFilterType, hookimpl
from plait_protocol_generic.filter import rpc_proxy
from plait_protocol_generic.settings import RpcProxySettings

__all__ = ["RpcProxySettings", "plait_protocols", "rpc_proxy"]


@hookimpl
def plait_protocols() -> list[NetworkFilterType]:
    """The proxy: a terminal filter of connections."""
    return [
        NetworkFilterType(
            "envoy.filters.network.generic_proxy",
            RpcProxySettings,
            rpc_proxy,
            proto="envoy.extensions.filters.network.generic_proxy.v3.GenericProxy",
            translate="plait_protocol_generic.translate:generic_proxy",
            terminal=True,
        )
    ]
