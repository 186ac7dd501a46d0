"""What holds for Bolt and for Dubbo alike, over real sockets and with the real codecs, through generic_proxy."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import attrs
import pytest

from plait.api.config import Listener
from tests.integration.framed_rpc import by_service, to
from tests.integration.harness import Peer, Upstream, cluster, live, until
from tests.integration.wire import (
    ANSWER,
    PING,
    PONG,
    WIRES,
    Frame,
    RpcMesh,
    Wire,
    everything,
    generic,
    options,
    replies,
    scripted,
    serving,
)

pytestmark = [pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)]


def echo(frame: Frame) -> bytes:
    return frame.said


# ids


@live
async def test_connections_share_an_upstream_connection_and_keep_their_own_ids(wire: Wire) -> None:
    seen: list[Frame] = []

    async def shuffling(peer: Peer, number: int) -> None:
        calls = [await wire.read(peer) for _ in range(60)]
        seen.extend(calls)
        random.Random(7).shuffle(calls)
        await peer.send(b"".join(wire.answer(call.id, call.said) for call in calls))

    async with (
        Upstream(scripted(wire, shuffling)) as upstream,
        RpcMesh(generic(wire, everything(to("up")), [cluster("up", upstream.port)]), watch=True) as mesh,
    ):
        clients = [await mesh.connect() for _ in range(3)]
        for number, client in enumerate(clients):
            await client.send(b"".join(wire.call(id, b"%d of %d" % (id, number)) for id in range(1, 21)))
        for number, client in enumerate(clients):
            got = await replies(wire, client, 20)
            assert {id: frame.said for id, frame in got.items()} == {
                id: b"%d of %d" % (id, number) for id in range(1, 21)
            }
        assert upstream.connections == 1
        assert len({frame.id for frame in seen}) == 60, "ids of its own on the shared connection"


@live
async def test_an_id_in_use_is_refused_and_its_call_goes_on(wire: Wire) -> None:
    async def both(peer: Peer, number: int) -> None:
        first = await wire.read(peer)
        second = await wire.read(peer)
        await peer.send(wire.answer(second.id, b"second"), wire.answer(first.id, b"first"))

    async with (
        Upstream(scripted(wire, both)) as upstream,
        RpcMesh(generic(wire, everything(to("up")), [cluster("up", upstream.port)])) as mesh,
    ):
        client = await mesh.connect()
        await client.send(wire.call(5, b"a"))
        await client.send(wire.call(5, b"twice"))
        refused = await wire.read(client)
        assert (refused.kind, refused.id, refused.status) == (ANSWER, 5, wire.errors["bad"])
        await client.send(wire.call(6, b"b"))
        got = await replies(wire, client, 2)
        assert (got[5].said, got[6].said) == (b"first", b"second")
        assert mesh.counter("generic_proxy.test.duplicate_request_id") == 1
        client.close()


@live
async def test_a_large_call_under_an_id_in_use_leaves_that_call_its_own_body(wire: Wire) -> None:
    """The pieces of the second must not go to the first, whether that is still being sent or not."""
    seen: list[Frame] = []
    release = asyncio.Event()

    async def late(peer: Peer, number: int) -> None:
        call = await wire.read(peer)
        seen.append(call)
        await release.wait()
        await peer.send(wire.answer(call.id, b"first"))
        call = await wire.read(peer)
        await peer.send(wire.answer(call.id, call.said))

    async with (
        Upstream(scripted(wire, late)) as upstream,
        RpcMesh(generic(wire, everything(to("up")), [cluster("up", upstream.port)])) as mesh,
    ):
        client = await mesh.connect()
        await client.send(wire.call(5, b"a"))
        await until(lambda: seen, "the first call")
        await client.send(wire.call(5, b"x" * (3 << 20)))
        refused = await wire.read(client)
        assert (refused.id, refused.status) == (5, wire.errors["bad"])
        await client.send(wire.call(6, b"after"))
        release.set()
        got = await replies(wire, client, 2)
        assert (got[5].said, got[6].said) == (b"first", b"after")
        assert [frame.said for frame in seen] == [b"a"]
        assert upstream.connections == 1
        client.close()


@live
async def test_a_oneway_call_under_an_id_in_use_is_not_answered(wire: Wire) -> None:
    async def once(peer: Peer, number: int) -> None:
        first = await wire.read(peer)
        second = await wire.read(peer)
        await peer.send(wire.answer(first.id, b"first"), wire.answer(second.id, b"second"))

    async with (
        Upstream(scripted(wire, once)) as upstream,
        RpcMesh(generic(wire, everything(to("up")), [cluster("up", upstream.port)])) as mesh,
    ):
        client = await mesh.connect()
        await client.send(wire.call(5, b"a"), wire.call(5, b"b", oneway=True), wire.call(6, b"c"))
        got = await replies(wire, client, 2)
        assert (got[5].said, got[6].said) == (b"first", b"second")
        client.close()


@live
async def test_answers_to_unknown_ids_are_counted(wire: Wire) -> None:
    async def talkative(peer: Peer, number: int) -> None:
        call = await wire.read(peer)
        await peer.send(wire.answer(call.id + 1000, b"?"), wire.answer(call.id, b"yes"), wire.answer(call.id, b"again"))
        call = await wire.read(peer)
        await peer.send(wire.answer(call.id, b"next"))

    async with (
        Upstream(scripted(wire, talkative)) as upstream,
        RpcMesh(generic(wire, everything(to("up")), [cluster("up", upstream.port)])) as mesh,
    ):
        client = await mesh.connect()
        await client.send(wire.call(1))
        assert (await wire.read(client)).said == b"yes"
        await client.send(wire.call(2))
        assert (await wire.read(client)).said == b"next"
        assert mesh.counter("cluster.up.upstream_rx_unmatched_response") == 2
        client.close()


# upstreams that go


@live
async def test_a_lost_upstream_connection_fails_its_calls_and_nothing_else(wire: Wire) -> None:
    async def dying(peer: Peer, number: int) -> None:
        if not number:
            for _ in range(60):
                await wire.read(peer)
            peer.reset()
            return
        await serving(wire, echo)(peer, number)

    async with (
        Upstream(dying) as upstream,
        Upstream(serving(wire, echo)) as other,
        RpcMesh(
            generic(
                wire,
                by_service({"shop.Stock": to("other")}, to("up")),
                [cluster("up", upstream.port), cluster("other", other.port)],
            )
        ) as mesh,
    ):
        clients = [await mesh.connect() for _ in range(3)]
        for client in clients:
            await client.send(b"".join(wire.call(id) for id in range(1, 21)))
        for client in clients:
            got = await replies(wire, client, 20)
            assert {frame.status for frame in got.values()} == {wire.errors["gone"]}
        for client in clients:
            await client.send(wire.call(21, b"alive"), wire.call(22, b"too", service="shop.Stock"))
            got = await replies(wire, client, 2)
            assert (got[21].said, got[22].said) == (b"alive", b"too")
        assert set(mesh.log.flags[:60]) == {"UC"}
        assert upstream.connections == 2


@live
async def test_nobody_listening_is_the_protocols_error(wire: Wire) -> None:
    async with RpcMesh(generic(wire, everything(to("up")), [cluster("up", 1)])) as mesh:
        client = await mesh.connect()
        await client.send(wire.call(1), wire.call(2))
        got = await replies(wire, client, 2)
        assert {frame.status for frame in got.values()} == {wire.errors["gone"]}
        assert mesh.log.flags == ["UF", "UF"]
        client.close()


@live
async def test_an_upstream_that_loses_framing_fails_its_own_calls(wire: Wire) -> None:
    async def mumbling(peer: Peer, number: int) -> None:
        if number:
            await serving(wire, echo)(peer, number)
            return
        await wire.read(peer)
        await wire.read(peer)
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        assert await peer.closed()

    async with (
        Upstream(mumbling) as upstream,
        RpcMesh(generic(wire, everything(to("up")), [cluster("up", upstream.port)])) as mesh,
    ):
        client = await mesh.connect()
        await client.send(wire.call(1), wire.call(2))
        got = await replies(wire, client, 2)
        assert {frame.status for frame in got.values()} == {wire.errors["broken"]}
        assert set(mesh.log.flags) == {"UPE"}
        assert mesh.counter("cluster.up.upstream_cx_protocol_error") == 1
        await client.send(wire.call(3, b"well"))
        assert (await wire.read(client)).said == b"well"
        client.close()


@live
async def test_an_upstream_that_is_going_gets_no_more_calls(wire: Wire) -> None:
    async def going(peer: Peer, number: int) -> None:
        if number:
            await serving(wire, lambda frame: b"second")(peer, number)
            return
        first = await wire.read(peer)
        await peer.send(wire.going())
        await until(lambda: upstream.connections == 2, "another connection")
        await peer.send(wire.answer(first.id, b"first"))
        assert await peer.closed()

    async with (
        Upstream(going) as upstream,
        RpcMesh(generic(wire, everything(to("up")), [cluster("up", upstream.port)])) as mesh,
    ):
        client = await mesh.connect()
        await client.send(wire.call(1))
        pool = await opened(mesh)
        await until(lambda: all(not one.codec.reusable for one in pool._connections), "the word to arrive")
        await client.send(wire.call(2))
        got = await replies(wire, client, 2)
        assert (got[1].said, got[2].said) == (b"first", b"second")
        client.close()


async def opened(mesh: RpcMesh, name: str = "up") -> Any:
    """The pool of a cluster's first host, once it has a connection."""
    host = mesh.plane._clusters[name].hosts[0]
    await until(lambda: any(getattr(pool, "_connections", ()) for pool in host.pools.values()), "a connection")
    (pool,) = host.pools.values()
    return pool


# heartbeats


@live
async def test_heartbeats_are_answered_before_during_and_after_calls(wire: Wire) -> None:
    async with (
        Upstream(serving(wire, lambda frame: frame.said if frame.said != b"never" else None)) as upstream,
        RpcMesh(generic(wire, everything(to("up")), [cluster("up", upstream.port)])) as mesh,
    ):
        client = await mesh.connect()
        await client.send(wire.ping(900))
        pong = await wire.read(client)
        assert (pong.kind, pong.id) == (PONG, 900)
        await client.send(wire.call(1, b"never"), wire.ping(1))
        pong = await wire.read(client)
        assert (pong.kind, pong.id) == (PONG, 1)
        await client.send(wire.call(2, b"x"))
        assert (await wire.read(client)).said == b"x"
        assert mesh.counter("generic_proxy.test.downstream_rq_total") == 2, "heartbeats are no calls"
        client.reset()


class Hasty(RpcMesh):
    """Closes connections that are idle for a second."""

    def _watched(self, listener: Listener) -> Listener:
        watched = super()._watched(listener)
        (chain,) = watched.filter_chains
        (last,) = chain.filters
        proxy: Any = last.settings
        hasty = attrs.evolve(last, settings=attrs.evolve(proxy, idle_timeout_s=1.0))
        return attrs.evolve(watched, filter_chains=(attrs.evolve(chain, filters=(hasty,)),))


@live
async def test_heartbeats_of_a_caller_keep_its_idle_connection_and_silence_ends_it(wire: Wire) -> None:
    async with (
        Upstream(serving(wire, echo)) as upstream,
        Hasty(generic(wire, everything(to("up")), [cluster("up", upstream.port)])) as mesh,
    ):
        client = await mesh.connect()
        await client.send(wire.call(1, b"x"))
        assert (await wire.read(client)).said == b"x"
        looks: list[int] = []
        for id in range(100, 118):
            await client.send(wire.ping(id))
            assert (await wire.read(client)).id == id
            mesh.plane.wheel.call_later(0.1, lambda: looks.append(1))
            await until(lambda id=id: len(looks) > id - 100, "a tenth of a second")  # type: ignore[misc]
        assert mesh.counter("generic_proxy.test.downstream_cx_idle_timeout") == 0
        await client.send(wire.call(2, b"y"))
        assert (await wire.read(client)).said == b"y"
        await client.rest()
        assert mesh.counter("generic_proxy.test.downstream_cx_idle_timeout") == 1


@live
async def test_an_upstream_that_leaves_a_heartbeat_unanswered_is_replaced(wire: Wire) -> None:
    async def deaf(peer: Peer, number: int) -> None:
        if number:
            await serving(wire, echo)(peer, number)
            return
        call = await wire.read(peer)
        await peer.send(wire.answer(call.id, b"first"))
        asked = await wire.read(peer)
        assert asked.kind == PING
        assert await peer.closed()

    heard = options(wire, {"heartbeat_s": 0.05, "heartbeat_timeout_s": 0.05})
    async with (
        Upstream(deaf) as upstream,
        RpcMesh(generic(wire, everything(to("up")), [cluster("up", upstream.port, **heard)])) as mesh,
    ):
        client = await mesh.connect()
        await client.send(wire.call(1))
        assert (await wire.read(client)).said == b"first"
        await until(lambda: mesh.counter("cluster.up.upstream_cx_heartbeat_timeout"), "the silence to be noticed")
        await client.send(wire.call(2, b"again"))
        assert (await wire.read(client)).said == b"again"
        assert upstream.connections == 2
        client.close()


@live
async def test_a_call_that_is_sent_slowly_outlives_heartbeats_behind_it(wire: Wire) -> None:
    """A heartbeat that has to wait for its turn is not one that the peer left unanswered."""
    heard = options(wire, {"heartbeat_s": 0.05, "heartbeat_timeout_s": 0.05})
    async with (
        Upstream(serving(wire, lambda frame: b"%d" % len(frame.said))) as upstream,
        RpcMesh(generic(wire, everything(to("up")), [cluster("up", upstream.port, **heard)])) as mesh,
    ):
        client = await mesh.connect()
        call = wire.call(1, b"x" * (2 << 20))
        await client.send(call[: 3 << 19])
        pool = await opened(mesh)
        (connection,) = pool._connections
        looked: list[int] = []
        look = connection.expire

        def noting() -> None:
            looked.append(mesh.counter("cluster.up.upstream_cx_tx_bytes_total"))
            look()

        connection.expire = noting
        await until(lambda: len(looked) > 4 or connection.lost, "several looks at the connection")
        await client.send(call[3 << 19 :])
        assert (await wire.read(client)).said == b"%d" % (2 << 20)
        assert mesh.counter("cluster.up.upstream_cx_heartbeat_timeout") == 0
        client.close()


# time-outs


@live
async def test_time_outs_of_callers_and_of_routes_are_answered_and_late_answers_dropped(wire: Wire) -> None:
    held: list[Frame] = []
    release = asyncio.Event()
    calls = [("shop.Slow", 50), ("shop.Slow", 450), ("shop.Quick", 0), ("shop.Quick", 60_000), ("shop.Brisk", 60_000)]

    async def slow(peer: Peer, number: int) -> None:
        held.extend([await wire.read(peer) for _ in calls])
        await release.wait()
        await peer.send(*(wire.answer(call.id, b"late") for call in held))
        call = await wire.read(peer)
        await peer.send(wire.answer(call.id, b"in time"))

    timeouts = {"shop.Slow": "600s", "shop.Quick": "0.05s", "shop.Brisk": "0.4s", "shop.Cart": "0s"}
    routes = by_service({name: to("up", timeout=timeout) for name, timeout in timeouts.items()})
    async with (
        Upstream(scripted(wire, slow)) as upstream,
        RpcMesh(generic(wire, routes, [cluster("up", upstream.port)])) as mesh,
    ):
        client = await mesh.connect()
        for id, (service, timeout_ms) in enumerate(calls, 1):
            await client.send(wire.call(id, service=service, timeout_ms=timeout_ms))
        got = await replies(wire, client, len(calls))
        assert {frame.status for frame in got.values()} == {wire.errors["timeout"]}
        assert mesh.log.flags == ["UT"] * len(calls)
        release.set()
        await until(lambda: mesh.counter("cluster.up.upstream_rx_unmatched_response") == len(calls), "late answers")
        await client.send(wire.call(9))
        assert (await wire.read(client)).said == b"in time"
        assert upstream.connections == 1
        client.close()


@live
async def test_a_call_without_any_time_out_is_waited_for(wire: Wire) -> None:
    release = asyncio.Event()

    async def slow(peer: Peer, number: int) -> None:
        call = await wire.read(peer)
        await release.wait()
        await peer.send(wire.answer(call.id, b"at last"))

    async with (
        Upstream(scripted(wire, slow)) as upstream,
        RpcMesh(generic(wire, everything(to("up", timeout="0s")), [cluster("up", upstream.port)])) as mesh,
    ):
        client = await mesh.connect()
        looked: list[int] = []
        mesh.plane.wheel.call_later(0.5, lambda: looked.append(1))
        await client.send(wire.call(1))
        await until(lambda: looked, "the time after which timeouts that cost something are looked for")
        release.set()
        assert (await wire.read(client)).said == b"at last"
        client.close()
