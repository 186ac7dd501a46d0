"""From Envoy's HttpConnectionManager to ``HcmSettings``; runs where configuration is read, never in a worker."""

from __future__ import annotations

from typing import Any

from plait import ConfigError
from plait.xds import Translator, Where, cidr, duration_s, enum_name, wrapped
from plait_protocol_http.settings import EdgeSettings, HcmSettings

_HANDLED = frozenset(
    (
        "access_log",
        "always_set_request_id_in_response",
        "append_x_forwarded_port",
        "codec_type",
        "common_http_protocol_options",
        "forward_client_cert_details",
        "generate_request_id",
        "http2_protocol_options",
        "http_filters",
        "http_protocol_options",
        "internal_address_config",
        "max_request_headers_kb",
        "merge_slashes",
        "normalize_path",
        "path_with_escaped_slashes_action",
        "preserve_external_request_id",
        "proxy_100_continue",
        "request_headers_timeout",
        "request_id_extension",
        "request_timeout",
        "route_config",
        "server_header_transformation",
        "server_name",
        "skip_xff_append",
        "stat_prefix",
        "stream_idle_timeout",
        "strip_any_host_port",
        "strip_matching_host_port",
        "strip_trailing_host_dot",
        "upgrade_configs",
        "use_remote_address",
        "via",
        "xff_num_trusted_hops",
    )
)
_NO_EFFECT = {
    "drain_timeout": "it is about the last requests on an HTTP/2 connection, and connections here end with theirs",
    "http3_protocol_options": "HTTP/3 is not spoken",
}
_COMMON = frozenset(
    (
        "idle_timeout",
        "max_connection_duration",
        "max_headers_count",
        "headers_with_underscores_action",
        "max_requests_per_connection",
    )
)
_CODECS = ("auto", "http1", "http2")
_UUID = "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig"


def http_connection_manager(message: Any, where: Where, translator: Translator) -> HcmSettings:
    """The settings; raises or reports ConfigError for what is contradictory or not supported."""
    translator.only(message, where, _HANDLED, _NO_EFFECT)
    common, common_where = message.common_http_protocol_options, where / "common_http_protocol_options"
    translator.only(common, common_where, _COMMON)
    if not message.stat_prefix:
        translator.report((where / "stat_prefix").error("stat_prefix is empty", "a name for its statistics"))
    codec = enum_name(message, "codec_type")
    if codec not in _CODECS:
        raise (where / "codec_type").error(f"codec_type {codec.upper()} is not supported", "AUTO, HTTP1 or HTTP2")
    return HcmSettings(
        stat_prefix=message.stat_prefix,
        routes=_routes(message, where, translator),
        codec=codec,
        http_filters=translator.http_filters(message.http_filters, where / "http_filters"),
        access_log=translator.access_logs(message.access_log, where / "access_log"),
        edge=_edge(message, where, translator),
        codec_options=_codec_options(codec, message, where, translator),
        idle_timeout_s=duration_s(common, "idle_timeout", common_where, 3600.0),
        stream_idle_timeout_s=duration_s(message, "stream_idle_timeout", where, 300.0),
        request_timeout_s=duration_s(message, "request_timeout", where),
        request_headers_timeout_s=duration_s(message, "request_headers_timeout", where),
        max_connection_duration_s=duration_s(common, "max_connection_duration", common_where),
        max_requests_per_connection=wrapped(common, "max_requests_per_connection", 0),
    )


def _routes(message: Any, where: Where, translator: Translator) -> str:
    """Make the routes a resource of their own, so that changing one does not replace the listener."""
    if message.WhichOneof("route_specifier") != "route_config":
        raise where.error("the connection manager has no routes of its own", expected="route_config")
    return translator.add_route_configuration(
        translator.route_configuration(message.route_config, where / "route_config")
    )


def _codec_options(codec: str, message: Any, where: Where, translator: Translator) -> dict[str, object]:
    """What each codec that may be spoken is told, as an object of its own options class."""
    limits = {
        "max_request_headers_kb": wrapped(message, "max_request_headers_kb", None),
        "max_headers_count": wrapped(message.common_http_protocol_options, "max_headers_count", None),
    }
    made: dict[str, object] = {}
    for protocol, field in (("http1", "http_protocol_options"), ("http2", "http2_protocol_options")):
        if codec not in ("auto", protocol):
            continue
        try:
            translator.protocol(protocol, where / "codec_type")
        except ConfigError:
            if codec == protocol or protocol == "http1":
                raise
            if getattr(message, field).ListFields():
                translator.warn(where / field, f"field {field!r} has no effect: no plugin here speaks {protocol}")
            continue
        options = translator.protocol_options(protocol, where, {field: getattr(message, field)}, **limits)
        if protocol == "http2" and message.http2_protocol_options.HasField("connection_keepalive"):
            at = where / field / "connection_keepalive"
            translator.warn(at, "field 'connection_keepalive' has no effect: only connections to upstreams are pinged")
        if options is not None:
            made[protocol] = options
    return made


def _edge(message: Any, where: Where, translator: Translator) -> EdgeSettings:
    certificates = enum_name(message, "forward_client_cert_details")
    if certificates not in ("sanitize", "always_forward_only"):
        translator.report(
            (where / "forward_client_cert_details").error(
                f"{certificates.upper()} is not supported yet by plait", expected="SANITIZE or ALWAYS_FORWARD_ONLY"
            )
        )
    request_id = message.request_id_extension.typed_config.type_url.rpartition("/")[2]
    if request_id not in ("", _UUID):
        translator.report((where / "request_id_extension").error(f"request ids of {request_id}", expected=_UUID))
    slashes = enum_name(message, "path_with_escaped_slashes_action")
    internal = message.internal_address_config
    ranges = where / "internal_address_config" / "cidr_ranges"
    return EdgeSettings(
        use_remote_address=message.use_remote_address.value,
        xff_num_trusted_hops=message.xff_num_trusted_hops,
        skip_xff_append=message.skip_xff_append,
        append_x_forwarded_port=message.append_x_forwarded_port,
        internal_ranges=tuple(cidr(one, ranges / index) for index, one in enumerate(internal.cidr_ranges)),
        internal_unix_sockets=internal.unix_sockets,
        forward_client_cert=certificates == "always_forward_only",
        via=message.via,
        generate_request_id=wrapped(message, "generate_request_id", True),
        preserve_external_request_id=message.preserve_external_request_id,
        always_set_request_id_in_response=message.always_set_request_id_in_response,
        server_name=message.server_name or EdgeSettings().server_name,
        server_header=enum_name(message, "server_header_transformation"),
        normalize_path=message.normalize_path.value,
        merge_slashes=message.merge_slashes,
        # Envoy's own default is to keep them too
        escaped_slashes="keep_unchanged" if slashes == "implementation_specific_default" else slashes,
        strip_matching_host_port=message.strip_matching_host_port,
        strip_any_host_port=message.strip_any_host_port,
        strip_trailing_host_dot=message.strip_trailing_host_dot,
        underscores=enum_name(message.common_http_protocol_options, "headers_with_underscores_action"),
        upgrades=_upgrades(message, where, translator),
        proxy_100_continue=message.proxy_100_continue,
    )


def _upgrades(message: Any, where: Where, translator: Translator) -> tuple[str, ...]:
    names: list[str] = []
    for index, one in enumerate(message.upgrade_configs):
        translator.only(one, where / "upgrade_configs" / index, {"upgrade_type", "enabled"})
        if wrapped(one, "enabled", True):
            names.append(one.upgrade_type.lower())
    return tuple(names)
