"""The owner of a worker's tasks: none is lost, a failing one is logged and leaves its siblings alone.

An ``asyncio.TaskGroup`` cancels everything when one task fails: right for one job, wrong for the many of a proxy.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

_log = logging.getLogger("plait.net")

CLOSE_TIMEOUT_S = 5.0


class Tasks:
    """Start with ``spawn``, end with ``close``."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run ``work`` as a task of this owner."""
        task = asyncio.get_running_loop().create_task(self._supervised(work, name), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: work.close())  # a task that is cancelled at once never begins its work
        return task

    async def _supervised(self, work: Coroutine[Any, Any, None], name: str) -> None:
        try:
            await work
        except Exception:
            _log.exception("task %r failed", name)

    async def close(self) -> None:
        """Cancel what runs and wait for it, for a few seconds at most."""
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_TIMEOUT_S)
