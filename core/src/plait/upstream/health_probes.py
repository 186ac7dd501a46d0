"""How a host is asked whether it is well: by a request of HTTP, by gRPC's health service, or by a connection.

A ``Probe`` belongs to one host; ``check`` asks once and raises ``CheckFailed``. Codecs are those of the protocols'
plugins; connections are made like those of traffic, TLS and all, but are nobody's statistics and no pool's.

Source: Envoy, "Health checking", and "GRPC Health Checking Protocol" of gRPC.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, cast

from plait.api.config import GrpcHealthCheck, HealthCheck, HttpHealthCheck, TcpHealthCheck
from plait.api.errors import UpstreamError
from plait.api.headers import Headers
from plait.api.message import DATA, FAULT, INTERIM, RESET, RESPONSE, TRAILERS, Event, Request, Response
from plait.api.protocol import ClientCodec, ProtocolType
from plait.upstream.cluster import Host
from plait.upstream.connect import dial

LIMIT_BYTES = 64 * 1024
"""How much of an answer is looked at."""

USER_AGENT = b"Envoy/HC"  # what services know health checks by
_SERVING = 1  # grpc.health.v1.HealthCheckResponse.ServingStatus


class CheckFailed(UpstreamError):
    """The host is not well. ``at_once`` where it said so itself, so that nobody need ask again to believe it."""

    def __init__(self, message: str, *, network: bool = False, at_once: bool = False) -> None:
        super().__init__(message, flag="UH")
        self.network = network
        self.at_once = at_once


class Probe(ABC):
    """The checks of one host, on connections of their own."""

    @abstractmethod
    async def check(self) -> None:
        """Ask once; raises CheckFailed. Who calls it limits the time; a cancelled check gives its connection up."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the connection."""


def make_probe(check: HealthCheck, host: Host, protocol: Callable[[str], ProtocolType]) -> Probe:
    """The probe that ``check`` describes, for the connection address of ``host``."""
    kind = check.kind
    if isinstance(kind, TcpHealthCheck):
        return _TcpProbe(kind, host, check.reuse_connection)
    if isinstance(kind, GrpcHealthCheck):
        return _GrpcProbe(kind, host, check.reuse_connection, protocol("http2"))
    return _HttpProbe(kind, host, check.reuse_connection, protocol(kind.protocol))


async def _connected(host: Host, made: asyncio.Protocol) -> asyncio.Transport:
    try:
        return await dial(host, lambda: made)
    except UpstreamError as error:
        raise CheckFailed(f"connecting failed: {error}", network=True) from error
    except OSError as error:
        raise CheckFailed(f"connecting failed: {error.strerror or error}", network=True) from error


# TCP


class _Bytes(asyncio.Protocol):
    """A connection whose bytes are gathered until they hold what is expected."""

    def __init__(self, expected: Sequence[bytes]) -> None:
        self._expected = expected
        self._data = b""
        self._waiter: asyncio.Future[None] | None = None
        self.lost = False

    def expect(self) -> asyncio.Future[None]:
        """Done when what is expected has come; fails when the connection ends or too much else comes."""
        self._data = b""
        self._waiter = waiter = asyncio.get_running_loop().create_future()
        if self.lost:
            waiter.set_exception(CheckFailed("the connection was closed", network=True))
        return waiter

    def data_received(self, data: bytes) -> None:
        self._data = (self._data + data)[-LIMIT_BYTES:]
        if self._waiter is not None and not self._waiter.done() and in_order(self._expected, self._data):
            self._waiter.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(CheckFailed("the connection was closed", network=True))


def in_order(expected: Sequence[bytes], data: bytes) -> bool:
    """Whether every block is in ``data``, each behind the one before; what is in between does not matter."""
    at = 0
    for block in expected:
        found = data.find(block, at)
        if found < 0:
            return False
        at = found + len(block)
    return True


class _TcpProbe(Probe):
    """Connects, and where there is something to expect, sends and waits for it."""

    def __init__(self, kind: TcpHealthCheck, host: Host, reuse: bool) -> None:
        self._kind = kind
        self._host = host
        self._reuse = reuse and bool(kind.receive)
        self._open: tuple[asyncio.Transport, _Bytes] | None = None

    async def check(self) -> None:
        kind, kept = self._kind, False
        if self._open is not None and self._open[1].lost:
            self._open = None
        try:
            if self._open is None:
                protocol = _Bytes(kind.receive)
                self._open = (await _connected(self._host, protocol), protocol)
            transport, protocol = self._open
            if kind.receive:
                answer = protocol.expect()
                if kind.send:
                    transport.write(kind.send)
                await answer
            elif kind.send:
                transport.write(kind.send)
            kept = self._reuse
        finally:
            if not kept:
                self.close()

    def close(self) -> None:
        if self._open is not None:
            self._open[0].close()
            self._open = None


# what has a codec


class _Session(asyncio.Protocol):
    """A connection with a codec that carries one request after the other."""

    transport: asyncio.Transport

    def __init__(self, codec: ClientCodec) -> None:
        self._codec = codec
        self._id = -1
        self._response: Response | None = None
        self._waiter: asyncio.Future[Response] | None = None
        self._lost = False

    @property
    def usable(self) -> bool:
        """Whether another request may follow."""
        return self._codec.reusable and not self._lost

    def ask(self, request: Request) -> asyncio.Future[Response]:
        """The whole response, with its body and trailers; CheckFailed when none comes."""
        self._waiter = waiter = asyncio.get_running_loop().create_future()
        self._response = None
        if self._lost:
            self._fail("the connection was closed")
            return waiter
        codec = self._codec
        self._id = codec.next_id()
        frame = codec.encode_request(request, self._id)
        if frame:
            self.transport.write(frame)
        self._flush()
        return waiter

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._take(self._codec.feed(data))
        self._flush()

    def eof_received(self) -> bool:
        self._take(self._codec.eof())
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._fail("the connection was closed")

    def _flush(self) -> None:
        output = self._codec.output
        if output and not self._lost:
            self.transport.write(b"".join(output))
            output.clear()

    def _take(self, events: Sequence[Event]) -> None:
        for event in events:
            kind = event.kind
            if kind == FAULT:
                self._fail(str(cast("Any", event).error))
            elif event.id != self._id or kind == INTERIM:
                continue
            elif kind == RESPONSE:
                self._response = response = cast("Response", event)
                if response.end:
                    self._finish(response)
            elif kind == RESET:
                self._fail("the stream was reset")
            elif self._response is not None and kind in (DATA, TRAILERS):
                self._more(self._response, cast("Any", event), kind)

    def _more(self, response: Response, event: Any, kind: int) -> None:
        if kind == TRAILERS:
            response.trailers = event.headers
            self._finish(response)
            return
        response.body += event.data
        if len(response.body) > LIMIT_BYTES:
            self._fail(f"the answer has more than {LIMIT_BYTES} bytes")
            self.transport.abort()
        elif event.end:
            self._finish(response)

    def _finish(self, response: Response) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(response)

    def _fail(self, message: str) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(CheckFailed(message, network=True))


class _RequestProbe(Probe):
    """Sends a request and looks at its response."""

    def __init__(self, host: Host, reuse: bool, protocol: ProtocolType) -> None:
        self._host = host
        self._reuse = reuse
        self._protocol = protocol
        cluster = host.cluster
        self._options = cluster.config.protocol_options if cluster.config.protocol == protocol.name else None
        self._scheme = b"http" if cluster.transport_socket is None else b"https"
        self._session: _Session | None = None

    @abstractmethod
    def _request(self) -> Request: ...

    @abstractmethod
    def _judge(self, response: Response) -> None:
        """Raises CheckFailed where the response says that the host is not well."""

    async def check(self) -> None:
        kept = False
        try:
            session = self._session
            if session is None or not session.usable:
                self.close()
                self._session = session = _Session(self._protocol.client_codec(self._options))
                await _connected(self._host, session)
            response = await session.ask(self._request())
            kept = self._reuse and session.usable
        finally:
            if not kept:
                self.close()
        self._judge(response)

    def close(self) -> None:
        session, self._session = self._session, None
        if session is not None and hasattr(session, "transport"):
            session.transport.close()

    def _made(self, method: bytes, path: str, authority: str, fields: list[tuple[bytes, bytes]]) -> Request:
        request = Request(Headers([(b"user-agent", USER_AGENT), *fields]), 0, method)
        request.path = path
        request.authority = authority or self._host.endpoint.health_check_hostname or self._host.cluster.name
        request.raw_scheme = self._scheme
        return request


class _HttpProbe(_RequestProbe):
    """A request of HTTP, answered with a status that is expected."""

    def __init__(self, kind: HttpHealthCheck, host: Host, reuse: bool, protocol: ProtocolType) -> None:
        super().__init__(host, reuse, protocol)
        self._kind = kind

    def _request(self) -> Request:
        kind = self._kind
        return self._made(kind.method.encode(), kind.path, kind.host, [])

    def _judge(self, response: Response) -> None:
        status = response.status
        if not any(low <= status < high for low, high in self._kind.expected_statuses):
            retriable = any(low <= status < high for low, high in self._kind.retriable_statuses)
            raise CheckFailed(f"the answer is {status}", at_once=not retriable)


class _GrpcProbe(_RequestProbe):
    """A call of ``grpc.health.v1.Health/Check``."""

    def __init__(self, kind: GrpcHealthCheck, host: Host, reuse: bool, protocol: ProtocolType) -> None:
        super().__init__(host, reuse, protocol)
        self._kind = kind
        name = kind.service_name.encode()
        message = b"\x0a" + _varint(len(name)) + name if name else b""  # HealthCheckRequest: service = 1
        self._body = b"\0" + len(message).to_bytes(4, "big") + message

    def _request(self) -> Request:
        fields = [(b"content-type", b"application/grpc"), (b"te", b"trailers")]
        request = self._made(b"POST", "/grpc.health.v1.Health/Check", self._kind.authority, fields)
        request.body = self._body
        return request

    def _judge(self, response: Response) -> None:
        if response.status != 200:
            raise CheckFailed(f"the answer is {response.status}", at_once=True)
        found = response.trailers.find(b"grpc-status") if response.trailers is not None else None
        code = found or response.headers.find(b"grpc-status")
        if code != b"0":
            what = "there is no grpc-status" if code is None else f"grpc-status is {code.decode('latin-1')}"
            raise CheckFailed(what, at_once=True)
        serving = serving_status(response.body)
        if serving != _SERVING:
            raise CheckFailed(f"the service's status is {serving}", at_once=True)


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while at < len(data) and shift < 64:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
    raise CheckFailed("the answer is no HealthCheckResponse", at_once=True)


def serving_status(body: bytes) -> int:
    """``status`` (field 1) of the one HealthCheckResponse in a body of gRPC; raises CheckFailed for anything else."""
    if len(body) < 5 or body[0] or len(body) != 5 + int.from_bytes(body[1:5], "big"):
        raise CheckFailed("the answer is no HealthCheckResponse", at_once=True)
    status, at = 0, 5
    while at < len(body):
        tag, at = _read_varint(body, at)
        if tag & 7 == 0:
            value, at = _read_varint(body, at)
            if tag >> 3 == 1:
                status = value
        elif tag & 7 == 2:
            size, at = _read_varint(body, at)
            at += size
        else:
            at += 4 if tag & 7 == 5 else 8
    return status
