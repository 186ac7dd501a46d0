"""Circuit breakers: what waits, what is refused, and that what was counted is given back."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.integration.harness import (
    Handler,
    Json,
    Peer,
    field,
    get,
    live,
    ok,
    proxied,
    route,
    status_of,
    until,
)


def thresholds(**limits: int) -> Json:
    return {"circuit_breakers": {"thresholds": [limits]}}


def held(go: asyncio.Event) -> Handler:
    async def handler(peer: Peer, number: int) -> None:
        while (await peer.message())[0]:
            await go.wait()
            await peer.send(ok())

    return handler


@live
async def test_requests_wait_for_one_of_few_connections() -> None:
    go = asyncio.Event()
    async with proxied(held(go), up=thresholds(max_connections=2)) as (mesh, upstream):
        clients = [await mesh.connect() for _ in range(6)]
        for client in clients:
            await client.send(get())
        await until(lambda: mesh.counter("cluster.up.upstream_rq_pending_active") == 4, "four to wait")
        assert upstream.connections == 2
        go.set()
        for client in clients:
            assert status_of((await client.message())[0]) == 200
        assert upstream.connections == 2
        assert mesh.counter("cluster.up.upstream_cx_overflow") >= 1


@live
async def test_more_than_may_wait_are_503_uo() -> None:
    go = asyncio.Event()
    limits = thresholds(max_connections=1, max_pending_requests=1)
    async with proxied(held(go), up=limits) as (mesh, _):
        first, second = await mesh.connect(), await mesh.connect()
        await first.send(get())
        await until(lambda: mesh.counter("cluster.up.upstream_rq_total") == 1, "the first")
        await until(lambda: mesh.counter("cluster.up.upstream_rq_pending_active") == 0, "its connection")
        await second.send(get())
        await until(lambda: mesh.counter("cluster.up.upstream_rq_pending_active") == 1, "the second to wait")
        head, _ = await mesh.ask(get())
        assert status_of(head) == 503
        assert field(head, b"x-envoy-overloaded") == b"true"
        assert mesh.log.flags == ["UO"]
        assert mesh.counter("cluster.up.upstream_rq_pending_overflow") == 1
        go.set()
        for client in (first, second):
            assert status_of((await client.message())[0]) == 200


@live
async def test_more_than_may_be_under_way_are_503_uo() -> None:
    go = asyncio.Event()
    async with proxied(held(go), up=thresholds(max_requests=1)) as (mesh, _):
        first = await mesh.connect()
        await first.send(get())
        await until(lambda: mesh.counter("cluster.up.upstream_rq_active") == 1, "the first")
        head, _ = await mesh.ask(get())
        assert status_of(head) == 503
        assert field(head, b"x-envoy-overloaded") == b"true"
        go.set()
        assert status_of((await first.message())[0]) == 200
        assert mesh.log.flags == ["UO", ""]
        assert status_of((await mesh.ask(get()))[0]) == 200


@live
async def test_waiting_requests_are_given_up_at_their_timeout_and_by_their_callers() -> None:
    go = asyncio.Event()
    routes = [route(timeout="0.3s")]
    async with proxied(held(go), up=thresholds(max_connections=1), routes=routes) as (mesh, _):
        first, second, third = [await mesh.connect() for _ in range(3)]
        await first.send(get())
        await until(lambda: mesh.counter("cluster.up.upstream_rq_total") == 1, "the first")
        await second.send(get())
        await third.send(get())
        await until(lambda: mesh.counter("cluster.up.upstream_rq_pending_active") == 2, "two to wait")
        third.reset()
        await until(lambda: mesh.counter("cluster.up.upstream_rq_cancelled") == 1, "the third to be cancelled")
        assert status_of((await second.message())[0]) == 504
        assert status_of((await first.message())[0]) == 504
        assert sorted(mesh.log.flags) == ["DC", "UT", "UT"]


@live
async def test_connection_that_goes_makes_room_for_who_waits() -> None:
    async def handler(peer: Peer, number: int) -> None:
        await peer.message()
        await asyncio.sleep(0.02)
        if number % 2:
            await peer.send(ok(b"", b"connection: close"))

    async with proxied(handler, up=thresholds(max_connections=1)) as (mesh, _):

        async def one() -> Any:
            return status_of((await mesh.ask(get()))[0])

        statuses = await asyncio.gather(*(one() for _ in range(10)))
        assert sorted(statuses) == [200] * 5 + [503] * 5


@live
async def test_crowd_is_served_over_one_connection() -> None:
    async def handler(peer: Peer, number: int) -> None:
        while (await peer.message())[0]:
            await peer.send(ok())

    async with proxied(handler, up=thresholds(max_connections=1)) as (mesh, upstream):
        heads = await asyncio.gather(*(mesh.ask(get()) for _ in range(100)))
        assert all(status_of(head) == 200 for head, _ in heads)
        assert upstream.connections == 1
