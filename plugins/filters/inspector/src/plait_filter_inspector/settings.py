"""The settings of the inspectors, frozen."""

import attrs

TLS_INSPECTOR = "envoy.filters.listener.tls_inspector"
HTTP_INSPECTOR = "envoy.filters.listener.http_inspector"
PROTOCOL_INSPECTOR = "plait.filters.listener.protocol_inspector"

MAX_CLIENT_HELLO_BYTES = 16 * 1024


@attrs.frozen
class TlsInspection:
    """envoy…tls_inspector.v3.TlsInspector; ``close_on_error`` refuses what begins as TLS and goes on otherwise."""

    max_client_hello_bytes: int = MAX_CLIENT_HELLO_BYTES
    close_on_error: bool = False


@attrs.frozen
class HttpInspection:
    """envoy…http_inspector.v3.HttpInspector."""


@attrs.frozen
class ProtocolInspection:
    """Which protocols are asked for, by the names of their plugins (none: all there are), and whether TLS is."""

    protocols: tuple[str, ...] = ()
    tls: bool = True
