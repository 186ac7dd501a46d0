"""What tcp_proxy does when something is wrong or takes too long: flags, counters, and nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

from plait import Address, Cluster, Endpoint, Extension, FilterChain, Listener, Thresholds
from plait.testing import RunningPlane, on_every_loop, until
from plait.testing.peers import Client, RecordingLog, Server, echo, never, reset, saying, stop_reading
from plait_protocol_tcp import TcpProxySettings

TCP = "envoy.filters.network.tcp_proxy"
MIB = 1 << 20


def cluster(*places: int | str, name: str = "up", **more: Any) -> Cluster:
    addresses = (Address(path=p) if isinstance(p, str) else Address("127.0.0.1", p) for p in places)
    return Cluster(name, endpoints=tuple(Endpoint(address) for address in addresses), **more)


def listener(
    log: RecordingLog | None = None,
    *,
    address: Address | None = None,
    limit: int = MIB,
    clusters: tuple[tuple[str, int], ...] = (("up", 1),),
    **more: Any,
) -> Listener:
    logs = (Extension("log", "test.log"),) if log is not None else ()
    settings = TcpProxySettings("test", clusters, access_log=logs, **more)
    chain = FilterChain(filters=(Extension("tcp", TCP, settings, "protocols:tcp"),))
    return Listener(
        "tcp", address or Address("127.0.0.1", 0), filter_chains=(chain,), per_connection_buffer_limit_bytes=limit
    )


async def over(running: RunningPlane) -> None:
    """Wait until no connection is left on either side."""
    await until(lambda: running.gauge("cluster.up.upstream_cx_active") == 0, "upstream connections to end")
    await until(lambda: running.plane.connections == 0, "downstream connections to end")
    assert running.gauge("listener.127.0.0.1_0.downstream_cx_active") == 0
    assert [host.active for one in running.plane._clusters.values() for host in one.hosts if host.active] == []


# what goes wrong


@on_every_loop
async def test_an_upstream_that_refuses_closes_the_connection() -> None:
    log = RecordingLog()
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    async with RunningPlane([listener(log)], [cluster(port)], objects={"log": log}) as running:
        async with Client(running.address("tcp")) as client:
            assert await client.rest() == b""
        await over(running)
        assert running.counter("cluster.up.upstream_cx_connect_fail") == 1
        assert running.counter("cluster.up.upstream_cx_connect_attempts_exceeded") == 1
        [entry] = log.connections
        assert entry.flags == ("UF", "URX")
        assert entry.details == "upstream_connection_failure"
        assert f"connecting to 127.0.0.1:{port} failed" in entry.upstream_failure


@on_every_loop
async def test_another_host_is_tried_when_attempts_are_left() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    async with Server(echo) as server:
        hosts = cluster(port, server.port)
        async with RunningPlane([listener(max_connect_attempts=2)], [hosts]) as running:
            for _ in range(4):
                async with Client(running.address("tcp")) as client:
                    client.send(b"x")
                    assert await client.exactly(1) == b"x"
            assert running.counter("cluster.up.upstream_cx_connect_fail") >= 1
            assert running.counter("cluster.up.upstream_cx_connect_attempts_exceeded") == 0


@on_every_loop
async def test_an_upstream_that_does_not_answer_runs_into_the_connect_timeout() -> None:
    log = RecordingLog()
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        fillers = []
        for _ in range(4):  # connections that nobody accepts, until the kernel takes no more
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        hosts = cluster(port, connect_timeout_s=0.1)
        async with RunningPlane([listener(log)], [hosts], objects={"log": log}) as running:
            async with Client(running.address("tcp")) as client:
                assert await client.rest() == b""
            await over(running)
            assert running.counter("cluster.up.upstream_cx_connect_timeout") == 1
            assert "took longer than 0.1 s" in log.connections[0].upstream_failure
        for filler in fillers:
            filler.close()


@on_every_loop
async def test_a_cluster_without_hosts_closes_the_connection() -> None:
    log = RecordingLog()
    async with RunningPlane([listener(log)], [cluster()], objects={"log": log}) as running:
        async with Client(running.address("tcp")) as client:
            assert await client.rest() == b""
        await over(running)
        assert running.counter("cluster.up.upstream_cx_none_healthy") == 1
        assert [(e.flags, e.details) for e in log.connections] == [(("UH",), "no_healthy_upstream")]


@on_every_loop
async def test_a_cluster_that_there_is_not_closes_the_connection() -> None:
    log = RecordingLog()
    async with RunningPlane([listener(log)], objects={"log": log}) as running:
        async with Client(running.address("tcp")) as client:
            assert await client.rest() == b""
        await over(running)
        assert running.counter("tcp.test.downstream_cx_no_route") == 1
        assert [(e.flags, e.details) for e in log.connections] == [(("NC",), "cluster_not_found")]


@on_every_loop
async def test_connections_beyond_the_limit_of_the_cluster_are_closed() -> None:
    log = RecordingLog()
    async with Server(echo) as server:
        hosts = cluster(server.port, thresholds=Thresholds(max_connections=1))
        async with RunningPlane([listener(log)], [hosts], objects={"log": log}) as running:
            async with Client(running.address("tcp")) as one:
                one.send(b"x")
                assert await one.exactly(1) == b"x"
                async with Client(running.address("tcp")) as other:
                    assert await other.rest() == b""
                assert running.counter("cluster.up.upstream_cx_overflow") == 1
                assert [(e.flags, e.details) for e in log.connections] == [(("UO",), "upstream_overflow")]
            await over(running)
            async with Client(running.address("tcp")) as one:
                one.send(b"y")
                assert await one.exactly(1) == b"y"


@on_every_loop
async def test_an_upstream_that_resets_resets_downstream() -> None:
    log = RecordingLog()

    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        reset(writer)

    async with (
        Server(break_off) as server,
        RunningPlane([listener(log)], [cluster(server.port)], objects={"log": log}) as running,
    ):
        async with Client(running.address("tcp")) as client:
            client.send(b"x")
            assert await client.rest() == b""
        await over(running)
        assert log.connections[0].flags == ("UC",)
        assert running.counter("cluster.up.upstream_cx_destroy_remote") == 1


@on_every_loop
async def test_a_caller_that_resets_takes_its_upstream_with_it() -> None:
    async with (
        Server(never) as server,
        RunningPlane([listener()], [cluster(server.port)]) as running,
    ):
        async with Client(running.address("tcp")) as client:
            client.send(b"x")
            await until(lambda: running.counter("cluster.up.upstream_cx_tx_bytes_total") == 1, "the byte to pass")
            client.reset()
        await over(running)
        assert running.counter("cluster.up.upstream_cx_destroy_local") == 1


# clocks


@on_every_loop
async def test_an_idle_connection_is_closed() -> None:
    log = RecordingLog()
    async with (
        Server(never) as server,
        RunningPlane([listener(log, idle_timeout_s=0.1)], [cluster(server.port)], objects={"log": log}) as running,
        Client(running.address("tcp")) as client,
    ):
        client.send(b"x")
        assert await client.rest() == b""
        await over(running)
        assert running.counter("tcp.test.idle_timeout") == 1
        assert [(e.flags, e.details) for e in log.connections] == [(("SI",), "idle_timeout")]


@on_every_loop
async def test_a_caller_that_never_reads_is_closed_when_idle() -> None:
    """What is still to be written must not keep the connection open."""
    async with (
        Server(saying(bytes(64 * MIB))) as server,
        RunningPlane([listener(idle_timeout_s=0.2)], [cluster(server.port)]) as running,
        Client(running.address("tcp")) as client,
    ):
        client.stop_reading()
        await until(lambda: running.counter("tcp.test.idle_timeout") == 1, "the timeout")
        await over(running)


@on_every_loop
async def test_an_upstream_that_never_reads_is_closed_after_its_caller_has_gone() -> None:
    stop = asyncio.Event()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stop_reading(writer)
        writer.write_eof()
        await stop.wait()

    async with Server(deaf) as server:
        hosts = cluster(server.port, per_connection_buffer_limit_bytes=64 * MIB)
        async with RunningPlane([listener(idle_timeout_s=0.3)], [hosts]) as running:
            async with Client(running.address("tcp")) as client:
                client.send(bytes(16 * MIB))
                client.half_close()
                await until(lambda: running.counter("tcp.test.upstream_flush_total") == 1, "the flush to begin")
                assert running.gauge("tcp.test.upstream_flush_active") == 1
            await over(running)
            assert running.counter("tcp.test.idle_timeout") == 1
            assert running.gauge("tcp.test.upstream_flush_active") == 0
        stop.set()


@on_every_loop
async def test_a_connection_lasts_no_longer_than_it_may() -> None:
    log = RecordingLog()
    limited = listener(log, max_downstream_connection_duration_s=0.2)
    async with (
        Server(echo) as server,
        RunningPlane([limited], [cluster(server.port)], objects={"log": log}) as running,
        Client(running.address("tcp")) as client,
    ):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                client.send(b"x")
                await client.exactly(1)
        await over(running)
        assert running.counter("tcp.test.max_downstream_connection_duration") == 1
        assert log.connections[0].flags == ("DT",)
