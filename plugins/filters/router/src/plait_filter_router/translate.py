"""From the messages of Envoy's routers to ``RouterSettings``; runs where configuration is read."""

from __future__ import annotations

from typing import Any

from plait.xds import Translator, Where
from plait_filter_router.settings import RPC, RouterSettings

_HANDLED = frozenset(("suppress_envoy_headers",))
_NO_EFFECT = {"dynamic_stats": "every cluster has its statistics"}


_BOUND = "upstream connections are shared by all callers"


def router(message: Any, where: Where, translator: Translator) -> RouterSettings:
    """HTTP's router; reports fields that would change what happens to requests and are not supported."""
    translator.only(message, where, _HANDLED, _NO_EFFECT)
    return RouterSettings(suppress_envoy_headers=message.suppress_envoy_headers)


def generic_router(message: Any, where: Where, translator: Translator) -> RouterSettings:
    """That of generic_proxy."""
    if message.bind_upstream_connection:
        at = where / "bind_upstream_connection"
        translator.report(at.error(f"bind_upstream_connection is not supported: {_BOUND}", "false"))
    return RPC


def dubbo_router(message: Any, where: Where, translator: Translator) -> RouterSettings:
    """That of dubbo_proxy, which has no fields."""
    return RPC
