"""From envoy.extensions.filters.http.router.v3.Router to ``RouterSettings``; runs where configuration is read."""

from __future__ import annotations

from typing import Any

from plait.xds import Translator, Where
from plait_filter_router.settings import RouterSettings

_HANDLED = frozenset(("suppress_envoy_headers",))
_NO_EFFECT = {"dynamic_stats": "every cluster has its statistics"}


def router(message: Any, where: Where, translator: Translator) -> RouterSettings:
    """The settings; reports fields that would change what happens to requests and are not supported."""
    translator.only(message, where, _HANDLED, _NO_EFFECT)
    return RouterSettings(suppress_envoy_headers=message.suppress_envoy_headers)
