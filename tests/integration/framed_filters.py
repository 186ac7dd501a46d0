"""Filters, routers and upstreams of framed streams for tests of waiting."""

from __future__ import annotations

import asyncio
from typing import Any

from plait import CONTINUE, STOP, Stream, StreamFilter, Verdict
from tests.integration.framed import MORE, ToUp, frame, read_frame
from tests.integration.harness import Peer


async def echo(peer: Peer, number: int) -> None:
    """Answers with all of a request's payload, in as many frames."""
    begun: set[int] = set()
    while True:
        id, flags, payload = await read_frame(peer)
        await peer.send(frame(id, payload if id in begun else b"200 " + payload.partition(b" ")[2], flags))
        begun.add(id)


class Sees(StreamFilter):
    """Notes what it is shown."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_request(self, stream: Stream) -> Verdict:
        self.seen.append("request")
        return CONTINUE

    def on_request_data(self, stream: Stream, data: bytes, end: bool) -> bytes:
        self.seen.append(f"request {data.decode()}")
        return data

    def on_request_trailers(self, stream: Stream) -> None:
        self.seen.append("request trailers")

    def on_response_data(self, stream: Stream, data: bytes, end: bool) -> bytes:
        self.seen.append(f"response {data.decode()}")
        return data

    def on_response_trailers(self, stream: Stream) -> None:
        self.seen.append("response trailers")


class RouterThatWaits(ToUp):
    """Answers ``answer`` once it may, having sent the request on."""

    def __init__(self, answer: object = STOP) -> None:
        super().__init__()
        self.called = asyncio.Event()
        self.go = asyncio.Event()
        self.calls = 0
        self.answer = answer

    async def on_request(self, stream: Stream) -> Any:
        self.calls += 1
        self.called.set()
        await self.go.wait()
        self.send(stream)
        return self.answer


async def whole(client: Peer) -> bytes:
    """The payloads of the next frames, up to the last of a message."""
    payloads = []
    while True:
        _, flags, payload = await read_frame(client)
        payloads.append(payload)
        if not flags & MORE:
            return b"".join(payloads)
