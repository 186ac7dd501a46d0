"""Connections whose protocol is not known yet."""

from __future__ import annotations

from plait import Connection, NetworkFilter, ProtocolType
from plait.plugins import Catalogue, discover
from tests.integration.framed import FRAMED, FramedMesh, frame, up
from tests.integration.framed_filters import echo, whole
from tests.integration.harness import Upstream, live, tick, until


def http1() -> ProtocolType:
    found: ProtocolType = Catalogue(discover()).find(ProtocolType, "http1")[0]
    return found


@live
async def test_connection_that_has_not_shown_its_protocol_is_drained() -> None:
    async with Upstream(echo) as upstream, FramedMesh(up(upstream.port), protocols=(FRAMED, http1())) as mesh:
        silent, begun, served = [await mesh.connect() for _ in range(3)]
        await served.send(frame(1, b"m a"))
        assert await whole(served) == b"200 a"
        await begun.send(b"\0")
        active = f"listener.127.0.0.1_{mesh.port}.downstream_cx_active"
        await until(lambda: mesh.gauges().get(active) == 3, "all connections")
        mesh.plane.proxy.drain()
        for client in (silent, begun, served):
            assert await client.closed()
        late = await mesh.connect()
        assert await late.closed()
        assert mesh.counter("http.test.downstream_cx_drain_close") == 3


@live
async def test_network_filters_stay_in_front_of_a_protocol_that_showed_itself() -> None:
    class Watches(NetworkFilter):
        def __init__(self) -> None:
            self.seen = b""
            self.closed = 0

        def on_data(self, connection: Connection, data: bytes) -> bytes:
            self.seen += data
            return data

        def on_close(self, connection: Connection) -> None:
            self.closed += 1

    watches = Watches()
    async with (
        Upstream(echo) as upstream,
        FramedMesh(up(upstream.port), protocols=(FRAMED, http1()), network=[watches]) as mesh,
    ):
        client = await mesh.connect()
        sent = frame(1, b"m a")
        for at in range(len(sent)):
            await client.send(sent[at : at + 1])
            await tick()
        assert await whole(client) == b"200 a"
        await client.send(frame(2, b"m b"))
        assert await whole(client) == b"200 b"
        assert watches.seen == sent + frame(2, b"m b")
        client.close()
        await until(lambda: watches.closed == 1, "the end of the connection")
        assert mesh.plane.proxy.connections == set()
