"""Connecting to hosts: what is counted, and what a cluster's transport socket may do with a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from plait.api import Address, Cluster, Endpoint, UpstreamError, UpstreamTransportSocket
from plait.testing import FakeContext, on_every_loop, until
from plait.testing.peers import Server, echo, saying
from plait.upstream import ConnectFailed, Host, closed, connect
from plait.upstream.cluster import Cluster as Running
from plait.upstream.cluster import ClusterStats


class Inner(asyncio.Protocol):
    def __init__(self, host: Host) -> None:
        self.host = host
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.received += data

    def connection_lost(self, exc: Exception | None) -> None:
        closed(self.host)


class _Greeted(asyncio.Protocol):
    """Waits for a greeting, which must be right."""

    transport: asyncio.Transport

    def __init__(
        self, make: Callable[[], asyncio.BaseProtocol], established: asyncio.Future[asyncio.Transport]
    ) -> None:
        self.make = make
        self.established = established

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if data != b"hello":
            self.established.set_exception(UpstreamError("a bad greeting", flag="UF"))
            return
        inner = self.make()
        self.transport.set_protocol(inner)
        inner.connection_made(self.transport)
        self.established.set_result(self.transport)


class Greeted(UpstreamTransportSocket):
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.protocols: list[_Greeted] = []

    def protocol(
        self, hostname: str, make: Callable[[], asyncio.BaseProtocol], established: asyncio.Future[asyncio.Transport]
    ) -> asyncio.Protocol:
        self.asked.append(hostname)
        self.protocols.append(_Greeted(make, established))
        return self.protocols[-1]


def host_at(port: int, socket: UpstreamTransportSocket | None, hostname: str = "", timeout_s: float = 5.0) -> Host:
    endpoint = Endpoint(Address("127.0.0.1", port), hostname)
    context = FakeContext()
    cluster = Running(Cluster("up", connect_timeout_s=timeout_s), ClusterStats(context.stats, "up"), socket)
    cluster.update([(endpoint, ("127.0.0.1", port))])
    return cluster.hosts[0]


def counted(host: Host) -> dict[str, Any]:
    stats = host.cluster.stats
    return {
        "active": stats.cx_active.value,
        "failed": stats.cx_connect_fail.value,
        "timeout": stats.cx_connect_timeout.value,
        "host": host.connections,
        "cluster": host.cluster.connections,
    }


NOTHING = {"active": 0, "failed": 0, "timeout": 0, "host": 0, "cluster": 0}


@on_every_loop
async def test_a_connection_is_there_when_its_transport_socket_says_so() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        await echo(reader, writer)

    async with Server(greet) as server:
        socket = Greeted()
        host = host_at(server.port, socket, "up.example")
        transport, inner = await connect(host, lambda: Inner(host))
        assert socket.asked == ["up.example"]
        transport.write(b"x")
        await until(lambda: inner.received == b"x", "the echo")
        assert counted(host) == {**NOTHING, "active": 1, "host": 1, "cluster": 1}
        transport.abort()
        await until(lambda: counted(host) == NOTHING, "the end")


@on_every_loop
async def test_an_endpoint_without_a_name_is_called_by_its_address() -> None:
    async with Server(saying(b"who?!")) as server:
        socket = Greeted()
        host = host_at(server.port, socket)
        with pytest.raises(ConnectFailed):
            await connect(host, lambda: Inner(host))
        assert socket.asked == ["127.0.0.1"]


@on_every_loop
async def test_a_transport_socket_may_refuse_the_peer() -> None:
    async with Server(saying(b"who?!")) as server:
        host = host_at(server.port, Greeted())
        with pytest.raises(ConnectFailed, match="failed: a bad greeting") as caught:
            await connect(host, lambda: Inner(host))
        assert not caught.value.timed_out
        assert counted(host) == {**NOTHING, "failed": 1}


@on_every_loop
async def test_the_time_to_connect_is_for_the_transport_socket_too() -> None:
    async with Server(echo) as server:
        socket = Greeted()
        host = host_at(server.port, socket, timeout_s=0.05)
        with pytest.raises(ConnectFailed) as caught:
            await connect(host, lambda: Inner(host))
        assert caught.value.timed_out
        assert counted(host) == {**NOTHING, "failed": 1, "timeout": 1}
        assert socket.protocols[0].transport.is_closing()
        assert socket.protocols[0].established.cancelled()


@on_every_loop
async def test_who_gives_up_during_the_handshake_leaves_nothing() -> None:
    async with Server(echo) as server:
        socket = Greeted()
        host = host_at(server.port, socket)
        task = asyncio.get_running_loop().create_task(connect(host, lambda: Inner(host)))
        await until(lambda: socket.protocols and hasattr(socket.protocols[0], "transport"), "the connection")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert counted(host) == NOTHING
        assert socket.protocols[0].transport.is_closing()
