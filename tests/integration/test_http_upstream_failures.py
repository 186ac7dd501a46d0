"""Upstreams that are not there, stall, reset, answer twice or answer nonsense."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.harness import (
    Mesh,
    Peer,
    answering,
    cluster,
    configuration,
    field,
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


@live
async def test_refused_connection_is_503_uf() -> None:
    async with Mesh(configuration([cluster("up", 1)])) as mesh:
        head, body = await mesh.ask(get())
        assert status_of(head) == 503
        assert body.startswith(b"upstream connect error or disconnect/reset before headers")
        assert mesh.log.flags == ["UF"]
        assert mesh.log.entries[0].details == "upstream_reset_before_response_started{remote_connection_failure}"
        assert mesh.counter("cluster.up.upstream_cx_connect_fail") == 1
        assert mesh.counter("cluster.up.upstream_rq_503") == 1


@live
async def test_cluster_without_hosts_is_503_uh() -> None:
    async with Mesh(configuration([cluster("up")])) as mesh:
        head, body = await mesh.ask(get())
        assert (status_of(head), body) == (503, b"no healthy upstream")
        assert mesh.log.flags == ["UH"]


@live
async def test_request_without_a_route_is_404_nr() -> None:
    async with proxied(answering(ok()), routes=[route("/only")]) as (mesh, _):
        client = await mesh.connect()
        await client.send(get(b"/else"))
        assert status_of((await client.message())[0]) == 404
        await client.send(get(b"/only"))
        assert status_of((await client.message())[0]) == 200
        assert mesh.log.flags == ["NR", ""]


@live
async def test_connection_closed_before_the_response_is_503_uc() -> None:
    async def handler(peer: Peer, number: int) -> None:
        await peer.message()

    async with proxied(handler) as (mesh, _):
        client = await mesh.connect()
        for _ in range(2):
            await client.send(get())
            assert status_of((await client.message())[0]) == 503
        assert mesh.log.flags == ["UC", "UC"]
        assert mesh.log.entries[0].details == "upstream_reset_before_response_started{connection_termination}"


@live
async def test_connection_reset_before_the_response_is_503_uc() -> None:
    async def handler(peer: Peer, number: int) -> None:
        await peer.message()
        peer.reset()

    async with proxied(handler) as (mesh, _):
        assert status_of((await mesh.ask(get()))[0]) == 503
        assert mesh.log.flags == ["UC"]


@live
@pytest.mark.parametrize("reset", [True, False])
@pytest.mark.parametrize("framing", [b"content-length: 1000", b"transfer-encoding: chunked"])
async def test_connection_lost_inside_the_response_cuts_downstream_off(reset: bool, framing: bytes) -> None:
    async def handler(peer: Peer, number: int) -> None:
        await peer.message()
        await peer.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
        await peer.send(b"5\r\nhello\r\n")
        await asyncio.sleep(0.05)
        if reset:
            peer.reset()

    async with proxied(handler) as (mesh, _):
        client = await mesh.connect()
        await client.send(get())
        assert status_of(await client.head()) == 200
        received = await client.rest()
        assert b"hello" in received
        assert not received.endswith(b"0\r\n\r\n")
        assert mesh.log.flags == ["UC"]
        assert mesh.log.entries[0].details == "upstream_reset_after_response_started{connection_termination}"
        assert mesh.counter("http.test.downstream_rq_2xx") == 1


@live
@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01 nonsense\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad field\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000 + b"\r\n\r\n",
    ],
)
async def test_upstream_that_breaks_the_protocol_is_502_upe(garbage: bytes) -> None:
    async with proxied(answering(garbage)) as (mesh, _):
        client = await mesh.connect()
        for _ in range(2):
            await client.send(get())
            assert status_of((await client.message())[0]) == 502
        assert mesh.log.flags == ["UPE", "UPE"]
        assert mesh.counter("cluster.up.upstream_cx_protocol_error") == 2


@live
async def test_broken_chunk_inside_the_response_cuts_downstream_off() -> None:
    async with proxied(answering(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n")) as (
        mesh,
        _,
    ):
        client = await mesh.connect()
        await client.send(get())
        received = await client.rest()
        assert not received.endswith(b"0\r\n\r\n")
        assert mesh.log.flags == ["UPE"]


@live
async def test_second_answer_is_not_given_to_the_next_request() -> None:
    async with proxied(answering(ok(b"one") + ok(b"stray"), ok(b"two"))) as (mesh, upstream):
        client = await mesh.connect()
        await client.send(get())
        assert (await client.message())[1] == b"one"
        await client.send(get())
        assert (await client.message())[1] == b"two"
        assert upstream.connections == 2
        assert mesh.counter("cluster.up.upstream_cx_protocol_error") == 1


@live
async def test_bytes_on_an_idle_connection_close_it() -> None:
    async def handler(peer: Peer, number: int) -> None:
        await peer.message()
        await peer.send(ok(b"%d" % number))
        await asyncio.sleep(0.02)
        await peer.send(ok(b"stray"))
        await peer.rest()

    async with proxied(handler) as (mesh, _):
        client = await mesh.connect()
        await client.send(get())
        assert (await client.message())[1] == b"0"
        await until(lambda: mesh.counter("cluster.up.upstream_cx_destroy") == 1, "the connection to close")
        await client.send(get())
        assert (await client.message())[1] == b"1"


@live
async def test_upstream_that_speaks_first_is_an_error_and_no_loop() -> None:
    async def handler(peer: Peer, number: int) -> None:
        await peer.send(b"220 mail.example ESMTP\r\n")
        await peer.rest()

    async with proxied(handler) as (mesh, upstream):
        head, _ = await mesh.ask(get())
        assert status_of(head) in (502, 503)
        assert upstream.connections < 10


@live
async def test_connection_that_dies_as_it_is_reused_is_503_uc_and_the_next_request_works() -> None:
    async def handler(peer: Peer, number: int) -> None:
        await peer.message()
        await peer.send(ok(b"%d" % number))
        await peer.head()  # takes the second request, and closes without an answer

    async with proxied(handler) as (mesh, upstream):
        client = await mesh.connect()
        statuses = []
        for _ in range(3):
            await client.send(get())
            statuses.append(status_of((await client.message())[0]))
        assert statuses == [200, 503, 200]
        assert upstream.connections == 2


@live
async def test_idle_connection_that_the_upstream_closes_is_not_used_again() -> None:
    async def handler(peer: Peer, number: int) -> None:
        await peer.message()
        await peer.send(ok(b"%d" % number))

    async with proxied(handler) as (mesh, _):
        client = await mesh.connect()
        for number in range(3):
            await client.send(get())
            assert (await client.message())[1] == b"%d" % number
            await until(lambda: mesh.counter("cluster.up.upstream_cx_active") == 0, "the close")


@live
async def test_connection_close_of_the_upstream_is_heeded() -> None:
    async def handler(peer: Peer, number: int) -> None:
        await peer.message()
        await peer.send(ok(b"x", b"connection: close"))
        await peer.rest()

    async with proxied(handler) as (mesh, upstream):
        client = await mesh.connect()
        for _ in range(3):
            await client.send(get())
            assert field((await client.message())[0], b"connection") is None
        assert upstream.connections == 3


@live
async def test_upstream_that_stalls_is_504_ut() -> None:
    async def handler(peer: Peer, number: int) -> None:
        await peer.message()
        await peer.rest()

    async with proxied(handler, routes=[route(timeout="0.1s")]) as (mesh, _):
        client = await mesh.connect()
        await client.send(get())
        head, body = await client.message()
        assert (status_of(head), body) == (504, b"upstream request timeout")
        await client.send(post(b"body"))
        assert status_of((await client.message())[0]) == 504
        assert mesh.log.flags == ["UT", "UT"]
        assert mesh.log.entries[0].details == "response_timeout"
        assert mesh.counter("cluster.up.upstream_rq_timeout") == 2


@live
async def test_upstream_that_stalls_inside_the_response_is_cut_off() -> None:
    async def handler(peer: Peer, number: int) -> None:
        await peer.message()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello")
        await peer.rest()

    async with proxied(handler, routes=[route(timeout="0.1s")]) as (mesh, _):
        client = await mesh.connect()
        await client.send(get())
        assert (await client.rest()).endswith(b"hello")
        assert mesh.log.flags == ["UT"]


@live
async def test_upstream_that_takes_no_bytes_is_given_up_at_the_timeout() -> None:
    async def handler(peer: Peer, number: int) -> None:
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(60)

    up = {"per_connection_buffer_limit_bytes": 1 << 24}
    big = {"per_connection_buffer_limit_bytes": 1 << 24}
    async with proxied(handler, routes=[route(timeout="0.3s")], up=up, listener=big) as (mesh, _):
        client = await mesh.connect()
        await client.send(post(b"x" * (12 << 20)))
        assert status_of((await client.message())[0]) == 504
        await until(lambda: mesh.counter("cluster.up.upstream_cx_active") == 0, "the connection to go")


@live
async def test_idle_connection_to_an_upstream_is_closed_in_time() -> None:
    up = {"common_http_protocol_options": {"idle_timeout": "0.1s"}}
    async with proxied(answering(ok()), up=up) as (mesh, _):
        await mesh.ask(get())
        await until(lambda: mesh.counter("cluster.up.upstream_cx_idle_timeout") == 1, "the idle timeout")
        await until(lambda: mesh.counter("cluster.up.upstream_cx_active") == 0, "the close")


@live
async def test_connection_to_an_upstream_carries_its_number_of_requests() -> None:
    async with proxied(answering(ok()), up={"max_requests_per_connection": 2}) as (mesh, upstream):
        client = await mesh.connect()
        for _ in range(5):
            await client.send(get())
            assert status_of((await client.message())[0]) == 200
        assert upstream.connections == 3
        assert mesh.counter("cluster.up.upstream_cx_max_requests") == 2


@live
async def test_answer_with_a_missing_body_still_ends_at_the_timeout() -> None:
    async with proxied(answering(response(200)), routes=[route(timeout="0s")]) as (mesh, _):
        assert status_of((await mesh.ask(get()))[0]) == 200
