"""Peers of RPC protocols as processes: a server that listens, a client that makes calls from lines of JSON."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from queue import Empty, Queue
from typing import Any, NamedTuple

from tests.running import Program

ANSWER_S = 40.0


class Call(NamedTuple):
    """A call of the service ``plait.interop.Echo`` that every server of ``programs/rpc`` has."""

    method: str
    args: tuple[Any, ...]
    timeout_ms: int = 5000


class Client:
    """A running client program; many calls at once, to any number of servers, each with a connection of its own."""

    def __init__(self, command: Sequence[str | Path], directory: Path, env: dict[str, str] | None = None) -> None:
        self._errors = (directory / "client-errors").open("wb")
        self.process = subprocess.Popen(
            list(command),
            cwd=directory,
            env={**os.environ, **(env or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,
        )
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._waiting: dict[int, Queue[dict[str, Any]]] = {}
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.strip() == b"ready":
                self._ready.set()
            elif line.startswith(b'{"'):  # else what a library prints of its own accord
                result = json.loads(line)
                waiting = self._waiting.pop(result.pop("id"), None)
                if waiting is not None:
                    waiting.put(result)

    def wait_until_ready(self) -> None:
        """Until it reads calls."""
        assert self._ready.wait(ANSWER_S), f"client {self.process.args!r} is not ready: see {self._errors.name}"

    def start(self, target: int, call: Call, variant: str) -> Queue[dict[str, Any]]:
        """Make a call to a port of 127.0.0.1; its result arrives in the queue."""
        assert self.process.stdin is not None
        number = next(self._ids)
        answer = self._waiting[number] = Queue()
        line = {"id": number, "target": f"127.0.0.1:{target}", "variant": variant, **call._asdict()}
        with self._lock:
            self.process.stdin.write(json.dumps(line).encode() + b"\n")
            self.process.stdin.flush()
        return answer

    def call(self, target: int, call: Call, variant: str) -> dict[str, Any]:
        """The result of one call: ``{"value": …}`` or ``{"error": {"class": …, "message": …}}``."""
        (result,) = self.calls(target, [call], variant)
        return result

    def calls(self, target: int, calls: Sequence[Call], variant: str) -> list[dict[str, Any]]:
        """The results of calls that are made at once, in the order of the calls."""
        answers = [self.start(target, call, variant) for call in calls]
        results = []
        for call, answer in zip(calls, answers, strict=True):
            try:
                results.append(answer.get(timeout=ANSWER_S))
            except Empty:
                state = self.process.poll()
                raise AssertionError(
                    f"no result of {str(call)[:200]} (exit code {state}): {self._errors.name}"
                ) from None
        return results

    def stop(self) -> None:
        """End it: at the end of its input, else by force."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(5)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._errors.close()


class Server:
    """A server program that can be killed and started again on its port."""

    def __init__(
        self, command: Sequence[str | Path], directory: Path, port: int, env: dict[str, str] | None = None
    ) -> None:
        self.port = port
        self._arguments = (command, directory, env)
        self._program: Program | None = None

    def start(self) -> None:
        """Until it is ready; AssertionError when another process has the port, or it listens beyond loopback."""
        command, directory, env = self._arguments
        program = self._program = Program(command, directory, env)
        program.wait_until(lambda: "ready" in program.output.split("\n"), f"{command[0]} says that it is ready")
        addresses = listening_addresses(program.process.pid)
        ours = {address for address, port in addresses if port == self.port}
        assert ours, f"the server does not have port {self.port}: {addresses}\n{program.output[-2000:]}"
        assert {address for address, _ in addresses} == {"127.0.0.1"}, f"it listens beyond loopback: {addresses}"

    def kill(self) -> None:
        """As a crash does: without a word to its clients but what the kernel says."""
        if self._program is not None:
            self._program.process.kill()
            self._program.process.wait()
            self._program = None


def listening_addresses(pid: int) -> set[tuple[str, int]]:
    """Where a process accepts TCP connections (Linux's /proc)."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(entry))
        except FileNotFoundError:
            continue  # closed since
        if match:
            inodes.add(match[1])
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                host, port = fields[1].split(":")
                found.add((_host(host), int(port, 16)))
    return found


def _host(text: str) -> str:
    words = [bytes.fromhex(text[start : start + 8])[::-1] for start in range(0, len(text), 8)]
    packed = b"".join(words)
    if len(packed) == 16 and packed[:12] == bytes(10) + b"\xff\xff":
        packed = packed[12:]
    return ".".join(map(str, packed)) if len(packed) == 4 else packed.hex(":", 2)
