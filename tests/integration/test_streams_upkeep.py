"""What the core does for shared upstream connections of its own accord: heartbeats, callers' deadlines, mirrors."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs

from plait import Request, Stream
from plait.api.config import Thresholds
from plait.stream import ForwardOptions
from tests.integration.framed import FRAMED, MORE, FramedClient, FramedMesh, FramedServer, ToUp, frame, read_frame, up
from tests.integration.harness import Peer, Upstream, live, until

PING = (0, 0, b"ping")
ALL = 1_000_000


class _Beating(FramedClient):
    heartbeat_s = 0.05
    heartbeat_timeout_s = 0.1

    def encode_ping(self) -> bytes:
        return frame(0, b"ping")


BEATING = attrs.evolve(FRAMED, client_codec=_Beating)


class Talk:
    """An upstream that answers requests, and pings while ``alive``."""

    def __init__(self, *, alive: bool = True, answers: bool = True) -> None:
        self.alive = alive
        self.answers = answers
        self.pings = 0
        self.requests: list[bytes] = []

    async def __call__(self, peer: Peer, number: int) -> None:
        while True:
            id, flags, payload = await read_frame(peer)
            if (id, flags, payload) == PING:
                self.pings += 1
                if self.alive:
                    await peer.send(frame(0, b"200 pong"))
                continue
            self.requests.append(payload)
            if self.answers and not flags & MORE:
                await peer.send(frame(id, b"200 " + payload))


@live
async def test_silent_connection_is_asked_and_kept_while_it_answers() -> None:
    talk = Talk()
    async with Upstream(talk) as upstream, FramedMesh(up(upstream.port), protocols=[BEATING]) as mesh:
        client = await mesh.connect()
        await client.send(frame(1, b"m a"))
        assert await read_frame(client) == (1, 0, b"200 m a")
        await until(lambda: talk.pings >= 3, "three heartbeats")
        await client.send(frame(2, b"m b"))
        assert await read_frame(client) == (2, 0, b"200 m b")
        assert upstream.connections == 1
        assert mesh.counter("cluster.up.upstream_cx_heartbeat_timeout") == 0


@live
async def test_connection_that_leaves_a_heartbeat_unanswered_fails_its_streams() -> None:
    talk = Talk(alive=False, answers=False)
    async with Upstream(talk) as upstream, FramedMesh(up(upstream.port), protocols=[BEATING]) as mesh:
        client = await mesh.connect()
        await client.send(frame(1, b"m a"))
        id, _, payload = await read_frame(client)
        assert (id, payload[:4]) == (1, b"503 ")
        assert b"connection_termination" in payload
        assert mesh.counter("cluster.up.upstream_cx_heartbeat_timeout") == 1
        talk.alive = talk.answers = True
        await client.send(frame(2, b"m b"))
        assert await read_frame(client) == (2, 0, b"200 m b")
        assert upstream.connections == 2


class _Hurried(FramedServer):
    """Its callers wait for a tenth of a second."""

    def _request(self, id: int, flags: int, payload: bytes) -> Any:
        request = super()._request(id, flags, payload)
        if isinstance(request, Request):
            request.timeout_s = 0.1
        return request


@live
async def test_callers_own_deadline_ends_a_request_before_the_routes() -> None:
    talk = Talk(answers=False)
    hurried = attrs.evolve(FRAMED, server_codec=_Hurried)
    for route_s in (30.0, 0.0):
        router = ToUp(ForwardOptions(timeout_s=route_s))
        async with (
            Upstream(talk) as upstream,
            FramedMesh(up(upstream.port), protocols=[hurried], router=router) as mesh,
        ):
            client = await mesh.connect()
            await client.send(frame(1, b"m a"))
            assert await read_frame(client) == (1, 0, b"504 response_timeout")
            await client.send(frame(2, b"m b", MORE))
            await client.send(frame(2, b"b"))
            assert await read_frame(client) == (2, 0, b"504 response_timeout")
            assert mesh.counter("cluster.up.upstream_rq_timeout") == 2


class _MirrorsFirst(ToUp):
    """Mirrors the requests of the method ``copied`` to their own cluster."""

    def send(self, stream: Stream) -> Any:
        copied = stream.request.path == "copied"
        self.options = ForwardOptions(timeout_s=5.0, mirrors=[("up", ALL), ("gone", ALL), ("up", 0)] if copied else [])
        return super().send(stream)


@live
async def test_copy_of_a_request_goes_its_own_way() -> None:
    talk = Talk()
    async with Upstream(talk) as upstream, FramedMesh(up(upstream.port), router=_MirrorsFirst()) as mesh:
        client = await mesh.connect()
        await client.send(frame(1, b"copied a"), frame(2, b"m b"))
        got = {await read_frame(client), await read_frame(client)}
        assert got == {(1, 0, b"200 copied a"), (2, 0, b"200 m b")}
        await until(lambda: len(talk.requests) == 3, "the copy")
        assert sorted(talk.requests) == [b"copied a", b"copied a", b"m b"]
        await until(lambda: mesh.counter("cluster.up.upstream_rq_200") == 3, "the copy's answer")
        assert mesh.counter("http.test.downstream_rq_total") == 2


@live
async def test_copy_of_a_request_in_pieces_gets_every_piece() -> None:
    talk = Talk()
    async with Upstream(talk) as upstream, FramedMesh(up(upstream.port), router=_MirrorsFirst()) as mesh:
        client = await mesh.connect()
        await client.send(frame(1, b"copied a", MORE))
        await until(lambda: len(talk.requests) == 2, "both heads")
        await client.send(frame(1, b"rest"))
        await until(lambda: len(talk.requests) == 4, "both bodies")
        assert talk.requests == [b"copied a", b"copied a", b"rest", b"rest"]


@live
async def test_copy_ends_when_its_caller_gives_up() -> None:
    talk = Talk(answers=False)
    async with Upstream(talk) as upstream, FramedMesh(up(upstream.port), router=_MirrorsFirst()) as mesh:
        client = await mesh.connect()
        await client.send(frame(1, b"copied a", MORE))
        await until(lambda: len(talk.requests) == 2, "both heads")
        client.reset()
        await until(lambda: mesh.counter("cluster.up.upstream_rq_tx_reset") == 2, "both resets")


@live
async def test_copy_that_its_cluster_refuses_changes_nothing() -> None:
    calls: list[bytes] = []

    async def slow(peer: Peer, number: int) -> None:
        while True:
            id, _, payload = await read_frame(peer)
            calls.append(payload)
            await asyncio.sleep(0)
            await peer.send(frame(id, b"200 " + payload))

    async with Upstream(slow) as upstream:
        cluster = up(upstream.port, thresholds=Thresholds(max_requests=1))
        async with FramedMesh(cluster, router=_MirrorsFirst()) as mesh:
            client = await mesh.connect()
            await client.send(frame(1, b"copied a"))  # the copy goes first and takes the only place
            id, _, payload = await read_frame(client)
            assert (id, payload[:4]) == (1, b"503 ")
            await until(lambda: mesh.counter("cluster.up.upstream_rq_200") == 1, "the copy's answer")
