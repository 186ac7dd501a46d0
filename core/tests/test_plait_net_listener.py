"""Listeners at work: filters peek, a chain is chosen, network filters run, the terminal filter takes over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import attrs
import pytest

from plait.api import (
    CONTINUE,
    STOP,
    Address,
    Connection,
    DownstreamTransportSocket,
    Extension,
    FilterChain,
    FilterChainMatch,
    Listener,
    ListenerFilter,
    NetworkFilter,
    TerminalFilter,
    Verdict,
)
from plait.testing import RunningPlane, on_every_loop, until
from plait.testing.peers import Client, RecordingLog


class _Talk(asyncio.Protocol):
    def __init__(self, owner: Talk, connection: Connection) -> None:
        self.owner = owner
        self.connection = connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self.owner.name)
        self.owner.talks.append(self)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.connection.ended()


class Talk(TerminalFilter):
    """Says its name, then echoes."""

    def __init__(self, name: bytes = b"") -> None:
        self.name = name
        self.talks: list[_Talk] = []
        self.drained = self.closed = False

    def protocol(self, connection: Connection) -> asyncio.Protocol:
        return _Talk(self, connection)

    def drain(self) -> None:
        self.drained = True
        for talk in self.talks:
            talk.transport.close()

    def close(self) -> None:
        self.closed = True


class Peek(ListenerFilter):
    """Wants a line, which is the server's name."""

    def __init__(self) -> None:
        self.saw: list[bytes] = []

    def peek(self, connection: Connection, prefix: bytes) -> bool:
        self.saw.append(prefix)
        line, end, _ = prefix.partition(b"\n")
        connection.server_name = line.decode()
        return bool(end)


class Gate(NetworkFilter):
    """Answers as it is told."""

    def __init__(
        self, answer: Callable[[Connection], Verdict | Awaitable[Verdict]] = lambda connection: CONTINUE
    ) -> None:
        self.answer = answer
        self.met: list[Connection] = []
        self.closed: list[Connection] = []

    def on_connection(self, connection: Connection) -> Verdict | Awaitable[Verdict]:
        self.met.append(connection)
        return self.answer(connection)


class Watch(Gate):
    def on_close(self, connection: Connection) -> None:
        self.closed.append(connection)


class Double(NetworkFilter):
    def on_data(self, connection: Connection, data: bytes) -> bytes:
        return data + data


class Swallow(NetworkFilter):
    """Takes everything but the last byte, with which it fails."""

    def on_data(self, connection: Connection, data: bytes) -> bytes:
        if b"!" in data:
            raise RuntimeError("boom")
        return b""


def serving(
    filters: dict[str, Any],
    *,
    listener_filters: dict[str, Any] | None = None,
    log: RecordingLog | None = None,
    listener: Listener | None = None,
) -> RunningPlane:
    """A listener with one chain of these filters."""
    made = listener or Listener("l", Address("127.0.0.1", 0))
    chain = FilterChain(filters=tuple(Extension(name, "test.made") for name in filters))
    peeking = listener_filters or {}
    made = attrs.evolve(
        made,
        filter_chains=(chain,),
        listener_filters=tuple(Extension(name, "test.made") for name in peeking),
        access_log=(Extension("log", "test.made"),) if log is not None else (),
    )
    return RunningPlane([made], objects={**filters, **peeking, "log": log})


@on_every_loop
async def test_a_connection_is_described_and_counted() -> None:
    log, talk = RecordingLog(), Talk(b"hi")
    async with serving({"talk": talk}, log=log) as running:
        async with Client(running.address("l")) as client:
            assert await client.exactly(2) == b"hi"
            name = client.name
            assert running.gauge("listener.127.0.0.1_0.downstream_cx_active") == 1
            client.close()
        await until(lambda: log.connections, "the log")
        [connection] = log.connections
        assert connection.listener == "l"
        assert (connection.peer, f"{connection.peer_ip}:{connection.peer_port}") == (name, name)
        assert connection.local == "{}:{}".format(*running.address("l"))
        assert running.counter("listener.127.0.0.1_0.downstream_cx_total") == 1
        assert running.counter("listener.127.0.0.1_0.downstream_cx_destroy") == 1
        assert running.gauge("listener.127.0.0.1_0.downstream_cx_active") == 0


@on_every_loop
async def test_a_unix_socket_has_no_ip(tmp_path: Path) -> None:
    talk = Talk(b"hi")
    path = str(tmp_path / "sock")
    async with (
        serving({"talk": talk}, listener=Listener("l", Address(path=path), stat_prefix="mine")) as running,
        Client(running.address("l")) as client,
    ):
        assert await client.exactly(2) == b"hi"
        connection = talk.talks[0].connection
        assert (connection.peer, connection.peer_ip, connection.local) == ("unix:", "", f"unix:{path}")
        assert running.counter("listener.mine.downstream_cx_total") == 1


# transport sockets


class _Knocking(asyncio.Protocol):
    def __init__(self, connection: Connection, proceed: Callable[[], None]) -> None:
        self.connection = connection
        self.proceed = proceed

    def data_received(self, data: bytes) -> None:
        transport = self.connection.transport
        if data[:1] == b"!":
            raise RuntimeError("boom")
        if data[:1] != b"k":
            transport.close()
            return
        self.proceed()
        inner = transport.get_protocol()
        assert isinstance(inner, asyncio.Protocol)
        assert inner is not self
        if data[1:]:
            inner.data_received(data[1:])

    def connection_lost(self, exc: Exception | None) -> None:
        self.connection.ended()


class Knock(DownstreamTransportSocket):
    """Lets in whose first byte is a k."""

    closed = False

    def accept(self, connection: Connection, seen: bytes, proceed: Callable[[], None]) -> None:
        protocol = _Knocking(connection, proceed)
        connection.transport.set_protocol(protocol)
        if seen:
            protocol.data_received(seen)

    def close(self) -> None:
        self.closed = True


def knocking(
    *filters: str, timeout_s: float = 15.0, listener_filters: tuple[str, ...] = (), **objects: Any
) -> RunningPlane:
    """A listener whose only chain has the transport socket ``knock``."""
    chain = FilterChain(
        filters=tuple(Extension(name, "test.made") for name in filters),
        transport_socket=Extension("knock", "test.made"),
        transport_socket_connect_timeout_s=timeout_s,
    )
    made = Listener(
        "l",
        Address("127.0.0.1", 0),
        filter_chains=(chain,),
        listener_filters=tuple(Extension(name, "test.made") for name in listener_filters),
        access_log=(Extension("log", "test.made"),),
    )
    return RunningPlane([made], objects={"knock": Knock(), "log": RecordingLog(), **objects})


@on_every_loop
async def test_a_transport_socket_talks_to_the_peer_before_any_filter_does() -> None:
    gate, talk, log, knock = Gate(), Talk(b"hi"), RecordingLog(), Knock()
    async with knocking("gate", "talk", gate=gate, talk=talk, log=log, knock=knock) as running:
        async with Client(running.address("l")) as stranger:
            stranger.send(b"x")
            assert await stranger.rest() == b""
        await until(lambda: log.connections, "the log")
        assert not gate.met
        async with Client(running.address("l")) as client:
            client.send(b"kmore")
            assert await client.exactly(6) == b"himore"
            assert len(gate.met) == 1
        await until(lambda: len(log.connections) == 2, "the log")
        assert not knock.closed
    assert knock.closed


@on_every_loop
async def test_a_transport_socket_gets_what_listener_filters_saw() -> None:
    class Two(ListenerFilter):
        def peek(self, connection: Connection, prefix: bytes) -> bool:
            return len(prefix) >= 2

    async with (
        knocking("talk", talk=Talk(b"hi"), listener_filters=("two",), two=Two()) as running,
        Client(running.address("l")) as client,
    ):
        client.send(b"kx")
        assert await client.exactly(3) == b"hix"


@on_every_loop
async def test_a_peer_that_is_too_slow_for_the_transport_socket_is_closed() -> None:
    log, talk = RecordingLog(), Talk(b"hi")
    async with knocking("talk", talk=talk, log=log, timeout_s=0.05) as running:
        async with Client(running.address("l")) as quick, Client(running.address("l")) as slow:
            quick.send(b"k")
            assert await slow.rest() == b""
            assert await quick.exactly(2) == b"hi"
            quick.send(b"still here")
            assert await quick.exactly(10) == b"still here"
            assert [one.details for one in log.connections] == ["transport_socket_timeout"]
        assert running.counter("listener.127.0.0.1_0.downstream_cx_transport_socket_connect_timeout") == 1


@on_every_loop
async def test_a_transport_socket_that_fails_ends_its_connection_only(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Knock):
        def accept(self, connection: Connection, seen: bytes, proceed: Callable[[], None]) -> None:
            super().accept(connection, b"", proceed)
            if seen == b"!":
                raise RuntimeError("boom")

    class One(ListenerFilter):
        def peek(self, connection: Connection, prefix: bytes) -> bool:
            return True

    log = RecordingLog()
    async with knocking(
        "talk", talk=Talk(b"hi"), log=log, knock=Broken(), listener_filters=("one",), one=One()
    ) as running:
        async with Client(running.address("l")) as client:
            client.send(b"!")
            assert await client.rest() == b""
        await until(lambda: log.connections, "the log")
        assert log.connections[0].details == "transport_socket_error"
    assert "transport socket Broken failed: RuntimeError('boom')" in caplog.text


# listener filters


@on_every_loop
async def test_a_listener_filter_sees_the_first_bytes_and_takes_none() -> None:
    peek, talk = Peek(), Talk()
    async with (
        serving({"talk": talk}, listener_filters={"peek": peek}) as running,
        Client(running.address("l")) as client,
    ):
        client.send(b"a.exa")
        await until(lambda: peek.saw, "the first piece")
        assert not talk.talks
        client.send(b"mple\nrest")
        assert await client.exactly(14) == b"a.example\nrest"
        assert peek.saw == [b"a.exa", b"a.example\nrest"]
        assert talk.talks[0].connection.server_name == "a.example"


@on_every_loop
async def test_what_a_listener_filter_saw_decides_the_chain() -> None:
    talks = {"a": Talk(b"A"), "b": Talk(b"B"), "default": Talk(b"D")}
    chains = tuple(
        FilterChain(match=FilterChainMatch(server_names=(f"{name}.example",)), filters=(Extension(name, "test.made"),))
        for name in ("a", "b")
    )
    made = Listener(
        "l",
        Address("127.0.0.1", 0),
        filter_chains=chains,
        default_filter_chain=FilterChain(filters=(Extension("default", "test.made"),)),
        listener_filters=(Extension("peek", "test.made"),),
    )
    async with RunningPlane([made], objects={**talks, "peek": Peek()}) as running:
        for name, answer in ((b"a", b"A"), (b"b", b"B"), (b"c", b"D")):
            async with Client(running.address("l")) as client:
                client.send(name + b".example\n")
                assert await client.exactly(1) == answer


@on_every_loop
async def test_a_connection_that_no_chain_matches_is_closed() -> None:
    log = RecordingLog()
    match = FilterChainMatch(server_names=("a.example",))
    made = Listener(
        "l",
        Address("127.0.0.1", 0),
        filter_chains=(FilterChain(match=match, filters=(Extension("talk", "test.made"),)),),
        access_log=(Extension("log", "test.made"),),
    )
    async with RunningPlane([made], objects={"talk": Talk(b"no"), "log": log}) as running:
        async with Client(running.address("l")) as client:
            assert await client.rest() == b""
        await until(lambda: log.connections, "the log")
        assert running.counter("listener.127.0.0.1_0.no_filter_chain_match") == 1
        assert [(c.flags, c.details) for c in log.connections] == [(("NR",), "filter_chain_not_found")]


@on_every_loop
async def test_who_says_too_little_to_a_listener_filter_is_closed() -> None:
    talk = Talk()
    quick = Listener("l", Address("127.0.0.1", 0), listener_filters_timeout_s=0.1)
    async with serving({"talk": talk}, listener_filters={"peek": Peek()}, listener=quick) as running:
        async with Client(running.address("l")) as client:
            client.send(b"no line")
            assert await client.rest() == b""
        assert running.counter("listener.127.0.0.1_0.downstream_pre_cx_timeout") == 1
        assert not talk.talks


@on_every_loop
async def test_who_lets_the_server_speak_first_gets_a_chain_when_the_wait_for_bytes_is_over() -> None:
    quick = Listener(
        "l", Address("127.0.0.1", 0), listener_filters_timeout_s=0.05, continue_on_listener_filters_timeout=True
    )
    async with (
        serving({"talk": Talk(b"hi")}, listener_filters={"peek": Peek()}, listener=quick) as running,
        Client(running.address("l")) as silent,
        Client(running.address("l")) as hesitant,
    ):
        hesitant.send(b"no line")
        assert await silent.exactly(2) == b"hi"
        assert await hesitant.exactly(9) == b"hino line"
        assert running.counter("listener.127.0.0.1_0.downstream_pre_cx_timeout") == 2


@on_every_loop
async def test_a_listener_filter_that_is_never_content_is_passed_over_in_the_end() -> None:
    talk = Talk()
    async with (
        serving({"talk": talk}, listener_filters={"peek": Peek()}) as running,
        Client(running.address("l")) as client,
    ):
        client.send(bytes(70_000))
        assert await client.exactly(70_000) == bytes(70_000)


@on_every_loop
async def test_a_listener_filter_that_fails_ends_its_connection_only(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(ListenerFilter):
        def peek(self, connection: Connection, prefix: bytes) -> bool:
            if prefix == b"x":
                raise RuntimeError("boom")
            return True

    async with (
        serving({"talk": Talk()}, listener_filters={"broken": Broken()}) as running,
        Client(running.address("l")) as good,
        Client(running.address("l")) as bad,
    ):
        with caplog.at_level(logging.ERROR, "plait.net"):
            bad.send(b"x")
            assert await bad.rest() == b""
        good.send(b"y")
        assert await good.exactly(1) == b"y"
    assert "listener filter Broken failed" in caplog.text


# network filters


@on_every_loop
async def test_filters_that_only_greet_are_out_of_the_way_afterwards() -> None:
    gate, talk = Gate(), Talk()
    async with serving({"gate": gate, "talk": talk}) as running, Client(running.address("l")) as client:
        client.send(b"x")
        assert await client.exactly(1) == b"x"
        assert gate.met == [talk.talks[0].connection]
        assert talk.talks[0].transport.get_protocol() is talk.talks[0]


@on_every_loop
async def test_a_filter_that_closes_refuses() -> None:
    def refuse(connection: Connection) -> Verdict:
        connection.flags = ("UAEX",)
        connection.close("not_you")
        return STOP

    log, talk, behind = RecordingLog(), Talk(), Gate()
    async with serving({"gate": Watch(refuse), "behind": behind, "talk": talk}, log=log) as running:
        async with Client(running.address("l")) as client:
            assert await client.rest() == b""
        await until(lambda: log.connections, "the log")
        assert [(c.flags, c.details) for c in log.connections] == [(("UAEX",), "not_you")]
        assert not talk.talks
        assert not behind.met


@on_every_loop
async def test_a_filter_that_stops_and_forgets_to_close_refuses_as_well() -> None:
    async def later(connection: Connection) -> Verdict:
        await asyncio.sleep(0)
        return STOP

    for answer in (lambda connection: STOP, later):
        async with serving({"gate": Gate(answer), "talk": Talk()}) as running:
            async with Client(running.address("l")) as client:
                client.send(b"x")
                assert await client.rest() == b""
            await until(lambda: running.plane.connections == 0, "the connection to end")


@on_every_loop
async def test_bytes_wait_for_a_filter_that_is_awaited() -> None:
    go_on = asyncio.Event()

    async def later(connection: Connection) -> Verdict:
        await go_on.wait()
        return CONTINUE

    gate, talk, behind = Gate(later), Talk(), Gate()
    async with (
        serving({"gate": gate, "behind": behind, "talk": talk}) as running,
        Client(running.address("l")) as client,
    ):
        client.send(b"early")
        await until(lambda: gate.met, "the filter")
        assert not behind.met
        go_on.set()
        assert await client.exactly(5) == b"early"
        assert behind.met


@on_every_loop
async def test_bytes_that_were_peeked_at_wait_for_an_awaited_filter_too() -> None:
    go_on = asyncio.Event()

    async def later(connection: Connection) -> Verdict:
        await go_on.wait()
        return CONTINUE

    gate, filters = Gate(later), {"double": Double(), "talk": Talk()}
    async with (
        serving({"gate": gate, **filters}, listener_filters={"peek": Peek()}) as running,
        Client(running.address("l")) as client,
    ):
        client.send(b"a\n")
        await until(lambda: gate.met, "the filter")
        client.send(b"b")
        go_on.set()
        assert await client.exactly(5) in (b"a\na\nb", b"a\nba\n")


@on_every_loop
async def test_a_caller_that_leaves_while_a_filter_waits_is_forgotten() -> None:
    go_on = asyncio.Event()

    async def later(connection: Connection) -> Verdict:
        await go_on.wait()
        return CONTINUE

    gate, talk = Gate(later), Talk()
    async with serving({"gate": gate, "talk": talk}) as running:
        async with Client(running.address("l")) as client:
            await until(lambda: gate.met, "the filter")
            client.reset()
        go_on.set()
        await until(lambda: running.plane.connections == 0, "the connection to end")


@on_every_loop
async def test_filters_change_bytes_in_their_order_and_hear_of_the_end() -> None:
    watch, talk = Watch(), Talk()
    async with serving({"watch": watch, "double": Double(), "again": Double(), "talk": talk}) as running:
        async with Client(running.address("l")) as client:
            client.send(b"ab")
            assert await client.exactly(8) == b"abababab"
            client.close()
        await until(lambda: watch.closed, "the filter to hear of the end")
        await until(lambda: running.plane.connections == 0, "the connection to end")
        assert watch.closed == watch.met


@on_every_loop
async def test_a_filter_may_swallow_bytes_and_its_failure_ends_its_connection_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log, talk = RecordingLog(), Talk()
    async with (
        serving({"swallow": Swallow(), "talk": talk}, log=log) as running,
        Client(running.address("l")) as bad,
        Client(running.address("l")) as other,
    ):
        other.send(b"nothing")
        bad.send(b"nothing")
        with caplog.at_level(logging.ERROR, "plait.net"):
            bad.send(b"!")
            assert await bad.rest() == b""
        await until(lambda: log.connections, "the log")
        assert running.plane.connections == 1
        assert (log.connections[0].details, log.connections[0].flags) == ("network_filter_error", ("UAEX",))
    assert "network filter Swallow failed" in caplog.text


@on_every_loop
async def test_a_filter_that_fails_at_once_or_later_closes_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    def at_once(connection: Connection) -> Verdict:
        raise RuntimeError("boom")

    async def later(connection: Connection) -> Verdict:
        raise RuntimeError("boom")

    with caplog.at_level(logging.ERROR, "plait.net"):
        for answer in (at_once, later):
            async with serving({"gate": Gate(answer), "talk": Talk()}) as running:
                async with Client(running.address("l")) as client:
                    assert await client.rest() == b""
                await until(lambda: running.plane.connections == 0, "the connection to end")
    assert caplog.text.count("network filter Gate failed") == 2


# change and end


@on_every_loop
async def test_a_replaced_listener_drains_and_its_filters_are_closed(tmp_path: Path) -> None:
    await _replaced(Address("127.0.0.1", 0))
    await _replaced(Address(path=str(tmp_path / "sock")))


async def _replaced(address: Address) -> None:
    old, new = Talk(b"old"), Talk(b"new")
    before, after = (
        Listener("l", address, filter_chains=(FilterChain(filters=(Extension(name, "test.made"),)),))
        for name in ("old", "new")
    )
    async with RunningPlane([before], objects={"old": old, "new": new}) as running:
        async with Client(running.address("l")) as client:
            assert await client.exactly(3) == b"old"
            await running.change([after])
            assert old.drained
            assert await client.rest() == b""
        await until(lambda: old.closed, "the old filter to be closed")
        async with Client(running.address("l")) as client:
            assert await client.exactly(3) == b"new"
        assert not new.closed
    assert new.closed


@on_every_loop
async def test_a_removed_listener_takes_no_more_connections() -> None:
    talk = Talk(b"hi")
    async with serving({"talk": talk}) as running:
        async with Client(running.address("l")) as client:
            assert await client.exactly(2) == b"hi"
        await running.change([])
        with pytest.raises(ConnectionError):
            async with Client(running.address("l")):
                pass
