"""Configuration that changes while requests are on their way, and the end of listeners."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from plait import CONTINUE, Stream, StreamFilter, Verdict
from plait.xds.store import Resources
from tests.integration.harness import (
    LISTENER,
    Json,
    Mesh,
    Peer,
    Upstream,
    answering,
    cluster,
    configuration,
    field,
    get,
    live,
    ok,
    proxied,
    response,
    route,
    status_of,
    until,
)


class Gate:
    """An upstream that answers with its name when it may."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.open = asyncio.Event()
        self.arrived = 0

    async def __call__(self, peer: Peer, number: int) -> None:
        while (await peer.message())[0]:
            self.arrived += 1
            await self.open.wait()
            await peer.send(ok(self.name))


def split(first: int, second: int) -> list[Json]:
    shares = [{"name": "one", "weight": first}, {"name": "two", "weight": second}]
    return [route(weighted_clusters={"clusters": shares})]


@live
async def test_changed_weight_holds_for_the_next_request_of_a_connection() -> None:
    async with Upstream(answering(ok(b"one"))) as one, Upstream(answering(ok(b"two"))) as two:
        clusters = [cluster("one", one.port), cluster("two", two.port)]
        async with Mesh(configuration(clusters, split(100, 0))) as mesh:
            client = await mesh.connect()
            for weights, expected in (((100, 0), b"one"), ((0, 100), b"two"), ((100, 0), b"one")):
                await mesh.change(configuration(clusters, split(*weights)))
                for _ in range(5):
                    await client.send(get())
                    assert (await client.message())[1] == expected
            assert mesh.counter("http.test.downstream_cx_total") == 1


@live
async def test_request_under_way_keeps_its_route_and_cluster() -> None:
    gate = Gate(b"old")
    async with (
        Upstream(gate) as old,
        Upstream(answering(ok(b"new"))) as new,
        Mesh(configuration([cluster("up", old.port)])) as mesh,
    ):
        client = await mesh.connect()
        await client.send(get())
        await until(lambda: gate.arrived, "the request upstream")
        await mesh.change(configuration([cluster("up", new.port, connect_timeout="4s")]))
        assert (await mesh.ask(get()))[1] == b"new"
        gate.open.set()
        assert (await client.message())[1] == b"old"
        await client.send(get())
        assert (await client.message())[1] == b"new"
        await until(lambda: mesh.counter("cluster.up.upstream_cx_active") == 1, "the old connection to close")


@live
async def test_changed_endpoints_let_go_of_those_that_went() -> None:
    gate = Gate(b"old")
    async with (
        Upstream(gate) as old,
        Upstream(answering(ok(b"new"))) as new,
        Mesh(configuration([cluster("up", old.port)])) as mesh,
    ):
        client = await mesh.connect()
        await client.send(get())
        await until(lambda: gate.arrived, "the request upstream")
        await mesh.change(configuration([cluster("up", new.port)]))
        gate.open.set()
        assert (await client.message())[1] == b"old"
        for _ in range(3):
            await client.send(get())
            assert (await client.message())[1] == b"new"
        await until(lambda: mesh.counter("cluster.up.upstream_cx_active") == 1, "the old connection to close")


@live
async def test_removed_cluster_finishes_what_it_began() -> None:
    gate = Gate(b"old")
    async with (
        Upstream(gate) as old,
        Upstream(answering(ok(b"new"))) as new,
        Mesh(configuration([cluster("up", old.port)])) as mesh,
    ):
        client = await mesh.connect()
        await client.send(get())
        await until(lambda: gate.arrived, "the request upstream")
        await mesh.change(configuration([cluster("other", new.port)], [route(target="other")]))
        gate.open.set()
        assert (await client.message())[1] == b"old"
        await client.send(get())
        assert (await client.message())[1] == b"new"


@live
async def test_route_to_a_cluster_that_is_not_there_is_503_nc() -> None:
    async with proxied(answering(ok())) as (mesh, upstream):
        await mesh.change(configuration([cluster("up", upstream.port)], [route(cluster_header="x-cluster")]))
        client = await mesh.connect()
        for _ in range(2):
            await client.send(get(b"/", b"x-cluster: nowhere"))
            assert status_of((await client.message())[0]) == 503
        await client.send(get(b"/", b"x-cluster: up"))
        assert status_of((await client.message())[0]) == 200
        assert mesh.log.flags == ["NC", "NC", ""]


@live
async def test_retry_that_comes_after_its_cluster_was_replaced_leaves_nothing_open() -> None:
    tries = 0

    async def old(peer: Peer, number: int) -> None:
        nonlocal tries
        while (await peer.message())[0]:
            tries += 1
            await peer.send(response(503) if tries == 1 else ok(b"old"))

    back_off = {"base_interval": "0.3s", "max_interval": "0.3s"}
    policy = {"retry_on": "5xx", "num_retries": 3, "retry_back_off": back_off}
    async with Upstream(old) as upstream:
        routes = [route(retry_policy=policy)]
        async with Mesh(configuration([cluster("up", upstream.port)], routes)) as mesh:
            client = await mesh.connect()
            await client.send(get())
            await until(lambda: tries, "the first try")
            await mesh.change(configuration([cluster("up", upstream.port, connect_timeout="4s")], routes))
            assert (await client.message())[1] == b"old"
            await until(lambda: mesh.counter("cluster.up.upstream_cx_active") == 0, "the connections to close")


@live
async def test_replaced_listener_finishes_what_it_began_and_closes() -> None:
    gate = Gate(b"up")
    async with Upstream(gate) as upstream:
        clusters = [cluster("up", upstream.port)]
        async with Mesh(configuration(clusters)) as mesh:
            busy, idle = await mesh.connect(), await mesh.connect()
            await busy.send(get())
            await until(lambda: gate.arrived, "the request upstream")
            await mesh.change(configuration(clusters, server_name="renamed"))
            assert await idle.closed()
            gate.open.set()
            head, _ = await busy.message()
            assert (field(head, b"server"), field(head, b"connection")) == (b"plait", b"close")
            assert await busy.closed()
            assert field((await mesh.ask(get()))[0], b"server") == b"renamed"


@live
async def test_removed_listener_refuses_connections_and_finishes_what_it_began() -> None:
    gate = Gate(b"up")
    async with Upstream(gate) as upstream, Mesh(configuration([cluster("up", upstream.port)])) as mesh:
        client = await mesh.connect()
        await client.send(get())
        await until(lambda: gate.arrived, "the request upstream")
        update = mesh.store.set_source("bootstrap", Resources())
        assert update.removed_listeners == (LISTENER,)
        await mesh.plane.apply(update, {})
        mesh.store.accept(update)
        with pytest.raises(ConnectionError):
            await mesh.connect()
        gate.open.set()
        assert (await client.message())[1] == b"up"
        assert await client.closed()


@live
async def test_drain_answers_what_was_asked_and_closes() -> None:
    gate = Gate(b"up")
    async with proxied(gate) as (mesh, _):
        busy, pipelined, idle = await mesh.connect(), await mesh.connect(), await mesh.connect()
        await busy.send(get())
        await pipelined.send(get() + get())
        await until(lambda: gate.arrived == 2, "the requests upstream")
        drained = asyncio.get_running_loop().create_task(mesh.plane.drain(10))
        assert await idle.closed()
        with pytest.raises(ConnectionError):
            await mesh.connect()
        gate.open.set()
        for client in (busy, pipelined):
            head, body = await client.message()
            assert (body, field(head, b"connection")) == (b"up", b"close")
            assert await client.closed()
        await drained


@live
async def test_drain_waits_for_a_body_that_is_still_coming() -> None:
    async def handler(peer: Peer, number: int) -> None:
        while True:
            head, body = await peer.message()
            if not head:
                return
            await peer.send(ok(body))

    async with proxied(handler) as (mesh, upstream):
        client = await mesh.connect()
        await client.send(get(b"/", b"content-length: 6", method=b"POST"), b"abc")
        await until(lambda: upstream.connections, "the request upstream")
        drained = asyncio.get_running_loop().create_task(mesh.plane.drain(10))
        await asyncio.sleep(0.02)
        await client.send(b"def")
        head, body = await client.message()
        assert (body, field(head, b"connection")) == (b"abcdef", b"close")
        assert await client.closed()
        await drained


@live
async def test_close_ends_what_is_left() -> None:
    gate = Gate(b"up")
    async with proxied(gate) as (mesh, _):
        client = await mesh.connect()
        await client.send(get())
        await until(lambda: gate.arrived, "the request upstream")
        await mesh.plane.close()
        assert await client.closed()
        assert mesh.log.flags == ["DC"]


@live
async def test_stream_keeps_the_filters_it_began_with() -> None:
    class Names(StreamFilter):
        def __init__(self, name: str) -> None:
            self.name = name
            self.closed = False

        async def on_request(self, stream: Stream) -> Verdict:
            stream.request.headers.set("x-filter", self.name)
            return CONTINUE

        def on_response(self, stream: Stream) -> Verdict:
            assert stream.response is not None
            assert not self.closed
            stream.response.headers.set("x-filter", self.name)
            return CONTINUE

        def close(self) -> None:
            self.closed = True

    gate = Gate(b"up")
    before, after = Names("before"), Names("after")
    async with Upstream(gate) as upstream:
        config: Any = configuration([cluster("up", upstream.port)])
        async with Mesh(config, [before]) as mesh:
            client = await mesh.connect()
            await client.send(get())
            await until(lambda: gate.arrived, "the request upstream")
            mesh.filters[-1] = after
            await mesh.change(config)
            gate.open.set()
            assert field((await client.message())[0], b"x-filter") == b"before"
            assert field((await mesh.ask(get()))[0], b"x-filter") == b"after"
            await until(lambda: before.closed, "the old filters to be given back")
            assert not after.closed
