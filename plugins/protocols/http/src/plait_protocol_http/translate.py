"""From Envoy's HttpConnectionManager to ``HcmSettings``; runs where configuration is read, never in a worker.

A field that is set is taken over, or makes no difference here (``_NO_DIFFERENCE`` says why), or is refused: nothing is
dropped in silence.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from plait.xds import Translator, Where, seconds
from plait_protocol_http.settings import EdgeSettings, HcmSettings

_TAKEN = frozenset(
    (
        "codec_type",
        "stat_prefix",
        "rds",
        "route_config",
        "http_filters",
        "common_http_protocol_options",
        "http_protocol_options",
        "http2_protocol_options",
        "server_name",
        "server_header_transformation",
        "max_request_headers_kb",
        "stream_idle_timeout",
        "request_timeout",
        "request_headers_timeout",
        "access_log",
        "use_remote_address",
        "xff_num_trusted_hops",
        "internal_address_config",
        "skip_xff_append",
        "via",
        "generate_request_id",
        "preserve_external_request_id",
        "always_set_request_id_in_response",
        "forward_client_cert_details",
        "proxy_100_continue",
        "upgrade_configs",
        "normalize_path",
        "merge_slashes",
        "path_with_escaped_slashes_action",
        "request_id_extension",
        "strip_matching_host_port",
        "strip_any_host_port",
        "strip_trailing_host_dot",
        "append_x_forwarded_port",
    )
)
_NO_DIFFERENCE = frozenset(
    (
        "drain_timeout",  # between the first and the last GOAWAY of HTTP/2: HTTP/1 connections end with their request
        "http3_protocol_options",  # HTTP/3 itself is refused
    )
)
_COMMON = frozenset(
    (
        "idle_timeout",
        "max_connection_duration",
        "max_headers_count",
        "headers_with_underscores_action",
        "max_requests_per_connection",
    )
)
_HTTP1 = ("allow_absolute_url", "accept_http_10", "default_host_for_http_10", "enable_trailers", "allow_chunked_length")
_HTTP1_NO_DIFFERENCE = frozenset(("use_balsa_parser", "allow_custom_methods"))  # one parser, which takes any method
_CODECS = {0: "auto", 1: "http1", 2: "http2"}
_SERVER = {0: "overwrite", 1: "append_if_absent", 2: "pass_through"}
_SLASHES = {
    0: "keep_unchanged",  # IMPLEMENTATION_SPECIFIC_DEFAULT, which is this for Envoy too
    1: "keep_unchanged",
    2: "reject_request",
    3: "unescape_and_redirect",
    4: "unescape_and_forward",
}
_UNDERSCORES = {0: "allow", 1: "reject_request", 2: "drop_header"}
_SANITIZE, _ALWAYS_FORWARD_ONLY = 0, 4
_UUID = "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig"


def http_connection_manager(message: Any, where: Where, translator: Translator) -> HcmSettings:
    """Raises ConfigError for what is contradictory or not supported."""
    _refuse_others(message, where, _TAKEN | _NO_DIFFERENCE)
    if message.codec_type not in _CODECS:
        raise (where / "codec_type").error("HTTP/3 is not supported", expected="AUTO, HTTP1 or HTTP2")
    common = message.common_http_protocol_options
    common_where = where / "common_http_protocol_options"
    _refuse_others(common, common_where, _COMMON)
    if not message.http_filters:
        raise (where / "http_filters").error("there are no filters", expected="at least envoy.filters.http.router")
    return HcmSettings(
        stat_prefix=message.stat_prefix,
        routes=_routes(message, where, translator),
        codec=_CODECS[message.codec_type],
        http_filters=tuple(
            _http_filter(one, where / "http_filters" / place, translator)
            for place, one in enumerate(message.http_filters)
        ),
        access_log=tuple(translator.access_logs(message.access_log, where / "access_log")),
        edge=_edge(message, where),
        codec_options={
            "http1": {**_limits(message), **_http1(message.http_protocol_options, where / "http_protocol_options")},
            "http2": {**_limits(message), **_http2(message.http2_protocol_options, where / "http2_protocol_options")},
        },
        idle_timeout_s=_duration(common, "idle_timeout", 3600.0),
        stream_idle_timeout_s=_duration(message, "stream_idle_timeout", 300.0),
        request_timeout_s=_duration(message, "request_timeout", 0.0),
        request_headers_timeout_s=_duration(message, "request_headers_timeout", 0.0),
        max_connection_duration_s=_duration(common, "max_connection_duration", 0.0),
        max_requests_per_connection=common.max_requests_per_connection.value,
    )


def _refuse_others(message: Any, where: Where, known: Iterable[str]) -> None:
    for field, _ in message.ListFields():
        if field.name not in known:
            raise (where / field.name).error(
                f"{field.name} is not supported by http_connection_manager of this version", hint="remove the field"
            )


def _duration(message: Any, field: str, default: float) -> float:
    return seconds(getattr(message, field)) if message.HasField(field) else default


def _routes(message: Any, where: Where, translator: Translator) -> str:
    specifier = message.WhichOneof("route_specifier")
    if specifier == "rds":
        name: str = message.rds.route_config_name
        if not name:
            raise (where / "rds" / "route_config_name").error("route_config_name is empty", expected="a name")
        return name
    if specifier == "route_config":
        place = where / "route_config"
        added: str = translator.add_route_configuration(translator.route_configuration(message.route_config, place))
        return added
    raise where.error("there are no routes", expected="route_config or rds")


def _http_filter(one: Any, where: Where, translator: Translator) -> Any:
    if one.disabled:
        raise (where / "disabled").error("filters that routes switch on are not supported", hint="remove the filter")
    if one.WhichOneof("config_type") == "config_discovery":
        raise (where / "config_discovery").error("extension discovery is not supported", hint="use typed_config")
    return translator.extension("filters", one.name, one.typed_config, where / "typed_config")


def _limits(message: Any) -> dict[str, object]:
    limits: dict[str, object] = {}
    if message.HasField("max_request_headers_kb"):
        limits["max_request_headers_kb"] = message.max_request_headers_kb.value
    if message.common_http_protocol_options.HasField("max_headers_count"):
        limits["max_headers_count"] = message.common_http_protocol_options.max_headers_count.value
    return limits


def _http1(options: Any, where: Where) -> dict[str, object]:
    _refuse_others(options, where, {*_HTTP1, *_HTTP1_NO_DIFFERENCE})
    made: dict[str, object] = {}
    for field, value in options.ListFields():
        if field.name in _HTTP1:
            made[field.name] = value.value if field.message_type is not None else value
    return made


def _http2(options: Any, where: Where) -> dict[str, object]:
    """Numbers and truth values under their own names, for the options class of the HTTP/2 codec."""
    made: dict[str, object] = {}
    for field, value in options.ListFields():
        wrapped = field.message_type is not None and field.message_type.full_name.startswith("google.protobuf.")
        if field.message_type is not None and (not wrapped or not hasattr(value, "value")):
            raise (where / field.name).error(f"{field.name} is not supported", hint="remove the field")
        made[field.name] = value.value if wrapped else value
    return made


def _edge(message: Any, where: Where) -> EdgeSettings:
    if message.forward_client_cert_details not in (_SANITIZE, _ALWAYS_FORWARD_ONLY):
        raise (where / "forward_client_cert_details").error(
            "client certificates are not known to this version", expected="SANITIZE or ALWAYS_FORWARD_ONLY"
        )
    if message.HasField("request_id_extension"):
        kind = message.request_id_extension.typed_config.type_url.rpartition("/")[2]
        if kind != _UUID:
            raise (where / "request_id_extension").error(f"request ids of {kind} are not supported", expected=_UUID)
    internal = message.internal_address_config
    defaults = EdgeSettings()
    return EdgeSettings(
        use_remote_address=message.use_remote_address.value,
        xff_num_trusted_hops=message.xff_num_trusted_hops,
        skip_xff_append=message.skip_xff_append,
        append_x_forwarded_port=message.append_x_forwarded_port,
        internal_ranges=tuple(f"{one.address_prefix}/{one.prefix_len.value}" for one in internal.cidr_ranges),
        internal_unix_sockets=internal.unix_sockets,
        forward_client_cert=message.forward_client_cert_details == _ALWAYS_FORWARD_ONLY,
        via=message.via,
        generate_request_id=not message.HasField("generate_request_id") or message.generate_request_id.value,
        preserve_external_request_id=message.preserve_external_request_id,
        always_set_request_id_in_response=message.always_set_request_id_in_response,
        server_name=message.server_name or defaults.server_name,
        server_header=_SERVER[message.server_header_transformation],
        normalize_path=message.normalize_path.value,
        merge_slashes=message.merge_slashes,
        escaped_slashes=_SLASHES[message.path_with_escaped_slashes_action],
        strip_matching_host_port=message.strip_matching_host_port,
        strip_any_host_port=message.strip_any_host_port,
        strip_trailing_host_dot=message.strip_trailing_host_dot,
        underscores=_UNDERSCORES[message.common_http_protocol_options.headers_with_underscores_action],
        upgrades=_upgrades(message, where),
        proxy_100_continue=message.proxy_100_continue,
    )


def _upgrades(message: Any, where: Where) -> tuple[str, ...]:
    names: list[str] = []
    for place, one in enumerate(message.upgrade_configs):
        if one.filters:
            raise (where / "upgrade_configs" / place / "filters").error(
                "filters of their own for upgrades are not supported", hint="remove the field"
            )
        if not one.HasField("enabled") or one.enabled.value:
            names.append(one.upgrade_type.lower())
    return tuple(names)
