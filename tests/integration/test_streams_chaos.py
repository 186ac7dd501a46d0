"""Anything at all, on both sides of shared connections: nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Any

import pytest

from plait import CONTINUE, STOP, Stream, StreamFilter
from plait.api.config import RetryPolicy, Thresholds
from plait.stream import ForwardOptions, Limits
from tests.integration.framed import (
    GOAWAY,
    MORE,
    RESET,
    FramedMesh,
    ToUp,
    frame,
    read_frame,
    up,
)
from tests.integration.harness import Peer, Upstream, live


@live
@pytest.mark.parametrize("seed", range(6))
async def test_whatever_both_sides_do_nothing_is_left_behind(seed: int) -> None:
    dice = random.Random(seed)

    async def whim(peer: Peer, number: int) -> None:
        while True:
            id, flags, payload = await read_frame(peer)
            if flags & RESET:
                continue
            what = dice.randrange(40)
            if what == 0:
                peer.reset()
                return
            if what == 1:
                return
            if what == 2:
                await peer.send(frame(id, b"", GOAWAY))
            if what == 3:
                await peer.send(b"\0\0\0\1\7\xff\xff\xff")
            elif what < 8:
                await peer.send(frame(id, b"refused" if what % 2 else b"", RESET))
            elif what < 12:
                await peer.send(frame(id, b"200 begun", MORE))
            elif what < 20:
                await peer.send(frame(id, b"200 begun", MORE) + frame(id, b"x" * dice.randrange(100_000)))
            elif what < 36:
                await peer.send(frame(id, b"200 " + payload))

    async def caller(mesh: FramedMesh, number: int) -> None:
        client = await mesh.connect()
        try:
            for id in range(1, 60):
                what = dice.randrange(40)
                if what == 0:
                    client.reset()
                    return
                if what == 1:
                    client.half_close()
                    await client.rest()
                    return
                if what == 2:
                    await client.send(b"\0\0\0\1\7\xff\xff\xff")
                elif what < 5:
                    await client.send(frame(dice.randrange(1, id + 1), b"", RESET))
                elif what < 10:
                    await client.send(frame(id, b"m begun", MORE))
                elif what < 15:
                    await client.send(frame(id, b"m begun", MORE) + frame(id, b"y" * dice.randrange(100_000)))
                elif what < 17:
                    await client.send(frame(id, b"oneway"))
                else:
                    await client.send(frame(id, b"m %d" % id))
                if dice.random() < 0.3:
                    with contextlib.suppress(TimeoutError):  # what was asked may be worth no answer
                        async with asyncio.timeout(0.02):
                            await client.reader.read(dice.randrange(1, 1 << 16))
        except (ConnectionError, TimeoutError):
            pass
        finally:
            client.reset()

    router = ToUp(
        ForwardOptions(timeout_s=0.2, retry=RetryPolicy(retry_on=("reset", "refused-stream"), base_interval_s=0.001))
    )
    waits = Waits(dice)
    async with (
        Upstream(whim) as upstream,
        FramedMesh(
            up(
                upstream.port,
                protocol_options=5,
                max_requests_per_connection=50,
                thresholds=Thresholds(max_connections=4, max_pending_requests=20, max_requests=60, max_retries=5),
            ),
            [waits],
            router=router,
            limits=Limits(buffer_limit_bytes=50_000, stream_idle_timeout_s=0.5),
        ) as mesh,
        asyncio.TaskGroup() as group,
    ):
        for number in range(12):
            group.create_task(caller(mesh, number))


class Waits(StreamFilter):
    """Waits, resumes, replies, resets and fails as the dice fall."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice

    def on_request(self, stream: Stream) -> Any:
        what = self.dice.randrange(12)
        if what == 0:
            return stream.reply(403)
        if what == 1:
            stream.reset("whim")
            return STOP
        if what == 2:
            asyncio.get_running_loop().call_later(0.005, stream.resume)
            return STOP
        return self._later(stream, CONTINUE) if what < 6 else CONTINUE

    def on_request_data(self, stream: Stream, data: bytes, end: bool) -> Any:
        return self._later(stream, data) if self.dice.random() < 0.3 else data

    def on_response(self, stream: Stream) -> Any:
        return self._later(stream, CONTINUE) if self.dice.random() < 0.3 else CONTINUE

    def on_response_data(self, stream: Stream, data: bytes, end: bool) -> Any:
        return self._later(stream, data) if self.dice.random() < 0.3 else data

    async def _later(self, stream: Stream, answer: object) -> object:
        await asyncio.sleep(self.dice.random() / 200)
        what = self.dice.randrange(20)
        if what == 0:
            return stream.reply(403)
        if what == 1:
            stream.reset("whim")
        if what == 2:
            raise RuntimeError("whim")
        return answer
