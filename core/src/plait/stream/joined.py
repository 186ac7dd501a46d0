"""Frames that are written to one connection in one turn of the loop go out together.

A connection that many streams share is written to for each of them; every write of its own would be a system call, and
those cost more than everything else that is done for a small frame. What is written goes out when the loop comes round
again, behind all that was read in this turn, in the order it came; or as soon as it is much, so that a peer that takes
no more is noticed before as much again is read.
"""

from __future__ import annotations

import asyncio

_MUCH_BYTES = 64 * 1024  # above that, joining would copy more than a vector of buffers costs


class Joined:
    """The writing side of a transport; ``flush`` before closing it."""

    __slots__ = ("_call_soon", "_flush", "_pending", "_size", "_transport")

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        self._transport = transport
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

    def flush(self) -> None:
        """Write now what waits."""
        pending, size = self._pending, self._size
        if not pending:
            return
        self._pending = []  # before it is written: that may stop a stream, whose end is written behind this
        self._size = 0
        if self._transport.is_closing():
            return
        if len(pending) == 1:
            self._transport.write(pending[0])
        elif size > _MUCH_BYTES:
            self._transport.writelines(pending)
        else:
            self._transport.write(b"".join(pending))
