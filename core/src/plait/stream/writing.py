"""The writing side of a connection: what it wrote is counted, and where streams share it, joined.

A connection that many streams share is written to for each of them; every write of its own would be a system call, and
those cost more than everything else that is done for a small frame. So frames that are written to it in one turn of the
loop go out together when the loop comes round again, behind all that was read in this turn, in the order they came; or
as soon as they are much, so that a peer that takes no more is noticed before as much again is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypeAlias

from plait.api.context import Counter

_MUCH_BYTES = 64 * 1024  # above that, joining would copy more than a vector of buffers costs


class Direct:
    """For one stream at a time: everything goes out as it comes. ``sent`` counts the bytes that it is given."""

    __slots__ = ("_sent", "_transport")

    def __init__(self, transport: asyncio.WriteTransport, sent: Counter) -> None:
        self._transport = transport
        self._sent = sent

    def write(self, frame: bytes) -> None:
        """Write ``frame`` now."""
        self._sent.value += len(frame)
        self._transport.write(frame)

    def writelines(self, pieces: Sequence[bytes]) -> None:
        """Write pieces of which none is to be copied; the transport may keep the sequence."""
        self._sent.value += sum(map(len, pieces))
        self._transport.writelines(pieces)

    def flush(self) -> None:
        """Nothing waits here."""


class Joined:
    """For streams that share a connection; ``flush`` before closing it. ``sent`` counts the bytes."""

    __slots__ = ("_call_soon", "_flush", "_pending", "_sent", "_size", "_transport")

    def __init__(self, transport: asyncio.WriteTransport, sent: Counter) -> None:
        self._transport = transport
        self._sent = sent
        self._pending: list[bytes] = []
        self._size = 0
        self._call_soon = asyncio.get_running_loop().call_soon
        self._flush = self.flush  # bound once

    def write(self, frame: bytes) -> None:
        """Write ``frame`` in this turn of the loop; at once with what waits, where that is much.

        A loop may read from one connection many times in a turn: what takes no more has to say so before the turn ends.
        """
        pending = self._pending
        if not pending:
            self._call_soon(self._flush)
        pending.append(frame)
        self._size = size = self._size + len(frame)
        if size > _MUCH_BYTES:
            self.flush()

    def writelines(self, pieces: Sequence[bytes]) -> None:
        """Write pieces, one behind the other."""
        self.write(b"".join(pieces))

    def flush(self) -> None:
        """Write now what waits."""
        pending, size = self._pending, self._size
        if not pending:
            return
        self._pending = []  # before it is written: that may stop a stream, whose end is written behind this
        self._size = 0
        if self._transport.is_closing():
            return
        self._sent.value += size
        if len(pending) == 1:
            self._transport.write(pending[0])
        elif size > _MUCH_BYTES:
            self._transport.writelines(pending)
        else:
            self._transport.write(b"".join(pending))


Writing: TypeAlias = Direct | Joined
