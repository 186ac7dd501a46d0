"""The options of both codecs, the local answer and the sniffer: what is said about HTTP/2 without reading a frame."""

from __future__ import annotations

from typing import Any

import attrs

from plait.api import ConfigError, Headers, Request, Response, Sniff

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client sends before its first frame (RFC 9113, 3.4)."""


@attrs.frozen
class Keepalive:
    """Pings on connections to upstreams: one after each ``interval_s`` of silence, answered within ``timeout_s``."""

    interval_s: float
    timeout_s: float


def _seconds(duration: Any) -> float:
    return float(duration.seconds + duration.nanos / 1e9)


def _keepalive(value: Any) -> Keepalive | None:
    """From ``envoy.config.core.v3.KeepaliveSettings``, in whatever class a configuration brings it."""
    if value is None or isinstance(value, Keepalive):
        return value
    if value.HasField("interval_jitter"):
        raise ConfigError("connection_keepalive has an interval_jitter", expected="interval and timeout alone")
    interval = value.interval if value.HasField("interval") else value.connection_idle_interval
    return Keepalive(_seconds(interval), _seconds(value.timeout))


@attrs.frozen
class Http2Options:
    """Named after ``envoy.config.core.v3.Http2ProtocolOptions``; the last two are of Envoy's connection manager and
    cluster (``max_request_headers_kb``, ``max_headers_count``) and hold for both directions.

    ``max_concurrent_streams`` is what a server allows its peer, and what a client asks for at most however much more
    its peer allows. Windows are in bytes, and what is received. ``max_outbound_frames`` and
    ``max_outbound_control_frames`` count what is written while the peer takes nothing. ``connection_keepalive`` is for
    connections to upstreams.
    """

    hpack_table_size: int = 4096
    max_concurrent_streams: int = 1024
    initial_stream_window_size: int = 1 << 20
    initial_connection_window_size: int = 16 << 20
    allow_connect: bool = False
    max_outbound_frames: int = 10000
    max_outbound_control_frames: int = 1000
    max_consecutive_inbound_frames_with_empty_payload: int = 1
    max_inbound_priority_frames_per_stream: int = 100
    max_inbound_window_update_frames_per_data_frame_sent: int = 10
    connection_keepalive: Keepalive | None = attrs.field(default=None, converter=_keepalive)
    override_stream_error_on_invalid_http_message: bool = True
    max_request_headers_kb: int = 60
    max_headers_count: int = 100


def local_response(request: Request, status: int, body: bytes, details: str) -> Response:
    """An answer of our own: plain text, as Envoy gives it."""
    fields: list[tuple[bytes, bytes]] = []
    if body:
        fields.append((b"content-length", b"%d" % len(body)))
        fields.append((b"content-type", b"text/plain"))
    response = Response(status, Headers(fields), request.id)
    response.body = b"" if request.raw_method == b"HEAD" else body
    response.protocol = "HTTP/2"
    return response


def sniff(prefix: bytes) -> Sniff:
    """Whether a connection begins with a client's preface."""
    if prefix.startswith(PREFACE):
        return Sniff.YES
    return Sniff.MORE if PREFACE.startswith(prefix) else Sniff.NO
