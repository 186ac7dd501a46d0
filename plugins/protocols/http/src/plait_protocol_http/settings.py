"""The settings of http_connection_manager: what traffic needs of Envoy's message, under Envoy's names."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from plait import Extension


@attrs.frozen
class EdgeSettings:
    """The rules that hold for HTTP of any version, applied in front of the filters. Words are Envoy's, in lower case.

    ``server_header`` is overwrite, append_if_absent or pass_through; ``escaped_slashes`` keep_unchanged,
    reject_request, unescape_and_redirect or unescape_and_forward; ``underscores`` allow, reject_request or drop_header.
    ``internal_ranges`` are CIDR texts; ``upgrades`` in lower case, ``connect`` among them.
    """

    use_remote_address: bool = False
    xff_num_trusted_hops: int = 0
    skip_xff_append: bool = False
    append_x_forwarded_port: bool = False
    internal_ranges: tuple[str, ...] = ()
    internal_unix_sockets: bool = False
    forward_client_cert: bool = False
    via: str = ""
    generate_request_id: bool = True
    preserve_external_request_id: bool = False
    always_set_request_id_in_response: bool = False
    server_name: str = "plait"
    server_header: str = "overwrite"
    normalize_path: bool = False
    merge_slashes: bool = False
    escaped_slashes: str = "keep_unchanged"
    strip_matching_host_port: bool = False
    strip_any_host_port: bool = False
    strip_trailing_host_dot: bool = False
    underscores: str = "allow"
    upgrades: tuple[str, ...] = ()
    proxy_100_continue: bool = False


@attrs.frozen
class HcmSettings:
    """``codec`` is auto, http1 or http2; ``routes`` names the route configuration; times are seconds, 0 for no limit.

    ``codec_options`` has for each protocol an object of its own options class, where it is not the default one.
    """

    stat_prefix: str
    routes: str = ""
    codec: str = "auto"
    http_filters: tuple[Extension, ...] = ()
    access_log: tuple[Extension, ...] = ()
    edge: EdgeSettings = EdgeSettings()
    codec_options: Mapping[str, object] = attrs.field(factory=dict, hash=False)
    idle_timeout_s: float = 3600.0
    stream_idle_timeout_s: float = 300.0
    request_timeout_s: float = 0.0
    request_headers_timeout_s: float = 0.0
    max_connection_duration_s: float = 0.0
    max_requests_per_connection: int = 0
