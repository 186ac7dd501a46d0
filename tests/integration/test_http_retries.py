"""Retries: when, how often, with what, and when not."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.integration.harness import (
    Handler,
    Json,
    Mesh,
    Peer,
    Upstream,
    answering,
    cluster,
    configuration,
    get,
    live,
    ok,
    post,
    proxied,
    response,
    route,
    status_of,
    until,
)


def retrying(on: str, retries: int = 1, **more: Any) -> list[Json]:
    back_off = {"base_interval": "0.001s", "max_interval": "0.002s"}
    policy = {"retry_on": on, "num_retries": retries, "retry_back_off": back_off, **more}
    return [route(timeout="10s", retry_policy=policy)]


def failing(times: int, how: bytes = b"", seen: list[bytes] | None = None) -> Handler:
    """Close (or answer ``how``) that many requests, then answer 200."""
    left = times

    async def handler(peer: Peer, number: int) -> None:
        nonlocal left
        while True:
            head, body = await peer.message()
            if not head:
                return
            if seen is not None:
                seen.append(body)
            if left:
                left -= 1
                if not how:
                    return
                await peer.send(how)
            else:
                await peer.send(ok())

    return handler


@live
async def test_5xx_is_tried_again() -> None:
    async with proxied(failing(2, response(503, b"busy")), routes=retrying("5xx", 3)) as (mesh, upstream):
        assert status_of((await mesh.ask(get()))[0]) == 200
        assert mesh.log.entries[0].attempts == 3
        assert upstream.connections == 1
        assert mesh.counter("cluster.up.upstream_rq_retry") == 2
        assert mesh.counter("cluster.up.upstream_rq_retry_success") == 1
        assert mesh.counter("cluster.up.upstream_rq_total") == 3
        assert mesh.log.flags == [""]


@live
async def test_response_tried_again_is_counted_apart() -> None:
    async with proxied(failing(1, response(503)), routes=retrying("5xx")) as (mesh, _):
        await mesh.ask(get())
        assert mesh.counter("cluster.up.upstream_rq_503") == 0
        assert mesh.counter("cluster.up.retry.upstream_rq_503") == 1
        assert mesh.counter("cluster.up.upstream_rq_completed") == 1


@live
async def test_response_with_a_long_body_is_tried_again_on_another_connection() -> None:
    cut = b"HTTP/1.1 503 Busy\r\ncontent-length: 1000\r\n\r\nhello"
    async with proxied(failing(1, cut), routes=retrying("5xx")) as (mesh, upstream):
        assert status_of((await mesh.ask(get()))[0]) == 200
        assert upstream.connections == 2


@live
async def test_limit_of_retries_gives_the_last_answer_urx() -> None:
    async with proxied(failing(9, response(503, b"busy")), routes=retrying("5xx", 2)) as (mesh, _):
        head, body = await mesh.ask(get())
        assert (status_of(head), body) == (503, b"busy")
        assert mesh.log.flags == ["URX"]
        assert mesh.log.entries[0].attempts == 3
        assert mesh.counter("cluster.up.upstream_rq_retry_limit_exceeded") == 1


@live
async def test_limit_of_retries_after_resets_is_uc_urx() -> None:
    async with proxied(failing(9), routes=retrying("reset", 1)) as (mesh, _):
        assert status_of((await mesh.ask(get()))[0]) == 503
        assert set(mesh.log.flags[0].split(",")) == {"UC", "URX"}


@live
async def test_connect_failure_is_tried_on_another_host() -> None:
    for words in ("connect-failure", "reset", "reset-before-request", "gateway-error"):
        async with Upstream(answering(ok())) as upstream:
            routes = retrying(words, 3)
            config = configuration([cluster("up", 1, upstream.port)], routes)
            async with Mesh(config) as mesh:
                for _ in range(4):
                    assert status_of((await mesh.ask(get()))[0]) == 200, words


@live
async def test_reset_is_not_tried_again_for_a_connect_failure_policy() -> None:
    async with proxied(failing(1), routes=retrying("connect-failure")) as (mesh, _):
        assert status_of((await mesh.ask(get()))[0]) == 503
        assert mesh.log.flags == ["UC"]


@live
async def test_only_the_named_statuses_are_tried_again() -> None:
    routes = retrying("retriable-status-codes", retriable_status_codes=[418])
    async with proxied(answering(response(418), response(503), ok()), routes=routes) as (mesh, _):
        assert status_of((await mesh.ask(get()))[0]) == 503
        assert mesh.counter("cluster.up.upstream_rq_retry") == 1


@live
async def test_body_is_sent_again() -> None:
    for pieces in (
        [post(b"x" * 5000)],
        [post(b"")[:-4].replace(b"length: 0", b"length: 6") + b"\r\n\r\n", b"abc", b"def"],
    ):
        seen: list[bytes] = []
        async with proxied(failing(2, response(503), seen), routes=retrying("5xx", 3)) as (mesh, _):
            client = await mesh.connect()
            for piece in pieces:
                await client.send(piece)
                await asyncio.sleep(0.02)
            assert status_of((await client.message())[0]) == 200
            assert len(seen) == 3
            assert set(seen) == {b"x" * 5000 if len(pieces) == 1 else b"abcdef"}


@live
async def test_body_that_comes_between_attempts_is_complete_in_the_last() -> None:
    refused = asyncio.Event()

    async def handler(peer: Peer, number: int) -> None:
        if number == 0:
            await peer.head()
            refused.set()
            return
        _, body = await peer.message()
        await peer.send(ok(body))

    routes = retrying("reset", 3, retry_back_off={"base_interval": "0.1s", "max_interval": "0.1s"})
    async with proxied(handler, routes=routes) as (mesh, _):
        client = await mesh.connect()
        await client.send(get(b"/", b"content-length: 9", method=b"POST"), b"abc")
        await refused.wait()
        await client.send(b"def")
        await asyncio.sleep(0.02)
        await client.send(b"ghi")
        assert (await client.message())[1] == b"abcdefghi"


@live
async def test_body_too_long_to_keep_is_not_sent_again() -> None:
    async def handler(peer: Peer, number: int) -> None:
        await peer.message()
        await peer.send(response(503))

    virtual: dict[str, Any] = {
        "route_config": {
            "name": "test",
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": retrying("5xx", 3),
                    "per_request_buffer_limit_bytes": 10_000,
                }
            ],
        }
    }
    async with proxied(handler, **virtual) as (mesh, upstream):
        client = await mesh.connect()
        await client.send(get(b"/", b"content-length: 100000", method=b"POST"))
        await until(lambda: upstream.connections, "the head")
        await client.send(b"x" * 100_000)
        assert status_of((await client.message())[0]) == 503
        assert mesh.log.entries[0].attempts == 1


@live
async def test_try_that_takes_too_long_is_made_again() -> None:
    async def handler(peer: Peer, number: int) -> None:
        await peer.message()
        if number:
            await peer.send(ok())
        await peer.rest()

    for words in ("5xx", "reset", "gateway-error"):
        async with proxied(handler, routes=retrying(words, 1, per_try_timeout="0.1s")) as (mesh, _):
            assert status_of((await mesh.ask(get()))[0]) == 200, words
            assert mesh.counter("cluster.up.upstream_rq_per_try_timeout") == 1


@live
async def test_last_try_that_takes_too_long_is_504() -> None:
    async def handler(peer: Peer, number: int) -> None:
        await peer.rest()

    async with proxied(handler, routes=retrying("5xx", 1, per_try_timeout="0.05s")) as (mesh, _):
        assert status_of((await mesh.ask(get()))[0]) == 504
        assert set(mesh.log.flags[0].split(",")) == {"UT", "URX"}


@live
async def test_budget_of_retries_is_kept() -> None:
    up = {"circuit_breakers": {"thresholds": [{"max_retries": 0}]}}
    async with proxied(failing(9, response(503)), routes=retrying("5xx"), up=up) as (mesh, _):
        assert status_of((await mesh.ask(get()))[0]) == 503
        assert mesh.counter("cluster.up.upstream_rq_retry_overflow") == 1
        assert mesh.log.flags == ["UO"]


@live
async def test_caller_that_leaves_during_the_back_off_ends_the_retries() -> None:
    routes = retrying("5xx", 3, retry_back_off={"base_interval": "5s", "max_interval": "5s"})
    async with proxied(failing(9, response(503)), routes=routes) as (mesh, _):
        client = await mesh.connect()
        await client.send(get())
        await until(lambda: mesh.counter("cluster.up.upstream_rq_retry") == 1, "the first retry")
        client.reset()
        await until(lambda: mesh.log.entries, "the end")
        assert mesh.log.flags == ["DC"]


@live
async def test_route_timeout_covers_all_tries() -> None:
    routes = retrying("5xx", 1000)
    routes[0]["route"]["timeout"] = "0.3s"
    async with proxied(failing(10**6, response(503)), routes=routes) as (mesh, _):
        assert status_of((await mesh.ask(get()))[0]) == 504
        assert mesh.log.flags == ["UT"]
