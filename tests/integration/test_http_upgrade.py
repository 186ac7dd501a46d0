"""Tunnels: upgrades and CONNECT through the whole path."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tests.integration.harness import (
    Json,
    Peer,
    field,
    get,
    live,
    ok,
    proxied,
    response,
    status_of,
    until,
)

WEBSOCKET: list[Json] = [{"upgrade_type": "websocket"}]
ASKING = get(b"/chat", b"connection: upgrade", b"upgrade: websocket")
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"


def accepting(talk: Callable[[Peer], Awaitable[None]]) -> Callable[[Peer, int], Awaitable[None]]:
    async def handler(peer: Peer, number: int) -> None:
        head = await peer.head()
        assert field(head, b"upgrade") == b"websocket"
        await peer.send(SWITCHING)
        await talk(peer)

    return handler


async def echo(peer: Peer) -> None:
    while data := await peer.reader.read(1 << 16):
        await peer.send(data)


@live
async def test_upgraded_connection_carries_bytes_both_ways() -> None:
    async with proxied(accepting(echo), upgrade_configs=WEBSOCKET) as (mesh, _):
        client = await mesh.connect()
        await client.send(ASKING)
        head = await client.head()
        assert status_of(head) == 101
        assert field(head, b"upgrade") == b"websocket"
        for data in (b"one", b"\x00" * 100_000):
            await client.send(data)
            assert await client.exactly(len(data)) == data
        client.close()
        await until(lambda: mesh.log.entries, "the tunnel to end")
        assert mesh.log.entries[0].status == 101


@live
async def test_bytes_sent_early_with_an_upgrade_reach_the_upstream() -> None:
    async with proxied(accepting(echo), upgrade_configs=WEBSOCKET) as (mesh, _):
        client = await mesh.connect()
        await client.send(ASKING + b"early", b" bird")
        assert status_of(await client.head()) == 101
        assert await client.exactly(10) == b"early bird"
        await client.send(b"later")
        assert await client.exactly(5) == b"later"


@live
async def test_half_closed_tunnel_still_carries_the_answer() -> None:
    async def count(peer: Peer) -> None:
        await peer.send(b"%d bytes" % len(await peer.rest()))

    async with proxied(accepting(count), upgrade_configs=WEBSOCKET) as (mesh, _):
        client = await mesh.connect()
        await client.send(ASKING)
        assert status_of(await client.head()) == 101
        await client.send(b"x" * 1000)
        client.half_close()
        assert await client.rest() == b"1000 bytes"
        await until(lambda: mesh.log.entries, "the tunnel to end")
        assert mesh.log.flags == [""]


@live
async def test_tunnel_that_the_upstream_ends_is_flushed_and_closed() -> None:
    async def part(peer: Peer) -> None:
        await peer.send(b"x" * 1_000_000)

    async with proxied(accepting(part), upgrade_configs=WEBSOCKET) as (mesh, _):
        client = await mesh.connect()
        await client.send(ASKING)
        await client.head()
        assert await client.rest() == b"x" * 1_000_000


@live
async def test_refused_upgrade_leaves_the_connections_usable() -> None:
    async def handler(peer: Peer, number: int) -> None:
        await peer.head()
        await peer.send(response(403, b"no"))
        await peer.head()
        await peer.send(ok(b"yes"))
        await peer.rest()

    async with proxied(handler, upgrade_configs=WEBSOCKET) as (mesh, upstream):
        client = await mesh.connect()
        await client.send(ASKING + get())
        assert status_of((await client.message())[0]) == 403
        assert (await client.message())[1] == b"yes"
        assert upstream.connections == 1


@live
async def test_upgrade_that_nobody_allowed_is_refused_by_us() -> None:
    async with proxied(accepting(echo)) as (mesh, upstream):
        client = await mesh.connect()
        await client.send(ASKING)
        assert status_of((await client.message())[0]) == 403
        assert upstream.connections == 0


@live
async def test_connect_opens_a_tunnel_through_a_proxy_upstream() -> None:
    async def handler(peer: Peer, number: int) -> None:
        assert (await peer.head()).startswith(b"CONNECT example.com:443 HTTP/1.1\r\n")
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        await echo(peer)

    connect: Json = {"match": {"connect_matcher": {}}, "route": {"cluster": "up"}}
    allowed: list[Json] = [{"upgrade_type": "CONNECT"}]
    async with proxied(handler, routes=[connect], upgrade_configs=allowed) as (mesh, _):
        client = await mesh.connect()
        await client.send(b"CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\n\r\n")
        assert status_of(await client.head()) == 200
        await client.send(b"hello")
        assert await client.exactly(5) == b"hello"


@live
async def test_tunnel_to_a_slow_upstream_stays_bounded() -> None:
    go = asyncio.Event()
    received = 0

    async def slow(peer: Peer) -> None:
        nonlocal received
        await go.wait()
        while data := await peer.reader.read(1 << 18):
            received += len(data)
        await peer.send(b"done")

    async with proxied(accepting(slow), upgrade_configs=WEBSOCKET) as (mesh, _):
        client = await mesh.connect()
        await client.send(ASKING)
        await client.head()
        size, sent = 96 << 20, 0

        async def upload() -> None:
            nonlocal sent
            while sent < size:
                await client.send(b"x" * (1 << 16))
                sent += 1 << 16
            client.half_close()

        async with asyncio.TaskGroup() as group:
            group.create_task(upload())
            before = -1
            while sent != before:
                before = sent
                await asyncio.sleep(0.3)
            assert sent < size // 2
            go.set()
            assert await client.rest() == b"done"
        assert received == size
