"""``--concurrency 0``: the data plane in the supervisor's own process, for tests and debugging.

It stands where ``plait.runtime.fleet`` does, and has the same methods; there is one worker, number 0, and it cannot die
alone.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Any

from plait.api.errors import PlaitError
from plait.plugins.catalogue import Catalogue
from plait.runtime import ipc
from plait.runtime.children import Reaper
from plait.runtime.dataplane import DataPlane
from plait.runtime.sockets import ListeningSockets
from plait.runtime.spawning import Spawned
from plait.runtime.statistics import StatsDelta
from plait.xds.store import Update

STATS_INTERVAL_S = 0.5
CLOSE_TIMEOUT_S = 5.0


class InlineWorker:
    """The one worker of a process that has no others."""

    def __init__(
        self,
        sockets: ListeningSockets,
        everything: Callable[[], Update],
        on_counted: Callable[[int, StatsDelta], None],
    ) -> None:
        self._sockets = sockets
        self._everything = everything
        self._on_counted = on_counted
        self._plane: DataPlane | None = None
        self._task: asyncio.Task[None] | None = None
        self._in_force = False
        self._changing = asyncio.Lock()

    def start(self, group: asyncio.TaskGroup, spawned: Sequence[Spawned], reaper: Reaper | None) -> None:
        """Collect statistics from now on."""
        self._task = group.create_task(self._collect(), name="collect statistics")

    def introduce(self, start: Callable[[int], ipc.Start]) -> None:
        """Make the data plane."""
        message = start(0)
        catalogue = Catalogue(*message.plugins)
        self._plane = DataPlane(catalogue, message.node, 0, message.concurrency, message.drain_time_s)

    @property
    def pids(self) -> list[int]:
        """The process itself."""
        return [os.getpid()]

    @property
    def current(self) -> int:
        """How many workers serve what is in force."""
        return int(self._in_force)

    async def apply(self, update: Update, undo: Callable[[list[str]], tuple[Update, bool]]) -> None:
        """Apply ``update`` or tell ``undo`` why not; the data plane keeps what it had then."""
        assert self._plane is not None
        async with self._changing:
            held = self._everything().listeners if self._in_force else {}
            sockets = {name: sock.dup() for name, sock in self._sockets.of(0, update.listeners, held).items()}
            refusals = []
            try:
                await self._plane.apply(update, sockets)
            except PlaitError as error:
                refusals.append(str(error))
            except Exception as error:  # noqa: BLE001 - whatever a plugin raises here refuses the update and ends nothing
                refusals.append(f"{type(error).__name__}: {error}")
            if refusals:
                for sock in sockets.values():
                    sock.close()
            _, in_force = undo(refusals)
            self._in_force = self._in_force or in_force

    async def ask(self, what: str, timeout_s: float) -> list[Any]:
        """What the workers answer."""
        if self._plane is None:
            return []
        if what == "stats":
            self._on_counted(0, self._plane.stats.take())
            return [None]
        return [self._plane.clusters_view()]

    async def drain(self, timeout_s: float) -> None:
        """No new connections; those there are may finish within the time."""
        if self._plane is not None:
            try:
                async with asyncio.timeout(timeout_s + 2.0):
                    await self._plane.drain(timeout_s)
            except TimeoutError:
                pass

    async def stop(self) -> None:
        """Close the data plane."""
        if self._task is not None:
            self._task.cancel()
        if self._plane is not None:
            try:
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self._plane.close()
            except TimeoutError:
                pass

    def abandon(self) -> None:
        """Stop at once; the process is about to end and takes everything with it."""
        if self._task is not None:
            self._task.cancel()

    async def _collect(self) -> None:
        while True:
            await asyncio.sleep(STATS_INTERVAL_S)
            if self._plane is not None:
                self._on_counted(0, self._plane.stats.take())
