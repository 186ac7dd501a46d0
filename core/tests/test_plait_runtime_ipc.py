"""The channel between supervisor and workers: frames, sockets beside them, the end of the peer."""

import asyncio
import os
import socket
from typing import Any

import pytest

from plait.runtime import ipc
from plait.runtime.spawning import receive_blocking, send_blocking


class End:
    """One end of a channel and what it heard."""

    def __init__(self, sock: socket.socket) -> None:
        self.messages: list[Any] = []
        self.sockets: list[list[socket.socket]] = []
        self.closed: list[Exception | None] = []
        self.news = asyncio.Event()
        self.channel = ipc.Channel(sock, self._heard, self._closed)

    def _heard(self, message: Any, sockets: list[socket.socket]) -> None:
        self.messages.append(message)
        self.sockets.append(sockets)
        self.news.set()

    def _closed(self, error: Exception | None) -> None:
        self.closed.append(error)
        self.news.set()

    async def hear(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.messages) < count:
                self.news.clear()
                await self.news.wait()

    async def end(self) -> None:
        async with asyncio.timeout(10):
            while not self.closed:
                self.news.clear()
                await self.news.wait()


def pair() -> tuple[End, End]:
    left, right = socket.socketpair()
    return End(left), End(right)


def test_messages_arrive_in_order_even_when_larger_than_the_kernel_takes() -> None:
    async def scenario() -> None:
        left, right = pair()
        big = ipc.Apply(2, os.urandom(3_000_000))
        for message in (ipc.Ask(1, "stats"), big, ipc.Stop()):
            left.channel.send(message)
        await right.hear(3)
        assert right.messages == [ipc.Ask(1, "stats"), big, ipc.Stop()]
        assert left.channel.idle
        left.channel.close()
        right.channel.close()

    asyncio.run(scenario())


def test_sockets_arrive_with_their_names_however_many() -> None:
    async def scenario() -> None:
        left, right = pair()
        sent = {f"listener-{number}": socket.socket() for number in range(ipc.SOCKETS_PER_FRAME + 3)}
        for sock in sent.values():
            sock.bind(("127.0.0.1", 0))
        names = {name: sock.getsockname() for name, sock in sent.items()}
        left.channel.send(ipc.Stop())
        left.channel.send_sockets(sent)
        for sock in sent.values():
            sock.close()
        await right.hear(3)
        got: dict[str, Any] = {}
        for message, sockets in zip(right.messages[1:], right.sockets[1:], strict=True):
            for name, sock in zip(message.names, sockets, strict=True):
                got[name] = sock.getsockname()
                assert not sock.get_inheritable()
                sock.close()
        assert got == names
        left.channel.close()
        right.channel.close()

    asyncio.run(scenario())


def test_end_of_the_peer_is_told_once() -> None:
    async def scenario() -> None:
        left, right = pair()
        left.channel.send(ipc.Drained())
        left.channel.close()
        await right.end()
        assert right.messages == [ipc.Drained()]
        assert right.closed == [None]
        right.channel.send(ipc.Stop())
        assert left.closed == []

    asyncio.run(scenario())


def test_frame_over_the_limit_ends_the_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        left, right = pair()
        monkeypatch.setattr(ipc, "FRAME_LIMIT_BYTES", 100)
        left.channel.send(ipc.Apply(1, b"x" * 200))
        await right.end()
        assert "over the limit" in str(right.closed[0])
        left.channel.close()

    asyncio.run(scenario())


def test_peer_that_reads_nothing_ends_the_channel_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        ours, other = socket.socketpair()
        left = End(ours)
        monkeypatch.setattr(ipc, "QUEUE_LIMIT_BYTES", 1 << 20)
        for _ in range(20):
            left.channel.send(ipc.Apply(1, b"x" * 100_000))
        assert "unread" in str(left.closed[0])
        other.close()

    asyncio.run(scenario())


def test_blocking_ends_speak_the_same_frames() -> None:
    left, right = socket.socketpair()
    with left, right:
        send_blocking(left, ipc.Ask(3, "clusters"))
        assert receive_blocking(right) == ipc.Ask(3, "clusters")
        left.close()
        with pytest.raises(EOFError):
            receive_blocking(right)
