"""An upstream of framed streams that a test answers itself, frame by frame."""

from __future__ import annotations

import attrs

from tests.integration.framed import (
    frame,
    read_frame,
)
from tests.integration.harness import Peer, until


@attrs.frozen
class Call:
    """A frame that arrived upstream, and how to answer it."""

    peer: Peer
    connection: int
    id: int
    flags: int
    payload: bytes

    async def answer(self, payload: bytes = b"", flags: int = 0) -> None:
        """Send a frame of the same stream."""
        await self.peer.send(frame(self.id, payload, flags))


class Calls:
    """An upstream that notes what arrives and lets the test answer."""

    def __init__(self) -> None:
        self.all: list[Call] = []

    async def __call__(self, peer: Peer, number: int) -> None:
        while True:
            self.all.append(Call(peer, number, *await read_frame(peer)))

    async def arrived(self, count: int) -> list[Call]:
        """All frames, once there are ``count``."""
        await until(lambda: len(self.all) >= count, f"{count} frames upstream, {len(self.all)} came")
        assert len(self.all) == count
        return self.all


async def echo(peer: Peer, number: int) -> None:
    """Answers every request with its body."""
    while True:
        id, _, payload = await read_frame(peer)
        await peer.send(frame(id, b"200 " + payload.partition(b" ")[2]))
