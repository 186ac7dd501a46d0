"""How the supervisor learns that a process it started has ended, and how it ends one."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable


class Reaper:
    """Waits for children without blocking; it owns SIGCHLD of the process."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[int, Callable[[int], None]] = {}
        self._loop.add_signal_handler(signal.SIGCHLD, self._reap)

    def watch(self, pid: int, on_exit: Callable[[int], None]) -> None:
        """Call ``on_exit`` once with the exit code of ``pid``, negative when a signal ended it."""
        self._waiting[pid] = on_exit
        self._loop.call_soon(self._reap)  # it may have ended before we listened

    def close(self) -> None:
        """Kill and collect what is left."""
        self._loop.remove_signal_handler(signal.SIGCHLD)
        for pid in list(self._waiting):
            kill(pid)
            _, status = os.waitpid(pid, 0)
            self._waiting.pop(pid)(os.waitstatus_to_exitcode(status))

    def _reap(self) -> None:
        for pid in list(self._waiting):
            try:
                ended, status = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                ended, status = pid, 0
            if ended:
                self._waiting.pop(pid)(os.waitstatus_to_exitcode(status))


def kill(pid: int) -> None:
    """End a child of ours that has not been collected yet, at once."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def describe_exit(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
