"""A host is well that answers a request with a status that is expected of it.

Requests go through the codecs of the protocols' plugins, one after the other on a connection.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, cast

from plait.api.config import Fields, HttpHealthCheck
from plait.api.errors import LocalProtocolError
from plait.api.headers import Headers
from plait.api.message import DATA, FAULT, GOAWAY, INTERIM, RESET, RESPONSE, TRAILERS, Event, Request, Response
from plait.api.protocol import ClientCodec, ProtocolType
from plait.upstream.cluster import Host
from plait.upstream.health.probe import CheckFailed, Connection, Probe


class Exchanges(Connection):
    """Carries one request after the other. Of a body behind ``limit_bytes`` the pieces are read past."""

    def __init__(self, codec: ClientCodec, limit_bytes: int = 0) -> None:
        super().__init__()
        self._codec = codec
        self._limit_bytes = limit_bytes
        self._id = -1
        self.response: Response | None = None

    @property
    def usable(self) -> bool:
        return self._codec.reusable and not self.lost

    def ask(self, request: Request) -> asyncio.Future[None]:
        """Done when ``response`` is there with its body and trailers; raises CheckFailed when none comes."""
        answer = self.expect()
        self.response = None
        codec = self._codec
        self._id = codec.next_id()
        try:
            frame = codec.encode_request(request, self._id)
        except LocalProtocolError as error:
            raise CheckFailed(f"the request cannot be sent: {error}") from error
        self._write(frame)
        self._flush()
        return answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._take(self._codec.feed(data))
        self._flush()

    def eof_received(self) -> bool:
        self._take(self._codec.eof())
        return False

    def _write(self, data: bytes) -> None:
        if data and not self.lost and self.transport is not None:
            self.transport.write(data)

    def _flush(self) -> None:
        output = self._codec.output
        if output:
            self._write(b"".join(output))
            output.clear()

    def _take(self, events: Sequence[Event]) -> None:
        for event in events:
            kind = event.kind
            if kind == FAULT:
                fault: Any = event
                if not fault.error.survives:
                    self._codec.reusable = False
                    self.fail(str(fault.error))
                elif event.id == self._id:
                    self.fail(str(fault.error))
            elif kind == GOAWAY:
                self._codec.reusable = False
                if 0 <= cast("Any", event).last_id < self._id:
                    self.fail("the server takes no requests any more")
            elif event.id != self._id or kind == INTERIM:
                continue  # of a request that was given up, or nothing yet
            elif kind == RESPONSE:
                self.response = cast("Response", event)
                if self.response.end:
                    self.answered()
            elif kind == RESET:
                self.fail("the stream was reset")
            elif self.response is not None and kind in (DATA, TRAILERS):
                self._more(self.response, cast("Any", event))

    def _more(self, response: Response, event: Any) -> None:
        if event.kind == TRAILERS:
            response.trailers = event.headers
            self.answered()
            return
        if len(response.body) < self._limit_bytes:
            response.body += event.data
        if event.end:
            self.answered()


class RequestProbe(Probe[Exchanges]):
    """Sends a request and looks at its response."""

    limit_bytes = 0
    """How much of a response's body is wanted."""

    def __init__(self, target: Host, reuse: bool, protocol: ProtocolType) -> None:
        super().__init__(target, reuse)
        cluster = target.cluster
        self._protocol = protocol
        self._options = cluster.config.protocol_options if cluster.config.protocol == protocol.name else None
        self._scheme = b"http" if cluster.transport_socket is None else b"https"

    @abstractmethod
    def request(self) -> Request:
        """What to ask with."""

    @abstractmethod
    def judge(self, response: Response) -> None:
        """Raises CheckFailed where the response says that the host is not well."""

    def made(self, method: str, path: str, authority: str, fields: Fields) -> Request:
        """A request to the host: under the name that its endpoint has for checks, else ``authority``."""
        host = self.target.endpoint.health_check_hostname or authority or self.target.cluster.name
        request = Request(Headers(list(fields)), 0, method.encode(), path.encode(), host.encode())
        request.raw_scheme = self._scheme
        return request

    def _new(self) -> Exchanges:
        return Exchanges(self._protocol.client_codec(self._options), self.limit_bytes)

    async def _ask(self, connection: Exchanges) -> None:
        await connection.ask(self.request())

    def _judge(self, connection: Exchanges) -> None:
        if connection.response is not None:
            self.judge(connection.response)


class HttpProbe(RequestProbe):
    """A request of HTTP, answered with a status that is expected."""

    def __init__(self, kind: HttpHealthCheck, target: Host, reuse: bool, protocol: ProtocolType) -> None:
        super().__init__(target, reuse, protocol)
        self._kind = kind

    def request(self) -> Request:
        kind = self._kind
        return self.made(kind.method, kind.path, kind.host, kind.fields)

    def judge(self, response: Response) -> None:
        status = response.status
        if not any(low <= status < high for low, high in self._kind.expected_statuses):
            retriable = any(low <= status < high for low, high in self._kind.retriable_statuses)
            raise CheckFailed(f"the answer is {status}", at_once=not retriable)
