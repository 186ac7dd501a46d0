"""The settings of a proxy of an RPC protocol: what traffic needs of Envoy's message."""

from __future__ import annotations

import attrs

from plait import Extension


@attrs.frozen
class RpcProxySettings:
    """``protocol`` is a registered ``ProtocolType``, ``codec_options`` an object of its options or None.

    ``stream_idle_timeout_s`` bounds a call on which nothing moves, for proxies whose routes have no timeout.
    ``stat_prefix`` is the whole of it, such as ``generic_proxy.in``; ``routes`` names the route configuration. Times
    are seconds, 0 for no limit.
    """

    stat_prefix: str
    protocol: str
    routes: str = ""
    filters: tuple[Extension, ...] = ()
    access_log: tuple[Extension, ...] = ()
    codec_options: object = None
    idle_timeout_s: float = 3600.0
    stream_idle_timeout_s: float = 0.0
