"""Has a child process read the configuration (``plait.runtime.loader``) and waits for what it says."""

from __future__ import annotations

import asyncio
from typing import Any

from plait.api.errors import PlaitError
from plait.runtime.children import Reaper, describe_exit, kill
from plait.runtime.configuration import Failed, Loaded, unpack
from plait.runtime.ipc import Channel
from plait.runtime.options import RunOptions
from plait.runtime.spawning import Spawned, python, send_blocking, spawn

LOAD_TIMEOUT_S = 60.0


async def load_in_child(options: RunOptions, reaper: Reaper, running: Spawned | None = None) -> Loaded:
    """What ``configuration.load`` gives or raises, done by ``running``, which has its options, or by a new process."""
    child = running
    if child is None:
        child = spawn(python("plait.runtime.loader"))
        send_blocking(child.sock, options)
    loop = asyncio.get_running_loop()
    said: asyncio.Future[Any] = loop.create_future()
    ended: asyncio.Future[int] = loop.create_future()

    def heard(message: Any, _: object) -> None:
        if not said.done():
            said.set_result(message)

    def closed(error: Exception | None) -> None:
        if not said.done():
            said.set_result(error)

    def exited(code: int) -> None:
        if not ended.done():
            ended.set_result(code)

    channel = Channel(child.sock, heard, closed)
    reaper.watch(child.pid, exited)
    try:
        async with asyncio.timeout(LOAD_TIMEOUT_S):
            answer = await said
            if isinstance(answer, Loaded):
                return answer
            if isinstance(answer, Failed):
                raise unpack(answer)
            how = describe_exit(await ended)
    except TimeoutError:
        raise PlaitError(f"reading the configuration took over {LOAD_TIMEOUT_S:.0f} s and was given up") from None
    finally:
        channel.close()
        if not ended.done():
            kill(child.pid)
    reason = f": {answer}" if isinstance(answer, Exception) else ""
    raise PlaitError(f"the process that reads the configuration ended by {how}{reason}")
