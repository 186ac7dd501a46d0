"""Where lines wait, and how they are written without holding up traffic.

Lines are joined and written in a thread, one write at a time, so that a full disk or a reader of a pipe that does not
read delays nothing. What waits is limited: beyond ``WAITING_LIMIT_BYTES`` new lines are lost. Lost lines, and those of
a write that failed, are counted in ``filesystem.write_failed``, and nothing is raised where traffic is.

A file is opened with the first write and for appending, so that workers, and several logs, can share one.
"""

from __future__ import annotations

import asyncio
import os
import select
import stat

from plait import ConfigError, Context
from plait_telemetry_accesslog.settings import STDERR, STDOUT

FLUSH_BYTES = 64 * 1024
"""As many bytes as this are written without waiting for the next ``flush``."""

WAITING_LIMIT_BYTES = 16 << 20

PATIENCE_S = 2.0
"""How long a reader may leave a pipe full before what is being written counts as lost."""

_STANDARD = {STDOUT: 1, STDERR: 2}


class LogFile:
    """A file, or one of the standard streams. Raises ``ConfigError`` for one that cannot be written."""

    def __init__(self, path: str, context: Context) -> None:
        if path not in _STANDARD:
            _check(path)
        self._path = path
        self._fd: int | None = None  # belongs to the write under way
        self._lines: list[bytes] = []
        self._waiting_bytes = 0
        self._writing = 0  # lines in the write under way
        self._write_done: asyncio.Future[bool] | None = None
        self._closed = False
        self._buffered = context.stats.counter("filesystem.write_buffered")
        self._completed = context.stats.counter("filesystem.write_completed")
        self._failed = context.stats.counter("filesystem.write_failed")

    def add(self, line: bytes) -> None:
        """Keep a line until the next write."""
        if self._waiting_bytes > WAITING_LIMIT_BYTES or self._closed:
            self._failed.value += 1
            return
        self._lines.append(line)
        self._waiting_bytes += len(line)
        self._buffered.value += 1
        if self._waiting_bytes > FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Begin to write what waits, unless a write is under way: it takes that along when it is done."""
        if self._writing or not self._lines:
            return
        data = self._take()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._written(self._write(data))
        else:
            self._write_done = loop.run_in_executor(None, self._write, data)
            self._write_done.add_done_callback(lambda done: self._written(done.result()))

    def close(self) -> None:
        """Begin to write what waits, and close behind it. Lines that come later are lost."""
        self._closed = True
        self.flush()
        if not self._writing:
            self._close()

    async def written(self) -> None:
        """Wait until nothing is being written: after ``close``, until all is."""
        while self._write_done is not None:
            await asyncio.wait([self._write_done])

    def _take(self) -> bytes:
        data = b"".join(self._lines)
        self._writing = len(self._lines)
        self._lines = []
        self._waiting_bytes = 0
        return data

    def _written(self, whole: bool) -> None:
        if whole:
            self._completed.value += 1
        else:
            self._failed.value += self._writing
        self._writing = 0
        self._write_done = None
        if self._closed:
            self.close()

    def _close(self) -> None:
        if self._fd is not None and self._path not in _STANDARD:
            os.close(self._fd)
        self._fd = None

    def _write(self, data: bytes) -> bool:
        """Write everything; False when that fails, or a pipe stays full too long. Runs in a thread."""
        try:
            if self._fd is None:
                self._fd = _opened(self._path)
            return _write_all(self._fd, data)
        except OSError:
            return False


def _check(path: str) -> None:
    """Refuse a file that can never be opened, without making it."""
    folder = os.path.dirname(path) or "."
    reason = ""
    if os.path.isdir(path):
        reason = "it is a folder"
    elif os.path.exists(path):
        reason = "" if os.access(path, os.W_OK) else "permission denied"
    elif not os.path.isdir(folder):
        reason = f"there is no folder {folder}"
    elif not os.access(folder, os.W_OK | os.X_OK):
        reason = f"permission denied in {folder}"
    if reason:
        raise ConfigError(f"cannot open the access log {path}: {reason}", expected="a file that can be written")


def _opened(path: str) -> int:
    standard = _STANDARD.get(path)
    if standard is not None:
        return standard
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)


def _write_all(fd: int, data: bytes) -> bool:
    rest = memoryview(data)
    at_once = len(data) if stat.S_ISREG(os.fstat(fd).st_mode) else select.PIPE_BUF
    while rest:
        if at_once == select.PIPE_BUF and not _writable(fd):
            return False
        try:
            rest = rest[os.write(fd, rest[:at_once]) :]
        except BlockingIOError:  # somebody shares the stream and has made it so
            if not _writable(fd):
                return False
    return True


def _writable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(PATIENCE_S * 1000))
