"""A sidecar in this process for tests: a ``DataPlane`` from an Envoy bootstrap, raw clients, scripted upstreams.

``Mesh`` checks on its way out what must hold after any traffic: every gauge is back at 0, nothing raised into the event
loop, and every stream ended once. ``live`` makes a test of a coroutine function. Nothing here parses HTTP but for
finding the end of a message.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import json
import logging
import socket
import time
from collections import Counter as Tally
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Self

import attrs
import uvloop

from plait import AccessLog, Extension, Stream, StreamFilter
from plait.api.config import Bootstrap, Listener
from plait.api.context import Context
from plait.plugins import Catalogue, discover
from plait.runtime.dataplane import DataPlane
from plait.xds import load_bootstrap
from plait.xds.store import ConfigStore, Resources

DEADLINE_S = 20.0
LISTENER = "test"

Json = dict[str, Any]
Handler = Callable[["Peer", int], Awaitable[None]]

_HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_MADE_HERE = "test.made_here"


def live(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test of a coroutine function: on uvloop, as workers are, and with a deadline."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        async def within() -> None:
            async with asyncio.timeout(DEADLINE_S):
                await test(*args, **kwargs)

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(within())

    run.__signature__ = inspect.signature(test)  # type: ignore[attr-defined]
    return run


async def until(condition: Callable[[], object], what: str) -> None:
    """Wait for a true value of ``condition``; AssertionError after the deadline."""
    end = time.monotonic() + DEADLINE_S / 2
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"gave up waiting for {what}")
        await asyncio.sleep(0.005)


# both ends of a connection


async def tick() -> None:
    """A few turns of the loop, in which what is ready is done."""
    for _ in range(3):
        await asyncio.sleep(0)


class Peer:
    """One end of a connection, read and written byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *pieces: bytes) -> None:
        """Write, each piece in a segment of its own where the kernel lets us."""
        for piece in pieces:
            if self.writer.is_closing():
                raise ConnectionResetError("the other side is gone")
            self.writer.write(piece)
            await self.writer.drain()

    async def head(self) -> bytes:
        """Up to and with the next empty line; what came if the peer closed before it."""
        try:
            return await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            return error.partial

    async def exactly(self, size: int) -> bytes:
        """That many bytes."""
        return await self.reader.readexactly(size)

    async def until(self, mark: bytes) -> bytes:
        """Up to and with ``mark``."""
        return await self.reader.readuntil(mark)

    async def message(self, *, bodiless: bool = False) -> tuple[bytes, bytes]:
        """A head and its body: as long as its content-length, chunked (as it was sent), or none."""
        head = await self.head()
        lower = head.lower()
        if bodiless or not head:
            return head, b""
        if b"\r\ntransfer-encoding: chunked" in lower:
            body = b""
            while True:
                line = await self.reader.readuntil(b"\r\n")
                body += line
                size = int(line.split(b";")[0], 16)
                if not size:
                    break
                body += await self.reader.readexactly(size + 2)
            while True:
                line = await self.reader.readuntil(b"\r\n")
                body += line
                if line == b"\r\n":
                    return head, body
        if b"\r\ncontent-length: " in lower:
            size = int(lower.partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0])
            return head, await self.reader.readexactly(size)
        return head, b""

    async def rest(self) -> bytes:
        """Everything until the other side ends."""
        pieces = []
        with contextlib.suppress(ConnectionError):
            while piece := await self.reader.read(1 << 16):
                pieces.append(piece)
        return b"".join(pieces)

    async def closed(self) -> bool:
        """True once the other side has ended, having sent nothing more."""
        return await self.rest() == b""

    def half_close(self) -> None:
        """Send no more."""
        if not self.writer.is_closing():
            self.writer.write_eof()

    def close(self) -> None:
        """Send no more and read no more."""
        self.writer.close()

    def reset(self) -> None:
        """End with a RST."""
        if self.writer.is_closing():
            return
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.writer.transport.abort()


class Upstream:
    """A server that does what ``handler(peer, n)`` says on its connection number ``n`` (from 0), then closes it."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.connections = 0
        self.requests: list[bytes] = []
        """Heads and bodies, where the handler notes them."""
        self.port = 0
        self._peers: set[Peer] = set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Refuse connections from now on, and end those there are."""
        assert self._server is not None
        self._server.close()
        for peer in tuple(self._peers):
            peer.writer.transport.abort()
        for task in tuple(self._tasks):
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        peer, number = Peer(reader, writer), self.connections
        self._peers.add(peer)
        self.connections += 1
        try:
            await self.handler(peer, number)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self._tasks.discard(task)
            self._peers.discard(peer)


def answering(*answers: bytes, seen: list[bytes] | None = None) -> Handler:
    """Answer the requests of every connection with these bytes in turn, the last one again and again."""
    left = list(answers)

    async def handler(peer: Peer, number: int) -> None:
        while True:
            head, body = await peer.message()
            if not head:
                return
            if seen is not None:
                seen.append(head + body)
            await peer.send(left.pop(0) if len(left) > 1 else left[0])

    return handler


async def echo(peer: Peer, number: int) -> None:
    """A handler that answers with the body it got, in the framing it got it in."""
    while True:
        head, body = await peer.message()
        if not head:
            return
        if field(head, b"transfer-encoding"):
            await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + body)
        else:
            await peer.send(ok(body))


def ok(body: bytes = b"hello", *fields: bytes) -> bytes:
    """A response 200."""
    return response(200, body, *fields)


def response(status: int, body: bytes = b"", *fields: bytes) -> bytes:
    """A whole response."""
    lines = [b"HTTP/1.1 %d Whatever" % status, b"content-length: %d" % len(body), *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def get(path: bytes = b"/", *fields: bytes, method: bytes = b"GET") -> bytes:
    """A request without a body."""
    return b"\r\n".join([method + b" " + path + b" HTTP/1.1", b"host: test", *fields]) + b"\r\n\r\n"


def post(body: bytes, path: bytes = b"/", *fields: bytes) -> bytes:
    """A request with a body and its length."""
    return get(path, b"content-length: %d" % len(body), *fields, method=b"POST") + body


def field(head: bytes, name: bytes) -> bytes | None:
    """The value of a field in a head."""
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b": ")
        if key.lower() == name:
            return value
    return None


def status_of(head: bytes) -> int:
    """The status of a response's head."""
    return int(head.split(b" ")[1])


# configuration


def cluster(name: str, *ports: int, **more: Any) -> Json:
    """A static cluster; ``more`` are fields of Envoy's Cluster."""
    endpoints = [
        {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}} for port in ports
    ]
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
        **more,
    }


def http_options(**http1: Any) -> Json:
    """For a cluster's ``typed_extension_protocol_options``: HTTP/1 with these options."""
    config = {"@type": f"type.googleapis.com/{_HTTP_OPTIONS}", "explicit_http_config": {"http_protocol_options": http1}}
    return {_HTTP_OPTIONS: config}


def route(prefix: str = "/", target: str = "up", **more: Any) -> Json:
    """A route to a cluster; ``more`` are fields of Envoy's RouteAction."""
    action: Json = {"cluster": target, **more}
    if "weighted_clusters" in more or "cluster_header" in more:
        del action["cluster"]
    return {"match": {"prefix": prefix}, "route": action}


def configuration(
    clusters: Sequence[Json], routes: Sequence[Json] | None = None, listener: Json | None = None, **hcm: Any
) -> Json:
    """A bootstrap with one HTTP listener; ``hcm`` are fields of Envoy's HttpConnectionManager."""
    manager = {
        "@type": _HCM,
        "stat_prefix": "test",
        "codec_type": "HTTP1",
        "route_config": {
            "name": "test",
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": list(routes or [route()])}],
        },
        "http_filters": [{"name": "router", "typed_config": {"@type": _ROUTER}}],
        **hcm,
    }
    chain = {"filters": [{"name": "hcm", "typed_config": manager}]}
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}
    listeners = [{"name": LISTENER, "address": address, "filter_chains": [chain], **(listener or {})}]
    return {"static_resources": {"listeners": listeners, "clusters": list(clusters)}}


# what the mesh is watched with


class Recorder(StreamFilter):
    """Stands first in the chain and notes how often each stream ended."""

    def __init__(self) -> None:
        self.ended: Tally[int] = Tally()
        self._kept: list[Stream] = []  # or else another stream could get the same id

    def on_end(self, stream: Stream) -> None:
        self._kept.append(stream)
        self.ended[id(stream)] += 1


@attrs.frozen
class Logged:
    """What the access log was told of a stream."""

    status: int
    flags: tuple[str, ...]
    details: str
    attempts: int
    bytes_received: int
    bytes_sent: int


class Log(AccessLog):
    """An access log that remembers."""

    def __init__(self) -> None:
        self.entries: list[Logged] = []

    def record(self, stream: Stream) -> None:
        self.entries.append(
            Logged(
                stream.response.status if stream.response is not None else 0,
                stream.flags,
                stream.details,
                stream.attempts,
                stream.bytes_received,
                stream.bytes_sent,
            )
        )

    @property
    def flags(self) -> list[str]:
        """The flags of each stream, as an access log writes them."""
        return [",".join(entry.flags) for entry in self.entries]


class _Plane(DataPlane):
    """Takes filters and logs that a test made itself for what an extension describes."""

    def build_for(self, context: Context, kind: str | type, extension: Extension, *extra: object) -> Any:
        if extension.type == _MADE_HERE:
            return extension.settings
        return super().build_for(context, kind, extension, *extra)


class Mesh:
    """The data plane with one listener. ``async with Mesh(configuration(...), filters) as mesh``."""

    stat_prefix = "http.test"

    def __init__(
        self, config: Json, filters: Sequence[StreamFilter] = (), *, log: AccessLog | None = None, watch: bool = True
    ) -> None:
        self.recorder = Recorder()
        self.log = Log()
        self.logs: list[AccessLog] = [self.log, *([log] if log is not None else [])]
        self.filters = [*([self.recorder] if watch else []), *filters]
        self.catalogue = Catalogue(discover())
        self.store = ConfigStore()
        self.errors: list[Mapping[str, Any]] = []
        self.port = 0
        self._config = config
        self._clients: list[Peer] = []

    def watch_loop(self) -> None:
        """Note what is raised into the event loop."""
        asyncio.get_running_loop().set_exception_handler(lambda _, context: self.errors.append(context))

    async def __aenter__(self) -> Self:
        self.watch_loop()
        bootstrap = self._load(self._config)
        self.plane: DataPlane = _Plane(self.catalogue, bootstrap.node, drain_time_s=DEADLINE_S)
        sock = socket.create_server(("127.0.0.1", 0))
        self.port = sock.getsockname()[1]
        await self._apply(bootstrap, {LISTENER: sock})
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        for client in self._clients:
            client.close()
        try:
            if kind is None:
                await self._settled()
        finally:
            await self.plane.close()
            await asyncio.sleep(0.01)
        if kind is None:
            assert not self.errors, f"raised into the event loop: {self.errors}"
            twice = [count for count in self.recorder.ended.values() if count != 1]
            assert not twice, "on_end was called more than once for a stream"
            logged = len(self.log.entries)
            total = self.counter(f"{self.stat_prefix}.downstream_rq_total")
            assert logged == total, f"{total} streams, {logged} of them logged"

    async def change(self, config: Json) -> None:
        """Bring another configuration into force."""
        await self._apply(self._load(config), {})

    async def connect(self) -> Peer:
        """A client."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
        client = Peer(reader, writer)
        self._clients.append(client)
        return client

    async def ask(self, *pieces: bytes, bodiless: bool = False) -> tuple[bytes, bytes]:
        """The answer to one request on a connection of its own."""
        client = await self.connect()
        await client.send(*pieces)
        head, body = await client.message(bodiless=bodiless)
        client.close()
        return head, body

    def counter(self, name: str) -> int:
        """The value of a statistic now; 0 when there is none."""
        self._take()
        return self._values.get(name, 0)

    def gauges(self) -> dict[str, int]:
        """What is active or pending now and not 0."""
        self._take()
        busy = ("_active", "_pending_active")
        found = {name: value for name, value in self._gauges.items() if value and name.endswith(busy)}
        for one in self.plane._clusters.values():
            for word in ("requests_active", "pending", "retries"):
                if getattr(one, word):
                    found[f"{one.name} {word}"] = getattr(one, word)
            found.update({f"{host.name} active": host.active for host in one.hosts if host.active})
        return found

    async def _settled(self) -> None:
        """Without clients, only idle connections to upstreams are left; without those, nothing is."""

        def left() -> dict[str, int]:
            return {name: value for name, value in self.gauges().items() if not name.endswith("upstream_cx_active")}

        try:
            await until(lambda: not left(), "gauges to fall")
        except AssertionError:
            raise AssertionError(f"these gauges stay: {left()}") from None
        for one in self.plane._clusters.values():
            one.drain()
        try:
            await until(lambda: not self.gauges(), "upstream connections to close")
        except AssertionError:
            raise AssertionError(f"these gauges stay: {self.gauges()}") from None

    _values: dict[str, int]
    _gauges: dict[str, int]

    def _take(self) -> None:
        if not hasattr(self, "_sums"):
            self._sums: Tally[str] = Tally()
            self._gauges = {}
        delta = self.plane.stats.take()
        self._sums.update(delta.counters)
        self._gauges.update(delta.gauges)
        self._values = {**self._sums, **self._gauges}

    def _load(self, config: Json) -> Bootstrap:
        return load_bootstrap("", json.dumps(config), self.catalogue)

    async def _apply(self, bootstrap: Bootstrap, sockets: Mapping[str, socket.socket]) -> None:
        resources = Resources(
            tuple(self._watched(one) for one in bootstrap.listeners), bootstrap.clusters, (), bootstrap.routes
        )
        update = self.store.set_source("bootstrap", resources)
        await self.plane.apply(update, sockets)
        self.store.accept(update)

    def _watched(self, listener: Listener) -> Listener:
        """With the filters and logs of the test in its connection manager."""
        chains = []
        for chain in listener.filter_chains:
            *ahead, last = chain.filters
            hcm: Any = last.settings
            ours = tuple(Extension(type(one).__name__, _MADE_HERE, one) for one in self.filters)
            logs = tuple(Extension("log", _MADE_HERE, one) for one in self.logs)
            settings = attrs.evolve(hcm, http_filters=(*ours, *hcm.http_filters), access_log=(*hcm.access_log, *logs))
            chains.append(attrs.evolve(chain, filters=(*ahead, attrs.evolve(last, settings=settings))))
        return attrs.evolve(listener, filter_chains=tuple(chains))


@contextlib.asynccontextmanager
async def proxied(
    handler: Handler,
    filters: Sequence[StreamFilter] = (),
    *,
    routes: Sequence[Json] | None = None,
    up: Json | None = None,
    log: AccessLog | None = None,
    listener: Json | None = None,
    **hcm: Any,
) -> AsyncIterator[tuple[Mesh, Upstream]]:
    """A mesh in front of one upstream; ``up`` are fields of its cluster, ``hcm`` of the connection manager."""
    async with (
        Upstream(handler) as upstream,
        Mesh(
            configuration([cluster("up", upstream.port, **(up or {}))], routes, listener, **hcm), filters, log=log
        ) as mesh,
    ):
        yield mesh, upstream


def errors_in(caplog: Any) -> list[str]:
    """The messages logged as errors."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
