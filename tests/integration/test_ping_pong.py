"""A protocol without ids through generic_proxy, as ping-pong: the one that ``docs/plugins/protocol.md`` shows."""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plait.plugins import Catalogue, PluginInfo, discover
from tests.documents.blocks import blocks
from tests.integration.framed_rpc import by_service, configuration, to
from tests.integration.harness import Json, Peer, Upstream, cluster, live, until
from tests.integration.wire import RpcMesh, route_action

ROOT = Path(__file__).parents[2]
MODULE = "acme_ask"


@pytest.fixture(scope="module")
def catalogue() -> Iterator[Catalogue]:
    (text,) = [one.body for one in blocks(ROOT / "docs/plugins/protocol.md") if one.name == "acme_ask.py"]
    module = types.ModuleType(MODULE)
    sys.modules[MODULE] = module
    exec(compile(text, "acme_ask.py", "exec"), module.__dict__)
    try:
        yield Catalogue(
            [*discover(), PluginInfo("acme-ask", "protocols", "test", "1", MODULE, registers=("acme-ask",))]
        )
    finally:
        del sys.modules[MODULE]


class AskMesh(RpcMesh):
    def __init__(self, catalogue: Catalogue, config: Json) -> None:
        super().__init__(config)
        self.catalogue = catalogue


def asking(routes: Json, clusters: list[Json]) -> Json:
    made = configuration(routes, clusters)
    (listener,) = made["static_resources"]["listeners"]
    proxy = listener["filter_chains"][0]["filters"][0]["typed_config"]
    proxy["codec_config"] = {"name": "plait.generic_proxy.codecs.acme-ask"}
    return made


class Answers:
    """Answers questions in order; most were asked at once over so many connections."""

    def __init__(self) -> None:
        self.under_way = 0
        self.most = 0
        self.go = asyncio.Event()

    async def __call__(self, peer: Peer, number: int) -> None:
        while True:
            line = await peer.reader.readuntil(b"\n")
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            await self.go.wait()
            self.under_way -= 1
            await peer.send(b"200 yes, " + line)


@live
async def run_pipelined(catalogue: Catalogue) -> None:
    answers = Answers()
    async with (
        Upstream(answers) as upstream,
        AskMesh(catalogue, asking(by_service({"one": to("up")}), [cluster("up", upstream.port)])) as mesh,
    ):
        client, other = await mesh.connect(), await mesh.connect()
        await client.send(b"one a\none b\ntwo c\none d\n")
        await other.send(b"one e\n")
        await until(lambda: answers.most == 2, "questions of both")
        assert answers.under_way == 2, "one at a time of each caller"
        answers.go.set()
        said = [await client.reader.readuntil(b"\n") for _ in range(4)]
        assert said == [b"200 yes, one a\n", b"200 yes, one b\n", b"404 route_not_found\n", b"200 yes, one d\n"]
        assert await other.reader.readuntil(b"\n") == b"200 yes, one e\n"
        assert upstream.connections == 2, "connections are used again"
        client.close()
        other.close()


def test_questions_are_answered_in_order_and_connections_used_again(catalogue: Catalogue) -> None:
    run_pipelined(catalogue)


@live
async def run_lost(catalogue: Catalogue) -> None:
    async def dying(peer: Peer, number: int) -> None:
        line = await peer.reader.readuntil(b"\n")
        if not number:
            peer.reset()
            return
        await peer.send(b"200 again, " + line)
        await peer.rest()

    policy: Any = {"retry_on": "reset", "num_retries": 1, "retry_back_off": {"base_interval": "0.001s"}}
    routes = by_service({"one": route_action("up", retry_policy=policy)}, to("gone"))
    async with (
        Upstream(dying) as upstream,
        AskMesh(catalogue, asking(routes, [cluster("up", upstream.port), cluster("gone", 1)])) as mesh,
    ):
        client = await mesh.connect()
        await client.send(b"one a\ntwo b\n")
        assert await client.reader.readuntil(b"a\n") == b"200 again, one a\n"
        assert (await client.reader.readuntil(b"\n")).startswith(b"503 upstream connect error")
        client.close()


def test_a_lost_connection_fails_its_question_alone_which_may_be_asked_again(catalogue: Catalogue) -> None:
    run_lost(catalogue)
