"""What the router does for the routes of dubbo_proxy: shares, attachments, retries, timeouts, copies."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.harness import Json, Peer, Upstream, cluster, live, until
from tests.integration.test_dubbo_proxy import DubboMesh, configuration, interface, to
from tests.integration.wire import WIRES, Frame, replies, serving

WIRE = WIRES[1]


def routed(clusters: list[Json], *routes: Json, common: Json | None = None) -> Json:
    """Every call by these routes; ``common`` is what the router is told for all of them."""
    config = {"@type": "type.googleapis.com/envoy.config.route.v3.RouteAction", **(common or {})}
    filters = [{"name": "envoy.filters.dubbo.router", **({} if common is None else {"config": config})}]
    table: Any = [interface("*", *routes)]
    return configuration(clusters, "dubbo_proxy.v3.DubboProxy", route_config=table, dubbo_filters=filters)


def saying(word: bytes) -> Any:
    return serving(WIRE, lambda frame: word)


@live
async def test_weighted_clusters_share_calls_and_what_is_said_for_all() -> None:
    shares = {"clusters": [{"name": "one", "weight": 1}, {"name": "two", "weight": 1}]}
    route = {"match": {}, "route": {"weighted_clusters": shares}}
    async with (
        Upstream(saying(b"one")) as one,
        Upstream(saying(b"two")) as two,
        DubboMesh(
            routed([cluster("one", one.port), cluster("two", two.port)], route, common={"timeout": "5s"})
        ) as mesh,
    ):
        client = await mesh.connect()
        await client.send(b"".join(WIRE.call(id) for id in range(1, 201)))
        said = [frame.said for frame in (await replies(WIRE, client, 200)).values()]
        assert 40 < said.count(b"one") < 160
        assert said.count(b"one") + said.count(b"two") == 200
        client.close()


@pytest.mark.parametrize(
    ("name", "value"), [("zone", "blue"), (":service-version", "1.0.0"), (":parameter-types", "[B"), (":path", "get")]
)
@live
async def test_attachments_and_what_a_call_says_choose_the_route(name: str, value: str) -> None:
    wrong = to("one", headers=[{"name": name, "string_match": {"exact": "another"}}])
    right = to("two", headers=[{"name": name, "string_match": {"exact": value}}])
    async with (
        Upstream(saying(b"one")) as one,
        Upstream(saying(b"two")) as two,
        DubboMesh(routed([cluster("one", one.port), cluster("two", two.port)], wrong, right, to("one"))) as mesh,
    ):
        client = await mesh.connect()
        await client.send(WIRE.call(1, fields={"zone": "blue"}), WIRE.call(2, method="put"))
        got = await replies(WIRE, client, 2)
        assert got[1].said == b"two"
        assert got[2].said == (b"two" if name.startswith((":s", ":par")) else b"one")
        client.close()


@pytest.mark.parametrize("retry_on", ["reset", "5xx", "retriable-status-codes"])
@live
async def test_calls_are_tried_again(retry_on: str) -> None:
    async def flaky(peer: Peer, number: int) -> None:
        failures = 0
        while True:
            call = await WIRE.read(peer)
            if retry_on == "reset" and not number:
                peer.reset()
                return
            if retry_on != "reset" and not failures:
                failures += 1
                status = 100 if retry_on == "retriable-status-codes" else 80  # the pool is exhausted; an error
                await peer.send(WIRE.answer(call.id, b"busy", status))
                continue
            await peer.send(WIRE.answer(call.id, call.said))

    policy = {
        "retry_on": retry_on,
        "num_retries": 3,
        "retriable_status_codes": [503],
        "retry_back_off": {"base_interval": "0.001s"},
    }
    async with (
        Upstream(flaky) as upstream,
        DubboMesh(routed([cluster("up", upstream.port)], to("up"), common={"retry_policy": policy})) as mesh,
    ):
        client = await mesh.connect()
        await client.send(WIRE.call(1, b"please"))
        assert (await WIRE.read(client)).said == b"please"
        assert mesh.counter("cluster.up.upstream_rq_retry") == 1
        client.close()


@pytest.mark.parametrize(("timeout_ms", "common"), [(0, {"timeout": "0.1s"}), (60, None), (60, {"timeout": "60s"})])
@live
async def test_calls_end_in_time(timeout_ms: int, common: Json | None) -> None:
    async with (
        Upstream(serving(WIRE, lambda frame: None)) as upstream,
        DubboMesh(routed([cluster("up", upstream.port)], to("up"), common=common)) as mesh,
    ):
        client = await mesh.connect()
        await client.send(WIRE.call(1, timeout_ms=timeout_ms))
        assert (await WIRE.read(client)).status == WIRE.errors["timeout"]
        client.close()


@live
async def test_copies_go_where_the_router_is_told() -> None:
    copies: list[Frame] = []
    policies = [{"cluster": "shadow"}]
    async with (
        Upstream(saying(b"yes")) as upstream,
        Upstream(serving(WIRE, lambda frame: None, copies)) as shadow,
        DubboMesh(
            routed(
                [cluster("up", upstream.port), cluster("shadow", shadow.port)],
                to("up"),
                common={"request_mirror_policies": policies},
            )
        ) as mesh,
    ):
        client = await mesh.connect()
        await client.send(WIRE.call(1, b"x", fields={"zone": "blue"}))
        assert (await WIRE.read(client)).said == b"yes"
        await until(lambda: copies, "the copy")
        (copy,) = copies
        assert (copy.said, copy.fields, copy.method) == (b"x", {"zone": "blue"}, "get")
        await shadow.stop()
        client.close()
