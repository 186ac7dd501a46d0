"""Large calls of Bolt and of Dubbo: what passes in pieces is held nowhere whole, and nothing else waits for it."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest

from plait import CONTINUE, Stream, StreamFilter, Verdict
from tests.integration.framed_rpc import to
from tests.integration.harness import Peer, Upstream, cluster, live, until
from tests.integration.test_rpc import echo, opened
from tests.integration.wire import WIRES, Frame, RpcMesh, Wire, everything, generic, replies, route_action, serving

pytestmark = [pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)]

LARGE = random.Random(3).randbytes(16 << 20)
SHORT = LARGE[: 3 << 20]
HELD_AT_MOST = 2 << 20
"""What a transport may hold of a message of 16 MB: the head that is read whole, and a read or two."""


class Watches(StreamFilter):
    """Notes the sizes of the pieces that pass, and the connections that streams came on."""

    def __init__(self) -> None:
        self.pieces: list[int] = []
        self.transports: list[Any] = []

    def on_request(self, stream: Stream) -> Verdict:
        self.transports.append(stream.connection.transport)
        return CONTINUE

    def on_request_data(self, stream: Stream, data: bytes, end: bool) -> bytes:
        self.pieces.append(len(data))
        return data

    def on_response_data(self, stream: Stream, data: bytes, end: bool) -> bytes:
        self.pieces.append(len(data))
        return data


class Watched(RpcMesh):
    """With a ``Watches`` in front."""

    def __init__(self, wire: Wire, *ports: int) -> None:
        super().__init__(generic(wire, everything(to("up")), [cluster("up", *ports)]))
        self.watches = Watches()
        self.filters.append(self.watches)


@live
async def test_sixteen_megabytes_go_there_and_back(wire: Wire) -> None:
    async with Upstream(serving(wire, echo)) as upstream, Watched(wire, upstream.port) as mesh:
        client = await mesh.connect()
        async with asyncio.TaskGroup() as group:
            group.create_task(client.send(wire.call(1, LARGE)))
            answer = await wire.read(client)
        assert answer.said == LARGE
        assert max(mesh.watches.pieces) < HELD_AT_MOST, "never whole"
        assert sum(mesh.watches.pieces) >= 2 * len(LARGE)
        client.close()


@live
async def test_a_slow_upstream_holds_a_large_call_back(wire: Wire) -> None:
    go = asyncio.Event()

    async def slow(peer: Peer, number: int) -> None:
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await go.wait()
        peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
        await serving(wire, lambda frame: b"%d" % len(frame.said))(peer, number)

    name = "generic_proxy.test.downstream_flow_control_{}_reading_total"
    async with Upstream(slow) as upstream, Watched(wire, upstream.port) as mesh:
        client = await mesh.connect()
        async with asyncio.TaskGroup() as group:
            group.create_task(client.send(wire.call(1, LARGE)))
            await until(
                lambda: mesh.counter(name.format("paused")) > mesh.counter(name.format("resumed")),
                "the caller to be stopped",
            )
            (connection,) = (await opened(mesh))._connections
            assert 0 < connection.transport.get_write_buffer_size() < HELD_AT_MOST
            go.set()
            assert (await wire.read(client)).said == b"%d" % len(LARGE)
        client.close()


class Waits(StreamFilter):
    """Lets no call, or no answer, pass before ``go``, as one that asks somebody else; wants no body."""

    def __init__(self, direction: str) -> None:
        self.direction = direction
        self.go = asyncio.Event()
        self.streams: list[Any] = []

    async def on_request(self, stream: Stream) -> Verdict:
        self.streams.append(stream)
        if self.direction == "call":
            await self.go.wait()
        return CONTINUE

    async def on_response(self, stream: Stream) -> Verdict:
        if self.direction == "answer":
            await self.go.wait()
        return CONTINUE


@pytest.mark.parametrize("direction", ["call", "answer"])
@live
async def test_a_filter_that_waits_holds_no_more_than_the_limit(wire: Wire, direction: str) -> None:
    waits = Waits(direction)
    async with (
        Upstream(serving(wire, lambda frame: LARGE if frame.said == b"large" else frame.said[:5])) as upstream,
        RpcMesh(generic(wire, everything(to("up")), [cluster("up", upstream.port)]), [waits]) as mesh,
    ):
        client = await mesh.connect()
        async with asyncio.TaskGroup() as group:
            if direction == "call":
                group.create_task(client.send(wire.call(1, LARGE)))
                paused, resumed = (f"generic_proxy.test.downstream_flow_control_{word}_reading_total" for word in (
                    "paused", "resumed"))  # fmt: skip
                await until(lambda: mesh.counter(paused) > mesh.counter(resumed), "the caller to be stopped")
                (stream,) = waits.streams
                assert 0 < stream.waiting._request_bytes < HELD_AT_MOST + (1 << 20)
            else:
                await client.send(wire.call(1, b"large"))
                pool = await opened(mesh)
                await until(lambda: pool._connections[0].paused, "the upstream to be stopped")
                (stream,) = waits.streams
                held = sum(len(piece) for piece, _ in stream.waiting._response)
                assert 0 < held < HELD_AT_MOST
            waits.go.set()
            said = (await wire.read(client)).said
            assert said == (LARGE[:5] if direction == "call" else LARGE)
        client.close()


@live
async def test_a_slow_caller_holds_a_large_answer_back(wire: Wire) -> None:
    async with Upstream(serving(wire, lambda frame: LARGE)) as upstream, Watched(wire, upstream.port) as mesh:
        client = await mesh.connect()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(wire.call(1))
        (connection,) = (await opened(mesh))._connections
        await until(lambda: connection.paused, "the upstream to be stopped")
        (transport,) = mesh.watches.transports
        assert 0 < transport.get_write_buffer_size() < HELD_AT_MOST
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert (await wire.read(client)).said == LARGE
        client.close()


@live
async def test_a_caller_that_does_not_read_holds_no_new_call_back(wire: Wire) -> None:
    def say(frame: Frame) -> bytes:
        return LARGE if frame.said == b"large" else frame.said

    async with Upstream(serving(wire, say)) as upstream, Watched(wire, upstream.port) as mesh:
        stuck, other = await mesh.connect(), await mesh.connect()
        stuck.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await stuck.send(wire.call(1, b"large"))
        (connection,) = (await opened(mesh))._connections
        await until(lambda: connection.paused and time.monotonic() - connection.paused_at > 0.2, "it to be stuck")
        for id in range(1, 20):
            await other.send(wire.call(id, b"%d" % id))
            assert (await wire.read(other)).said == b"%d" % id
        assert upstream.connections == 2
        stuck.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert (await wire.read(stuck)).said == LARGE
        stuck.close()


@live
async def test_a_copy_that_nobody_reads_is_given_up_and_the_call_is_not(wire: Wire) -> None:
    stuck = asyncio.Event()
    most = [0]

    async def deaf(peer: Peer, number: int) -> None:
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await stuck.wait()
        peer.reset()

    class Measures(StreamFilter):
        def on_request_data(self, stream: Stream, data: bytes, end: bool) -> bytes:
            for host in mesh.plane._clusters["shadow"].hosts:
                for pool in host.pools.values():
                    held = [one.transport.get_write_buffer_size() for one in getattr(pool, "_connections", ())]
                    most[0] = max(most[0], *held, 0)
            return data

    policies = [{"cluster": "shadow"}]
    async with Upstream(serving(wire, lambda frame: b"%d" % len(frame.said))) as upstream, Upstream(deaf) as shadow:
        config = generic(
            wire,
            everything(route_action("up", request_mirror_policies=policies)),
            [cluster("up", upstream.port), cluster("shadow", shadow.port)],
        )
        async with RpcMesh(config, [Measures()]) as mesh:
            client = await mesh.connect()
            async with asyncio.TaskGroup() as group:
                group.create_task(client.send(wire.call(1, LARGE)))
                assert (await wire.read(client)).said == b"%d" % len(LARGE)
            filled_up = 8 << 20 if wire.name == "dubbo" else 0  # what is missing of the copy, up to max_padding_bytes
            assert 0 < most[0] < (8 << 20) + filled_up
            await until(lambda: mesh.counter("cluster.shadow.upstream_rq_tx_reset") == 1, "the copy to be given up")
            stuck.set()
            client.close()


@live
async def test_two_large_calls_and_many_small_ones_share_connections(wire: Wire) -> None:
    async with Upstream(serving(wire, echo)) as upstream, Watched(wire, upstream.port) as mesh:
        first, second, third = [await mesh.connect() for _ in range(3)]
        small = b"".join(wire.call(id, b"%d" % id) for id in range(10, 110))
        async with asyncio.TaskGroup() as group:
            group.create_task(first.send(wire.call(1, SHORT) + small))
            group.create_task(second.send(small + wire.call(1, SHORT[::-1])))
            group.create_task(third.send(small))
            got = [group.create_task(replies(wire, one, count)) for one, count in ((first, 101), (second, 101))]
            got.append(group.create_task(replies(wire, third, 100)))
        for task in got:
            answers = task.result()
            assert all(answers[id].said == b"%d" % id for id in range(10, 110))
        assert got[0].result()[1].said == SHORT
        assert got[1].result()[1].said == SHORT[::-1]


@live
async def test_a_caller_that_leaves_inside_a_large_call_hurts_nobody_else(wire: Wire) -> None:
    async with (
        Upstream(serving(wire, lambda frame: b"%d" % len(frame.said))) as upstream,
        Watched(wire, upstream.port) as mesh,
    ):
        leaver, stayer = await mesh.connect(), await mesh.connect()
        await stayer.send(wire.call(1, b"abc"))
        assert (await wire.read(stayer)).said == b"3"
        await leaver.send(wire.call(1, SHORT)[: 2 << 20])
        await until(lambda: mesh.counter("cluster.up.upstream_cx_tx_bytes_total") > 1 << 20, "much of it to go on")
        await stayer.send(wire.call(2, b"abcd"))
        assert (await wire.read(stayer)).said == b"4", "beside the one that is under way"
        leaver.reset()
        await until(lambda: mesh.log.flags.count("DC") == 1, "the caller's end to be noticed")
        await stayer.send(wire.call(3, b"abcde"))
        assert (await wire.read(stayer)).said == b"5"
        stayer.close()


@live
async def test_an_answer_before_a_large_call_has_ended_is_told(wire: Wire) -> None:
    """The server refuses what it has not read to its end, and so may a filter or a route."""
    call = wire.call(1, SHORT)

    async def hasty(peer: Peer, number: int) -> None:
        if not number:
            head = await peer.exactly(1 << 20)
            id = int.from_bytes(head[5:9] if wire.name == "bolt" else head[4:12], "big")
            await peer.send(wire.answer(id, b"no", wire.errors["busy"]))
            await peer.exactly(len(call) - len(head))
        await serving(wire, echo)(peer, number)

    async with Upstream(hasty) as upstream, Watched(wire, upstream.port) as mesh:
        client = await mesh.connect()
        await client.send(call[: 2 << 20])
        answer = await wire.read(client)
        assert (answer.id, answer.status) == (1, wire.errors["busy"])
        await client.send(call[2 << 20 :], wire.call(2, b"next"))
        assert (await wire.read(client)).said == b"next", "the rest of the first was read over"
        client.close()


@live
async def test_an_upstream_lost_inside_a_large_answer(wire: Wire) -> None:
    """Its head was told already: an honest end is the best there is, and the next connection serves."""

    async def half(peer: Peer, number: int) -> None:
        call = await wire.read(peer)
        await peer.send(wire.answer(call.id, SHORT)[: 2 << 20])
        peer.reset()

    def said(frame: Frame) -> bytes:
        return b"well"

    async def handler(peer: Peer, number: int) -> None:
        await (half(peer, number) if not number else serving(wire, said)(peer, number))

    async with Upstream(handler) as upstream, Watched(wire, upstream.port) as mesh:
        client = await mesh.connect()
        await client.send(wire.call(1))
        rest = await client.rest()
        assert len(rest) < len(SHORT), "no more than what came"
        other = await mesh.connect()
        await other.send(wire.call(1))
        assert (await wire.read(other)).said == b"well"
        other.close()
