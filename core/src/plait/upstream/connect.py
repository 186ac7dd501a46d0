"""Connecting to a host: TCP or a unix socket, within the cluster's connect timeout, counted."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from plait.api.errors import UpstreamError
from plait.upstream.cluster import Host

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
    loop = asyncio.get_running_loop()
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
            if isinstance(host.address, str) and host.address.startswith("@"):
                transport, protocol = await _connect_abstract(make, host.address)
            elif isinstance(host.address, str):
                transport, protocol = await loop.create_unix_connection(make, host.address)
            else:
                transport, protocol = await loop.create_connection(make, host.address[0], host.address[1])
    except TimeoutError as error:
        _give_up(host, made)
        stats.cx_connect_fail.value += 1
        stats.cx_connect_timeout.value += 1
        host.failures += 1
        limit_s = cluster.config.connect_timeout_s
        raise ConnectFailed(f"connecting to {host.name} took longer than {limit_s:g} s", timed_out=True) from error
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
    return transport, protocol


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
