"""From Envoy's FilterConfig to the settings. Imported where configuration is read, never in a worker."""

from __future__ import annotations

from typing import Any

from plait.xds import Translator, Where
from plait_filter_grpc_stats.settings import GrpcStatsSettings


def grpc_stats(message: Any, where: Where, translator: Translator) -> GrpcStatsSettings:
    """Settings of the filter; raises ConfigError for services without a name or methods."""
    kind = message.WhichOneof("per_method_stat_specifier")
    listed = None
    if kind == "individual_method_stats_allowlist":
        listed = _allowlist(message.individual_method_stats_allowlist, where / kind)
    return GrpcStatsSettings(
        emit_filter_state=message.emit_filter_state,
        allowlist=listed,
        all_methods=kind == "stats_for_all_methods" and message.stats_for_all_methods.value,
        upstream_stats=message.enable_upstream_stats,
        replace_dots=message.replace_dots_in_grpc_service_name,
    )


def _allowlist(message: Any, where: Where) -> frozenset[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for index, service in enumerate(message.services):
        at = where / "services" / index
        if not service.name:
            raise (at / "name").error("the service has no name", expected="its full name, such as package.Service")
        if not service.method_names:
            raise (at / "method_names").error("the service has no methods", expected="at least one")
        found.update((service.name, method) for method in service.method_names)
    return frozenset(found)
