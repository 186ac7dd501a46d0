"""Callers that send nonsense, are slow, or go away; and the clocks that watch them."""

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

CHUNKED = get(b"/", b"transfer-encoding: chunked", method=b"POST")


@live
@pytest.mark.parametrize(
    ("garbage", "status"),
    [
        (b"\x16\x03\x01\x00nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400),
        (get(b"/", b"content-length: 3", b"transfer-encoding: chunked", method=b"POST") + b"0\r\n\r\n", 400),
        (get(b"/", b"content-length: 3", b"content-length: 4", method=b"POST") + b"abcd", 400),
        (get(b"/", b"content-length: 3, 3", method=b"POST") + b"abc", 400),
        (get(b"/", b"content-length: +3", method=b"POST") + b"abc", 400),
        (get(b"/", b"bad field: x"), 400),
        (get(b"/", b"x: " + b"y" * 70_000), 431),
        (get(b"/", *(b"x%d: y" % n for n in range(200))), 431),
        (b"GET /" + b"x" * 70_000, 431),
        (CHUNKED + b"zz\r\n", 400),
    ],
)
async def test_request_that_breaks_the_protocol_is_answered_and_the_connection_closed(
    garbage: bytes, status: int
) -> None:
    async with proxied(answering(ok())) as (mesh, _):
        client = await mesh.connect()
        await client.send(get() + garbage)
        assert status_of((await client.message())[0]) == 200
        head, _ = await client.message()
        assert status_of(head) == status
        assert field(head, b"connection") == b"close"
        assert await client.closed()
        assert mesh.log.flags == ["", "DPE"]
        assert mesh.counter("http.test.downstream_cx_protocol_error") == 1
        assert status_of((await mesh.ask(get()))[0]) == 200


@live
async def test_garbage_inside_a_body_cancels_the_upstream_request() -> None:
    async def handler(peer: Peer, number: int) -> None:
        await peer.rest()

    async with proxied(handler) as (mesh, upstream):
        client = await mesh.connect()
        await client.send(CHUNKED + b"3\r\nabc\r\n")
        await until(lambda: upstream.connections, "the request upstream")
        await client.send(b"zz\r\n")
        assert status_of((await client.message())[0]) == 400
        await until(lambda: mesh.counter("cluster.up.upstream_cx_active") == 0, "the upstream connection to close")
        assert mesh.log.flags == ["DPE"]
        assert mesh.counter("cluster.up.upstream_rq_tx_reset") == 1


@live
async def test_truncated_body_is_refused_and_the_upstream_request_cancelled() -> None:
    async def handler(peer: Peer, number: int) -> None:
        await peer.rest()

    async with proxied(handler) as (mesh, upstream):
        client = await mesh.connect()
        await client.send(get(b"/", b"content-length: 10", method=b"POST"), b"abc")
        await until(lambda: upstream.connections, "the request upstream")
        client.half_close()
        assert (await client.rest()).startswith(b"HTTP/1.1 400 ")
        await until(lambda: mesh.counter("cluster.up.upstream_cx_active") == 0, "the upstream connection to close")
        assert mesh.log.flags == ["DPE"]


@live
@pytest.mark.parametrize("asked", [get(), get(b"/", b"content-length: 10", method=b"POST") + b"abc"])
async def test_caller_that_goes_away_cancels_the_upstream_request(asked: bytes) -> None:
    gone = asyncio.Event()

    async def handler(peer: Peer, number: int) -> None:
        await peer.rest()
        gone.set()

    async with proxied(handler) as (mesh, upstream):
        client = await mesh.connect()
        await client.send(asked)
        await until(lambda: upstream.connections, "the request upstream")
        client.reset()
        await gone.wait()
        await until(lambda: mesh.log.entries, "the log")
        assert mesh.log.flags == ["DC"]
        assert mesh.log.entries[0].details == "downstream_remote_disconnect"
        assert mesh.counter("cluster.up.upstream_rq_tx_reset") == 1
        assert mesh.counter("http.test.downstream_cx_destroy_remote_active_rq") == 1


@live
async def test_caller_that_goes_away_inside_the_response_stops_the_upstream() -> None:
    gone = asyncio.Event()

    async def handler(peer: Peer, number: int) -> None:
        await peer.message()
        await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        try:
            while True:
                await peer.send(b"5\r\nhello\r\n")
                await asyncio.sleep(0.001)
        finally:
            gone.set()

    async with proxied(handler) as (mesh, _):
        client = await mesh.connect()
        await client.send(get())
        await client.head()
        client.reset()
        await gone.wait()
        await until(lambda: mesh.log.entries, "the log")
        assert mesh.log.flags == ["DC"]


@live
async def test_slow_head_is_408() -> None:
    async with proxied(answering(ok()), request_headers_timeout="0.1s") as (mesh, _):
        client = await mesh.connect()
        await client.send(get())
        assert status_of((await client.message())[0]) == 200
        await client.send(b"GET / HTTP/1.1\r\nhost:")
        head, _ = await client.message()
        assert status_of(head) == 408
        assert field(head, b"connection") == b"close"
        assert await client.closed()
        assert mesh.counter("http.test.downstream_rq_header_timeout") == 1
        assert mesh.log.entries[-1].details == "request_header_timeout"


@live
async def test_head_that_drips_does_not_win_time() -> None:
    async with proxied(answering(ok()), request_headers_timeout="0.2s") as (mesh, _):
        client = await mesh.connect()

        async def drip() -> None:
            for byte in get(b"/", b"x: " + b"y" * 1000):
                await client.send(bytes([byte]))
                await asyncio.sleep(0.01)

        task = asyncio.get_running_loop().create_task(drip())
        assert status_of((await client.message())[0]) == 408
        task.cancel()


@live
async def test_idle_caller_is_not_timed_by_the_head_clock() -> None:
    async with proxied(answering(ok()), request_headers_timeout="0.05s", request_timeout="0.05s") as (mesh, _):
        client = await mesh.connect()
        for _ in range(2):
            await asyncio.sleep(0.3)
            await client.send(get())
            assert status_of((await client.message())[0]) == 200


@live
async def test_slow_body_is_408() -> None:
    async def handler(peer: Peer, number: int) -> None:
        await peer.rest()

    async with proxied(handler, request_timeout="0.1s") as (mesh, _):
        client = await mesh.connect()
        await client.send(get(b"/", b"content-length: 10", method=b"POST"), b"abc")
        assert status_of((await client.message())[0]) == 408
        assert await client.closed()
        assert mesh.counter("http.test.downstream_rq_timeout") == 1
        assert mesh.log.entries[0].details == "request_overall_timeout"


@live
async def test_request_timeout_leaves_a_response_that_has_begun_alone() -> None:
    async def handler(peer: Peer, number: int) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n")
        await peer.send(await peer.exactly(3))

    async with proxied(handler, request_timeout="0.05s") as (mesh, _):
        client = await mesh.connect()
        await client.send(get(b"/", b"content-length: 3", method=b"POST"))
        await client.head()
        await asyncio.sleep(0.3)
        await client.send(b"abc")
        assert await client.exactly(3) == b"abc"


@live
async def test_stalled_stream_is_504_si_or_408_si() -> None:
    async def handler(peer: Peer, number: int) -> None:
        await peer.rest()

    async with proxied(handler, stream_idle_timeout="0.1s") as (mesh, _):
        assert status_of((await mesh.ask(get()))[0]) == 504
        client = await mesh.connect()
        await client.send(get(b"/", b"content-length: 10", method=b"POST"))
        assert status_of((await client.message())[0]) == 408
        assert mesh.log.flags == ["SI", "SI"]
        assert mesh.counter("http.test.downstream_rq_idle_timeout") == 2


@live
async def test_stream_that_moves_is_not_idle() -> None:
    async def handler(peer: Peer, number: int) -> None:
        await peer.message()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n")
        for _ in range(10):
            await asyncio.sleep(0.05)
            await peer.send(b"x")

    async with proxied(handler, stream_idle_timeout="0.2s") as (mesh, _):
        assert (await mesh.ask(get()))[1] == b"x" * 10


@live
async def test_idle_timeout_of_a_route_replaces_that_of_the_listener() -> None:
    async def handler(peer: Peer, number: int) -> None:
        await peer.rest()

    async with proxied(handler, routes=[route(timeout="0s", idle_timeout="0.1s")]) as (mesh, _):
        assert status_of((await mesh.ask(get()))[0]) == 504
        assert mesh.log.flags == ["SI"]
    async with proxied(handler, routes=[route(timeout="0.5s", idle_timeout="0s")], stream_idle_timeout="0.1s") as (
        mesh,
        _,
    ):
        await mesh.ask(get())
        assert mesh.log.flags == ["UT"]


@live
async def test_idle_connection_is_closed() -> None:
    common = {"idle_timeout": "0.1s"}
    async with proxied(answering(ok()), common_http_protocol_options=common) as (mesh, _):
        silent, client = await mesh.connect(), await mesh.connect()
        await client.send(get())
        assert status_of((await client.message())[0]) == 200
        assert await client.closed()
        assert await silent.closed()
        assert mesh.counter("http.test.downstream_cx_idle_timeout") == 2


@live
async def test_connection_ends_after_its_number_of_requests() -> None:
    common = {"max_requests_per_connection": 2}
    async with proxied(answering(ok()), common_http_protocol_options=common) as (mesh, _):
        client = await mesh.connect()
        await client.send(get() * 3)
        assert field((await client.message())[0], b"connection") is None
        assert field((await client.message())[0], b"connection") == b"close"
        assert await client.closed()
        assert mesh.counter("http.test.downstream_cx_max_requests_reached") == 1


@live
async def test_connection_ends_after_its_longest_life() -> None:
    async def handler(peer: Peer, number: int) -> None:
        while (await peer.message())[0]:
            await asyncio.sleep(0.4)
            await peer.send(ok())

    common = {"max_connection_duration": "0.1s"}
    async with proxied(handler, common_http_protocol_options=common) as (mesh, _):
        client = await mesh.connect()
        await client.send(get())
        head, _ = await client.message()
        assert status_of(head) == 200
        assert field(head, b"connection") == b"close"
        assert await client.closed()
        assert mesh.counter("http.test.downstream_cx_max_duration_reached") == 1


@live
async def test_caller_that_never_reads_does_not_keep_its_connection() -> None:
    big = {"per_connection_buffer_limit_bytes": 1 << 25}
    up = {"per_connection_buffer_limit_bytes": 1 << 25}
    async with proxied(answering(ok(b"x" * (20 << 20))), listener=big, up=up) as (mesh, _):
        client = await mesh.connect()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(get(b"/", b"connection: close"))
        await until(lambda: mesh.counter("http.test.downstream_cx_destroy") == 1, "the connection to go")


@live
async def test_early_refusal_of_a_long_body_reaches_the_caller() -> None:
    async with Mesh(configuration([cluster("up", 1)], [route("/only")])) as mesh:
        client = await mesh.connect()
        await client.send(get(b"/else", b"content-length: 5000000", method=b"POST"))
        await client.send(b"x" * 300_000)
        head, _ = await client.message()
        assert status_of(head) == 404
        assert field(head, b"connection") == b"close"
        assert await client.closed()


@live
async def test_whole_body_that_is_refused_leaves_the_connection_usable() -> None:
    async with proxied(answering(ok()), routes=[route("/only")]) as (mesh, _):
        client = await mesh.connect()
        await client.send(post(b"body", b"/else") + get(b"/only"))
        assert status_of((await client.message())[0]) == 404
        assert status_of((await client.message())[0]) == 200


@live
async def test_bad_request_leaves_other_streams_alone() -> None:
    go = asyncio.Event()

    async def handler(peer: Peer, number: int) -> None:
        await peer.message()
        await go.wait()
        await peer.send(response(200, b"mine"))

    async with proxied(handler) as (mesh, upstream):
        good = await mesh.connect()
        await good.send(get())
        await until(lambda: upstream.connections, "the request upstream")
        for _ in range(5):
            assert status_of((await mesh.ask(b"nonsense\r\n\r\n"))[0]) == 400
        go.set()
        assert (await good.message())[1] == b"mine"
