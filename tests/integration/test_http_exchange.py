"""Requests and responses through the whole path, in every framing that HTTP/1.1 has."""

from __future__ import annotations

import asyncio
import hashlib

from tests.integration.harness import (
    Peer,
    answering,
    field,
    get,
    http_options,
    live,
    ok,
    post,
    proxied,
    response,
    status_of,
    until,
)


@live
async def test_connections_are_kept_alive_on_both_sides() -> None:
    async with proxied(answering(ok())) as (mesh, upstream):
        client = await mesh.connect()
        for _ in range(5):
            await client.send(get())
            head, body = await client.message()
            assert (status_of(head), body) == (200, b"hello")
        assert upstream.connections == 1
        assert mesh.counter("http.test.downstream_cx_total") == 1
        assert mesh.counter("http.test.downstream_rq_2xx") == 5
        assert mesh.counter("cluster.up.upstream_rq_200") == 5


@live
async def test_bytes_sent_are_those_on_the_wire() -> None:
    long = bytes(40_000)  # one that is not copied
    heads: list[bytes] = []

    async def answers(peer: Peer, number: int) -> None:
        while head := await peer.head():
            heads.append(head)
            await peer.send(ok(long))

    async with proxied(answers) as (mesh, _):
        client = await mesh.connect()
        received = 0
        for _ in range(3):
            await client.send(get())
            head, body = await client.message()
            received += len(head) + len(body)
        assert received > 120_000
        assert mesh.counter("http.test.downstream_cx_tx_bytes_total") == received
        assert mesh.counter("cluster.up.upstream_cx_tx_bytes_total") == sum(map(len, heads))


@live
async def test_pipelined_requests_in_one_segment_are_answered_in_order() -> None:
    async def echo(peer: Peer, number: int) -> None:
        while head := (await peer.message())[0]:
            await peer.send(ok(head.split(b" ")[1]))

    async with proxied(echo) as (mesh, _):
        client = await mesh.connect()
        await client.send(b"".join(get(b"/%d" % n) for n in range(20)))
        answers = [(await client.message())[1] for _ in range(20)]
        assert answers == [b"/%d" % n for n in range(20)]


@live
async def test_pipelined_bodies_and_split_heads_keep_their_places() -> None:
    seen: list[bytes] = []
    async with proxied(answering(ok(), seen=seen)) as (mesh, _):
        client = await mesh.connect()
        stream = post(b"first" * 1000) + get(b"/2") + post(b"third", b"/3") + get(b"/4")
        for at in range(0, len(stream), 611):
            await client.send(stream[at : at + 611])
            await asyncio.sleep(0)
        for _ in range(4):
            assert status_of((await client.message())[0]) == 200
        assert [head.split(b" ")[1] for head in seen] == [b"/", b"/2", b"/3", b"/4"]
        assert seen[0].endswith(b"first" * 1000)
        assert seen[2].endswith(b"\r\n\r\nthird")


@live
async def test_pipelined_requests_behind_a_half_close_are_all_answered() -> None:
    async with proxied(answering(ok())) as (mesh, _):
        client = await mesh.connect()
        await client.send(get() * 5)
        client.half_close()
        assert (await client.rest()).count(b"HTTP/1.1 200") == 5


@live
async def test_responses_without_a_body_end_with_their_head() -> None:
    head_answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"
    no_content = b"HTTP/1.1 204 No Content\r\n\r\n"
    not_modified = b"HTTP/1.1 304 Not Modified\r\netag: x\r\ncontent-length: 7\r\n\r\n"
    async with proxied(answering(head_answer, no_content, not_modified, ok(b"end"))) as (mesh, upstream):
        client = await mesh.connect()
        await client.send(get(method=b"HEAD"))
        head, _ = await client.message(bodiless=True)
        assert field(head, b"content-length") == b"5"
        for expected in (204, 304):
            await client.send(get())
            head, _ = await client.message(bodiless=True)
            assert status_of(head) == expected
            assert field(head, b"transfer-encoding") is None
        await client.send(get())
        assert (await client.message())[1] == b"end"
        assert upstream.connections == 1


@live
async def test_chunked_bodies_and_trailers_pass_both_ways() -> None:
    answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 9\r\n\r\n"
    seen: list[bytes] = []
    up = {"typed_extension_protocol_options": http_options(enable_trailers=True)}
    trailing = {"enable_trailers": True}
    async with proxied(answering(answer, seen=seen), up=up, http_protocol_options=trailing) as (mesh, upstream):
        client = await mesh.connect()
        for pieces in (
            [b"2\r\nde\r\n0\r\nx-end: 1\r\n\r\n"],
            [b"2\r\nde\r\n", b"0\r\n", b"x-end: 1\r\n", b"\r\n"],
        ):
            await client.send(get(b"/", b"transfer-encoding: chunked", method=b"POST"))
            await asyncio.sleep(0.02)
            for piece in pieces:
                await client.send(piece)
                await asyncio.sleep(0.005)
            _, body = await client.message()
            assert body == b"3\r\nabc\r\n0\r\nx-sum: 9\r\n\r\n"
        assert len(seen) == 2
        for request in seen:
            assert request.endswith(b"x-end: 1\r\n\r\n")
        assert upstream.connections == 1


@live
async def test_response_that_lasts_until_the_close_is_chunked_for_downstream() -> None:
    async def handler(peer: Peer, number: int) -> None:
        await peer.message()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n", b"some", b" more")

    async with proxied(handler) as (mesh, _):
        head, body = await mesh.ask(get())
        assert field(head, b"transfer-encoding") == b"chunked"
        assert body.endswith(b"0\r\n\r\n")
        assert mesh.log.flags == [""]


@live
async def test_request_streams_upstream_before_its_end() -> None:
    arrived = asyncio.Event()

    async def handler(peer: Peer, number: int) -> None:
        await peer.head()
        assert await peer.exactly(4) == b"some"
        arrived.set()
        assert await peer.exactly(4) == b"more"
        await peer.send(ok())

    async with proxied(handler) as (mesh, _):
        client = await mesh.connect()
        await client.send(get(b"/", b"content-length: 8", method=b"POST"), b"some")
        await arrived.wait()
        await client.send(b"more")
        assert status_of((await client.message())[0]) == 200


@live
async def test_early_response_ends_the_exchange_and_closes_both_connections() -> None:
    async def handler(peer: Peer, number: int) -> None:
        await peer.head()
        await peer.send(response(413, b"too long"))
        await peer.rest()

    async with proxied(handler) as (mesh, _):
        client = await mesh.connect()
        await client.send(get(b"/", b"content-length: 1000000", method=b"POST"), b"x" * 1000)
        head, body = await client.message()
        assert (status_of(head), body) == (413, b"too long")
        assert field(head, b"connection") == b"close"
        assert await client.closed()
        await until(lambda: mesh.counter("cluster.up.upstream_cx_destroy") == 1, "the upstream connection to close")


@live
async def test_request_goes_on_after_the_response_began() -> None:
    async def handler(peer: Peer, number: int) -> None:
        while True:
            if not await peer.head():
                return
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n")
            await peer.send(await peer.exactly(4))

    async with proxied(handler) as (mesh, upstream):
        client = await mesh.connect()
        for body in (b"ping", b"pong"):
            await client.send(get(b"/", b"content-length: 4", method=b"POST"))
            assert status_of(await client.head()) == 200
            await client.send(body)
            assert await client.exactly(4) == body
        assert upstream.connections == 1


@live
async def test_expectation_is_answered_by_us() -> None:
    seen: list[bytes] = []
    async with proxied(answering(ok(), seen=seen)) as (mesh, _):
        client = await mesh.connect()
        await client.send(get(b"/", b"content-length: 4", b"expect: 100-continue", method=b"POST"))
        assert await client.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"body")
        assert status_of((await client.message())[0]) == 200
        assert field(seen[0], b"expect") is None


@live
async def test_expectation_is_passed_on_where_asked() -> None:
    async def handler(peer: Peer, number: int) -> None:
        head = await peer.head()
        assert field(head, b"expect") == b"100-continue"
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await peer.send(ok(await peer.exactly(4)))

    async with proxied(handler, proxy_100_continue=True) as (mesh, _):
        client = await mesh.connect()
        await client.send(get(b"/", b"content-length: 4", b"expect: 100-continue", method=b"POST"))
        assert status_of(await client.head()) == 100
        await client.send(b"body")
        assert (await client.message())[1] == b"body"


@live
async def test_interim_responses_pass_in_front_of_the_response() -> None:
    answer = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 2 + ok()
    async with proxied(answering(answer)) as (mesh, _):
        client = await mesh.connect()
        await client.send(get() * 2)
        for _ in range(2):
            assert [status_of(await client.head()) for _ in range(2)] == [103, 103]
            assert status_of((await client.message())[0]) == 200


@live
async def test_unusual_status_is_forwarded_and_counted() -> None:
    async with proxied(answering(b"HTTP/1.1 999 Request Denied\r\ncontent-length: 0\r\n\r\n", ok())) as (mesh, _):
        client = await mesh.connect()
        await client.send(get())
        assert status_of((await client.message())[0]) == 999
        await client.send(get())
        assert status_of((await client.message())[0]) == 200
        assert mesh.counter("cluster.up.upstream_rq_999") == 1


@live
async def test_large_response_to_a_slow_reader_stays_bounded() -> None:
    size = 50 << 20
    sent = 0

    async def handler(peer: Peer, number: int) -> None:
        nonlocal sent
        await peer.message()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        block = bytes(range(256)) * 256
        while sent < size:
            await peer.send(block)
            sent += len(block)

    async with proxied(handler) as (mesh, _):
        client = await mesh.connect()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(get())
        before = -1
        while sent != before:  # until nothing moves any more
            before = sent
            await asyncio.sleep(0.3)
        assert sent < size // 2
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        await client.head()
        digest = hashlib.sha256()
        received = 0
        while received < size:
            piece = await client.reader.read(1 << 18)
            assert piece
            received += len(piece)
            digest.update(piece)
        assert digest.digest() == hashlib.sha256(bytes(range(256)) * (size // 256)).digest()


@live
async def test_large_request_to_a_slow_upstream_stays_bounded() -> None:
    size = 50 << 20
    go = asyncio.Event()
    sent = received = 0

    async def handler(peer: Peer, number: int) -> None:
        nonlocal received
        await peer.head()
        await go.wait()
        while received < size:
            piece = await peer.reader.read(1 << 18)
            received += len(piece)
        await peer.send(ok())

    async with proxied(handler) as (mesh, _):
        client = await mesh.connect()

        async def upload() -> None:
            nonlocal sent
            await client.send(get(b"/", b"content-length: %d" % size, method=b"POST"))
            block = b"x" * (1 << 16)
            while sent < size:
                await client.send(block)
                sent += len(block)

        async with asyncio.TaskGroup() as group:
            group.create_task(upload())
            before = -1
            while sent != before:
                before = sent
                await asyncio.sleep(0.3)
            assert sent < size // 2
            assert mesh.counter("http.test.downstream_flow_control_paused_reading_total") >= 1
            go.set()
            head, _ = await client.message()
        assert status_of(head) == 200
        assert received == size
