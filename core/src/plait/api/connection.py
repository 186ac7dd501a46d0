"""A downstream connection as filters see it, and the filters that work on connections instead of streams."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    import socket

    from plait.api.stream import Verdict
    from plait.api.transport import Tls


class Connection:
    """What is known of a downstream connection.

    Addresses are ``host:port`` text (``unix:PATH`` for a pipe); ``peer_ip`` and ``local_ip`` the bare address, empty
    for a pipe. ``server_name`` and ``application_protocols`` are what the peer asks for or was recognized to speak,
    ``alpn`` is what was negotiated with it. ``attributes`` is for filters to tell each other.
    """

    id: int = 0
    listener: str = ""
    peer: str = ""
    peer_ip: str = ""
    peer_port: int = 0
    local: str = ""
    local_ip: str = ""
    local_port: int = 0
    server_name: str = ""
    application_protocols: tuple[str, ...] = ()
    alpn: str = ""
    tls: Tls | None = None
    transport_protocol: str
    started: float = 0.0
    bytes_received: int = 0
    bytes_sent: int = 0
    upstream_cluster: str = ""
    upstream_host: str = ""
    upstream_local: str = ""
    upstream_failure: str = ""
    flags: tuple[str, ...] = ()
    details: str = ""
    transport: asyncio.Transport

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.transport_protocol = "raw_buffer"
        self.on_end: Callable[[Connection], None] | None = None
        self._attributes: dict[str, object] | None = None

    @property
    def attributes(self) -> dict[str, object]:
        """What filters tell the filters behind them; names are dotted."""
        if self._attributes is None:
            self._attributes = {}
        return self._attributes

    def ended(self) -> None:
        """The terminal filter's protocol calls this from its ``connection_lost``, once."""
        if self.on_end is not None:
            self.on_end(self)

    def close(self, details: str = "") -> None:
        """Close after what is written has gone out."""
        if details:
            self.details = details
        self.transport.close()


class NetworkFilter:
    """A filter of a connection's bytes, in front of the terminal one. Made once per chain: keep no peer's state."""

    def on_connection(self, connection: Connection) -> Verdict | Awaitable[Verdict]:
        """Somebody connected. STOP (after ``connection.close(details)``) refuses; an awaitable holds the bytes back."""
        from plait.api.stream import CONTINUE

        return CONTINUE

    def on_data(self, connection: Connection, data: bytes) -> bytes:
        """Bytes from downstream; return what goes on in their place."""
        return data

    def on_close(self, connection: Connection) -> None:
        """The connection is gone."""

    def close(self) -> None:
        """The chain is replaced or the worker stops."""


class TerminalFilter:
    """The last filter of a chain: it takes the connection over."""

    @abstractmethod
    def protocol(self, connection: Connection) -> asyncio.Protocol:
        """An asyncio protocol for the connection; its ``connection_made`` is called at once.

        Its ``connection_lost`` must call ``connection.ended()``.
        """

    def drain(self) -> None:
        """Ask the connections of this chain to end as soon as their requests are answered."""

    def close(self) -> None:
        """The chain is gone and so are its connections."""


class ListenerFilter:
    """Looks at the first bytes of a connection before its filter chain is chosen, and takes none of them."""

    @abstractmethod
    def peek(self, connection: Connection, prefix: bytes) -> bool:
        """Look at all that was read so far; False while more bytes are needed.

        Fill in ``server_name``, ``application_protocols`` and ``transport_protocol`` as far as they are known, and
        return True. It is called with the whole prefix each time: judging a short one must be cheap.
        """

    def close(self) -> None:
        """The listener is replaced or the worker stops."""


class UdpFilter:
    """The terminal filter of a UDP listener."""

    @abstractmethod
    async def serve(self, sock: socket.socket) -> None:
        """Take datagrams from ``sock``, which is bound, until cancelled."""

    def close(self) -> None:
        """The listener is gone."""
