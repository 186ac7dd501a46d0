"""A small multiplexed protocol for tests of the streams, and a ``Mesh`` whose listener speaks it.

A frame is ``id u32, length u32, payload``, big endian. The first payload of a request is ``method SP body``, that of a
response ``status SP body``. The upper bits of the length are flags: ``MORE`` (frames of the same id follow),
``TRAILER`` (the last frame of a message, its payload ``name=value``), ``RESET`` (the stream is given up; ``refused`` as
the payload when it was not begun), ``GOAWAY`` (no new streams; the id is the last one begun) and ``ROOM`` (the id says
how many streams may be open at once). Requests of the method ``oneway`` get no response; one without a method is
refused by the codec, which goes on with the others.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from typing import Any, Self

import attrs

from plait import (
    STOP,
    ClientCodec,
    Event,
    Fault,
    Headers,
    LocalProtocolError,
    ProtocolType,
    RemoteProtocolError,
    Request,
    Response,
    Route,
    RouterFilter,
    ServerCodec,
    Stream,
    StreamFilter,
    Verdict,
)
from plait.api.config import Address, Bootstrap, Cluster, Endpoint, Extension, FilterChain, Listener, Thresholds
from plait.api.connection import NetworkFilter
from plait.api.context import Context
from plait.api.message import Data, GoAway, Reset, Trailers, Window
from plait.api.protocol import PoolMode, Sniff
from plait.runtime.dataplane import DataPlane
from plait.stream import FilterChain as Chain
from plait.stream import ForwardOptions, Limits, StreamProxy, forward
from plait.stream.client import ClientConnection
from plait.upstream.cluster import Host
from tests.integration.harness import DEADLINE_S, LISTENER, Mesh, Peer

MORE, RESET, GOAWAY, ROOM, TRAILER = 1 << 31, 1 << 30, 1 << 29, 1 << 28, 1 << 27
LONGEST = 1 << 22
_SIZE = TRAILER - 1

_HEAD = struct.Struct(">II")
_PROTOCOL = "framed"


def frame(id: int, payload: bytes = b"", flags: int = 0) -> bytes:
    """The bytes of a frame."""
    return _HEAD.pack(id, len(payload) | flags) + payload


async def read_frame(peer: Peer) -> tuple[int, int, bytes]:
    """The next frame: id, flags, payload; raises IncompleteReadError at the end."""
    id, size = _HEAD.unpack(await peer.exactly(8))
    return id, size & ~_SIZE, await peer.exactly(size & _SIZE)


# the codecs


class _Frames:
    """Cuts what was read into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def split(self, data: bytes) -> tuple[list[tuple[int, int, bytes]], Fault | None]:
        buffer = self._buffer
        buffer += data
        frames, at = [], 0
        fault = None
        while len(buffer) - at >= 8:
            id, size = _HEAD.unpack_from(buffer, at)
            flags, size = size & ~_SIZE, size & _SIZE
            if size > LONGEST:
                fault = Fault(RemoteProtocolError("frame is too long", status=413, counter="frame_too_long"))
                break
            if len(buffer) - at - 8 < size:
                break
            frames.append((id, flags, bytes(buffer[at + 8 : at + 8 + size])))
            at += 8 + size
        del buffer[:at]
        return frames, fault

    def __bool__(self) -> bool:
        return bool(self._buffer)


def _rest(id: int, flags: int, payload: bytes) -> Event:
    """What a frame behind the first of its message says."""
    if flags & TRAILER:
        name, _, value = payload.partition(b"=")
        return Trailers(Headers([(name, value)]), id)
    return Data(payload, not flags & MORE, id)


def _trailer(id: int, trailers: Headers) -> bytes:
    return frame(id, b",".join(b"%b=%b" % pair for pair in trailers.raw), TRAILER)


class FramedServer(ServerCodec):
    """Reads requests of any number of streams."""

    def __init__(self, options: object = None) -> None:
        super().__init__()
        self._frames = _Frames()
        self._open: set[int] = set()  # requests of which more is to come
        self._broken = False

    def feed(self, data: bytes) -> Sequence[Event]:
        events: list[Event] = []
        if self._broken:
            return events
        frames, fault = self._frames.split(data)
        for id, flags, payload in frames:
            if flags & RESET:
                self._open.discard(id)
                events.append(Reset("remote_reset", id))
                continue
            known = id in self._open
            if flags & MORE:
                self._open.add(id)
            else:
                self._open.discard(id)
            if known:
                events.append(_rest(id, flags, payload))
            elif not self.closing:
                events.append(self._request(id, flags, payload))
        if fault is not None:
            self._broken = True
            events.append(fault)
        return events

    def _request(self, id: int, flags: int, payload: bytes) -> Event:
        request = Request(Headers([]), id, protocol=_PROTOCOL)
        request.raw_path, _, request.body = payload.partition(b" ")
        request.end = not flags & MORE
        request.oneway = request.raw_path == b"oneway"
        if not request.raw_path:
            return Fault(RemoteProtocolError("no method", counter="no_method", survives=True), id)
        return request

    def eof(self) -> Sequence[Event]:
        return [Fault(RemoteProtocolError("connection closed inside a frame"))] if self._frames else ()

    def encode_response(self, request: Request, response: Response) -> bytes:
        if request.oneway:
            return b""
        payload = b"%d %b" % (response.status, response.body)
        if response.trailers is not None and response.end:
            return frame(request.id, payload, MORE) + _trailer(request.id, response.trailers)
        return frame(request.id, payload, 0 if response.end else MORE)

    def encode_data(self, request: Request, data: bytes, end: bool) -> bytes:
        return frame(request.id, data, 0 if end else MORE)

    def encode_trailers(self, request: Request, trailers: Headers) -> bytes:
        return _trailer(request.id, trailers)

    def encode_reset(self, request: Request, reason: str) -> bytes:
        return frame(request.id, b"", RESET)


class FramedClient(ClientCodec):
    """Writes requests under ids of its own; ``options`` is how many streams the peer takes before it says so itself."""

    def __init__(self, options: object = None) -> None:
        super().__init__()
        if isinstance(options, int):
            self.max_streams = options
        self._frames = _Frames()
        self._id = 1000
        self._begun: set[int] = set()  # responses of which more is to come

    def next_id(self) -> int:
        self._id += 1
        return self._id

    def encode_request(self, request: Request, id: int) -> bytes:
        if b"\n" in request.raw_path:
            raise LocalProtocolError("a method holds no line feed", status=500)
        payload = request.raw_path + b" " + request.body
        if request.trailers is not None and request.end:
            return frame(id, payload, MORE) + _trailer(id, request.trailers)
        return frame(id, payload, 0 if request.end else MORE)

    def encode_data(self, id: int, data: bytes, end: bool) -> bytes:
        return frame(id, data, 0 if end else MORE)

    def encode_trailers(self, id: int, trailers: Headers) -> bytes:
        return _trailer(id, trailers)

    def encode_reset(self, id: int, reason: str) -> bytes:
        return frame(id, b"", RESET)

    def feed(self, data: bytes) -> Sequence[Event]:
        events: list[Event] = []
        frames, fault = self._frames.split(data)
        for id, flags, payload in frames:
            events.append(self._event(id, flags, payload))
        if fault is not None:
            self.reusable = False
            events.append(fault)
        return events

    def _event(self, id: int, flags: int, payload: bytes) -> Event:
        if flags & GOAWAY:
            return GoAway(id)
        if flags & ROOM:
            self.max_streams = id
            return Window()
        if flags & RESET:
            self._begun.discard(id)
            return Reset("remote_reset", id, payload == b"refused")
        known = id in self._begun
        if flags & MORE:
            self._begun.add(id)
        else:
            self._begun.discard(id)
        if known:
            return _rest(id, flags, payload)
        status, _, body = payload.partition(b" ")
        response = Response(int(status), Headers([]), id, protocol=_PROTOCOL, body=body)
        response.end = not flags & MORE
        return response


def local_response(request: Request, status: int, body: bytes, details: str) -> Response:
    """An answer of Plait's own: the details, or else the text."""
    return Response(status, Headers([]), request.id, protocol=_PROTOCOL, body=details.encode() or body)


def sniff(prefix: bytes) -> Sniff:
    """Framed requests of small ids begin with two zero bytes."""
    if len(prefix) < 2:
        return Sniff.MORE if b"\0\0".startswith(prefix) else Sniff.NO
    return Sniff.YES if prefix.startswith(b"\0\0") else Sniff.NO


FRAMED = ProtocolType(_PROTOCOL, FramedServer, FramedClient, local_response, PoolMode.MULTIPLEXED, sniff)


# the mesh


class ToUp(RouterFilter):
    """Sends everything to the cluster ``up``."""

    def __init__(self, options: ForwardOptions | None = None) -> None:
        self.options = options or ForwardOptions()
        self.context: Context

    def route(self, stream: Stream) -> Route | None:
        return None

    def on_request(self, stream: Stream) -> Any:
        return self.send(stream)

    def send(self, stream: Stream) -> Verdict:
        cluster = self.context.cluster("up")
        assert cluster is not None
        verdict = forward(stream, cluster, self.options)
        assert verdict is STOP
        return verdict


class _Plane(DataPlane):
    made: FramedMesh
    proxy: StreamProxy

    def build_for(self, context: Context, kind: str | type, extension: Extension, *extra: object) -> Any:
        mesh = self.made
        if extension.name != _PROTOCOL:
            return mesh.network[int(extension.name)]
        mesh.router.context = self
        filters = [*mesh.filters, mesh.router]
        chain = Chain(filters, [type(one).__name__ for one in filters])
        self.proxy = StreamProxy(
            chain, mesh.protocols, self, stat_prefix="http.test", limits=mesh.limits, access_logs=[mesh.log]
        )
        return self.proxy


def up(*ports: int, thresholds: Thresholds | None = None, **more: Any) -> Cluster:
    """The cluster that requests go to; ``more`` are fields of ``plait.api.config.Cluster``."""
    endpoints = tuple(Endpoint(Address("127.0.0.1", port)) for port in ports)
    return Cluster("up", endpoints=endpoints, thresholds=thresholds or Thresholds(), **more)


class FramedMesh(Mesh):
    """``async with FramedMesh(up(port), filters) as mesh``: a listener of framed requests, and what ``Mesh`` checks."""

    plane: _Plane

    def __init__(
        self,
        cluster: Cluster,
        filters: Sequence[StreamFilter] = (),
        *,
        router: ToUp | None = None,
        protocols: Sequence[ProtocolType] = (FRAMED,),
        limits: Limits | None = None,
        network: Sequence[NetworkFilter] = (),
    ) -> None:
        super().__init__({}, filters)
        self.router = router or ToUp()
        self.protocols = protocols
        self.limits = limits
        self.network = network
        self._cluster = cluster

    async def __aenter__(self) -> Self:
        self.watch_loop()
        self.plane = _Plane(self.catalogue, Bootstrap().node, drain_time_s=DEADLINE_S)
        self.plane.made = self
        sock = socket.create_server(("127.0.0.1", 0))
        self.port = sock.getsockname()[1]
        ahead = [Extension(str(number), "") for number, _ in enumerate(self.network)]
        chain = FilterChain(filters=(*ahead, Extension(_PROTOCOL, "")))
        listener = Listener(LISTENER, Address("127.0.0.1", self.port), (chain,))
        await self._apply(Bootstrap(listeners=(listener,), clusters=(self._cluster,)), {LISTENER: sock})
        return self

    def _watched(self, listener: Listener) -> Listener:
        return listener

    @property
    def host(self) -> Host:
        """The first host of the cluster."""
        found: Host = self.plane._clusters["up"].hosts[0]
        return found

    def paused(self) -> bool:
        """Whether a downstream connection is not read from."""
        name = "http.test.downstream_flow_control_{}_reading_total"
        return self.counter(name.format("paused")) > self.counter(name.format("resumed"))

    def connections(self) -> list[ClientConnection]:
        """The upstream connections that take streams, or took them until a goaway."""
        pool: Any = self.host.pools.get(_PROTOCOL)
        return [] if pool is None else list(pool._connections)

    async def reconfigure(self, **fields: Any) -> None:
        """Change fields of the cluster."""
        self._cluster = attrs.evolve(self._cluster, **fields)
        listener = self.plane._listeners[LISTENER].config
        await self._apply(Bootstrap(listeners=(listener,), clusters=(self._cluster,)), {})
