"""Routes, retries, mirrors and filters for Bolt and for Dubbo alike, over real sockets and with the real codecs."""

from __future__ import annotations

import pytest

from plait import CONTINUE, Stream, StreamFilter, Verdict
from tests.integration.framed_rpc import by_service, to, typed, when
from tests.integration.harness import Json, Peer, Upstream, cluster, live, until
from tests.integration.wire import (
    CALL,
    ONEWAY,
    WIRES,
    Frame,
    RpcMesh,
    Wire,
    everything,
    generic,
    replies,
    route_action,
    serving,
)

pytestmark = [pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)]


def echo(frame: Frame) -> bytes:
    return frame.said


@live
async def test_oneway_calls_get_no_answer_whatever_becomes_of_them(wire: Wire) -> None:
    seen: list[Frame] = []
    routes = by_service({"shop.Cart": to("up"), "shop.Gone": to("gone")})
    async with (
        Upstream(serving(wire, echo, seen)) as upstream,
        RpcMesh(generic(wire, routes, [cluster("up", upstream.port), cluster("gone", 1)])) as mesh,
    ):
        client = await mesh.connect()
        services = ("shop.Cart", "shop.Gone", "shop.Unknown")
        await client.send(*(wire.call(id, b"o", service=name, oneway=True) for id, name in enumerate(services, 1)))
        await until(lambda: len(mesh.log.entries) == 3, "all three to end")
        await client.send(wire.call(9, b"two-way"))
        answer = await wire.read(client)
        assert (answer.id, answer.said) == (9, b"two-way"), "the first thing that comes"
        assert [frame.kind for frame in seen] == [ONEWAY, CALL]
        client.close()


@pytest.mark.parametrize("retry_on", ["reset", "5xx", "connect-failure"])
@live
async def test_calls_are_tried_again(wire: Wire, retry_on: str) -> None:
    async def flaky(peer: Peer, number: int) -> None:
        failures = 0
        while True:
            call = await wire.read(peer)
            if retry_on == "reset" and not number:
                peer.reset()
                return
            if retry_on == "5xx" and not failures:
                failures += 1
                await peer.send(wire.answer(call.id, b"busy", wire.errors["busy"]))
                continue
            await peer.send(wire.answer(call.id, call.said))

    policy = {"retry_on": retry_on, "num_retries": 3, "retry_back_off": {"base_interval": "0.001s"}}
    async with Upstream(flaky) as upstream:
        ports = (1, upstream.port) if retry_on == "connect-failure" else (upstream.port,)
        routes = everything(route_action("up", retry_policy=policy))
        async with RpcMesh(generic(wire, routes, [cluster("up", *ports)])) as mesh:
            client = await mesh.connect()
            for id in (1, 2):
                await client.send(wire.call(id, b"please"))
                answer = await wire.read(client)
                assert (answer.id, answer.said) == (id, b"please")
            assert mesh.counter("cluster.up.upstream_rq_retry") >= 1
            client.close()


@live
async def test_mirrors_get_a_copy(wire: Wire) -> None:
    copies: list[Frame] = []
    large = bytes(range(256)) * 300
    async with (
        Upstream(serving(wire, echo)) as upstream,
        Upstream(serving(wire, lambda frame: None, copies)) as shadow,
        RpcMesh(
            generic(
                wire,
                everything(route_action("up", request_mirror_policies=[{"cluster": "shadow"}])),
                [cluster("up", upstream.port), cluster("shadow", shadow.port)],
            )
        ) as mesh,
    ):
        client = await mesh.connect()
        await client.send(wire.call(1, b"small"), wire.call(2, large))
        got = await replies(wire, client, 2)
        assert (got[1].said, got[2].said) == (b"small", large)
        await until(lambda: len(copies) == 2, "the copies")
        assert sorted(len(copy.said) for copy in copies) == [5, len(large)]
        await shadow.stop()
        client.close()


@live
async def test_a_copy_that_nobody_answers_times_out(wire: Wire) -> None:
    """Also where the caller's own timeout, which might be shorter, is only looked for after a while."""
    async with (
        Upstream(serving(wire, echo)) as upstream,
        Upstream(serving(wire, lambda frame: None)) as shadow,
        RpcMesh(
            generic(
                wire,
                everything(route_action("up", timeout="0.5s", request_mirror_policies=[{"cluster": "shadow"}])),
                [cluster("up", upstream.port), cluster("shadow", shadow.port)],
            )
        ) as mesh,
    ):
        client = await mesh.connect()
        await client.send(wire.call(1, b"small"))
        await replies(wire, client, 1)
        await until(lambda: mesh.counter("cluster.shadow.upstream_rq_timeout"), "the copy to be given up")
        client.close()


@live
async def test_weighted_clusters_share_calls(wire: Wire) -> None:
    shares = {"clusters": [{"name": "one", "weight": 1}, {"name": "two", "weight": 1}]}
    routes = {"on_no_match": {"action": typed("action.v3.RouteAction", weighted_clusters=shares)}}
    async with (
        Upstream(serving(wire, lambda frame: b"one")) as one,
        Upstream(serving(wire, lambda frame: b"two")) as two,
        RpcMesh(generic(wire, routes, [cluster("one", one.port), cluster("two", two.port)])) as mesh,
    ):
        client = await mesh.connect()
        await client.send(b"".join(wire.call(id) for id in range(1, 201)))
        said = [frame.said for frame in (await replies(wire, client, 200)).values()]
        assert 40 < said.count(b"one") < 160
        assert said.count(b"one") + said.count(b"two") == 200
        client.close()


@live
async def test_fields_choose_the_route(wire: Wire) -> None:
    zone = when("Property", {"exact": "blue"}, to("two"), property_name="zone")
    routes = {"matcher_list": {"matchers": [zone]}, "on_no_match": to("one")}
    async with (
        Upstream(serving(wire, lambda frame: b"one")) as one,
        Upstream(serving(wire, lambda frame: b"two")) as two,
        RpcMesh(generic(wire, routes, [cluster("one", one.port), cluster("two", two.port)])) as mesh,
    ):
        client = await mesh.connect()
        await client.send(
            wire.call(1),
            wire.call(2, fields={"zone": "blue"}),
            wire.call(3, fields={"zone": "red"}),
        )
        got = await replies(wire, client, 3)
        assert [got[id].said for id in (1, 2, 3)] == [b"one", b"two", b"one"]
        client.close()


def fault(**fields: object) -> Json:
    kind = "envoy.extensions.filters.http.fault.v3.HTTPFault"
    return {
        "name": "envoy.filters.http.fault",
        "typed_config": {"@type": f"type.googleapis.com/{kind}", "headers": [{"name": "x-fault"}], **fields},
    }


@live
async def test_faults_abort_and_delay(wire: Wire) -> None:
    percent = {"numerator": 100}
    filters = [
        fault(abort={"http_status": 503, "percentage": percent}),
        {**fault(delay={"fixed_delay": "0.01s", "percentage": percent}), "name": "slow"},
    ]
    filters[1]["typed_config"]["headers"] = [{"name": "x-slow"}]
    async with (
        Upstream(serving(wire, echo)) as upstream,
        RpcMesh(generic(wire, everything(to("up")), [cluster("up", upstream.port)], filters)) as mesh,
    ):
        client = await mesh.connect()
        await client.send(
            wire.call(1, b"a", fields={"x-fault": "1"}), wire.call(2, b"b", fields={"x-slow": "1"}), wire.call(3, b"c")
        )
        got = await replies(wire, client, 3)
        assert got[1].status == wire.errors["busy"]
        assert (got[2].said, got[3].said) == (b"b", b"c")
        assert sorted(mesh.log.flags) == ["", "DI", "FI"]
        client.close()


@live
async def test_a_denial_of_mixer_is_told_with_its_reason(wire: Wire) -> None:
    denier = {
        "adapter": "denier",
        "params": {"status": {"code": "PERMISSION_DENIED", "message": "mallory is not welcome"}},
    }
    rule = {
        "match": 'request.headers["user"] == "mallory"',
        "actions": [{"handler": "deny", "instances": ["nothing"]}],
    }
    mixer = {
        "name": "plait.filters.mixer",
        "typed_config": {
            "@type": "type.googleapis.com/xds.type.v3.TypedStruct",
            "type_url": "plait.filters.mixer",
            "value": {
                "handlers": [{"name": "deny", **denier}],
                "instances": [{"name": "nothing", "template": "checknothing"}],
                "rules": [rule],
            },
        },
    }
    async with (
        Upstream(serving(wire, echo)) as upstream,
        RpcMesh(generic(wire, everything(to("up")), [cluster("up", upstream.port)], [mixer])) as mesh,
    ):
        client = await mesh.connect()
        await client.send(wire.call(1, b"x", fields={"user": "mallory"}), wire.call(2, b"y", fields={"user": "ann"}))
        got = await replies(wire, client, 2)
        assert got[1].status == wire.errors["refused"]
        assert b"mallory is not welcome" in got[1].text
        assert got[2].said == b"y"
        client.close()


class Changes(StreamFilter):
    """Adds, changes and takes away fields, and moves the call to another service and method."""

    def on_request(self, stream: Stream) -> Verdict:
        headers = stream.request.headers
        headers.set("added", "\u00e9\u4e2d\U0001f600")
        headers.set("zone", "red")
        headers.remove("secret")
        stream.request.authority = "shop.Basket"
        stream.request.path = "fetch"
        return CONTINUE


@live
async def test_filters_change_fields_services_and_methods(wire: Wire) -> None:
    seen: list[Frame] = []
    async with (
        Upstream(serving(wire, echo, seen)) as upstream,
        RpcMesh(generic(wire, everything(to("up")), [cluster("up", upstream.port)]), [Changes()]) as mesh,
    ):
        client = await mesh.connect()
        await client.send(wire.call(1, b"x", fields={"Kept": "1", "zone": "blue", "secret": "7"}))
        assert (await wire.read(client)).said == b"x"
        (call,) = seen
        assert (call.service, call.method, call.said) == ("shop.Basket", "fetch", b"x")
        fields = {name: value for name, value in call.fields.items() if name != "sofa_head_target_service"}
        assert fields == {"Kept": "1", "zone": "red", "added": "\u00e9\u4e2d\U0001f600"}
        client.close()


@live
async def test_mirrors_get_what_filters_made_of_a_call(wire: Wire) -> None:
    seen: list[Frame] = []
    copies: list[Frame] = []
    large = bytes(1 << 21)
    async with (
        Upstream(serving(wire, echo, seen)) as upstream,
        Upstream(serving(wire, lambda frame: None, copies)) as shadow,
        RpcMesh(
            generic(
                wire,
                everything(route_action("up", request_mirror_policies=[{"cluster": "shadow"}])),
                [cluster("up", upstream.port), cluster("shadow", shadow.port)],
            ),
            [Changes()],
        ) as mesh,
    ):
        client = await mesh.connect()
        await client.send(wire.call(1, b"x", fields={"Kept": "1", "zone": "blue", "secret": "7"}), wire.call(2, large))
        await replies(wire, client, 2)
        await until(lambda: len(copies) == 2, "the copies")
        for frames in (seen, copies):
            frames.sort(key=lambda frame: len(frame.said))
        assert [(copy.service, copy.method, copy.fields, copy.said) for copy in copies] == [
            (call.service, call.method, call.fields, call.said) for call in seen
        ]
        assert copies[0].fields["zone"] == "red"
        assert {copy.method for copy in copies} == {"fetch"}
        await shadow.stop()
        client.close()


class Shouts(StreamFilter):
    """Writes bodies in another way, in both directions."""

    def __init__(self, said: bytes, heard: bytes) -> None:
        self.said = said
        self.heard = heard

    def on_request_data(self, stream: Stream, data: bytes, end: bool) -> bytes:
        return data.replace(b"quiet", self.said)

    def on_response_data(self, stream: Stream, data: bytes, end: bool) -> bytes:
        return data.replace(b"LOUD!", self.heard)


@live
async def test_filters_change_bodies(wire: Wire) -> None:
    seen: list[Frame] = []
    async with Upstream(serving(wire, echo, seen)) as upstream:
        config = generic(wire, everything(to("up")), [cluster("up", upstream.port)])
        async with RpcMesh(config, [Shouts(b"LOUD!", b"heard")]) as mesh:
            client = await mesh.connect()
            large = b"x" * (1 << 20) + b"quiet" + b"x" * 1000
            await client.send(wire.call(1, b"is it quiet?"), wire.call(2, large))
            got = await replies(wire, client, 2)
            assert got[1].said == b"is it heard?"
            assert len(got[2].said) == len(large)
            assert sorted(len(frame.said) for frame in seen) == [12, len(large)]
            assert {b"LOUD!" in frame.said for frame in seen} == {True}
            client.close()


@live
async def test_a_filter_that_changes_the_length_of_a_large_body_fails_that_call(wire: Wire) -> None:
    """Its length stands in front of it, and was sent; the peer must not take what came for the whole."""
    seen: list[Frame] = []
    async with Upstream(serving(wire, echo, seen)) as upstream:
        config = generic(wire, everything(to("up")), [cluster("up", upstream.port)])
        async with RpcMesh(config, [Shouts(b"VERY LOUD!", b"LOUD!")]) as mesh:
            client = await mesh.connect()
            await client.send(wire.call(1, b"quiet" + b"x" * (3 << 20) + b"quiet"), wire.call(2, b"small"))
            got = await replies(wire, client, 2)
            assert got[1].status not in (0, 20)
            assert got[2].said == b"small"
            assert [frame.said for frame in seen] == [b"small"]
            client.close()
