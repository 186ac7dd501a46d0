"""Transport sockets: what stands between a socket and what is spoken on it, such as TLS; and what TLS tells of a peer.

A transport socket takes a connection over before the first filter or codec sees a byte of it, and puts an
``asyncio.Transport`` of its own in the place of the socket's. That transport keeps asyncio's contract to the letter
(watermarks, ``set_protocol`` at any time, one ``connection_lost``): what is attached to it cannot tell the difference.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    import asyncio

    from plait.api.connection import Connection


@attrs.frozen
class Certificate:
    """What a certificate says, as text; names are as an access log writes them, ``fingerprint`` is SHA-256 in hex."""

    subject: str = ""
    issuer: str = ""
    serial: str = ""
    dns_names: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()
    ip_addresses: tuple[str, ...] = ()
    email_addresses: tuple[str, ...] = ()
    fingerprint: str = ""
    der: bytes = attrs.field(default=b"", repr=False)


@attrs.frozen
class Tls:
    """The TLS of a connection. ``peer`` and ``local`` are the certificates of the two sides, where they showed one.

    ``verified`` says that the peer's was checked; ``alpn`` is what was negotiated, ``server_name`` what was asked for.
    """

    version: str = ""
    cipher: str = ""
    alpn: str = ""
    server_name: str = ""
    peer: Certificate | None = None
    local: Certificate | None = None
    verified: bool = False
    resumed: bool = False


class DownstreamTransportSocket:
    """The transport socket of a filter chain. Made once per chain: keep no peer's state."""

    @abstractmethod
    def accept(self, connection: Connection, seen: bytes, proceed: Callable[[], None]) -> None:
        """Take over ``connection.transport``, on which ``seen`` was read already.

        When the peer may come in, put the transport to use in ``connection.transport``, fill in what is known of the
        peer (``tls``, ``alpn``, ``server_name``, ``transport_protocol``) and call ``proceed``, which attaches a
        protocol to that transport. When the peer may not, or goes before that, ``connection.ended()`` must be called
        once, in the ``connection_lost`` of the transport that was taken over. A handshake has a deadline that somebody
        else watches: it closes ``connection.transport``.
        """

    def close(self) -> None:
        """The chain is gone and so are its connections."""


class UpstreamTransportSocket:
    """The transport socket of a cluster. Made once per cluster: keep no peer's state."""

    @abstractmethod
    def protocol(
        self, hostname: str, make: Callable[[], asyncio.BaseProtocol], established: asyncio.Future[asyncio.Transport]
    ) -> asyncio.Protocol:
        """A protocol for a connection to the endpoint called ``hostname``: its IP address or "" where it has no name.

        When the peer is the right one, it makes the inner protocol with ``make``, calls its ``connection_made`` with
        the transport to use, and gives that transport to ``established``; else it gives an ``UpstreamError`` there and
        closes. ``established`` may have been cancelled by then: nobody waits, and the connection is to be closed.
        """
