"""Frames of one turn go out in one write, in their order, and never much later than they are much."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from plait.stream.joined import Joined
from plait.testing import on_every_loop


class Transport(asyncio.WriteTransport):
    """Keeps what is written; each write is one entry."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.written.append(b"".join(list_of_data))

    def is_closing(self) -> bool:
        return self.closing


@on_every_loop
async def test_frames_of_one_turn_are_one_write() -> None:
    transport = Transport()
    joined = Joined(transport)
    for frame in (b"a", b"b", b"c"):
        joined.write(frame)
    assert transport.written == []
    await asyncio.sleep(0)
    assert transport.written == [b"abc"]
    joined.write(b"d")
    await asyncio.sleep(0)
    assert transport.written == [b"abc", b"d"]


@on_every_loop
async def test_what_waits_is_written_before_it_is_much() -> None:
    transport = Transport()
    joined = Joined(transport)
    joined.write(b"head")
    for _ in range(64):
        joined.write(bytes(16 * 1024))
    assert sum(map(len, transport.written)) > 900 * 1024, "in this turn already"
    assert max(map(len, transport.written)) < 100 * 1024
    await asyncio.sleep(0)
    assert b"".join(transport.written) == b"head" + bytes(1 << 20)


@on_every_loop
async def test_flush_writes_at_once_and_only_once() -> None:
    transport = Transport()
    joined = Joined(transport)
    joined.write(b"last words")
    joined.flush()
    assert transport.written == [b"last words"]
    await asyncio.sleep(0)
    assert transport.written == [b"last words"]


@on_every_loop
async def test_nothing_is_written_to_a_connection_that_closes() -> None:
    transport = Transport()
    joined = Joined(transport)
    joined.write(b"late")
    transport.closing = True
    await asyncio.sleep(0)
    assert transport.written == []
