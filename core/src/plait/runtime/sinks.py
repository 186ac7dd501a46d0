"""Sends snapshots of the merged statistics to the configured sinks, from the supervisor."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from plait.api.config import Extension
from plait.api.telemetry import Snapshot, StatsSink

CLOSE_TIMEOUT_S = 5.0

_log = logging.getLogger("plait.stats_sinks")


class StatsSinks:
    """The sinks in force, changed whole by ``configure``; ``flush_forever`` is the task that feeds them."""

    def __init__(self, build: Callable[[Extension], StatsSink], snapshot: Callable[[], Awaitable[Snapshot]]) -> None:
        self._build = build
        self._snapshot = snapshot
        self._sinks: dict[str, tuple[Extension, StatsSink]] = {}
        self._failing: set[str] = set()

    async def configure(self, extensions: Sequence[Extension]) -> None:
        """Feed these and no others. Raises PluginError and changes nothing."""
        wanted = {extension.name: extension for extension in extensions}
        new = {
            name: (extension, self._build(extension))
            for name, extension in wanted.items()
            if name not in self._sinks or self._sinks[name][0] != extension
        }
        for name in [name for name in self._sinks if name not in wanted or name in new]:
            await self._close_one(name, self._sinks.pop(name)[1])
        self._sinks.update(new)

    async def flush_forever(self, interval_s: Callable[[], float], on_interval: Callable[[], None]) -> None:
        """Until cancelled; ``on_interval`` is called after each flush, sinks or none."""
        while True:
            await asyncio.sleep(interval_s())
            if self._sinks:
                await self.flush(interval_s())
            on_interval()

    async def flush(self, timeout_s: float) -> None:
        """Give every sink a snapshot; one that fails is tried again at the next interval."""
        snapshot = await self._snapshot()
        async with asyncio.TaskGroup() as group:
            for name, (_, sink) in self._sinks.items():
                group.create_task(self._flush_one(name, sink, snapshot, timeout_s))

    async def close(self) -> None:
        """One last flush, then let go."""
        if self._sinks:
            await self.flush(CLOSE_TIMEOUT_S)
        for name in list(self._sinks):
            await self._close_one(name, self._sinks.pop(name)[1])

    async def _flush_one(self, name: str, sink: StatsSink, snapshot: Snapshot, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await sink.flush(snapshot)
        except Exception as error:  # noqa: BLE001 - a sink is a plugin: its failure is its own
            if name not in self._failing:
                late = f"not done within {timeout_s:g} s" if isinstance(error, TimeoutError) else type(error).__name__
                _log.warning("stats sink %r fails, and is tried again: %s", name, str(error) or late)
            self._failing.add(name)
        else:
            if name in self._failing:
                self._failing.discard(name)
                _log.info("stats sink %r works again", name)

    async def _close_one(self, name: str, sink: StatsSink) -> None:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await sink.close()
        except Exception as error:  # noqa: BLE001 - a plugin that cannot close must not keep the others open
            _log.warning("stats sink %r did not close: %s", name, str(error) or type(error).__name__)
