"""From Envoy's message to the connection manager's settings."""

from typing import Any

import pytest
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from google.protobuf.json_format import ParseDict

from plait import ConfigError, ConfigErrors
from plait.plugins import Catalogue, discover
from plait.xds import Translator, Where
from plait.xds.positions import Positions
from plait_protocol_http import EdgeSettings, HcmSettings
from plait_protocol_http.translate import http_connection_manager

ROUTER = {
    "name": "router",
    "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
}
LEAST: dict[str, Any] = {
    "stat_prefix": "in",
    "route_config": {"name": "local", "virtual_hosts": [{"name": "all", "domains": ["*"]}]},
    "http_filters": [ROUTER],
}


def translated(**fields: Any) -> HcmSettings:
    from envoy.extensions.filters.http.router.v3 import router_pb2  # noqa: F401 - so that Any can be read

    translator = Translator(Catalogue(discover()))
    message = ParseDict({**LEAST, **fields}, HttpConnectionManager())
    settings = http_connection_manager(message, Where(Positions.nowhere("x.yaml")), translator)
    translator.raise_all()
    return settings


def test_defaults_are_envoy_s() -> None:
    settings = translated()
    assert settings.routes == "local"
    assert [one.type for one in settings.http_filters] == ["envoy.filters.http.router"]
    assert settings == HcmSettings("in", "local", "auto", settings.http_filters)
    assert (settings.idle_timeout_s, settings.stream_idle_timeout_s) == (3600.0, 300.0)


def test_times_and_limits() -> None:
    settings = translated(
        stream_idle_timeout="0s",
        request_timeout="1.5s",
        request_headers_timeout="2s",
        common_http_protocol_options={
            "idle_timeout": "3s",
            "max_connection_duration": "4s",
            "max_requests_per_connection": 5,
        },
    )
    assert (settings.stream_idle_timeout_s, settings.request_timeout_s) == (0.0, 1.5)
    assert (settings.request_headers_timeout_s, settings.idle_timeout_s) == (2.0, 3.0)
    assert (settings.max_connection_duration_s, settings.max_requests_per_connection) == (4.0, 5)


def test_codec_options_are_objects_of_the_codec_s_class() -> None:
    settings = translated(
        codec_type="HTTP1",
        max_request_headers_kb=8,
        common_http_protocol_options={"max_headers_count": 9},
        http_protocol_options={"accept_http_10": True, "allow_absolute_url": False, "default_host_for_http_10": "h"},
    )
    options: Any = settings.codec_options["http1"]
    assert (options.max_request_headers_kb, options.max_headers_count) == (8, 9)
    assert (options.accept_http_10, options.allow_absolute_url, options.default_host_for_http_10) == (True, False, "h")


def test_both_codecs_are_told_what_auto_may_find() -> None:
    settings = translated(
        max_request_headers_kb=8,
        http2_protocol_options={"max_concurrent_streams": 100, "initial_stream_window_size": 65536},
    )
    http1: Any = settings.codec_options["http1"]
    http2: Any = settings.codec_options["http2"]
    assert (http1.max_request_headers_kb, http2.max_request_headers_kb) == (8, 8)
    assert (http2.max_concurrent_streams, http2.initial_stream_window_size) == (100, 65536)


def test_edge_rules() -> None:
    edge = translated(
        use_remote_address=True,
        xff_num_trusted_hops=2,
        skip_xff_append=True,
        append_x_forwarded_port=True,
        internal_address_config={
            "unix_sockets": True,
            "cidr_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}],
        },
        forward_client_cert_details="ALWAYS_FORWARD_ONLY",
        via="front",
        generate_request_id=False,
        preserve_external_request_id=True,
        always_set_request_id_in_response=True,
        server_name="front",
        server_header_transformation="APPEND_IF_ABSENT",
        normalize_path=True,
        merge_slashes=True,
        path_with_escaped_slashes_action="UNESCAPE_AND_REDIRECT",
        strip_any_host_port=True,
        strip_trailing_host_dot=True,
        upgrade_configs=[{"upgrade_type": "WebSocket"}, {"upgrade_type": "CONNECT", "enabled": False}],
        proxy_100_continue=True,
        common_http_protocol_options={"headers_with_underscores_action": "DROP_HEADER"},
    ).edge
    assert edge == EdgeSettings(
        use_remote_address=True,
        xff_num_trusted_hops=2,
        skip_xff_append=True,
        append_x_forwarded_port=True,
        internal_ranges=("10.0.0.0/8",),
        internal_unix_sockets=True,
        forward_client_cert=True,
        via="front",
        generate_request_id=False,
        preserve_external_request_id=True,
        always_set_request_id_in_response=True,
        server_name="front",
        server_header="append_if_absent",
        normalize_path=True,
        merge_slashes=True,
        escaped_slashes="unescape_and_redirect",
        strip_any_host_port=True,
        strip_trailing_host_dot=True,
        underscores="drop_header",
        upgrades=("websocket",),
        proxy_100_continue=True,
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"codec_type": "HTTP3"}, "codec_type HTTP3 is not supported"),
        (
            {"codec_type": "HTTP2", "http2_protocol_options": {"allow_metadata": True}},
            "'allow_metadata' is not supported",
        ),
        ({"tracing": {}}, "'tracing' is not supported"),
        ({"local_reply_config": {}}, "'local_reply_config' is not supported"),
        ({"route_config": None, "rds": {"route_config_name": "r"}}, "no routes of its own"),
        ({"http_filters": []}, "router"),
        ({"forward_client_cert_details": "SANITIZE_SET"}, "SANITIZE_SET is not supported"),
        ({"stream_idle_timeout": "-1s"}, "stream_idle_timeout is -1s"),
        ({"http_protocol_options": {"send_fully_qualified_url": True}}, "'send_fully_qualified_url' is not supported"),
        ({"common_http_protocol_options": {"max_stream_duration": "1s"}}, "'max_stream_duration' is not supported"),
    ],
)
def test_what_is_not_supported_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        translated(**fields)
    assert isinstance(caught.value, ConfigErrors | ConfigError)
