"""Connecting to a host: TCP or a unix socket, and the cluster's transport socket on it; counted.

All of that, a handshake too, has to be done within the cluster's connect timeout.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from plait.api.errors import UpstreamError
from plait.api.transport import UpstreamTransportSocket
from plait.upstream.cluster import Host, SocketName

_P = TypeVar("_P", bound=asyncio.BaseProtocol)


class ConnectFailed(UpstreamError):
    """The host did not take the connection; ``timed_out`` when it did not answer at all."""

    def __init__(self, message: str, *, timed_out: bool) -> None:
        super().__init__(message, flag="UF")
        self.timed_out = timed_out


async def connect(host: Host, factory: Callable[[], _P]) -> tuple[asyncio.Transport, _P]:
    """Open a connection whose protocol ``factory`` makes; raises ConnectFailed.

    Cancelling it closes the attempt. Counts of the cluster and host are kept here until the connection is made;
    ``closed`` is for the protocol to call when it is lost; it keeps its ``transport`` under that name.
    """
    cluster, stats = host.cluster, host.cluster.stats
    stats.cx_total.value += 1
    stats.cx_active.value += 1
    cluster.connections += 1
    host.connections += 1
    began = time.monotonic()
    made: list[_P] = []

    def make() -> _P:
        made.append(factory())
        return made[-1]

    try:
        async with asyncio.timeout(cluster.config.connect_timeout_s):
            transport = await dial(host, make)
    except TimeoutError as error:
        _give_up(host, made)
        stats.cx_connect_fail.value += 1
        stats.cx_connect_timeout.value += 1
        host.failures += 1
        limit_s = cluster.config.connect_timeout_s
        raise ConnectFailed(f"connecting to {host.name} took longer than {limit_s:g} s", timed_out=True) from error
    except UpstreamError as error:  # of the transport socket
        _give_up(host, made)
        stats.cx_connect_fail.value += 1
        host.failures += 1
        raise ConnectFailed(f"connecting to {host.name} failed: {error}", timed_out=False) from error
    except OSError as error:
        _give_up(host, made)
        stats.cx_connect_fail.value += 1
        host.failures += 1
        raise ConnectFailed(f"connecting to {host.name} failed: {error.strerror or error}", timed_out=False) from error
    except BaseException:
        _give_up(host, made)
        raise
    stats.cx_connect_ms.values.append((time.monotonic() - began) * 1000)
    transport.set_write_buffer_limits(high=cluster.config.per_connection_buffer_limit_bytes)
    return transport, made[-1]


async def dial(host: Host, factory: Callable[[], asyncio.BaseProtocol]) -> asyncio.Transport:
    """A connection that nobody counts, and whose time who calls limits; raises OSError or UpstreamError."""
    transport_socket = host.cluster.transport_socket
    if transport_socket is None:
        return (await _open(factory, host.address))[0]
    return await _secured(transport_socket, factory, host)


async def _open(factory: Callable[[], _P], address: SocketName) -> tuple[asyncio.Transport, _P]:
    loop = asyncio.get_running_loop()
    if not isinstance(address, str):
        return await loop.create_connection(factory, address[0], address[1])
    if address.startswith("@"):
        return await _connect_abstract(factory, address)
    return await loop.create_unix_connection(factory, address)


async def _secured(
    transport_socket: UpstreamTransportSocket, make: Callable[[], asyncio.BaseProtocol], host: Host
) -> asyncio.Transport:
    """A connection that the transport socket calls established; ``make`` has been called then."""
    established: asyncio.Future[asyncio.Transport] = asyncio.get_running_loop().create_future()
    hostname = host.endpoint.hostname or host.endpoint.address.host
    raw, _ = await _open(lambda: transport_socket.protocol(hostname, make, established), host.address)
    try:
        return await established
    except BaseException:
        raw.abort()
        raise


def _give_up(host: Host, made: Sequence[asyncio.BaseProtocol]) -> None:
    """Count the attempt out, unless its connection was made in the very turn that ended it: that one is lost, too."""
    transport = getattr(made[-1], "transport", None) if made else None
    if transport is None:
        closed(host)
    else:
        transport.abort()  # its protocol counts itself out


async def _connect_abstract(factory: Callable[[], _P], path: str) -> tuple[asyncio.Transport, _P]:
    """To a unix socket without a file, for which Envoy writes ``@`` first; uvloop cannot be given its path."""
    loop = asyncio.get_running_loop()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, f"\0{path[1:]}")
        return await loop.create_unix_connection(factory, sock=sock)
    except BaseException:
        sock.close()
        raise


def closed(host: Host) -> None:
    """A connection that ``connect`` opened is gone."""
    cluster, stats = host.cluster, host.cluster.stats
    stats.cx_active.value -= 1
    stats.cx_destroy.value += 1
    cluster.connections -= 1
    host.connections -= 1
