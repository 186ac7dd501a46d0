"""Tests of plait.stream.writing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from plait.api import Counter
from plait.stream.writing import Direct, Joined


class Takes:
    """A transport that notes what is written; ``on_write`` is called in the middle of it, as a protocol's pause is."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.on_write: Callable[[], None] = lambda: None
        self.closing = False

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: bytes) -> None:
        self.written.append(data)
        self.on_write()

    def writelines(self, pieces: list[bytes]) -> None:
        self.write(b"".join(pieces))


async def made() -> tuple[Takes, Joined]:
    transport = Takes()
    return transport, Joined(transport, Counter("sent"))  # type: ignore[arg-type]  # as much of one as is used


def test_what_is_written_is_counted() -> None:
    async def run() -> None:
        for kind in (Direct, Joined):
            transport, sent = Takes(), Counter("sent")
            writing = kind(transport, sent)  # type: ignore[arg-type]  # as much of one as is used
            writing.write(b"one")
            writing.writelines([b"t", b"wo"])
            writing.flush()
            assert b"".join(transport.written) == b"onetwo"
            assert sent.value == 6

    asyncio.run(run())


def test_frames_of_one_turn_go_out_together() -> None:
    async def run() -> None:
        transport, joined = await made()
        joined.write(b"one ")
        joined.write(b"two")
        assert transport.written == []
        await asyncio.sleep(0)
        assert transport.written == [b"one two"]
        joined.write(b"three")
        await asyncio.sleep(0)
        assert transport.written == [b"one two", b"three"]

    asyncio.run(run())


def test_much_goes_out_at_once_so_that_a_full_transport_can_say_so() -> None:
    async def run() -> None:
        transport, joined = await made()
        for _ in range(40):
            joined.write(b"x" * 32768)
        assert sum(map(len, transport.written)) > 36 * 32768
        await asyncio.sleep(0)
        assert sum(map(len, transport.written)) == 40 * 32768

    asyncio.run(run())


def test_what_is_written_because_the_transport_is_full_comes_behind_what_filled_it() -> None:
    """Such as the end of a stream that nobody waits for: it is neither lost nor sent twice."""

    async def run() -> None:
        transport, joined = await made()

        def full() -> None:
            transport.on_write = lambda: None
            joined.write(b"reset")
            joined.flush()

        transport.on_write = full
        joined.write(b"piece ")
        joined.flush()
        await asyncio.sleep(0)
        assert transport.written == [b"piece ", b"reset"]

    asyncio.run(run())


def test_nothing_is_written_to_a_transport_that_closes() -> None:
    async def run() -> None:
        transport, joined = await made()
        joined.write(b"late")
        transport.closing = True
        joined.flush()
        joined.flush()
        assert transport.written == []

    asyncio.run(run())
