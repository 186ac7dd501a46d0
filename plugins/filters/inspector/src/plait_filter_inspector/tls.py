"""``envoy.filters.listener.tls_inspector``: the server's name and the protocols that a TLS client asks for."""

from __future__ import annotations

from plait import Connection, Context, ListenerFilter, Sniff
from plait_filter_inspector.client_hello import TOO_LARGE, ClientHello, read_client_hello
from plait_filter_inspector.settings import TlsInspection


class TlsInspector(ListenerFilter):
    """See the module. A ClientHello that is too large closes its connection, as in Envoy."""

    def __init__(self, settings: TlsInspection, context: Context) -> None:
        self._limit_bytes = settings.max_client_hello_bytes
        self._close_on_error = settings.close_on_error
        counter = context.stats.counter
        self._too_large = counter("tls_inspector.client_hello_too_large")
        self._tls_found = counter("tls_inspector.tls_found")
        self._tls_not_found = counter("tls_inspector.tls_not_found")
        self._alpn_found = counter("tls_inspector.alpn_found")
        self._alpn_not_found = counter("tls_inspector.alpn_not_found")
        self._sni_found = counter("tls_inspector.sni_found")
        self._sni_not_found = counter("tls_inspector.sni_not_found")

    def peek(self, connection: Connection, prefix: bytes) -> bool:
        hello = read_client_hello(prefix, self._limit_bytes)
        if hello is Sniff.MORE:
            return False
        if not isinstance(hello, ClientHello):
            self._tls_not_found.value += 1
            return True
        if hello.problem:
            if hello.problem == TOO_LARGE:
                self._too_large.value += 1
            else:
                self._tls_not_found.value += 1
            if hello.problem == TOO_LARGE or self._close_on_error:
                connection.close(hello.problem)
                return False
            return True
        self._tls_found.value += 1
        (self._alpn_found if hello.alpn else self._alpn_not_found).value += 1
        (self._sni_found if hello.server_name else self._sni_not_found).value += 1
        recognize(connection, hello)
        return True


def recognize(connection: Connection, hello: ClientHello) -> None:
    """Write down what a ClientHello says."""
    connection.transport_protocol = "tls"
    connection.server_name = hello.server_name
    connection.application_protocols = hello.alpn
