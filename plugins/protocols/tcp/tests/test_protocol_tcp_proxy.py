"""Bytes through a real listener, to real servers and back, on both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Any

import attrs

from plait import (
    CONTINUE,
    Address,
    Cluster,
    Connection,
    Endpoint,
    Extension,
    FilterChain,
    Listener,
    NetworkFilter,
    Verdict,
)
from plait.testing import RunningPlane, on_every_loop, until
from plait.testing.peers import Client, RecordingLog, Server, echo, saying, stop_reading
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


# bytes


@on_every_loop
async def test_bytes_go_both_ways() -> None:
    log = RecordingLog()
    async with (
        Server(echo) as server,
        RunningPlane([listener(log)], [cluster(server.port)], objects={"log": log}) as running,
    ):
        async with Client(running.address("tcp")) as client:
            client.send(b"hello")
            assert await client.exactly(5) == b"hello"
            client.send(b"again")
            assert await client.exactly(5) == b"again"
            peer = client.name
            client.close()
        await over(running)
        assert running.counter("tcp.test.downstream_cx_total") == 1
        assert running.counter("tcp.test.downstream_cx_rx_bytes_total") == 10
        assert running.counter("tcp.test.downstream_cx_tx_bytes_total") == 10
        assert running.counter("cluster.up.upstream_cx_total") == 1
        assert running.counter("cluster.up.upstream_cx_tx_bytes_total") == 10
        assert running.counter("cluster.up.upstream_cx_rx_bytes_total") == 10
        assert running.counter("cluster.up.upstream_cx_destroy") == 1
        [entry] = log.connections
        assert (entry.peer, entry.upstream_cluster, entry.flags) == (peer, "up", ())
        assert entry.upstream_host == f"127.0.0.1:{server.port}"
        assert entry.upstream_local.startswith("127.0.0.1:")
        assert (entry.bytes_received, entry.bytes_sent) == (10, 10)


@on_every_loop
async def test_a_server_may_speak_first() -> None:
    async with (
        Server(saying(b"220 ready")) as server,
        RunningPlane([listener()], [cluster(server.port)]) as running,
        Client(running.address("tcp")) as client,
    ):
        assert await client.rest() == b"220 ready"


@on_every_loop
async def test_unix_sockets_work_on_both_sides(tmp_path: Path) -> None:
    down, up = str(tmp_path / "down"), str(tmp_path / "up")
    await _through_unix_sockets(down, up)


@on_every_loop
async def test_unix_sockets_without_a_file_work_on_both_sides() -> None:
    name = f"@plait-test-{os.getpid()}"
    await _through_unix_sockets(f"{name}-down", f"{name}-up")


async def _through_unix_sockets(down: str, up: str) -> None:
    async with (
        Server(echo, up),
        RunningPlane([listener(address=Address(path=down))], [cluster(up)]) as running,
        Client(running.address("tcp")) as client,
    ):
        client.send(b"hello")
        assert await client.exactly(5) == b"hello"


# half close


@on_every_loop
async def test_the_end_of_what_downstream_sends_is_passed_on_and_the_answer_still_comes() -> None:
    async def answer_at_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.read()
        writer.write(b"%d bytes" % len(data))

    async with (
        Server(answer_at_the_end) as server,
        RunningPlane([listener()], [cluster(server.port)]) as running,
        Client(running.address("tcp")) as client,
    ):
        client.send(bytes(100_000))
        client.half_close()
        assert await client.rest() == b"100000 bytes"
        await over(running)


@on_every_loop
async def test_the_end_of_what_upstream_sends_is_passed_on_and_it_still_reads() -> None:
    got: list[bytes] = []

    async def bye_then_read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")
        writer.write_eof()
        got.append(await reader.read())

    async with (
        Server(bye_then_read) as server,
        RunningPlane([listener()], [cluster(server.port)]) as running,
        Client(running.address("tcp")) as client,
    ):
        assert await client.rest() == b"bye"
        client.send(b"late")
        client.half_close()
        await until(lambda: got, "the upstream to read to the end")
        assert got == [b"late"]
        await over(running)


@on_every_loop
async def test_what_was_sent_before_the_end_arrives_though_the_upstream_is_slow() -> None:
    got: list[int] = []

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            got.append(len(data))
            await asyncio.sleep(0)

    async with (
        Server(slow) as server,
        RunningPlane([listener()], [cluster(server.port)]) as running,
        Client(running.address("tcp")) as client,
    ):
        client.send(bytes(4 * MIB))
        client.close()
        await until(lambda: sum(got) == 4 * MIB, "everything to arrive")
        await over(running)
        assert running.gauge("tcp.test.upstream_flush_active") == 0


@on_every_loop
async def test_what_upstream_sent_before_it_closed_arrives_though_downstream_is_slow() -> None:
    async with (
        Server(saying(bytes(8 * MIB))) as server,
        RunningPlane([listener(limit=16 * MIB)], [cluster(server.port)]) as running,
        Client(running.address("tcp")) as client,
    ):
        client.half_close()  # so that the upstream's connection is over as soon as it closes
        await until(lambda: running.counter("cluster.up.upstream_cx_destroy") == 1, "the upstream to be gone")
        assert len(await client.rest()) == 8 * MIB
        await over(running)


# back-pressure


def _buffered(running: RunningPlane) -> int:
    return sum(
        connection.transport.get_write_buffer_size()
        for listening in running.plane._listeners.values()
        if listening.server is not None
        for connection in listening.server.connections
    )


@on_every_loop
async def test_ten_megabytes_go_both_ways_at_once_and_little_waits_in_the_proxy() -> None:
    size = 10 * MIB

    async def swap(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"u" * size)
        got = await reader.readexactly(size)
        assert got == b"d" * size
        await writer.drain()

    limit = 1 << 16
    async with Server(swap) as server:
        hosts = cluster(server.port, per_connection_buffer_limit_bytes=limit)
        async with RunningPlane([listener(limit=limit)], [hosts]) as running, Client(running.address("tcp")) as client:
            client.send(b"d" * size)
            got, most = 0, 0
            while got < size:
                data = await client.reader.read(1 << 14)  # slower than the upstream writes
                assert data == b"u" * len(data)
                assert data
                got += len(data)
                most = max(most, _buffered(running))
                await asyncio.sleep(0)
            assert most <= limit + MIB  # one read beyond the mark
            await until(lambda: running.counter("cluster.up.upstream_cx_tx_bytes_total") == size, "the other direction")


@on_every_loop
async def test_a_reader_that_stops_stops_the_other_side() -> None:
    async with Server(saying(bytes(64 * MIB))) as server:
        hosts = cluster(server.port)
        async with (
            RunningPlane([listener(limit=1 << 16)], [hosts]) as running,
            Client(running.address("tcp")) as client,
        ):
            client.stop_reading()
            passed = -1

            def stands() -> bool:
                nonlocal passed
                before, passed = passed, running.counter("tcp.test.downstream_cx_tx_bytes_total")
                return passed == before > 0

            await until(stands, "bytes to stand still")
            assert _buffered(running) <= (1 << 16) + MIB
            assert passed < 32 * MIB


@on_every_loop
async def test_an_upstream_that_does_not_read_pauses_downstream() -> None:
    go_on = asyncio.Event()
    got: list[int] = []

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stop_reading(writer)
        await go_on.wait()
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        while data := await reader.read(1 << 20):
            got.append(len(data))

    async with Server(late) as server:
        hosts = cluster(server.port, per_connection_buffer_limit_bytes=1 << 16)
        async with RunningPlane([listener()], [hosts]) as running, Client(running.address("tcp")) as client:
            client.send(bytes(32 * MIB))
            await until(
                lambda: running.counter("tcp.test.downstream_flow_control_paused_reading_total") > 0, "the pause"
            )
            assert running.counter("tcp.test.downstream_cx_rx_bytes_total") < 32 * MIB
            go_on.set()
            await until(lambda: sum(got) == 32 * MIB, "everything to arrive")
            paused = running.counter("tcp.test.downstream_flow_control_paused_reading_total")
            assert running.counter("tcp.test.downstream_flow_control_resumed_reading_total") == paused


# behind network filters


class Upper(NetworkFilter):
    """Waits for a go, then writes downstream's bytes in upper case."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.closed = 0

    async def on_connection(self, connection: Connection) -> Verdict:
        await self.go.wait()
        return CONTINUE

    def on_data(self, connection: Connection, data: bytes) -> bytes:
        return data.upper()

    def on_close(self, connection: Connection) -> None:
        self.closed += 1


@on_every_loop
async def test_a_network_filter_in_front_can_wait_and_change_bytes() -> None:
    upper = Upper()
    async with Server(echo) as server:
        plain = listener()
        chain = FilterChain(filters=(Extension("upper", "test.upper"), *plain.filter_chains[0].filters))
        asked = attrs.evolve(plain, filter_chains=(chain,))
        async with (
            RunningPlane([asked], [cluster(server.port)], objects={"upper": upper}) as running,
            Client(running.address("tcp")) as client,
        ):
            client.send(b"hello, ")
            client.send(b"world")
            client.half_close()
            await until(lambda: running.plane.connections == 1, "the connection")
            assert server.accepted == 0
            upper.go.set()
            assert await client.rest() == b"HELLO, WORLD"
            await over(running)
            assert upper.closed == 1


# which cluster, which host


@on_every_loop
async def test_connections_are_spread_over_weighted_clusters() -> None:
    async with Server(saying(b"a")) as a, Server(saying(b"b")) as b, Server(saying(b"c")) as c:
        clusters = [cluster(a.port, name="a"), cluster(b.port, name="b"), cluster(c.port, name="c")]
        weights = (("a", 60), ("b", 40), ("c", 0))
        async with RunningPlane([listener(clusters=weights)], clusters) as running:
            answers = []
            for _ in range(60):
                async with Client(running.address("tcp")) as client:
                    answers.append(await client.rest())
            assert {answers.count(b"a") + answers.count(b"b"), len(answers)} == {60}
            assert answers.count(b"a") > 10
            assert answers.count(b"b") > 5


@on_every_loop
async def test_least_request_prefers_the_host_with_fewer_connections() -> None:
    async with Server(echo) as one, Server(echo) as other:
        hosts = cluster(one.port, other.port, lb_policy="least_request", lb_choice_count=8)
        async with RunningPlane([listener()], [hosts]) as running, contextlib.AsyncExitStack() as clients:
            for _ in range(10):
                client = await clients.enter_async_context(Client(running.address("tcp")))
                client.send(b"x")
                await client.exactly(1)
            assert abs(one.accepted - other.accepted) <= 2


# change


@on_every_loop
async def test_connections_outlive_the_listener_and_the_cluster_they_came_through() -> None:
    async with (
        Server(echo) as old,
        Server(saying(b"new")) as new,
        RunningPlane([listener()], [cluster(old.port)]) as running,
        Client(running.address("tcp")) as client,
    ):
        client.send(b"1")
        assert await client.exactly(1) == b"1"
        await running.change([listener(idle_timeout_s=60.0)], [cluster(new.port, connect_timeout_s=1.0)])
        async with Client(running.address("tcp")) as later:
            assert await later.rest() == b"new"
        client.send(b"2")
        assert await client.exactly(1) == b"2"
        client.close()
        await over(running)
