"""Starts programs for tests, waits until they answer, ends exactly those; and small services for them to talk to."""

from __future__ import annotations

import os
import random
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

DEADLINE_S = 30.0

T = TypeVar("T")


def until(condition: Callable[[], T], what: str, deadline_s: float = DEADLINE_S) -> T:
    """The first true value of ``condition`` (an OSError counts as false); AssertionError after the deadline."""
    end = time.monotonic() + deadline_s
    last: Exception | None = None
    while time.monotonic() < end:
        try:
            value = condition()
        except OSError as error:
            last = error
        else:
            if value:
                return value
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {deadline_s:g} s" + (f" ({last})" if last else ""))


def free_ports(count: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> list[int]:
    """Free ports of 127.0.0.1 below the range that outgoing connections take theirs from."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(12000, 32000)
        with socket.socket(type=kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found


def listens(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with socket.create_connection(("127.0.0.1", port), 1):
        return True


class Program:
    """A started command; what it printed is in ``log``."""

    def __init__(self, command: Sequence[str | Path], directory: Path, env: dict[str, str] | None = None) -> None:
        self.log = directory / f"log-{random.randrange(1 << 30):08x}"
        self._name = Path(command[0]).name
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                list(command),
                cwd=directory,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        """What it printed so far."""
        return self.log.read_text(errors="replace")

    def wait_until(self, condition: Callable[[], Any], what: str) -> None:
        """Until ``condition``; AssertionError with what it printed when it ends before."""

        def alive() -> Any:
            assert self.process.poll() is None, f"{self._name} ended with {self.process.returncode}:\n{self.output}"
            return condition()

        try:
            until(alive, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output[-4000:]}") from error

    def wait_for_ports(self, *ports: int) -> None:
        """Until it accepts connections on all of them."""
        for port in ports:
            self.wait_until(lambda port=port: listens(port), f"{self._name} listens on {port}")  # type: ignore[misc]

    def stop(self) -> int:
        """SIGTERM, later SIGKILL; the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()


@contextmanager
def running(
    command: Sequence[str | Path], directory: Path, *ports: int, env: dict[str, str] | None = None
) -> Iterator[Program]:
    """A program while the block runs, entered once it listens on ``ports``."""
    program = Program(command, directory, env)
    try:
        program.wait_for_ports(*ports)
        yield program
    finally:
        program.stop()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128


@contextmanager
def tcp_service(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """A service that runs ``handle`` for each connection in a thread of its own; its port."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            try:
                handle(self.request)
            except OSError:
                pass

    with _Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
