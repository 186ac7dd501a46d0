"""A listener in force: built of its configuration, started on a socket, and stopped when it is replaced or gone.

The socket is kept here and a copy of it is served, because servers close what they are given and the next
configuration may go on with it.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Self

from plait.api.config import FilterChain, Listener
from plait.api.connection import UdpFilter
from plait.api.context import Context
from plait.api.errors import ConfigError
from plait.api.extension import DownstreamTransportSocketType
from plait.net.listener import Chain, ListenerServer, stat_prefix


class Listening:
    """A TCP server or a UDP filter, and its socket."""

    def __init__(self, config: Listener, server: ListenerServer | None = None, udp: UdpFilter | None = None) -> None:
        self.config = config
        self.server = server
        self.sock: socket.socket | None = None
        self._udp = udp
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def build(cls, config: Listener, worker: Context) -> Self:
        """Everything but the socket; raises ConfigError or PluginError."""
        if config.udp is not None:
            return cls(config, udp=worker.build("protocols", config.udp))
        context = worker.for_chain(stat_prefix(config))
        chains = [_chain(chain, worker, context) for chain in config.filter_chains]
        default = _chain(config.default_filter_chain, worker, context) if config.default_filter_chain else None
        server = ListenerServer(
            config,
            chains,
            default,
            [worker.build("filters", extension) for extension in config.listener_filters],
            [worker.build("telemetry", extension) for extension in config.access_log],
            worker.stats,
            worker.spawn,
        )
        return cls(config, server)

    async def start(self, worker: Context) -> None:
        """Serve the socket, if there is one."""
        if self.sock is None:
            return
        if self.server is not None:
            await self.server.start(self.sock.dup())
        elif self._udp is not None:
            self._task = worker.spawn(self._udp.serve(self.sock.dup()), f"udp listener {self.config.name}")

    def retire(self, *, keep_socket: bool) -> None:
        """Take no more; connections go on, and who calls this waits for them."""
        if self.server is not None:
            self.server.stop_accepting()
            self.server.drain()
        if self._task is not None:
            self._task.cancel()
        if self._udp is not None:
            self._udp.close()
        if not keep_socket:
            self.close_socket()

    def abort(self) -> None:
        """Take no more, and end what is open."""
        if self._task is not None:
            self._task.cancel()
        if self.server is not None:
            self.server.stop_accepting()
            self.server.abort()

    def discard(self) -> None:
        """Let go of what was built."""
        if self.server is not None:
            self.server.close()
        if self._udp is not None:
            self._udp.close()

    def close_socket(self) -> None:
        """As long as one copy of a socket is open, the kernel lets connections in."""
        if self.sock is not None:
            self.sock.close()


def _chain(config: FilterChain, worker: Context, context: Context) -> Chain:
    if not config.filters:
        raise ConfigError(f"filter chain {config.name!r} has no filters", expected="a terminal filter at its end")
    *ahead, last = config.filters
    return Chain(
        config.name,
        [worker.build("filters", extension) for extension in ahead],
        worker.build("protocols", last),
        context.build(DownstreamTransportSocketType, config.transport_socket) if config.transport_socket else None,
        config.transport_socket_connect_timeout_s,
    )
