"""The filter that the README of Dubbo shows, on calls of real peers in Hessian and JSONB, large and small."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import pytest

from plait import CONTINUE, Request, Response, Stream, StreamFilter, Verdict
from plait_protocol_dubbo import DubboCall, DubboClient, DubboOptions, DubboResult, DubboServer, read_whole
from tests.documents.blocks import blocks
from tests.integration.framed_rpc import to
from tests.integration.harness import Peer, Upstream, cluster, live
from tests.integration.test_dubbo_proxy import DubboMesh, dubbo, interface
from tests.integration.wire import WIRES, RpcMesh, everything, generic

ROOT = Path(__file__).parents[2]
DUBBO = ROOT / "plugins/protocols/dubbo"
FRAMES = {
    name: bytes.fromhex(text)
    for name, text in (
        line.split(" ")
        for line in (DUBBO / "tests/frames.txt").read_text().splitlines()
        if line and line[0] != "#"
    )
}  # fmt: skip
CALLS = ["java31_hello", "java33_say", "java33_many", "fastjson2_say", "fastjson2_many"]
PROXIES = ["generic_proxy", "dubbo_proxy"]


def stamp(zone: str) -> StreamFilter:
    """The filter of the README."""
    (text,) = [block.body for block in blocks(DUBBO / "README.md") if block.name == "acme_stamp.py"]
    module: Any = types.ModuleType("acme_stamp")
    exec(compile(text, "acme_stamp.py", "exec"), module.__dict__)
    made: StreamFilter = module.StampFilter(module.Stamp(zone))
    return made


def mesh_of(proxy: str, port: int, *filters: StreamFilter) -> Any:
    if proxy == "generic_proxy":
        made: Any = RpcMesh(generic(WIRES[1], everything(to("up")), [cluster("up", port)]), filters)
    else:
        route = {"match": {}, "route": {"cluster": "up"}}
        made = DubboMesh(dubbo([cluster("up", port)], interface("*", route)))
        made.filters.extend(filters)
    return made


def answering(frames: list[bytes], answer: bytes) -> Any:
    """Answers each call with ``answer`` under its id."""

    async def handle(peer: Peer, number: int) -> None:
        while True:
            head = await peer.exactly(16)
            frames.append(head + await peer.exactly(int.from_bytes(head[12:], "big")))
            await peer.send(answer[:4] + head[4:12] + answer[12:])

    return handle


async def frame(peer: Peer) -> bytes:
    head = await peer.exactly(16)
    return head + await peer.exactly(int.from_bytes(head[12:], "big"))


def call_in(data: bytes) -> DubboCall:
    (request,) = DubboServer(DubboOptions(max_buffered_bytes=16 << 20)).feed(data)
    assert isinstance(request, Request)
    assert isinstance(request.native, DubboCall)
    return request.native


def result_in(data: bytes) -> DubboResult:
    (response,) = DubboClient().feed(data)
    assert isinstance(response, Response)
    assert isinstance(response.native, DubboResult)
    return response.native


class Looks(StreamFilter):
    """Reads attachments and changes nothing."""

    def on_request(self, stream: Stream) -> Verdict:
        assert stream.request.headers.get("path")
        return CONTINUE

    def on_response(self, stream: Stream) -> Verdict:
        assert stream.response is not None
        assert stream.response.headers.get("dubbo") == "2.0.2"
        return CONTINUE


@pytest.mark.parametrize("proxy", PROXIES)
@pytest.mark.parametrize("name", CALLS)
@live
async def test_the_filter_of_the_readme_stamps_calls_of_java(name: str, proxy: str) -> None:
    asked, answer = FRAMES[f"{name}_request"], FRAMES[f"{name}_response"]
    seen: list[bytes] = []
    async with (
        Upstream(answering(seen, answer)) as upstream,
        mesh_of(proxy, upstream.port, stamp("a1")) as mesh,
    ):
        client = await mesh.connect()
        await client.send(asked)
        told = await frame(client)
        assert told[4:12] == asked[4:12], "under the caller's id"
        before, after = call_in(asked), call_in(seen[0])
        stamped = after.attachments
        trace = stamped.pop("traceId")
        assert len(trace) == 32
        assert stamped == {**before.attachments, "zone": "a1"}
        assert (after.arguments(), after.serialization) == (before.arguments(), before.serialization)
        assert result_in(told).attachments == {**result_in(answer).attachments, "served-in": "a1"}
        assert result_in(told).value() == result_in(answer).value()
        client.close()


@pytest.mark.parametrize("proxy", PROXIES)
@pytest.mark.parametrize("name", CALLS)
@live
async def test_who_only_reads_attachments_changes_no_byte(name: str, proxy: str) -> None:
    asked, answer = FRAMES[f"{name}_request"], FRAMES[f"{name}_response"]
    seen: list[bytes] = []
    async with Upstream(answering(seen, answer)) as upstream, mesh_of(proxy, upstream.port, Looks()) as mesh:
        client = await mesh.connect()
        await client.send(asked)
        assert await frame(client) == answer[:4] + asked[4:12] + answer[12:]
        assert seen[0][12:] == asked[12:]
        client.close()


class Removes(StreamFilter):
    """Waits for all of a call, large or not, and takes an attachment out."""

    async def on_request(self, stream: Stream) -> Verdict:
        await stream.request_body(16 << 20)
        assert read_whole(stream.request)
        stream.request.headers.remove("secret")
        return CONTINUE


@pytest.mark.parametrize("proxy", PROXIES)
@live
async def test_attachments_of_large_calls_are_changed_by_who_waits_for_them(proxy: str) -> None:
    wire = WIRES[1]
    seen: list[bytes] = []
    large = bytes(range(256)) * 20_000
    async with (
        Upstream(answering(seen, wire.answer(0, b"yes"))) as upstream,
        mesh_of(proxy, upstream.port, Removes()) as mesh,
    ):
        client = await mesh.connect()
        for id, said in ((1, large), (2, b"small")):
            await client.send(wire.call(id, said, fields={"secret": "7", "group": "g"}))
            assert (await wire.read(client)).said == b"yes"
            call = call_in(seen.pop())
            assert call.attachments == {"group": "g"}
            assert call.arguments() == [said]
        client.close()
