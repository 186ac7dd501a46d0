"""Peers of Bolt and Dubbo that break the protocol: counted, answered where it can be, and nobody else disturbed."""

from __future__ import annotations

import asyncio

import pytest

from plait_protocol_bolt.content import SOFA_REQUEST
from plait_protocol_bolt.frame import HESSIAN, V1, head_of
from tests.integration.framed_rpc import to, when
from tests.integration.harness import DEADLINE_S, Peer, Upstream, cluster, live, until
from tests.integration.test_rpc import echo
from tests.integration.wire import (
    ANSWER,
    GOING,
    WIRES,
    Bolt,
    Dubbo,
    Frame,
    RpcMesh,
    Wire,
    everything,
    generic,
    replies,
    route_action,
    serving,
)

BOTH = pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
BOLT, DUBBO = Bolt(), Dubbo()


@pytest.mark.parametrize("noise", [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01\x02\x00" * 9, b"\xda\xbc" * 20])
@BOTH
@live
async def test_what_is_not_the_protocol_ends_its_connection_alone(wire: Wire, noise: bytes) -> None:
    async with (
        Upstream(serving(wire, lambda frame: frame.said if frame.said != b"wait" else None)) as upstream,
        RpcMesh(generic(wire, everything(to("up")), [cluster("up", upstream.port)])) as mesh,
    ):
        good, bad = await mesh.connect(), await mesh.connect()
        await good.send(wire.call(1, b"a"))
        assert (await wire.read(good)).said == b"a"
        await bad.send(wire.call(1, b"before"))
        assert (await wire.read(bad)).said == b"before"
        await bad.send(noise)
        await bad.rest()
        await good.send(wire.call(2, b"b"))
        assert (await wire.read(good)).said == b"b"
        assert mesh.counter("generic_proxy.test.downstream_cx_protocol_error") == 1
        assert upstream.connections == 1
        good.close()


@live
async def test_a_call_that_names_no_method_is_copied_like_any_other() -> None:
    """Its method is looked for in a content that is none."""

    async def answers(peer: Peer, number: int) -> None:
        while True:
            head = await peer.exactly(22)
            rest = int.from_bytes(head[14:16]) + int.from_bytes(head[16:18]) + int.from_bytes(head[18:22])
            await peer.exactly(rest)
            await peer.send(head_of(V1, 0, 2, int.from_bytes(head[5:9]), HESSIAN, 0))

    content = b"\0no hessian"
    call = head_of(V1, 1, 1, 7, HESSIAN, 3000, SOFA_REQUEST, b"", len(content)) + content
    copied = route_action("up", request_mirror_policies=[{"cluster": "shadow"}])
    async with Upstream(answers) as upstream, Upstream(answers) as shadow:
        clusters = [cluster("up", upstream.port), cluster("shadow", shadow.port)]
        async with RpcMesh(generic(BOLT, everything(copied), clusters)) as mesh:
            client = await mesh.connect()
            await client.send(call)
            assert (await client.exactly(20))[10:12] == b"\0\0"  # the status
            await until(lambda: mesh.counter("cluster.shadow.upstream_rq_200"), "the copy")
            client.close()


@BOTH
@live
async def test_calls_before_lost_framing_are_answered(wire: Wire) -> None:
    release = asyncio.Event()

    async def late(peer: Peer, number: int) -> None:
        calls = [await wire.read(peer) for _ in range(2)]
        await release.wait()
        await peer.send(*(wire.answer(call.id, call.said) for call in calls))
        await peer.rest()

    async with (
        Upstream(late) as upstream,
        RpcMesh(generic(wire, everything(to("up")), [cluster("up", upstream.port)])) as mesh,
    ):
        client = await mesh.connect()
        await client.send(wire.call(1, b"a"), wire.call(2, b"b"), b"\x77" * 30)
        await until(lambda: mesh.counter("generic_proxy.test.downstream_cx_protocol_error"), "the noise to be noticed")
        release.set()
        got: dict[int, bytes] = {}
        while len(got) < 2:
            frame = await wire.read(client)
            if frame.status == 0 or wire.name == "dubbo":
                got[frame.id] = frame.said
        assert {id: said for id, said in got.items() if id in (1, 2)} == {1: b"a", 2: b"b"}
        await client.rest()


@BOTH
@live
async def test_a_broken_call_is_answered_and_the_connection_kept(wire: Wire) -> None:
    async with (
        Upstream(serving(wire, echo)) as upstream,
        RpcMesh(generic(wire, everything(to("up")), [cluster("up", upstream.port)])) as mesh,
    ):
        client = await mesh.connect()
        await client.send(wire.call(1, b"a"), wire.broken_call(2), wire.call(3, b"c"))
        got = await replies(wire, client, 3)
        assert (got[1].said, got[3].said) == (b"a", b"c")
        assert got[2].status == wire.errors["bad"]
        assert mesh.counter("generic_proxy.test.downstream_cx_protocol_error") == 1
        client.close()


@BOTH
@live
async def test_impossible_lengths_are_refused_before_they_are_waited_for(wire: Wire) -> None:
    async with (
        Upstream(serving(wire, echo)) as upstream,
        RpcMesh(generic(wire, everything(to("up")), [cluster("up", upstream.port)])) as mesh,
    ):
        client = await mesh.connect()
        await client.send(wire.call(1, b"a") + wire.too_long(2))
        got = await replies(wire, client, 2)
        assert got[1].said == b"a"
        assert got[2].status == wire.errors["bad"]
        client.close()


@BOTH
@live
async def test_cut_frames_are_counted(wire: Wire) -> None:
    async with (
        Upstream(serving(wire, echo)) as upstream,
        RpcMesh(generic(wire, everything(to("up")), [cluster("up", upstream.port)])) as mesh,
    ):
        client = await mesh.connect()
        await client.send(wire.call(1, b"a"))
        assert (await wire.read(client)).said == b"a"
        await client.send(wire.call(2, b"b")[:-1])
        client.half_close()
        await client.rest()
        assert (
            mesh.counter(f"generic_proxy.test.{wire.name}.truncated_frame")
            + mesh.counter(f"{wire.name}.truncated_frame")
            == 1
        )


@BOTH
@live
async def test_a_response_from_a_caller_leaves_its_calls_alone(wire: Wire) -> None:
    """A response under the id of a call that is under way is nobody's."""
    async with (
        Upstream(serving(wire, lambda frame: frame.said if frame.said != b"first" else None)) as upstream,
        RpcMesh(generic(wire, everything(to("up", timeout="0.3s")), [cluster("up", upstream.port)])) as mesh,
    ):
        client = await mesh.connect()
        large = b"x" * (2 << 20)
        await client.send(
            wire.call(5, b"first"), wire.answer(5, b"nobody asked"), wire.answer(5, large), wire.call(6, b"second")
        )
        got = await replies(wire, client, 2)
        assert got[6].said == b"second"
        assert got[5].status == wire.errors["timeout"], "it went on"
        assert mesh.counter("generic_proxy.test.downstream_cx_protocol_error") == 2
        client.close()


BOMBS = {
    "deep lists": b"x" * 3000 + b"N",  # Hessian 2: 0x78 + n is an untyped list of n; 'x' is one of none
    "deep": b"\x79" * 100_000 + b"N",
    "maps": b"H" * 100_000,
    "counts": b"X\x49\x7f\xff\xff\xff",
    "a loop": b"\x79\x51\x90",
    "classes": b"C\x01a\x49\x7f\xff\xff\xff",
}


@pytest.mark.parametrize("bomb", BOMBS)
@live
async def test_bombs_in_attachments_do_not_stop_a_header_route(bomb: str) -> None:
    zone = when("Property", {"exact": "blue"}, to("up"), property_name="zone")
    routes = {"matcher_list": {"matchers": [zone]}, "on_no_match": to("other")}
    front = b"\x052.0.2\x09shop.Cart\x051.0.0\x03get\x00"
    async with (
        Upstream(answering_blue) as upstream,
        Upstream(silent) as other,
        RpcMesh(
            generic(DUBBO, routes, [cluster("up", upstream.port), cluster("other", other.port)]),
        ) as mesh,
    ):
        client = await mesh.connect()
        body = front + b"H\x04zone\x04blue\x01x" + BOMBS[bomb] + b"Z"
        await client.send(DUBBO.frame(0xC2, 0, 1, body), DUBBO.call(2, fields={"zone": "blue"}))
        while (frame := await DUBBO.read(client)).id != 2:
            pass  # some are no bombs but to who builds them
        assert frame.said == b"blue"
        assert mesh.counter("generic_proxy.test.downstream_rq_total") == 2
        client.reset()


async def answering_blue(peer: Peer, number: int) -> None:
    """A server that does not look into what it gets."""
    while True:
        head = await peer.exactly(16)
        await peer.exactly(int.from_bytes(head[12:], "big"))
        await peer.send(DUBBO.answer(int.from_bytes(head[4:12], "big"), b"blue"))


async def silent(peer: Peer, number: int) -> None:
    await peer.rest()


@pytest.mark.parametrize("serialization", [0, 1, 8, 13, 31])
@live
async def test_unknown_serializations_of_dubbo_pass_through(serialization: int) -> None:
    async def handler(peer: Peer, number: int) -> None:
        while True:
            head = await peer.exactly(16)
            body = await peer.exactly(int.from_bytes(head[12:], "big"))
            await peer.send(DUBBO.frame(serialization, 20, int.from_bytes(head[4:12], "big"), body))

    async with (
        Upstream(handler) as upstream,
        RpcMesh(generic(DUBBO, everything(to("up")), [cluster("up", upstream.port)])) as mesh,
    ):
        client = await mesh.connect()
        await client.send(DUBBO.frame(0xC0 | serialization, 0, 9, b"\xffwhatever\x00"))
        head = await client.exactly(16)
        assert (head[2], int.from_bytes(head[4:12], "big")) == (serialization, 9)
        assert await client.exactly(10) == b"\xffwhatever\x00"
        client.close()


# ends and changes


@BOTH
@live
async def test_drained_connections_finish_their_calls(wire: Wire) -> None:
    release = asyncio.Event()
    seen: list[Frame] = []

    async def late(peer: Peer, number: int) -> None:
        call = await wire.read(peer)
        seen.append(call)
        await release.wait()
        await peer.send(wire.answer(call.id, call.said))
        await peer.rest()

    async with (
        Upstream(late) as upstream,
        RpcMesh(generic(wire, everything(to("up")), [cluster("up", upstream.port)])) as mesh,
    ):
        client = await mesh.connect()
        await client.send(wire.call(1, b"under way"))
        await until(lambda: seen, "the call")
        async with asyncio.TaskGroup() as group:
            group.create_task(mesh.plane.drain(DEADLINE_S))
            if wire.name == "dubbo":
                assert (await wire.read(client)).kind == GOING
            release.set()
            answer = await wire.read(client)
            assert (answer.kind, answer.said) == (ANSWER, b"under way")
            assert await client.closed()


@BOTH
@live
async def test_routes_are_swapped_under_running_calls(wire: Wire) -> None:
    async with (
        Upstream(serving(wire, lambda frame: b"one")) as one,
        Upstream(serving(wire, lambda frame: b"two")) as two,
    ):

        def leading(name: str) -> dict[str, object]:
            return generic(wire, everything(to(name)), [cluster("one", one.port), cluster("two", two.port)])

        async with RpcMesh(leading("one")) as mesh:
            client = await mesh.connect()
            answers = []
            for turn in range(6):
                await client.send(*(wire.call(turn * 10 + id) for id in range(10)))
                await mesh.change(leading(("two", "one")[turn % 2]))
                answers.append({frame.said for frame in (await replies(wire, client, 10)).values()})
            assert all(said <= {b"one", b"two"} for said in answers)
            assert len(set().union(*answers)) == 2
            assert mesh.counter("generic_proxy.test.downstream_cx_total") == 1
            client.close()
