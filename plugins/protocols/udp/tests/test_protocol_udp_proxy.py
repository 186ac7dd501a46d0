"""Datagrams through a real listener, to real hosts and back, on both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any, Self

import asyncio_dgram

from plait import AccessLog, Address, Cluster, Connection, Endpoint, Extension, Listener, Stream, Thresholds
from plait.testing import RunningPlane, on_every_loop, until
from plait_protocol_udp import UdpProxySettings

UDP = "envoy.filters.udp_listener.udp_proxy"


class Log(AccessLog):
    def __init__(self) -> None:
        self.connections: list[Connection] = []

    def record(self, stream: Stream) -> None:
        raise AssertionError("udp_proxy has no streams")

    def record_connection(self, connection: Connection) -> None:
        self.connections.append(connection)


class Echo:
    """An upstream that answers with its name and what it got; ``silent`` only notes it."""

    def __init__(self, name: bytes = b"", *, silent: bool = False, address: str = "127.0.0.1") -> None:
        self.name = name
        self.address = address
        self.silent = silent
        self.got: list[tuple[bytes, Any]] = []

    async def __aenter__(self) -> Self:
        self.stream = await asyncio_dgram.bind((self.address, 0))
        self.port = self.stream.sockname[1]
        self._task = asyncio.get_running_loop().create_task(self._serve())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stream.close()
        with contextlib.suppress(asyncio_dgram.TransportClosed):
            await self._task

    async def _serve(self) -> None:
        while True:
            data, peer = await self.stream.recv()
            self.got.append((data, peer))
            if not self.silent:
                await self.stream.send(self.name + data, peer)


class Client:
    def __init__(self, running: RunningPlane) -> None:
        self._address = running.address("udp")

    async def __aenter__(self) -> Self:
        self.stream = await asyncio_dgram.connect(self._address)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stream.close()

    async def send(self, data: bytes) -> None:
        await self.stream.send(data)

    async def ask(self, data: bytes) -> bytes:
        """The answer to a datagram, none of which may be lost."""
        await self.stream.send(data)
        return (await self.stream.recv())[0]

    async def insist(self, data: bytes) -> bytes:
        """The answer to a datagram, sent again and again."""
        answer = asyncio.get_running_loop().create_task(self.stream.recv())
        while not answer.done():
            await self.stream.send(data)
            await asyncio.wait([answer], timeout=0.02)
        return answer.result()[0]


def cluster(*ports: int, **more: Any) -> Cluster:
    return Cluster("up", endpoints=tuple(Endpoint(Address("127.0.0.1", port)) for port in ports), **more)


def listener(log: Log | None = None, **more: Any) -> Listener:
    logs = (Extension("log", "test.log"),) if log is not None else ()
    settings = UdpProxySettings("test", "up", access_log=logs, **more)
    return Listener("udp", Address("127.0.0.1", 0, udp=True), udp=Extension("udp", UDP, settings, "protocols:udp"))


@on_every_loop
async def test_datagrams_go_to_the_host_and_its_answers_come_back() -> None:
    log = Log()
    async with (
        Echo(b"> ") as echo,
        RunningPlane([listener(log)], [cluster(echo.port)], objects={"log": log}) as running,
        Client(running) as client,
    ):
        assert await client.ask(b"one") == b"> one"
        assert await client.ask(b"three") == b"> three"
        await until(lambda: running.counter("udp.test.downstream_sess_tx_datagrams") == 2, "both to be counted")
        assert running.counter("udp.test.downstream_sess_total") == 1
        assert running.gauge("udp.test.downstream_sess_active") == 1
        assert running.counter("udp.test.downstream_sess_rx_datagrams") == 2
        assert running.counter("udp.test.downstream_sess_rx_bytes") == 8
        assert running.counter("udp.test.downstream_sess_tx_bytes") == 12
        assert running.counter("cluster.up.udp.sess_tx_datagrams") == 2
        assert running.counter("cluster.up.udp.sess_rx_datagrams") == 2
        assert running.counter("cluster.up.upstream_cx_tx_bytes_total") == 8
        assert running.counter("cluster.up.upstream_cx_rx_bytes_total") == 12
        peer = f"127.0.0.1:{client.stream.sockname[1]}"
        host = f"127.0.0.1:{echo.port}"
    [entry] = log.connections
    assert (entry.peer, entry.upstream_cluster, entry.upstream_host) == (peer, "up", host)
    assert (entry.bytes_received, entry.bytes_sent) == (8, 12)
    assert entry.upstream_local == f"127.0.0.1:{echo.got[0][1][1]}"


@on_every_loop
async def test_each_downstream_address_has_a_session_and_a_socket_of_its_own() -> None:
    async with (
        Echo() as echo,
        RunningPlane([listener()], [cluster(echo.port)]) as running,
        Client(running) as one,
        Client(running) as other,
    ):
        assert await one.ask(b"a") == b"a"
        assert await other.ask(b"b") == b"b"
        assert await one.ask(b"c") == b"c"
        assert running.counter("udp.test.downstream_sess_total") == 2
        first, second, third = [peer for _, peer in echo.got]
        assert first == third != second


@on_every_loop
async def test_a_session_stays_with_its_host() -> None:
    async with Echo(b"1") as one, Echo(b"2") as two:
        hosts = cluster(one.port, two.port)
        async with RunningPlane([listener()], [hosts]) as running, Client(running) as client:
            answers = {await client.ask(b"x") for _ in range(8)}
            assert len(answers) == 1


@on_every_loop
async def test_per_packet_balancing_spreads_the_datagrams_of_one_caller() -> None:
    async with Echo(b"1") as one, Echo(b"2") as two:
        hosts = cluster(one.port, two.port)
        async with RunningPlane([listener(per_packet=True)], [hosts]) as running, Client(running) as client:
            answers = [await client.ask(b"x") for _ in range(8)]
            assert answers.count(b"1x") == answers.count(b"2x") == 4
            assert running.counter("udp.test.downstream_sess_total") == 2


@on_every_loop
async def test_an_idle_session_ends() -> None:
    log = Log()
    async with (
        Echo() as echo,
        RunningPlane([listener(log, idle_timeout_s=0.1)], [cluster(echo.port)], objects={"log": log}) as running,
        Client(running) as client,
    ):
        await client.ask(b"x")
        await until(lambda: running.gauge("udp.test.downstream_sess_active") == 0, "the session to end")
        assert running.counter("udp.test.idle_timeout") == 1
        assert log.connections[0].details == "idle_timeout"
        assert await client.ask(b"again") == b"again"
        assert running.counter("udp.test.downstream_sess_total") == 2


@on_every_loop
async def test_sessions_beyond_the_limit_of_the_cluster_are_dropped() -> None:
    async with Echo() as echo:
        hosts = cluster(echo.port, thresholds=Thresholds(max_connections=1))
        async with (
            RunningPlane([listener()], [hosts]) as running,
            Client(running) as one,
            Client(running) as other,
        ):
            assert await one.ask(b"x") == b"x"
            await other.send(b"y")
            await until(lambda: running.counter("cluster.up.upstream_cx_overflow") == 1, "the overflow")
            assert await one.ask(b"z") == b"z"
            assert [data for data, _ in echo.got] == [b"x", b"z"]


@on_every_loop
async def test_a_place_is_free_again_when_a_session_ends() -> None:
    async with Echo() as echo:
        hosts = cluster(echo.port, thresholds=Thresholds(max_connections=1))
        async with RunningPlane([listener(idle_timeout_s=0.1)], [hosts]) as running:
            for _ in range(3):
                async with Client(running) as client:
                    assert await client.ask(b"x") == b"x"
                    await until(lambda: running.gauge("udp.test.downstream_sess_active") == 0, "the session to end")
            assert running.counter("cluster.up.upstream_cx_overflow") == 0


@on_every_loop
async def test_without_the_cluster_nothing_is_sent() -> None:
    async with RunningPlane([listener()]) as running, Client(running) as client:
        await client.send(b"x")
        await until(lambda: running.counter("udp.test.downstream_sess_no_route") == 1, "the datagram to be refused")
        assert running.counter("udp.test.downstream_sess_total") == 0


@on_every_loop
async def test_without_hosts_nothing_is_sent() -> None:
    async with RunningPlane([listener()], [cluster()]) as running, Client(running) as client:
        await client.send(b"x")
        await until(lambda: running.counter("cluster.up.upstream_cx_none_healthy") == 1, "the datagram to be refused")
        assert running.counter("udp.test.downstream_sess_total") == 0


@on_every_loop
async def test_a_host_that_refuses_ends_its_session_and_no_other() -> None:
    log = Log()
    async with Echo(b"1") as one, Echo(b"2") as two:
        hosts = cluster(one.port, two.port)
        async with (
            RunningPlane([listener(log)], [hosts], objects={"log": log}) as running,
            Client(running) as first,
            Client(running) as second,
        ):
            answers = {await first.ask(b"x"), await second.ask(b"x")}
            assert answers == {b"1x", b"2x"}
            gone = one.stream
            gone.close()
            for client in (first, second):
                await client.send(b"into the void?")
            await until(lambda: running.counter("cluster.up.udp.sess_rx_errors") > 0, "the refusal to arrive")
            await until(lambda: len(log.connections) == 1, "the session to end")
            entry = log.connections[0]
            assert entry.upstream_host == f"127.0.0.1:{one.port}"
            assert entry.flags == ("UF",)
            assert "refused" in entry.upstream_failure.lower()
            alive = [peer for data, peer in two.got]
            assert len(set(alive)) == 1, "the other session kept its socket"


@on_every_loop
async def test_what_met_a_refusal_is_tried_at_the_next_host() -> None:
    """asyncio-dgram tells of an ICMP error at the next call: the datagram of that call was not sent yet."""
    async with Echo() as echo:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
            unused.bind(("127.0.0.1", 0))
            dead = unused.getsockname()[1]
        hosts = cluster(dead, echo.port)
        async with RunningPlane([listener()], [hosts]) as running:
            for _ in range(2):  # one of them meets the dead host first
                async with Client(running) as client:
                    assert await client.insist(b"x") == b"x"
            assert running.counter("cluster.up.udp.sess_rx_errors") >= 1


@on_every_loop
async def test_the_largest_datagrams_pass() -> None:
    async with (
        Echo() as echo,
        RunningPlane([listener()], [cluster(echo.port)]) as running,
        Client(running) as client,
    ):
        data = bytes(65507)
        assert await client.ask(data) == data


@on_every_loop
async def test_an_answer_that_is_too_long_is_counted_and_the_session_goes_on() -> None:
    """65508 bytes pass over IPv6 and do not over IPv4."""
    async with Echo(silent=True, address="::1") as upstream:
        endpoint = Endpoint(Address("::1", upstream.port))
        async with (
            RunningPlane([listener()], [Cluster("up", endpoints=(endpoint,))]) as running,
            Client(running) as client,
        ):
            await client.send(b"x")
            await until(lambda: upstream.got, "the datagram")
            peer = upstream.got[0][1]
            await upstream.stream.send(bytes(65508), peer)
            await until(lambda: running.counter("udp.test.downstream_sess_tx_errors") == 1, "the error")
            await upstream.stream.send(b"short", peer)
            assert (await client.stream.recv())[0] == b"short"
            assert running.counter("udp.test.downstream_sess_total") == 1


@on_every_loop
async def test_a_request_that_is_too_long_is_counted_and_the_session_goes_on() -> None:
    async with Echo() as echo:
        v6 = Listener("udp", Address("::1", 0, udp=True), udp=listener().udp)
        async with RunningPlane([v6], [cluster(echo.port)]) as running, Client(running) as client:
            assert await client.ask(b"a") == b"a"
            await client.send(bytes(65508))
            await until(lambda: running.counter("cluster.up.udp.sess_tx_errors") == 1, "the error")
            assert await client.ask(b"b") == b"b"
            assert running.counter("udp.test.downstream_sess_total") == 1
            assert running.counter("cluster.up.udp.sess_rx_errors") == 0


@on_every_loop
async def test_an_empty_datagram_is_counted_and_disturbs_nothing() -> None:
    async with Echo() as echo, RunningPlane([listener()], [cluster(echo.port)]) as running:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.setblocking(False)
            client.connect(running.address("udp"))
            client.send(b"")
            await until(lambda: running.counter("cluster.up.udp.sess_tx_errors") == 1, "the datagram to be dropped")
            client.send(b"x")
            assert await asyncio.get_running_loop().sock_recv(client, 100) == b"x"


@on_every_loop
async def test_sessions_move_when_their_host_is_removed() -> None:
    log = Log()
    async with Echo(b"1") as one, Echo(b"2") as two:
        asked = listener(log)
        async with (
            RunningPlane([asked], [cluster(one.port)], objects={"log": log}) as running,
            Client(running) as client,
        ):
            assert await client.ask(b"x") == b"1x"
            await running.change([asked], [cluster(one.port, two.port)])
            assert await client.ask(b"x") == b"1x"
            await running.change([asked], [cluster(two.port)])
            assert await client.ask(b"x") == b"2x"
            assert [entry.details for entry in log.connections] == ["upstream_host_removed"]
            await running.change([asked])
            await until(lambda: len(log.connections) == 2, "the sessions of a removed cluster to end")


@on_every_loop
async def test_a_replaced_listener_keeps_its_socket_and_ends_its_sessions() -> None:
    async with Echo() as echo:
        hosts = cluster(echo.port)
        async with RunningPlane([listener()], [hosts]) as running, Client(running) as client:
            assert await client.ask(b"a") == b"a"
            await running.change([listener(idle_timeout_s=5.0)], [hosts])
            assert await client.insist(b"b") == b"b"
            assert running.counter("udp.test.downstream_sess_total") == 2
            assert running.gauge("udp.test.downstream_sess_active") == 1
    assert running.gauge("udp.test.downstream_sess_active") == 0
    assert running.plane.stats.counter("cluster.up.udp.sess_rx_errors").value == 0


@on_every_loop
async def test_a_flood_is_bounded_and_leaves_the_proxy_answering() -> None:
    async with (
        Echo(silent=True) as sink,
        RunningPlane([listener()], [cluster(sink.port)]) as running,
        Client(running) as client,
    ):
        for _ in range(5000):
            await client.send(bytes(1000))
        await until(lambda: sink.got, "something to arrive")
        sink.silent = False
        assert await client.insist(b"x")
        assert running.counter("udp.test.downstream_sess_total") == 1
