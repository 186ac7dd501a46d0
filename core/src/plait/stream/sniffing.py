"""A connection whose protocol is not known yet, where a ``StreamProxy`` speaks several.

It reads until one of the protocols knows its own, then hands over to a ``ServerConnection`` and is out of the way;
where network filters stand in front, it stays between them and that connection and passes everything on.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from plait.api.connection import Connection
from plait.api.protocol import Sniff

if TYPE_CHECKING:
    from plait.stream.proxy import StreamProxy


class Sniffing(asyncio.Protocol):
    """See the module. ``alike`` has all of the proxy's."""

    def __init__(self, proxy: StreamProxy, connection: Connection, alike: set[Sniffing]) -> None:
        self._alike = alike
        self._proxy = proxy
        self._connection = connection
        self._seen = b""
        self._chosen: asyncio.Protocol | None = None  # only where it does not take our place
        patience_s = proxy.limits.request_headers_timeout_s or proxy.limits.idle_timeout_s
        self._timer = proxy.context.call_later(patience_s, connection.close) if patience_s else None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._alike.add(self)
        if self._proxy.draining:
            self.drain()

    def drain(self) -> None:
        """Nothing was asked yet: close."""
        self._connection.close()

    def data_received(self, data: bytes) -> None:
        if self._chosen is not None:
            self._chosen.data_received(data)
            return
        if self._connection.transport.is_closing():
            return
        self._seen += data
        answers = [(protocol, protocol.sniff(self._seen)) for protocol in self._proxy.protocols]
        known = next((protocol for protocol, answer in answers if answer is Sniff.YES), None)
        if known is None:
            if any(answer is Sniff.MORE for _, answer in answers):
                return
            known = self._proxy.protocols[0]  # it will say in its own words what is wrong
        self._forget()
        transport = self._connection.transport
        protocol = self._proxy.serve(self._connection, known)
        if transport.get_protocol() is self:
            transport.set_protocol(protocol)
        else:
            self._chosen = protocol
        protocol.connection_made(transport)
        protocol.data_received(self._seen)
        self._seen = b""

    def eof_received(self) -> bool | None:
        return self._chosen.eof_received() if self._chosen is not None else None

    def pause_writing(self) -> None:
        if self._chosen is not None:
            self._chosen.pause_writing()

    def resume_writing(self) -> None:
        if self._chosen is not None:
            self._chosen.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._chosen is not None:
            self._chosen.connection_lost(exc)
            return
        self._forget()
        self._connection.ended()

    def _forget(self) -> None:
        self._alike.discard(self)
        if self._timer is not None:
            self._timer.cancel()
