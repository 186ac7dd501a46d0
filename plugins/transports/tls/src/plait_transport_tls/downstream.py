"""The TLS of a filter chain: callers come in when their handshake and their certificate are as they must be."""

from __future__ import annotations

import ssl
from collections.abc import Callable

from plait import Connection, Context, DownstreamTransportSocket, PluginError
from plait_transport_tls.certificate import Read, read_pem
from plait_transport_tls.contexts import server_context
from plait_transport_tls.settings import NAME, DownstreamTls
from plait_transport_tls.stats import TlsStats, reason_of
from plait_transport_tls.transport import TlsTransport
from plait_transport_tls.validation import Validator


class DownstreamTlsSocket(DownstreamTransportSocket):
    """What the connections of a filter chain share."""

    def __init__(self, settings: DownstreamTls, context: Context) -> None:
        try:
            self.ssl_context = server_context(settings)
        except ssl.SSLError as error:
            raise PluginError(NAME, reason_of(error), remedy="check certificates, keys and ciphers") from error
        self.stats = TlsStats(context)
        validation = settings.common.validation
        self.validator = Validator(validation)
        self.verifies = validation.has_roots
        self.local = read_pem(settings.common.certificates[0].chain)

    def accept(self, connection: Connection, seen: bytes, proceed: Callable[[], None]) -> None:
        made = _Accepted(self, connection, proceed)
        transport = connection.transport
        transport.set_protocol(made)
        made.connection_made(transport)
        if seen:
            made.data_received(seen)


class _Accepted(TlsTransport):
    def __init__(self, owner: DownstreamTlsSocket, connection: Connection, proceed: Callable[[], None]) -> None:
        super().__init__(owner.stats)
        self._owner = owner
        self._connection = connection
        self._proceed = proceed

    def _make_ssl(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> ssl.SSLObject:
        return self._owner.ssl_context.wrap_bio(incoming, outgoing, server_side=True)

    def _shaken(self, peer: Read | None) -> str:
        owner, connection = self._owner, self._connection
        failure = owner.validator.check(peer)
        if failure:
            return failure
        server_name = str(getattr(self._ssl, "requested_name", ""))
        tls = self._describe(server_name, peer, owner.local, owner.verifies)
        connection.tls = tls
        connection.alpn = tls.alpn
        connection.server_name = server_name or connection.server_name
        connection.transport_protocol = "tls"
        connection.transport = self
        self._proceed()
        return ""

    def _refused(self, reason: str) -> None:
        self._connection.details = self._connection.details or "tls_handshake_failed"

    def _lost(self) -> None:
        self._connection.ended()
