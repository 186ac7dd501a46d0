"""Changing a file that others read and write: under a lock, and in one step.

The lock is an advisory one (flock) on a file beside it, ``NAME.lock``, because the file itself is replaced. It keeps
away other writers that take it; readers need none, since they see the old file or the new one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Iterator

from plait import PlaitError


@contextlib.contextmanager
def locked(path: str, timeout_s: float) -> Iterator[None]:
    """Hold the lock of ``path``. Blocks the thread; raises ``PlaitError`` when others hold it for ``timeout_s``."""
    name = f"{path}.lock"
    try:
        lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise PlaitError(f"cannot open the lock file {name}: {error.strerror}") from error
    try:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise PlaitError(f"{name} is held by another process for {timeout_s:g} s; try again") from None
                time.sleep(0.01)
        yield
    finally:
        os.close(lock)  # which gives the lock back; the file stays, for removing it would race with others


def replace(path: str, text: str) -> None:
    """Put ``text`` in place of the file at once, keeping its permissions. Raises ``PlaitError``."""
    folder = os.path.dirname(path) or "."
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=folder)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), _mode(path))
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise PlaitError(f"cannot write {path}: {error.strerror}") from error


def _mode(path: str) -> int:
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except FileNotFoundError:
        return 0o644
