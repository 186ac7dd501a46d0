"""What calls of Bolt and Dubbo say of themselves, and who can ask for it: routes, access logs, mixer and filters."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plait import CONTINUE, Stream, StreamFilter, Verdict
from plait_protocol_bolt import BoltFrame
from tests.integration.framed_rpc import to, when
from tests.integration.harness import Json, Peer, Upstream, cluster, live, until
from tests.integration.wire import WIRES, RpcMesh, Wire, everything, generic, replies, serving

BOLT, DUBBO = WIRES
ROOT = Path(__file__).parents[2]
FRAMES = json.loads((ROOT / "plugins/protocols/bolt/tests/frames.json").read_text())
SAY, SAID = (bytes.fromhex(frame) for frame in FRAMES["java_sofarpc_say"]["frames"])
"""A call of SOFARPC 5.13.2 for Java, ``R$Hello:1.0``'s ``say``, and its answer."""

NAMES = {
    "bolt": {
        ":authority": "shop.Cart",
        ":path": "get",
        ":class-name": "x.Contents",
        ":codec": "20",
        ":version": "1",
        ":target-app": "shop",
        ":trace-id": "0a0f1234",
        ":rpc-id": "0.1",
        "sofa_head_target_app": "shop",
        "rpc_trace_context.sofaTraceId": "0a0f1234",
        "rpc_trace_context.sofaRpcId": "0.1",
    },
    "dubbo": {
        ":authority": "shop.Cart",
        ":path": "get",
        ":dubbo-version": "2.0.2",
        ":service-version": "1.0.0",
        ":parameter-types": "[B",
        ":serialization": "hessian2",
        "group": "g1",
        "traceId": "0a0f1234",
    },
}
"""What a call says, by the names that configurations use."""
ASKED = [pytest.param(wire, name, id=f"{wire.name} {name}") for wire in WIRES for name in NAMES[wire.name]]


def call(wire: Wire, id: int, said: bytes = b"x") -> bytes:
    fields = {name: value for name, value in NAMES[wire.name].items() if name[0] != ":"}
    return wire.call(id, said, fields=fields)


def plain(wire: Wire, id: int) -> bytes:
    """A call that has none of the values in question, where that can be."""
    return wire.call(id, b"x", service="shop.Stock", method="put")


@pytest.mark.parametrize(("wire", "name"), ASKED)
@live
async def test_a_route_can_ask_for_it(wire: Wire, name: str) -> None:
    value = NAMES[wire.name][name]
    routes = {
        "matcher_list": {
            "matchers": [
                when("Property", {"exact": value + "?"}, to("one"), property_name=name),
                when("Property", {"exact": value}, to("two"), property_name=name),
            ]
        },
        "on_no_match": to("one"),
    }
    async with (
        Upstream(serving(wire, lambda frame: b"one")) as one,
        Upstream(serving(wire, lambda frame: b"two")) as two,
        RpcMesh(generic(wire, routes, [cluster("one", one.port), cluster("two", two.port)])) as mesh,
    ):
        client = await mesh.connect()
        await client.send(call(wire, 1))
        assert (await wire.read(client)).said == b"two"
        if name in (":authority", ":path") or name[0] != ":":
            await client.send(plain(wire, 2))
            assert (await wire.read(client)).said == b"one"
        client.close()


def logging(config: Json, path: Path, fields: Json) -> Json:
    """The configuration with an access log in JSON."""
    (listener,) = config["static_resources"]["listeners"]
    proxy = listener["filter_chains"][0]["filters"][0]["typed_config"]
    kind = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
    log = {"@type": kind, "path": str(path), "log_format": {"json_format": fields}}
    proxy["access_log"] = [{"name": "envoy.access_loggers.file", "typed_config": log}]
    return config


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
@live
async def test_an_access_log_can_name_it(wire: Wire, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    names = NAMES[wire.name]
    fields = {
        **{f"req {name}": f"%REQ({name.upper()})%" for name in names},
        **{f"property {name}": f"%REQUEST_PROPERTY({name})%" for name in names},
        "protocol": "%PROTOCOL%",
        "service": "%PATH% %HOST% %REQ(:AUTHORITY)%",
        "method": "%METHOD% %REQ(:PATH)%",
        "status": "%RESPONSE_CODE% %GENERIC_RESPONSE_CODE%",
        "missing": "%REQUEST_PROPERTY(:nothing)% %RESPONSE_PROPERTY(nothing)%",
    }
    async with (
        Upstream(serving(wire, lambda frame: frame.said)) as upstream,
        RpcMesh(logging(generic(wire, everything(to("up")), [cluster("up", upstream.port)]), path, fields)) as mesh,
    ):
        client = await mesh.connect()
        await client.send(call(wire, 1))
        await wire.read(client)
        client.close()
        await until(lambda: path.exists() and path.read_text(), "the log to be written")
    (line,) = path.read_text().splitlines()
    said = json.loads(line)
    for name, value in names.items():
        assert said[f"req {name}"] == value
        assert said[f"property {name}"] == value
    assert said["protocol"] == wire.name
    assert said["service"] == "shop.Cart shop.Cart shop.Cart"
    assert said["method"] == "get get"
    assert said["status"] == ("200 200" if wire is BOLT else "200 20")
    assert said["missing"] == "- -"


def mixer(match: str) -> Json:
    """The filter that denies what ``match`` says."""
    status = {"code": "PERMISSION_DENIED", "message": "no"}
    return {
        "name": "plait.filters.mixer",
        "typed_config": {
            "@type": "type.googleapis.com/xds.type.v3.TypedStruct",
            "type_url": "plait.filters.mixer",
            "value": {
                "handlers": [{"name": "deny", "adapter": "denier", "params": {"status": status}}],
                "instances": [{"name": "nothing", "template": "checknothing"}],
                "rules": [{"match": match, "actions": [{"handler": "deny", "instances": ["nothing"]}]}],
            },
        },
    }


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
@live
async def test_mixer_can_decide_by_it(wire: Wire) -> None:
    asked = [f'request.headers["{name}"] == "{value}"' for name, value in NAMES[wire.name].items()]
    asked += ['api.service == "shop.Cart"', 'api.operation == "get"', f'api.protocol == "{wire.name}"']
    async with (
        Upstream(serving(wire, lambda frame: frame.said)) as upstream,
        RpcMesh(
            generic(wire, everything(to("up")), [cluster("up", upstream.port)], [mixer(" && ".join(asked))])
        ) as mesh,
    ):
        client = await mesh.connect()
        await client.send(call(wire, 1), plain(wire, 2))
        got = await replies(wire, client, 2)
        assert got[1].status == wire.errors["refused"]
        assert got[2].said == b"x"
        client.close()


class Reads(StreamFilter):
    """What a filter finds of a call of SOFARPC."""

    def __init__(self) -> None:
        self.seen: dict[str, object] = {}

    def on_request(self, stream: Stream) -> Verdict:
        request = stream.request
        frame = request.native
        assert isinstance(frame, BoltFrame)
        self.seen = {
            "service": request.authority,
            "method": request.path,
            "target service": request.headers.get("sofa_head_target_service"),
            "caller": request.headers.get("app"),
            "class": frame.class_name,
        }
        return CONTINUE


@live
async def test_a_filter_finds_all_of_it_in_a_call_of_java() -> None:
    async def java(peer: Peer, number: int) -> None:
        frame = await peer.exactly(len(SAY))
        await peer.send(SAID[:5] + frame[5:9] + SAID[9:])
        await peer.rest()

    reads = Reads()
    async with (
        Upstream(java) as upstream,
        RpcMesh(generic(BOLT, everything(to("up")), [cluster("up", upstream.port)]), [reads]) as mesh,
    ):
        client = await mesh.connect()
        await client.send(SAY)
        assert await client.exactly(len(SAID)) == SAID
        assert reads.seen == {
            "service": "R$Hello:1.0",
            "method": "say",
            "target service": "R$Hello:1.0",
            "caller": "cli",
            "class": "com.alipay.sofa.rpc.core.request.SofaRequest",
        }
        client.close()
