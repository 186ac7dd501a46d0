"""One worker: ``python -m plait.runtime.worker --fd N``, started by the supervisor alone.

It does as the supervisor says through the channel at descriptor N (``plait.runtime.ipc``): applies updates to its data
plane, tells what it counted, drains, stops. It takes no signals, and ends when the supervisor is gone. It reads no
configuration and imports neither protobuf nor YAML.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import pickle
import signal
import socket
import sys
from typing import Any

from plait.api.errors import PlaitError
from plait.plugins.catalogue import Catalogue
from plait.runtime import ipc
from plait.runtime.dataplane import DataPlane
from plait.runtime.logs import configure_logging

STATS_INTERVAL_S = 0.5
CLOSE_TIMEOUT_S = 5.0
GC_THRESHOLD = 50_000  # objects

_log = logging.getLogger("plait.worker")


class Worker:
    """The data plane of one process and its end of the channel."""

    def __init__(self, sock: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._plane: DataPlane | None = None
        self._sockets: dict[str, socket.socket] = {}
        self._updates: asyncio.Queue[tuple[ipc.Apply, dict[str, socket.socket]]] = asyncio.Queue()  # one at a time
        self._group: asyncio.TaskGroup | None = None
        self._draining: asyncio.Task[None] | None = None
        self._tick: asyncio.TimerHandle | None = None
        self._channel = ipc.Channel(sock, self._heard, self._alone)

    async def run(self) -> None:
        """Until the supervisor says stop, or is gone."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            applying = group.create_task(self._apply_in_turn(), name="apply")
            await self._stopping.wait()
            applying.cancel()
            if self._draining is not None:
                self._draining.cancel()
        if self._tick is not None:
            self._tick.cancel()
        if self._plane is not None:
            try:
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self._plane.close()
            except TimeoutError:
                _log.warning("closing took more than %.0f s and was given up", CLOSE_TIMEOUT_S)
            self._count()
        self._channel.close()

    def _alone(self, error: Exception | None) -> None:
        if error is not None:
            _log.error("the supervisor cannot be understood: %s", error)
        self._stopping.set()

    def _heard(self, message: Any, sockets: list[socket.socket]) -> None:
        if isinstance(message, ipc.Start):
            catalogue = Catalogue(*message.plugins)
            self._plane = DataPlane(catalogue, message.node, message.worker, message.concurrency, message.drain_time_s)
            self._tick = self._loop.call_later(STATS_INTERVAL_S, self._count_again)
        elif isinstance(message, ipc.TakeSockets):
            self._sockets.update(zip(message.names, sockets, strict=True))
        elif isinstance(message, ipc.Apply):
            self._updates.put_nowait((message, self._sockets))
            self._sockets = {}
        elif isinstance(message, ipc.Ask):
            self._answer(message)
        elif isinstance(message, ipc.Drain):
            assert self._group is not None
            self._draining = self._group.create_task(self._drain(message.timeout_s), name="drain")
        elif isinstance(message, ipc.Stop):
            self._stopping.set()

    async def _apply_in_turn(self) -> None:
        while True:
            await self._apply(*await self._updates.get())

    async def _apply(self, message: ipc.Apply, sockets: dict[str, socket.socket]) -> None:
        try:
            assert self._plane is not None
            await self._plane.apply(pickle.loads(message.payload), sockets)
        except PlaitError as error:
            self._refuse(message, str(error), sockets)
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises here refuses the update and ends nothing
            _log.debug("version %d cannot be applied", message.version, exc_info=error)
            self._refuse(message, f"{type(error).__name__}: {error}", sockets)
        else:
            self._channel.send(ipc.Applied(message.version))
            gc.collect()
            gc.freeze()  # what configuration made lives long: the collector need not look at it again

    def _refuse(self, message: ipc.Apply, error: str, sockets: dict[str, socket.socket]) -> None:
        for sock in sockets.values():
            sock.close()
        self._channel.send(ipc.Refused(message.version, error))

    def _answer(self, message: ipc.Ask) -> None:
        answer: Any = None
        if message.what == "stats":
            self._count()
        elif message.what == "clusters" and self._plane is not None:
            answer = self._plane.clusters_view()
        self._channel.send(ipc.Told(message.token, answer))

    def _count(self) -> None:
        if self._plane is not None:
            delta = self._plane.stats.take()
            if delta:
                self._channel.send(ipc.Counted(delta))

    def _count_again(self) -> None:
        self._count()
        self._tick = self._loop.call_later(STATS_INTERVAL_S, self._count_again)

    async def _drain(self, timeout_s: float) -> None:
        if self._plane is not None:
            await self._plane.drain(timeout_s)
        self._count()
        self._channel.send(ipc.Drained())


async def _run(descriptor: int) -> None:
    await Worker(socket.socket(fileno=descriptor)).run()


def main(arguments: list[str]) -> int:
    """``--fd N [--log-level LEVEL]``; the exit code."""
    import uvloop

    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a terminal or systemd sends them to all; the supervisor decides
    configure_logging(options.get("--log-level", "info"), f"worker {options.get('--slot', '?')}")
    # Requests under way are many, short-lived and free of cycles: by default the collector would go through them all
    # for every few hundred more, and find nothing.
    gc.set_threshold(GC_THRESHOLD, 20, 50)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(int(options["--fd"])))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
