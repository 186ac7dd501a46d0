"""Starting processes on a chosen core, waiting until they answer, and ending exactly those.

Each is started in a session of its own, so that all it forks can be counted and ended with it.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import measure
from bench.errors import BenchError

READY_DEADLINE_S = 20.0
STOP_DEADLINE_S = 10.0


@dataclass(frozen=True, slots=True)
class Cores:
    """The core for what is measured, and the one for everything else."""

    proxy: int
    load: int


def pick_cores() -> Cores:
    """The last core this process may use for the proxy, the first for load, upstream and harness."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise BenchError("one core is not enough: the proxy needs one and the load another")
    return Cores(proxy=allowed[-1], load=allowed[0])


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """What is started inside inherits this core alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def free_ports(count: int) -> list[int]:
    """Free ports below the range that outgoing connections take theirs from."""
    found: list[int] = []
    port = 20000 + os.getpid() % 8000
    while len(found) < count:
        port += 1
        if port >= 32000:
            raise BenchError("no free ports between 20000 and 32000")
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
    return found


class Process:
    """One started command and its descendants."""

    def __init__(self, name: str, command: list[str], core: int, directory: Path) -> None:
        self.name = name
        self.log = directory / "log"
        self._started_s = time.monotonic()
        with self.log.open("wb") as log, on_core(core):
            try:
                self._popen = subprocess.Popen(
                    command,
                    cwd=directory,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise BenchError(f"cannot start {name}: {error}") from error

    @property
    def pid(self) -> int:
        return self._popen.pid

    def tree(self) -> frozenset[int]:
        return measure.tree(self.pid)

    def wait_until(self, answers: Callable[[], object], interval_s: float = 0.005) -> float:
        """Seconds from the start until `answers` first returned without OSError or BenchError."""
        while True:
            try:
                answers()
                return time.monotonic() - self._started_s
            except (OSError, BenchError) as error:
                why: Exception = error
            if self._popen.poll() is not None:
                raise BenchError(f"{self.name} ended with {self._popen.returncode} at its start:\n{self.log_tail()}")
            if time.monotonic() - self._started_s > READY_DEADLINE_S:
                raise BenchError(f"{self.name} was not ready within {READY_DEADLINE_S:g} s ({why}):\n{self.log_tail()}")
            time.sleep(interval_s)

    def log_tail(self, lines: int = 20) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self) -> None:
        """SIGTERM to the one that was started, then SIGKILL to whatever of its tree is left."""
        pids = self.tree()
        if self._popen.poll() is None:
            self._popen.send_signal(signal.SIGTERM)
            try:
                self._popen.wait(STOP_DEADLINE_S)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait()
        for pid in pids & measure.tree(self.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
