"""The TLS of a cluster: a connection is there when the handshake is over and the upstream is who it must be."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Callable
from typing import cast

from plait import Cluster, Context, PluginError, UpstreamError, UpstreamTransportSocket
from plait_transport_tls.certificate import Read, read_pem
from plait_transport_tls.contexts import client_context
from plait_transport_tls.settings import NAME, UpstreamTls
from plait_transport_tls.stats import TlsStats, reason_of
from plait_transport_tls.transport import TlsTransport
from plait_transport_tls.validation import Validator, is_named

_ALPN = {"http1": ("http/1.1",), "http2": ("h2",)}
"""What is offered to a cluster of a protocol, where the settings offer nothing."""
_BY_ALPN = ("h2", "http/1.1")
"""The same where the protocol depends on what is agreed on."""


class UpstreamTlsSocket(UpstreamTransportSocket):
    """What the connections of a cluster share."""

    def __init__(self, settings: UpstreamTls, context: Context, cluster: Cluster) -> None:
        common = settings.common
        offered = _BY_ALPN if cluster.protocol_by == "alpn" else _ALPN.get(cluster.protocol, ())
        try:
            self.ssl_context = client_context(settings, common.alpn or offered)
        except ssl.SSLError as error:
            raise PluginError(NAME, reason_of(error), remedy="check certificates, keys and ciphers") from error
        self.stats = TlsStats(context)
        self.validator = Validator(common.validation)
        self.verifies = common.validation.has_roots
        self.checks_name = settings.auto_sni_san_validation
        self.local = read_pem(common.certificates[0].chain) if common.certificates else None
        self._sni = settings.sni
        self._auto_sni = settings.auto_host_sni

    def protocol(
        self, hostname: str, make: Callable[[], asyncio.BaseProtocol], established: asyncio.Future[asyncio.Transport]
    ) -> asyncio.Protocol:
        return _Connected(self, self.server_name(hostname), make, established)

    def server_name(self, hostname: str) -> str:
        """What to ask for: a host's own name only where that is wanted, and never an address (RFC 6066 section 3)."""
        if not self._auto_sni or not hostname:
            return self._sni
        try:
            ipaddress.ip_address(hostname)
        except ValueError:
            return hostname
        return self._sni


class _Connected(TlsTransport):
    def __init__(
        self,
        owner: UpstreamTlsSocket,
        server_name: str,
        make: Callable[[], asyncio.BaseProtocol],
        established: asyncio.Future[asyncio.Transport],
    ) -> None:
        super().__init__(owner.stats)
        self._owner = owner
        self._server_name = server_name
        self._make = make
        self._established = established

    def _make_ssl(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> ssl.SSLObject:
        return self._owner.ssl_context.wrap_bio(
            incoming, outgoing, server_side=False, server_hostname=self._server_name or None
        )

    def _shaken(self, peer: Read | None) -> str:
        owner = self._owner
        failure = owner.validator.check(peer)
        if failure:
            return failure
        if owner.checks_name and not (peer is not None and is_named(peer.certificate, self._server_name)):
            return "fail_verify_san"
        if self._established.done():  # who wanted the connection waits no more
            self.abort()
            return ""
        protocol = cast("asyncio.Protocol", self._make())
        self.set_protocol(protocol)
        protocol.connection_made(self)
        self._established.set_result(self)
        return ""

    def _refused(self, reason: str) -> None:
        if not self._established.done():
            self._established.set_exception(UpstreamError(f"TLS: {reason}", flag="UF"))

    def _lost(self) -> None:
        self._refused("the connection was lost during the handshake")
