"""Callers and upstreams that do whatever comes to mind, many at once: what was counted must be given back."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable

import pytest

from plait import CONTINUE, Stream, StreamFilter, Verdict
from tests.integration.harness import Json, Peer, get, live, ok, post, proxied, response, route, until

CLIENTS = 120


class Moody(StreamFilter):
    """Waits, answers, resets, raises or changes bodies, as chance has it."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def on_request(self, stream: Stream) -> Verdict | Awaitable[Verdict]:
        mood = self.chance.randrange(12)
        if mood == 0:
            return stream.reply(403, "no")
        if mood == 1:
            stream.reset("mood")
            return CONTINUE
        if mood == 2:
            raise RuntimeError("mood")
        return self._later() if mood < 6 else CONTINUE

    async def _later(self) -> Verdict:
        await asyncio.sleep(self.chance.random() / 100)
        return CONTINUE

    def on_request_data(self, stream: Stream, data: bytes, end: bool) -> bytes | Awaitable[bytes]:
        return self._data(data) if self.chance.randrange(3) == 0 else data

    def on_response(self, stream: Stream) -> Verdict | Awaitable[Verdict]:
        mood = self.chance.randrange(12)
        if mood == 0:
            return stream.reply(502, "mine")
        if mood == 1:
            raise RuntimeError("mood")
        return self._later() if mood < 5 else CONTINUE

    def on_response_data(self, stream: Stream, data: bytes, end: bool) -> bytes | Awaitable[bytes]:
        if self.chance.randrange(20) == 0:
            raise RuntimeError("mood")
        return self._data(data) if self.chance.randrange(3) == 0 else data

    async def _data(self, data: bytes) -> bytes:
        await asyncio.sleep(self.chance.random() / 100)
        return data + b"!"


@live
@pytest.mark.parametrize("seed", range(4))
async def test_whatever_happens_nothing_is_left_behind(seed: int) -> None:
    chance = random.Random(seed)

    async def upstream(peer: Peer, number: int) -> None:
        while True:
            mood = chance.randrange(16)
            if mood == 0:
                await peer.head()
                await peer.send(response(413, b"early"))
                return
            head, body = await peer.message()
            if not head or mood == 1:
                return
            await asyncio.sleep(chance.random() / 50)
            if mood == 2:
                peer.reset()
                return
            if mood == 3:
                await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort")
                return
            if mood == 4:
                await peer.send(b"nonsense\r\n\r\n")
            elif mood == 5:
                await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n")
            elif mood == 6:
                await peer.send(ok() + ok())
            elif mood == 7:
                await peer.send(response(503, b"busy"))
            elif mood == 8:
                await peer.send(b"HTTP/1.1 200 OK\r\n\r\nuntil the close")
                return
            elif mood == 9:
                await peer.rest()
            elif mood == 10:
                await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                for _ in range(5):
                    await peer.send(b"5\r\nhello\r\n")
                    await asyncio.sleep(0.002)
                await peer.send(b"0\r\n\r\n")
            else:
                await peer.send(ok(body))

    policy = {
        "retry_on": "5xx",
        "num_retries": 2,
        "per_try_timeout": "0.2s",
        "retry_back_off": {"base_interval": "0.005s", "max_interval": "0.02s"},
    }
    limits: Json = {
        "max_connections": 12,
        "max_pending_requests": 40,
        "max_requests": 80,
        "max_retries": 20,
    }
    async with proxied(
        upstream,
        [Moody(chance)],
        routes=[route(timeout="0.6s", retry_policy=policy)],
        up={"circuit_breakers": {"thresholds": [limits]}},
        stream_idle_timeout="1s",
        request_headers_timeout="1s",
        common_http_protocol_options={"idle_timeout": "1s"},
    ) as (mesh, _):

        async def client(number: int) -> None:
            peer = await mesh.connect()
            for _ in range(chance.randrange(1, 6)):
                mood = chance.randrange(10)
                if mood == 0:
                    await peer.send(b"nonsense\r\n\r\n")
                elif mood == 1:
                    await peer.send(get(b"/", b"content-length: 1000", method=b"POST"), b"short")
                    peer.half_close()
                elif mood == 2:
                    await peer.send(get())
                    await asyncio.sleep(chance.random() / 20)
                    peer.reset()
                    return
                elif mood == 3:
                    await peer.send(get() * 4)
                elif mood == 4:
                    await peer.send(b"GET / HT")
                    await asyncio.sleep(chance.random() / 50)
                    peer.close()
                    return
                elif mood == 5:
                    await peer.send(get(b"/", b"transfer-encoding: chunked", method=b"POST"))
                    for _ in range(4):
                        await peer.send(b"3\r\nabc\r\n")
                        await asyncio.sleep(chance.random() / 200)
                    await peer.send(b"0\r\n\r\n")
                else:
                    await peer.send(post(b"x" * chance.randrange(100_000)))
                try:
                    head, _ = await peer.message()
                except asyncio.IncompleteReadError:
                    return
                if not head or b"connection: close" in head or mood == 1:
                    return

        async def patient(number: int) -> None:
            try:
                await client(number)
            except ConnectionError:
                pass

        await asyncio.gather(*(patient(number) for number in range(CLIENTS)))
        await until(lambda: mesh.counter("http.test.downstream_rq_total") > CLIENTS, "traffic")
