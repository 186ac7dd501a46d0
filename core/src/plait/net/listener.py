"""A listener at work: it accepts, chooses the filter chain and hands the connection to the chain's terminal filter.

Reads from top to bottom as a connection goes: accepted -> listener filters peek -> chain chosen -> transport socket ->
network filters -> terminal filter. Where a chain has nothing but a terminal filter, its protocol becomes the
transport's own and this module is out of the way.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeAlias, cast

from plait.api.config import Listener
from plait.api.connection import Connection, ListenerFilter, NetworkFilter, TerminalFilter
from plait.api.context import Stats
from plait.api.stream import CONTINUE, STOP
from plait.api.telemetry import AccessLog
from plait.api.transport import DownstreamTransportSocket
from plait.net.match import compile_match

_log = logging.getLogger("plait.net")
_ids = itertools.count(1)
_Spawn: TypeAlias = Callable[[Coroutine[Any, Any, None], str], Any]

# From Python 3.13 on a server takes its path away when it closes; the socket we keep is to be reached there.
_KEEP_PATH: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}

PEEK_LIMIT_BYTES = 64 * 1024  # what listener filters may ask to see


class Chain:
    """A filter chain built: its transport socket, the filters in front and the terminal one."""

    def __init__(
        self,
        name: str,
        filters: Sequence[NetworkFilter],
        terminal: TerminalFilter,
        transport_socket: DownstreamTransportSocket | None = None,
        transport_socket_timeout_s: float = 0.0,
    ) -> None:
        self.name = name
        self.transport_socket = transport_socket
        self.transport_socket_timeout_s = transport_socket_timeout_s
        self.filters = tuple(filters)
        self.terminal = terminal
        self.reads = tuple(f for f in filters if type(f).on_data is not NetworkFilter.on_data)

    def close(self) -> None:
        """Let go of the filters; the connections are gone."""
        for network_filter in self.filters:
            network_filter.close()
        self.terminal.close()
        if self.transport_socket is not None:
            self.transport_socket.close()


def stat_prefix(config: Listener) -> str:
    """What the names of a listener's statistics begin with."""
    return f"listener.{config.stat_prefix or str(config.address).replace(':', '_')}"


class ListenerServer:
    """A listener: built without touching a socket, then ``start`` with one."""

    def __init__(
        self,
        config: Listener,
        chains: Sequence[Chain],
        default: Chain | None,
        listener_filters: Sequence[ListenerFilter],
        access_logs: Sequence[AccessLog],
        stats: Stats,
        spawn: _Spawn,
    ) -> None:
        self.config = config
        self.chains = tuple(chains)
        self.default = default
        self._find = compile_match(
            [(c.match, chain) for c, chain in zip(config.filter_chains, chains, strict=True)], default
        )
        self.listener_filters = tuple(listener_filters)
        self.access_logs = tuple(access_logs)
        self.spawn = spawn
        self.connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._emptied = asyncio.Event()
        prefix = stat_prefix(config)
        self.cx_total = stats.counter(f"{prefix}.downstream_cx_total")
        self.cx_active = stats.gauge(f"{prefix}.downstream_cx_active")
        self.cx_destroy = stats.counter(f"{prefix}.downstream_cx_destroy")
        self.cx_length = stats.histogram(f"{prefix}.downstream_cx_length_ms")
        self.no_match = stats.counter(f"{prefix}.no_filter_chain_match")
        self.peek_timeout = stats.counter(f"{prefix}.downstream_pre_cx_timeout")
        self.transport_socket_timeout = stats.counter(f"{prefix}.downstream_cx_transport_socket_connect_timeout")

    async def start(self, sock: socket.socket) -> None:
        """Accept on ``sock``, which listens already or is bound."""
        loop = asyncio.get_running_loop()
        if sock.family == socket.AF_UNIX:
            self._server = await loop.create_unix_server(
                lambda: _Accepted(self), sock=sock, backlog=self.config.tcp_backlog_size, **_KEEP_PATH
            )
        else:
            self._server = await loop.create_server(
                lambda: _Accepted(self), sock=sock, backlog=self.config.tcp_backlog_size
            )

    def stop_accepting(self) -> None:
        """Close the listening socket of this worker; connections go on."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def drain(self) -> None:
        """Ask every connection to end after what it is doing."""
        for chain in (*self.chains, *((self.default,) if self.default else ())):
            chain.terminal.drain()

    async def idle(self, timeout_s: float) -> None:
        """Wait until no connection is open, or the time is over."""
        if self.connections and timeout_s > 0:
            self._emptied.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._emptied.wait()

    def abort(self) -> None:
        """Close what is left at once."""
        for connection in tuple(self.connections):
            connection.transport.abort()

    def close(self) -> None:
        """Give the filters back."""
        self.stop_accepting()
        for chain in (*self.chains, *((self.default,) if self.default else ())):
            chain.close()
        for listener_filter in self.listener_filters:
            listener_filter.close()
        for log in self.access_logs:
            log.close()

    def accepted(self, transport: asyncio.Transport) -> Connection:
        """Describe a new connection and count it."""
        connection = Connection(transport)
        connection.id = next(_ids)
        connection.listener = self.config.name
        connection.started = time.monotonic()
        connection.peer, connection.peer_ip, connection.peer_port = _address(transport.get_extra_info("peername"))
        connection.local, connection.local_ip, connection.local_port = _address(transport.get_extra_info("sockname"))
        transport.set_write_buffer_limits(high=self.config.per_connection_buffer_limit_bytes)
        connection.on_end = self._ended
        self.connections.add(connection)
        self.cx_total.value += 1
        self.cx_active.value += 1
        return connection

    def choose(self, connection: Connection) -> Chain | None:
        """The chain for ``connection``; None closes it."""
        chain = self._find(connection)
        if chain is None:
            self.no_match.value += 1
            connection.flags = (*connection.flags, "NR")
            connection.details = "filter_chain_not_found"
        return chain

    def _ended(self, connection: Connection) -> None:
        self.connections.discard(connection)
        if not self.connections:
            self._emptied.set()
        self.cx_active.value -= 1
        self.cx_destroy.value += 1
        self.cx_length.values.append((time.monotonic() - connection.started) * 1000)
        for log in self.access_logs:
            log.record_connection(connection)


def _address(name: Any) -> tuple[str, str, int]:
    """Text, ip and port of what a socket calls itself."""
    if isinstance(name, tuple):
        ip, port = str(name[0]), int(name[1])
        return (f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"), ip, port
    return f"unix:{name.decode(errors='replace') if isinstance(name, bytes) else name or ''}", "", 0


class _Accepted(asyncio.Protocol):
    """The protocol of a connection until its chain is known."""

    def __init__(self, listener: ListenerServer) -> None:
        self._listener = listener
        self._connection: Connection
        self._seen = b""
        self._waiting: list[ListenerFilter] = list(listener.listener_filters)
        self._timeout: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        listener = self._listener
        self._connection = listener.accepted(cast("asyncio.Transport", transport))
        if not self._waiting:
            self._hand_over()
        elif listener.config.listener_filters_timeout_s:
            loop = asyncio.get_running_loop()
            self._timeout = loop.call_later(listener.config.listener_filters_timeout_s, self._too_slow)

    def data_received(self, data: bytes) -> None:
        self._seen += data
        try:
            while self._waiting:
                if not self._waiting[0].peek(self._connection, self._seen) and len(self._seen) < PEEK_LIMIT_BYTES:
                    return
                del self._waiting[0]
        except Exception as error:
            _log.error("listener filter %s failed: %r", type(self._waiting[0]).__name__, error)
            self._connection.close("listener_filter_error")
            return
        self._hand_over()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timeout is not None:
            self._timeout.cancel()
        self._connection.ended()

    def _too_slow(self) -> None:
        self._listener.peek_timeout.value += 1
        if self._listener.config.continue_on_listener_filters_timeout:
            self._hand_over()  # such as a client that lets the server speak first
        else:
            self._connection.close("listener_filters_timeout")

    def _hand_over(self) -> None:
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None
        chain = self._listener.choose(self._connection)
        seen, self._seen = self._seen, b""
        if chain is None:
            self._connection.close()
        elif chain.transport_socket is None:
            _begin(chain, self._connection, self._listener.spawn, seen)
        else:
            self._secure(chain, chain.transport_socket, seen)

    def _secure(self, chain: Chain, transport_socket: DownstreamTransportSocket, seen: bytes) -> None:
        """Let the transport socket talk to the peer first; the chain begins when that went well, and in time."""
        connection, timeout_s = self._connection, chain.transport_socket_timeout_s
        timeout: asyncio.TimerHandle | None = None
        if timeout_s:
            timeout = asyncio.get_running_loop().call_later(timeout_s, self._secured_too_late)

        def proceed() -> None:
            if timeout is not None:
                timeout.cancel()
            _begin(chain, connection, self._listener.spawn, b"")

        try:
            transport_socket.accept(connection, seen, proceed)
        except Exception as error:
            _log.error("transport socket %s failed: %r", type(transport_socket).__name__, error)
            connection.details = "transport_socket_error"
            connection.transport.abort()

    def _secured_too_late(self) -> None:
        connection = self._connection
        if not connection.transport.is_closing():
            self._listener.transport_socket_timeout.value += 1
            connection.details = "transport_socket_timeout"
            connection.transport.abort()


def _begin(chain: Chain, connection: Connection, spawn: _Spawn, seen: bytes) -> None:
    """Hand the connection to the chain's filters; ``seen`` was read already."""
    if chain.filters:
        _Filtered(chain, connection, spawn).begin(seen)
    else:
        attach(chain.terminal, connection, seen)


def attach(terminal: TerminalFilter, connection: Connection, seen: bytes) -> None:
    """Make the terminal filter's protocol the transport's own; ``seen`` was read already."""
    protocol = terminal.protocol(connection)
    connection.transport.set_protocol(protocol)
    protocol.connection_made(connection.transport)
    if seen:
        protocol.data_received(seen)


class _Filtered(asyncio.Protocol):
    """Runs the network filters, and stays in front of the terminal one only if a filter wants to see bytes."""

    def __init__(self, chain: Chain, connection: Connection, spawn: _Spawn) -> None:
        self._chain = chain
        self._connection = connection
        self._spawn = spawn
        self._inner: asyncio.Protocol | None = None
        self._held: list[bytes] = []

    def begin(self, seen: bytes) -> None:
        if seen:
            self._held.append(seen)
        self._connection.transport.set_protocol(self)
        self._run(0)

    def _run(self, index: int) -> None:
        filters = self._chain.filters
        while index < len(filters):
            try:
                verdict = filters[index].on_connection(self._connection)
            except Exception:
                self._failed(filters[index])
                return
            index += 1
            if verdict is CONTINUE:
                continue
            if verdict is STOP:
                self._connection.close()
                return
            self._connection.transport.pause_reading()
            self._spawn(self._wait(cast("Awaitable[object]", verdict), index), f"network filter {index}")
            return
        self._ready()

    async def _wait(self, verdict: Awaitable[object], index: int) -> None:
        try:
            answer = await verdict
        except Exception:
            self._failed(self._chain.filters[index - 1])
            return
        if answer is not CONTINUE:
            self._connection.close()
        elif not self._connection.transport.is_closing():
            self._connection.transport.resume_reading()
            self._run(index)

    def _failed(self, network_filter: NetworkFilter) -> None:
        _log.exception("network filter %s failed; its connection is closed", type(network_filter).__name__)
        self._connection.flags = (*self._connection.flags, "UAEX")
        self._connection.close("network_filter_error")

    def _ready(self) -> None:
        connection = self._connection
        if connection.transport.is_closing():
            return
        if not self._chain.reads and not any(
            type(f).on_close is not NetworkFilter.on_close for f in self._chain.filters
        ):
            attach(self._chain.terminal, connection, b"".join(self._held))
            return
        self._inner = self._chain.terminal.protocol(connection)
        self._inner.connection_made(connection.transport)
        held, self._held = self._held, []
        for data in held:
            self.data_received(data)

    def data_received(self, data: bytes) -> None:
        if self._inner is None:
            self._held.append(data)
            return
        for network_filter in self._chain.reads:
            try:
                data = network_filter.on_data(self._connection, data)
            except Exception:
                self._failed(network_filter)
                return
        if data:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._inner is not None else None

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        for network_filter in self._chain.filters:
            network_filter.on_close(self._connection)
        if self._inner is not None:
            self._inner.connection_lost(exc)
        else:
            self._connection.ended()
