"""Calls through generic_proxy, over a live multiplexed protocol: routes, shares, filters, time-outs, changes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import pytest

from plait import Extension, StreamFilter
from plait.api.config import Bootstrap, Listener
from plait.plugins import Catalogue
from plait.xds import load_bootstrap
from tests.integration.framed import frame, read_frame
from tests.integration.framed_rpc import by_service, configuration, installed, to, typed, when
from tests.integration.harness import Json, Mesh, Peer, Upstream, cluster, live, until


@pytest.fixture
def catalogue() -> Iterator[Catalogue]:
    yield from installed()


class RpcMesh(Mesh):
    """``Mesh`` for a listener of generic_proxy."""

    stat_prefix = "generic_proxy.test"

    def __init__(self, config: Json, catalogue: Catalogue) -> None:
        super().__init__(config)
        self.catalogue = catalogue

    def _watched(self, listener: Listener) -> Listener:
        (chain,) = listener.filter_chains
        (last,) = chain.filters
        proxy: Any = last.settings
        logs = tuple(Extension("log", "test.made_here", one) for one in self.logs)
        watch: Sequence[StreamFilter] = self.filters
        ours = tuple(Extension(type(one).__name__, "test.made_here", one) for one in watch)
        settings = attrs.evolve(proxy, filters=(*ours, *proxy.filters), access_log=logs)
        return attrs.evolve(
            listener, filter_chains=(attrs.evolve(chain, filters=(attrs.evolve(last, settings=settings),)),)
        )

    async def call(self, called: str, body: bytes = b"") -> bytes:
        """The answer to one call on a connection of its own: its status and body."""
        client = await self.connect()
        await client.send(frame(1, called.encode() + b" " + body))
        _, _, payload = await read_frame(client)
        client.close()
        return payload


def saying(name: bytes) -> Any:
    """An upstream that answers with its name and the call as it got it."""

    async def handler(peer: Peer, number: int) -> None:
        while True:
            id, _, payload = await read_frame(peer)
            await peer.send(frame(id, b"200 " + name + b" " + payload))

    return handler


async def failing(peer: Peer, number: int) -> None:
    """An upstream that fails the first call and answers the others."""
    count = 0
    while True:
        id, _, _ = await read_frame(peer)
        count += 1
        await peer.send(frame(id, b"503 busy" if count == 1 else b"200 at last"))


async def silent(peer: Peer, number: int) -> None:
    """An upstream that never answers."""
    await peer.rest()


TWO_SERVICES = by_service(
    {
        "shop.Cart": {"matcher": {"matcher_list": {"matchers": [when("Method", {"prefix": "get"}, to("one"))]}}},
        "shop.Stock": to("two"),
    }
)


@live
async def test_services_and_methods_have_routes_of_their_own(catalogue: Catalogue) -> None:
    async with (
        Upstream(saying(b"one")) as one,
        Upstream(saying(b"two")) as two,
        RpcMesh(configuration(TWO_SERVICES, [cluster("one", one.port), cluster("two", two.port)]), catalogue) as mesh,
    ):
        assert await mesh.call("shop.Cart/getAll;user=ann", b"x") == b"200 one shop.Cart/getAll;user=ann x"
        assert await mesh.call("shop.Stock/getAll") == b"200 two shop.Stock/getAll "
        assert await mesh.call("shop.Cart/delete") == b"404 route_not_found"
        assert await mesh.call("shop.cart/getAll") == b"404 route_not_found"
        assert mesh.log.flags == ["", "", "NR", "NR"]
        assert mesh.counter("generic_proxy.test.downstream_rq_total") == 4
        assert mesh.counter("generic_proxy.test.downstream_rq_code.200") == 2
        assert mesh.counter("generic_proxy.test.downstream_rq_code.1404") == 2, "the protocol's own code"
        assert mesh.counter("generic_proxy.test.downstream_rq_flag.NR") == 2
        assert mesh.counter("generic_proxy.test.downstream_rq_local") == 2
        assert mesh.counter("generic_proxy.test.downstream_rq_error") == 2
        assert mesh.counter("generic_proxy.test.no_route") == 2


@live
async def test_calls_on_one_connection_go_where_each_belongs(catalogue: Catalogue) -> None:
    async with (
        Upstream(saying(b"one")) as one,
        Upstream(saying(b"two")) as two,
        RpcMesh(configuration(TWO_SERVICES, [cluster("one", one.port), cluster("two", two.port)]), catalogue) as mesh,
    ):
        client = await mesh.connect()
        calls = {number: b"shop.Cart/get" if number % 2 else b"shop.Stock/get" for number in range(1, 41)}
        await client.send(b"".join(frame(id, called + b" ") for id, called in calls.items()))
        got = {}
        for _ in calls:
            id, _, payload = await read_frame(client)
            got[id] = payload
        assert got == {
            id: b"200 " + (b"one " if called.startswith(b"shop.Cart") else b"two ") + called + b" "
            for id, called in calls.items()
        }
        assert (one.connections, two.connections) == (1, 1)
        client.close()


@live
async def test_weighted_clusters_share_the_calls(catalogue: Catalogue) -> None:
    shares = {"clusters": [{"name": "one", "weight": 3}, {"name": "two", "weight": 1}, {"name": "none", "weight": 0}]}
    routes = {"on_no_match": {"action": typed("action.v3.RouteAction", weighted_clusters=shares)}}
    async with (
        Upstream(saying(b"one")) as one,
        Upstream(saying(b"two")) as two,
        RpcMesh(
            configuration(routes, [cluster("one", one.port), cluster("two", two.port), cluster("none", 1)]), catalogue
        ) as mesh,
    ):
        client = await mesh.connect()
        await client.send(b"".join(frame(id, b"s/m ") for id in range(1, 401)))
        seen: Counter[bytes] = Counter()
        for _ in range(400):
            _, _, payload = await read_frame(client)
            seen[payload.split(b" ")[1]] += 1
        client.close()
        assert sum(seen.values()) == 400
        assert 220 < seen[b"one"] < 380, seen  # 300 with a standard deviation of 9


@live
async def test_routes_of_http_bring_header_operations_and_rewrites(catalogue: Catalogue) -> None:
    action = typed(
        "envoy.config.route.v3.Route",
        match={"prefix": "/"},
        route={
            "cluster": "one",
            "host_rewrite_literal": "shop.Basket",
            "regex_rewrite": {"pattern": {"regex": "^get"}, "substitution": "fetch"},
        },
        request_headers_to_add=[{"header": {"key": "x-way", "value": "rpc"}}],
        request_headers_to_remove=["secret"],
    )
    closed = typed(
        "envoy.config.route.v3.Route",
        match={"prefix": "/"},
        direct_response={"status": 503, "body": {"inline_string": "closed"}},
    )
    routes = by_service({"shop.Cart": {"action": action}, "shop.Old": {"action": closed}})
    async with (
        Upstream(saying(b"one")) as one,
        RpcMesh(configuration(routes, [cluster("one", one.port)]), catalogue) as mesh,
    ):
        assert (
            await mesh.call("shop.Cart/getAll;user=ann;secret=7") == b"200 one shop.Basket/fetchAll;user=ann;x-way=rpc "
        )
        assert await mesh.call("shop.Old/getAll") == b"503 direct_response"


@live
async def test_retries_and_time_outs_are_the_route_s(catalogue: Catalogue) -> None:
    retried = typed(
        "envoy.config.route.v3.RouteAction",
        cluster="one",
        retry_policy={"retry_on": "5xx", "num_retries": 1, "retry_back_off": {"base_interval": "0.001s"}},
    )
    routes = by_service({"a": {"action": retried}, "b": to("two", timeout="0.05s"), "c": to("one")})
    async with (
        Upstream(failing) as one,
        Upstream(silent) as two,
        RpcMesh(configuration(routes, [cluster("one", one.port), cluster("two", two.port)]), catalogue) as mesh,
    ):
        assert await mesh.call("a/m") == b"200 at last"
        assert mesh.counter("cluster.one.upstream_rq_retry") == 1
        assert await mesh.call("b/m") == b"504 response_timeout"
        assert mesh.log.flags[-1] == "UT"


@live
async def test_mirrors_get_a_copy_and_nobody_waits_for_their_answer(catalogue: Catalogue) -> None:
    mirrored = typed(
        "envoy.config.route.v3.RouteAction",
        cluster="one",
        request_mirror_policies=[{"cluster": "two"}, {"cluster": "three", "runtime_fraction": {"default_value": {}}}],
    )
    seen: list[bytes] = []

    async def noting(peer: Peer, number: int) -> None:
        while True:
            _, _, payload = await read_frame(peer)
            seen.append(payload)

    async with (
        Upstream(saying(b"one")) as one,
        Upstream(noting) as two,
        RpcMesh(
            configuration(
                {"on_no_match": {"action": mirrored}},
                [cluster("one", one.port), cluster("two", two.port), cluster("three", 1)],
            ),
            catalogue,
        ) as mesh,
    ):
        assert await mesh.call("a/m;user=ann", b"x") == b"200 one a/m;user=ann x"
        await until(lambda: seen, "the copy")
        assert seen == [b"a/m;user=ann x"]
        assert mesh.counter("cluster.three.upstream_rq_total") == 0, "none of a million"
        await two.stop()


@live
async def test_filters_stand_in_front_of_every_call(catalogue: Catalogue) -> None:
    fault = {
        "name": "envoy.filters.http.fault",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
            "abort": {"http_status": 418, "percentage": {"numerator": 100}},
            "headers": [{"name": "x-fault", "present_match": True}],
        },
    }
    mixer = {
        "name": "mixer",
        "typed_config": {
            "@type": "type.googleapis.com/xds.type.v3.TypedStruct",
            "type_url": "plait.filters.mixer",
            "value": {
                "handlers": [
                    {
                        "name": "deny",
                        "adapter": "denier",
                        "params": {"status": {"code": "PERMISSION_DENIED", "message": "no"}},
                    }
                ],
                "instances": [{"name": "nothing", "template": "checknothing"}],
                "rules": [
                    {
                        "match": 'request.headers["user"] == "mallory"',
                        "actions": [{"handler": "deny", "instances": ["nothing"]}],
                    }
                ],
            },
        },
    }
    routes = {"on_no_match": to("one")}
    async with (
        Upstream(saying(b"one")) as one,
        RpcMesh(configuration(routes, [cluster("one", one.port)], [fault, mixer]), catalogue) as mesh,
    ):
        assert await mesh.call("a/m;user=ann") == b"200 one a/m;user=ann "
        assert (await mesh.call("a/m;user=mallory")).startswith(b"403 ")
        assert (await mesh.call("a/m;x-fault=yes")).startswith(b"418 ")
        assert mesh.log.flags[-1] == "FI"


@live
async def test_filters_have_settings_on_routes(catalogue: Catalogue) -> None:
    abort = {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
        "abort": {"http_status": 418, "percentage": {"numerator": 100}},
    }
    fault = {
        "name": "envoy.filters.http.fault",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault"},
    }
    routes = by_service({"a": to("one", per_filter_config={"envoy.filters.http.fault": abort})}, to("one"))
    async with (
        Upstream(saying(b"one")) as one,
        RpcMesh(configuration(routes, [cluster("one", one.port)], [fault]), catalogue) as mesh,
    ):
        assert (await mesh.call("a/m")).startswith(b"418 ")
        assert (await mesh.call("b/m")).startswith(b"200 ")


@live
async def test_a_change_of_routes_leaves_listener_and_connections(catalogue: Catalogue) -> None:
    def to_all(name: str) -> Json:
        return configuration({"on_no_match": to(name)}, [cluster("one", one.port), cluster("two", two.port)])

    async with (
        Upstream(saying(b"one")) as one,
        Upstream(saying(b"two")) as two,
        RpcMesh(to_all("one"), catalogue) as mesh,
    ):
        client = await mesh.connect()
        await client.send(frame(1, b"a/m "))
        assert (await read_frame(client))[2] == b"200 one a/m "

        before, after = load(to_all("one"), catalogue), load(to_all("two"), catalogue)
        assert before.listeners == after.listeners, "the routes are a resource of their own"
        await mesh.change(to_all("two"))
        await client.send(frame(2, b"a/m "))
        assert (await read_frame(client))[2] == b"200 two a/m "
        assert mesh.counter("generic_proxy.test.downstream_cx_total") == 1
        client.close()


def load(config: Json, catalogue: Catalogue) -> Bootstrap:
    return load_bootstrap("", json.dumps(config), catalogue)


@live
async def test_options_reach_the_codec(catalogue: Catalogue) -> None:
    routes = by_service({"SHOP": to("one")})
    async with (
        Upstream(saying(b"one")) as one,
        RpcMesh(configuration(routes, [cluster("one", one.port)], options={"shout": True}), catalogue) as mesh,
    ):
        assert await mesh.call("shop/m") == b"200 one SHOP/m "
