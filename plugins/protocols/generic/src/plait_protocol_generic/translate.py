"""From Envoy's GenericProxy to ``RpcProxySettings``; runs where configuration is read, never in a worker."""

from __future__ import annotations

from typing import Any

from plait.xds import Translator, Where
from plait_protocol_generic.codecs import codec
from plait_protocol_generic.routes import route_configuration
from plait_protocol_generic.settings import RpcProxySettings

_HANDLED = frozenset(("stat_prefix", "codec_config", "route_config", "filters", "access_log"))
_HTTP_ROUTER = "envoy.filters.http.router"
_ROUTER = "the router, envoy.filters.generic.router"


def generic_proxy(message: Any, where: Where, translator: Translator) -> RpcProxySettings:
    """The settings; raises or reports ConfigError for what is contradictory or not supported."""
    translator.only(message, where, _HANDLED)
    if not message.stat_prefix:
        translator.report((where / "stat_prefix").error("stat_prefix is empty", "a name for its statistics"))
    routes = ""
    with translator.collect():
        routes = _routes(message, where, translator)
    filters = translator.stream_filters(message.filters, where / "filters", _ROUTER)
    if filters and filters[-1].type == _HTTP_ROUTER:
        at = where / "filters" / (len(message.filters) - 1)
        what = f"{_HTTP_ROUTER} would add HTTP's headers to calls"
        translator.report(at.error(what, expected="envoy.filters.generic.router"))
    access_log = translator.access_logs(message.access_log, where / "access_log")
    protocol, options = codec(message, where, translator)
    return RpcProxySettings(
        stat_prefix=f"generic_proxy.{message.stat_prefix}",
        protocol=protocol,
        routes=routes,
        filters=filters,
        access_log=access_log,
        codec_options=options,
    )


def _routes(message: Any, where: Where, translator: Translator) -> str:
    """Make the routes a resource of their own, so that changing one does not replace the listener."""
    if message.WhichOneof("route_specifier") != "route_config":
        raise where.error("the proxy has no routes of its own", expected="route_config")
    return translator.add_route_configuration(
        route_configuration(message.route_config, where / "route_config", translator)
    )
