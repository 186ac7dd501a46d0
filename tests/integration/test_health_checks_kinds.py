"""Health checks by gRPC's health service and by TCP, over real sockets."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.integration.harness import Json, Mesh, Peer, Upstream, cluster, configuration, live, until
from tests.integration.health import checks, failing, stat
from tests.integration.http2 import Http2Upstream, Message, Session, http2_options

SERVING = b"\0\0\0\0\x02\x08\x01"
NOT_SERVING = b"\0\0\0\0\x02\x08\x02"
GRPC = ((b"content-type", b"application/grpc"),)

# gRPC


class Health:
    """A gRPC health service whose answer is set; ``ways`` are other ways to answer, by name."""

    def __init__(self) -> None:
        self.way = "serving"
        self.handler = Http2Upstream(self._serve)

    async def _serve(self, session: Session, message: Message) -> None:
        way = self.way
        if way in ("serving", "not serving"):
            session.h2.send_headers(message.id, [(b":status", b"200"), *GRPC])
            await session.send(message, SERVING if way == "serving" else NOT_SERVING, end=False)
            await session.send_trailers(message, (b"grpc-status", b"0"))
        elif way == "unimplemented":
            await session.answer(message, 200, b"", *GRPC, (b"grpc-status", b"12"))
        elif way == "no status":
            await session.answer(message, 200, SERVING, *GRPC)
        elif way == "not found":
            await session.answer(message, 404, b"no")
        elif way == "too much":
            session.h2.send_headers(message.id, [(b":status", b"200"), *GRPC])
            await session.send(message, SERVING + b"x" * 200_000, end=False)
            await session.send_trailers(message, (b"grpc-status", b"0"))
        elif way == "reset":
            await session.reset(message)
        elif way == "leaving":
            await session.go_away(0)
        elif way == "last one":
            await session.go_away(message.id)
            self.way = "serving"
            await self._serve(session, message)


@contextlib.asynccontextmanager
async def health_of(kind: Json, **more: Any) -> AsyncIterator[tuple[Mesh, Health, Upstream]]:
    """A mesh that checks one gRPC server."""
    health = Health()
    async with Upstream(health.handler) as upstream:
        up = cluster("up", upstream.port, **checks({"grpc_health_check": kind}, **more), **http2_options())
        async with Mesh(configuration([up])) as mesh:
            yield mesh, health, upstream


@live
async def test_grpc_is_asked_by_its_health_service() -> None:
    kind = {
        "service_name": "shop.Cart",
        "authority": "shop",
        "initial_metadata": [{"header": {"key": "x-token", "value": "t"}}],
    }
    async with health_of(kind) as (mesh, health, upstream):
        assert failing(mesh) == [False]
        asked = health.handler.asked[0]
        assert asked.field(b":method") == b"POST"
        assert asked.field(b":path") == b"/grpc.health.v1.Health/Check"
        assert asked.field(b":authority") == b"shop"
        assert asked.field(b"content-type") == b"application/grpc"
        assert asked.field(b"te") == b"trailers"
        assert asked.field(b"x-token") == b"t"
        assert bytes(asked.body) == b"\0\0\0\0\x0b\x0a\x09shop.Cart"
        await until(lambda: len(health.handler.asked) > 5, "more checks")
        assert upstream.connections == 1


@pytest.mark.parametrize("way", ["not serving", "unimplemented", "no status", "not found", "too much"])
@live
async def test_a_server_that_says_no_is_believed_at_once(way: str) -> None:
    async with health_of({}, unhealthy_threshold=1000) as (mesh, health, upstream):
        assert failing(mesh) == [False]
        health.way = way
        await until(lambda: failing(mesh) == [True], "the host to fail")
        assert not stat(mesh, "health_check.network_failure")
        health.way = "serving"
        await until(lambda: failing(mesh) == [False], "the host to be well")
        assert upstream.connections == 1


@pytest.mark.parametrize("way", ["reset", "leaving"])
@live
async def test_a_call_without_an_answer_counts_towards_the_threshold(way: str) -> None:
    async with health_of({}, unhealthy_threshold=3) as (mesh, health, _):
        assert failing(mesh) == [False]
        health.way = way
        await until(lambda: failing(mesh) == [True], "the host to fail")
        assert stat(mesh, "health_check.network_failure") >= 3
        health.way = "serving"
        await until(lambda: failing(mesh) == [False], "the host to be well")


@live
async def test_a_server_that_goes_away_is_asked_on_another_connection() -> None:
    async with health_of({}) as (mesh, health, upstream):
        health.way = "last one"
        await until(lambda: upstream.connections > 1, "another connection")
        assert failing(mesh) == [False]
        assert not stat(mesh, "health_check.failure")


# TCP


@live
async def test_a_connection_is_enough() -> None:
    async def quiet(peer: Peer, number: int) -> None:
        await peer.rest()

    async with (
        Upstream(quiet) as upstream,
        Mesh(configuration([cluster("up", upstream.port, **checks({"tcp_health_check": {}}))])) as mesh,
    ):
        assert failing(mesh) == [False]
        await until(lambda: upstream.connections > 2, "some checks")
        await upstream.stop()
        await until(lambda: failing(mesh) == [True], "the host to fail")
        assert stat(mesh, "health_check.network_failure")


@live
async def test_bytes_are_sent_and_others_expected() -> None:
    seen: list[bytes] = []
    answer = [b"+PO", b"NG\r\n"]

    async def pong(peer: Peer, number: int) -> None:
        while True:
            seen.append(await peer.until(b"\n"))
            await peer.send(*answer)

    kind = {"tcp_health_check": {"send": {"text": b"PING\n".hex()}, "receive": [{"text": b"PONG".hex()}]}}
    async with Upstream(pong) as upstream:
        up = cluster("up", upstream.port, **checks(kind, timeout="0.5s"))
        async with Mesh(configuration([up])) as mesh:
            assert failing(mesh) == [False]
            await until(lambda: len(seen) > 3, "some checks")
            assert upstream.connections == 1
            answer[:] = [b"-LOADING\r\n"]
            await until(lambda: failing(mesh) == [True], "the host to fail")
            assert set(seen) == {b"PING\n"}


@live
async def test_bytes_that_want_no_answer_are_sent() -> None:
    seen: list[bytes] = []

    async def listens(peer: Peer, number: int) -> None:
        seen.append(await peer.rest())

    kind = {"tcp_health_check": {"send": {"text": b"hello".hex()}}}
    async with (
        Upstream(listens) as upstream,
        Mesh(configuration([cluster("up", upstream.port, **checks(kind))])) as mesh,
    ):
        await until(lambda: b"hello" in seen, "what was sent")
        assert failing(mesh) == [False]
