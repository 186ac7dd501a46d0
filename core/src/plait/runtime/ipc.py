"""What supervisor and workers say to each other, and the channel they say it through.

Frames are those of ``plait.runtime.spawning``; the file descriptors of sockets travel beside a frame's first byte
(SCM_RIGHTS). Pickle is safe here because the other end is always our own child or parent,
on a pair of sockets that has no name. Nothing here decides anything.
"""

from __future__ import annotations

import array
import asyncio
import os
import pickle
import socket
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from plait.api.config import Node
from plait.api.errors import PlaitError
from plait.runtime.spawning import HEAD
from plait.runtime.statistics import StatsDelta

FRAME_LIMIT_BYTES = 1 << 28
QUEUE_LIMIT_BYTES = 1 << 28
SOCKETS_PER_FRAME = 200
"""Linux takes 253 descriptors in one message."""
_CHUNK = 1 << 18


# the supervisor says


@attrs.frozen
class Start:
    """The first message: who the worker is. ``plugins`` are the arguments of its ``Catalogue``."""

    worker: int
    concurrency: int
    node: Node
    drain_time_s: float
    plugins: tuple[Any, ...]


@attrs.frozen
class TakeSockets:
    """The sockets that come with this frame belong to the listeners of these names, for the next ``Apply``."""

    names: tuple[str, ...]


@attrs.frozen
class Apply:
    """Apply the pickled ``Update`` in ``payload``; pickled apart, because reading it imports plugins and may fail."""

    version: int
    payload: bytes


@attrs.frozen
class Ask:
    """Answer with ``Told``: ``what`` is ``stats`` (sends ``Counted`` first) or ``clusters``."""

    token: int
    what: str


@attrs.frozen
class Drain:
    """Accept nothing any more, let what is under way finish, answer ``Drained``."""

    timeout_s: float


@attrs.frozen
class Stop:
    """Close everything and exit."""


# a worker says


@attrs.frozen
class Applied:
    """Version ``version`` is in force here."""

    version: int


@attrs.frozen
class Refused:
    """Version ``version`` cannot be applied here, and what was in force still is."""

    version: int
    error: str


@attrs.frozen
class Counted:
    """What the statistics of this worker gained."""

    delta: StatsDelta


@attrs.frozen
class Told:
    """The answer to an ``Ask``."""

    token: int
    answer: Any


@attrs.frozen
class Drained:
    """Nothing is under way any more, or the time for it is over."""


class Channel:
    """One end of the socket pair, on the running event loop.

    ``on_message(message, sockets)`` is called for each frame, and ``on_close(error)`` once when the peer is gone, or
    with an error when a frame cannot be read, or when the peer leaves more than ``QUEUE_LIMIT_BYTES`` unread.
    """

    def __init__(
        self,
        sock: socket.socket,
        on_message: Callable[[Any, list[socket.socket]], None],
        on_close: Callable[[Exception | None], None],
    ) -> None:
        self._sock = sock
        self._on_message = on_message
        self._on_close = on_close
        self._loop = asyncio.get_running_loop()
        self._outgoing: deque[tuple[memoryview, tuple[int, ...]]] = deque()
        self._queued_bytes = 0
        self._incoming = bytearray()
        self._descriptors: deque[int] = deque()
        self._closed = False
        sock.setblocking(False)
        self._loop.add_reader(sock.fileno(), self._read)

    def send(self, message: object, sockets: Sequence[socket.socket] = ()) -> None:
        """Queue a message; it is lost when the peer is gone, which ``on_close`` tells."""
        if self._closed:
            return
        payload = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        frame = memoryview(HEAD.pack(len(payload), len(sockets)) + payload)
        self._queued_bytes += len(frame)
        if self._queued_bytes > QUEUE_LIMIT_BYTES:
            self._lost(PlaitError(f"the peer leaves {self._queued_bytes} bytes unread"))
            return
        self._outgoing.append((frame, tuple(os.dup(sock.fileno()) for sock in sockets)))
        if len(self._outgoing) == 1:
            self._write()

    def send_sockets(self, sockets: Mapping[str, socket.socket]) -> None:
        """Send sockets by name, in as many ``TakeSockets`` as it takes."""
        names = list(sockets)
        for start in range(0, len(names), SOCKETS_PER_FRAME):
            part = names[start : start + SOCKETS_PER_FRAME]
            self.send(TakeSockets(tuple(part)), [sockets[name] for name in part])

    def close(self) -> None:
        """Let go without calling ``on_close``."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._sock.close()
        for _, descriptors in self._outgoing:
            _close_all(descriptors)
        _close_all(self._descriptors)
        self._outgoing.clear()
        self._descriptors.clear()

    @property
    def idle(self) -> bool:
        """Whether everything queued has gone out."""
        return not self._outgoing

    def _lost(self, error: Exception | None) -> None:
        if not self._closed:
            self.close()
            self._on_close(error)

    def _write(self) -> None:
        while self._outgoing:
            frame, descriptors = self._outgoing[0]
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
            try:
                sent = self._sock.sendmsg([frame[:_CHUNK]], rights)
            except (BlockingIOError, InterruptedError):
                self._loop.add_writer(self._sock.fileno(), self._write)
                return
            except OSError:
                self._loop.call_soon(self._lost, None)
                return
            _close_all(descriptors)
            self._queued_bytes -= sent
            self._outgoing[0] = (frame[sent:], ())
            if sent == len(frame):
                self._outgoing.popleft()
        self._loop.remove_writer(self._sock.fileno())

    def _read(self) -> None:
        try:
            data, ancillary, _, _ = self._sock.recvmsg(
                _CHUNK, socket.CMSG_SPACE(4 * (SOCKETS_PER_FRAME + 1)), getattr(socket, "MSG_CMSG_CLOEXEC", 0)
            )
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data, ancillary = b"", []
        for level, kind, rights in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors = array.array("i")
                descriptors.frombytes(rights[: len(rights) - len(rights) % descriptors.itemsize])
                self._descriptors.extend(descriptors)
        if not data:
            self._lost(None)
            return
        self._incoming += data
        try:
            self._deliver()
        except (pickle.UnpicklingError, ImportError, AttributeError, EOFError, PlaitError) as error:
            self._lost(error)

    def _deliver(self) -> None:
        incoming, start = self._incoming, 0
        while len(incoming) - start >= HEAD.size:
            length, count = HEAD.unpack_from(incoming, start)
            if length > FRAME_LIMIT_BYTES:
                raise PlaitError(f"a frame of {length} bytes is over the limit of {FRAME_LIMIT_BYTES}")
            end = start + HEAD.size + length
            if len(incoming) < end:
                break
            message = pickle.loads(bytes(incoming[start + HEAD.size : end]))
            start = end
            sockets = [socket.socket(fileno=self._descriptors.popleft()) for _ in range(count)]
            self._on_message(message, sockets)
            if self._closed:
                return
        del incoming[:start]


def _close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
