"""Calls of Java Dubbo 3.1.11 through dubbo_proxy and generic_proxy: recorded frames, live connections."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from plait import Extension
from plait.api.config import Listener
from tests.integration.harness import LISTENER, Json, Mesh, Peer, Upstream, cluster, live

_NETWORK = "type.googleapis.com/envoy.extensions.filters.network."

HELLO = bytes.fromhex(  # D$Greeter 1.0.0 in the group g1: hello("mesh")
    "dabbc200255a29a81cdb3e7a0000009605322e302e320944244772656574657205312e302e300568656c6c6f124c6a6176612f6c616e672f"
    "537472696e673b046d657368480470617468094424477265657465721272656d6f74652e6170706c69636174696f6e056a636f6e7309696e"
    "74657266616365094424477265657465720776657273696f6e05312e302e300774696d656f757404343030300567726f75700267315a"
)
ANSWER = bytes.fromhex("dabb0214255a29a81cdb3e7a0000001a940a68656c6c6f206d6573684805647562626f05322e302e325a")


class DubboMesh(Mesh):
    """``Mesh`` for a listener of dubbo_proxy."""

    stat_prefix = "dubbo.test"

    def _watched(self, listener: Listener) -> Listener:
        (chain,) = listener.filter_chains
        (last,) = chain.filters
        proxy: Any = last.settings
        logs = tuple(Extension("log", "test.made_here", one) for one in self.logs)
        ours = tuple(Extension(type(one).__name__, "test.made_here", one) for one in self.filters)
        settings = attrs.evolve(proxy, filters=(*ours, *proxy.filters), access_log=logs)
        return attrs.evolve(
            listener, filter_chains=(attrs.evolve(chain, filters=(attrs.evolve(last, settings=settings),)),)
        )


class GenericMesh(DubboMesh):
    """The same for one of generic_proxy."""

    stat_prefix = "generic_proxy.test"


def configuration(clusters: list[Json], kind: str, **proxy: Any) -> Json:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}
    config = {"@type": _NETWORK + kind, "stat_prefix": "test", **proxy}
    chain = {"filters": [{"name": "dubbo", "typed_config": config}]}
    listener = {"name": LISTENER, "address": address, "filter_chains": [chain]}
    return {"static_resources": {"listeners": [listener], "clusters": clusters}}


def dubbo(clusters: list[Json], *route_config: Json) -> Json:
    return configuration(clusters, "dubbo_proxy.v3.DubboProxy", route_config=list(route_config))


def interface(name: str, *routes: Json, **more: Any) -> Json:
    return {"name": name, "interface": name, "routes": list(routes), **more}


def to(target: str, **match: Any) -> Json:
    return {"match": match, "route": {"cluster": target}}


async def frame_of(peer: Peer) -> bytes:
    """The next frame, whole."""
    head = await peer.exactly(16)
    return head + await peer.exactly(int.from_bytes(head[12:], "big"))


class Service:
    """An upstream that answers ``HELLO`` under whatever id it came, and notes what came."""

    def __init__(self) -> None:
        self.calls: list[bytes] = []

    async def __call__(self, peer: Peer, number: int) -> None:
        while True:
            call = await frame_of(peer)
            self.calls.append(call)
            await peer.send(ANSWER[:4] + call[4:12] + ANSWER[12:])


async def hello(mesh: Mesh, frame: bytes = HELLO) -> bytes:
    client = await mesh.connect()
    await client.send(frame)
    answer = await frame_of(client)
    client.close()
    assert answer[4:12] == frame[4:12], "the caller's own id"
    return answer


@live
async def test_a_call_goes_where_its_interface_version_group_method_and_argument_say() -> None:
    one, two = Service(), Service()
    routes = [
        interface("D$Greeter", to("two"), version="2.0.0"),
        interface("D$Greeter", to("two"), version="1.0.0", group="g2"),
        interface("D$Greeter", to("two", method={"name": {"exact": "bye"}}), group="g1"),
        interface("D$*", to("two", method={"params_match": {0: {"exact_match": "mess"}}})),
        interface(
            "*Greeter",
            to(
                "one",
                method={"name": {"exact": "hello"}, "params_match": {0: {"exact_match": "mesh"}}},
                headers=[{"name": "remote.application", "string_match": {"prefix": "jc"}}],
            ),
            version="1.0.0",
            group="g1",
        ),
        interface("*", to("two")),
    ]
    async with (
        Upstream(one) as first,
        Upstream(two) as second,
        DubboMesh(dubbo([cluster("one", first.port), cluster("two", second.port)], *routes)) as mesh,
    ):
        assert await hello(mesh) == ANSWER
        assert [call[16:] for call in one.calls] == [HELLO[16:]], "the call as it was"
        assert two.calls == []
        assert mesh.counter("dubbo.test.request") == 1
        assert mesh.counter("dubbo.test.response_success") == 1
        assert mesh.counter("dubbo.test.downstream_rq_code.20") == 1


@live
async def test_a_call_that_no_route_takes_gets_dubbo_s_error() -> None:
    async with (
        Upstream(Service()) as upstream,
        DubboMesh(dubbo([cluster("one", upstream.port)], interface("D$Greeter", to("one"), version="2.0.0"))) as mesh,
    ):
        answer = await hello(mesh)
        assert answer[3] == 60, "SERVICE_NOT_FOUND"
        assert b"route_not_found" in answer
        assert mesh.log.flags == ["NR"]
        assert mesh.counter("dubbo.test.response_error") == 1


@live
async def test_generic_proxy_speaks_dubbo_too() -> None:
    service = Service()
    matcher = f"{_NETWORK}generic_proxy.matcher.v3."
    routes = {
        "matcher_tree": {
            "input": {"name": "method", "typed_config": {"@type": matcher + "MethodMatchInput"}},
            "exact_match_map": {
                "map": {
                    "hello": {
                        "action": {
                            "name": "one",
                            "typed_config": {
                                "@type": f"{_NETWORK}generic_proxy.action.v3.RouteAction",
                                "cluster": "one",
                            },
                        }
                    }
                }
            },
        }
    }
    codec = {"name": "dubbo", "typed_config": {"@type": f"{_NETWORK}generic_proxy.codecs.dubbo.v3.DubboCodecConfig"}}
    router = {"name": "router", "typed_config": {"@type": f"{_NETWORK}generic_proxy.router.v3.Router"}}
    async with (
        Upstream(service) as upstream,
        GenericMesh(
            configuration(
                [cluster("one", upstream.port)],
                "generic_proxy.v3.GenericProxy",
                codec_config=codec,
                route_config={"name": "calls", "routes": routes},
                filters=[router],
            )
        ) as mesh,
    ):
        assert await hello(mesh) == ANSWER
        assert [call[16:] for call in service.calls] == [HELLO[16:]]


@pytest.mark.parametrize("count", [1, 50])
@live
async def test_calls_share_a_connection_and_keep_their_ids(count: int) -> None:
    service = Service()
    async with (
        Upstream(service) as upstream,
        DubboMesh(dubbo([cluster("one", upstream.port)], interface("*", to("one")))) as mesh,
    ):
        client = await mesh.connect()
        ids = [number.to_bytes(8, "big") for number in range(1, count + 1)]
        await client.send(b"".join(HELLO[:4] + id + HELLO[12:] for id in ids))
        assert sorted([(await frame_of(client))[4:12] for _ in ids]) == ids
        assert upstream.connections == 1
        client.close()
