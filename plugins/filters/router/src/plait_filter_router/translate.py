"""From envoy.extensions.filters.http.router.v3.Router to ``RouterSettings``; runs where configuration is read."""

from __future__ import annotations

from typing import Any

from plait.xds import Translator, Where
from plait_filter_router.settings import RouterSettings

_KNOWN = frozenset(("suppress_envoy_headers", "dynamic_stats"))


def router(message: Any, where: Where, translator: Translator) -> RouterSettings:
    """Refuses fields that would change what happens to requests and are not supported."""
    for field, _ in message.ListFields():
        if field.name not in _KNOWN:
            raise (where / field.name).error(
                f"{field.name} is not supported by the router of this version", hint="remove the field"
            )
    return RouterSettings(suppress_envoy_headers=message.suppress_envoy_headers)
