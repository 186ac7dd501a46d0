"""The children of the demo: started, asked whether they are ready, signalled and ended by their own process ids."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from plait.api.errors import PlaitError
from plait.cli.demo.files import HOST

READY_TIMEOUT_S = 60.0
END_TIMEOUT_S = 6.0
_POLL_S = 0.05
_PAGE_TIMEOUT_S = 5.0
_LOG_LINES = 12


class Children:
    """Processes by name; each has a session of its own, so that Ctrl-C reaches them through us, in order."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.pids: dict[str, int] = {}
        self._running: dict[str, asyncio.subprocess.Process] = {}

    async def start(self, name: str, argv: Sequence[str]) -> None:
        """Start it in the demo's folder, its output in ``NAME.log``."""
        with self._log_file(name) as log:
            await self._start(name, argv, log, log)

    async def start_to_read(self, name: str, argv: Sequence[str]) -> asyncio.StreamReader:
        """Start it; its output is to be read, its errors are in ``NAME.log``."""
        with self._log_file(name) as log:
            child = await self._start(name, argv, asyncio.subprocess.PIPE, log)
        assert child.stdout is not None
        return child.stdout

    async def _start(
        self, name: str, argv: Sequence[str], output: BinaryIO | int, errors: BinaryIO
    ) -> asyncio.subprocess.Process:
        child = await asyncio.create_subprocess_exec(
            *argv,
            cwd=self._folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )
        self._running[name] = child
        self.pids[name] = child.pid
        return child

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to one that runs."""
        self._running[name].send_signal(number)

    async def kill(self, name: str) -> int:
        """SIGKILL one and wait for its end; the process id it had."""
        child = self._running.pop(name)
        if child.returncode is None:
            child.kill()
        await child.wait()
        return child.pid

    async def until_done(self, name: str) -> None:
        """Until one that is to end has ended. Raises PlaitError unless its exit code is 0."""
        if await self._running[name].wait():
            self._check(name)
        del self._running[name]

    async def until_listening(self, name: str, port: int) -> None:
        """Until a connection to it opens."""

        async def opens() -> bool:
            _, writer = await asyncio.open_connection(HOST, port)
            writer.close()
            return True

        await self._until(name, opens, f"listening on {port}")

    async def until_ready(self, name: str, admin: int) -> None:
        """Until ``/ready`` of its admin server says so."""

        async def ready() -> bool:
            return (await get(admin, "/ready"))[0] == 200

        await self._until(name, ready, "ready")

    def check(self) -> None:
        """Raise PlaitError when one ended by itself."""
        for name in self._running:
            self._check(name)

    async def end(self) -> None:
        """SIGTERM to all, SIGKILL to those that do not end."""
        running = [child for child in self._running.values() if child.returncode is None]
        for child in running:
            child.terminate()
        try:
            async with asyncio.timeout(END_TIMEOUT_S):
                for child in running:
                    await child.wait()
        except TimeoutError:
            pass  # those that are left are killed
        finally:
            self.kill_all()
        for child in running:
            await child.wait()
        self._running.clear()

    def kill_all(self) -> None:
        """SIGKILL to every child that still runs, and to the workers of its session."""
        for child in self._running.values():
            if child.returncode is None:
                try:
                    os.killpg(child.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass  # it ended just now

    async def _until(self, name: str, condition: Any, what: str) -> None:
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                while True:
                    self._check(name)
                    try:
                        if await condition():
                            return
                    except (OSError, PlaitError):
                        pass  # not yet
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise PlaitError(
                f"{name} was not {what} within {READY_TIMEOUT_S:g} s; its log ends with\n{self._log(name)}"
            ) from None

    def _check(self, name: str) -> None:
        code = self._running[name].returncode
        if code is not None:
            raise PlaitError(f"{name} ended with exit code {code}; its log ends with\n{self._log(name)}")

    def _log_file(self, name: str) -> BinaryIO:
        return open(self._folder / f"{name}.log", "ab")

    def _log(self, name: str) -> str:
        lines = (self._folder / f"{name}.log").read_text(errors="replace").splitlines()[-_LOG_LINES:]
        return "\n".join(f"  {line}" for line in lines) or "  nothing"


async def get(port: int, path: str) -> tuple[int, bytes]:
    """Status and body of a page of an admin server. Raises PlaitError."""
    try:
        async with asyncio.timeout(_PAGE_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nhost: {HOST}:{port}\r\nconnection: close\r\n\r\n".encode())
                head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
            finally:
                writer.close()
    except OSError as error:
        raise PlaitError(f"no answer from the admin server on {port}: {str(error) or 'it takes too long'}") from error
    try:
        return int(head.split(b" ", 2)[1]), body
    except (IndexError, ValueError):
        raise PlaitError(f"the admin server on {port} gave no HTTP answer") from None


async def counters(port: int, pattern: str) -> dict[str, int]:
    """Counters and gauges whose names match."""
    found = await _object(port, f"/stats?format=json&filter={pattern}")
    return {str(stat["name"]): int(stat["value"]) for stat in found["stats"] if "value" in stat}


async def config_version(port: int) -> int:
    """Which version of the configuration is in force; it grows."""
    return int((await _object(port, "/server_info"))["config_version"])


async def _object(port: int, path: str) -> Any:
    status, body = await get(port, path)
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if status != 200 or not isinstance(found, dict):
        raise PlaitError(f"the admin server on {port} answered {status} for {path}, expected 200 and a JSON object")
    return found
