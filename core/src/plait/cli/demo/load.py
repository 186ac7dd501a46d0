"""Load: keep-alive HTTP connections and TCP conversations at a steady pace, and what came of them.

A client of its own for the demo, for answers that carry a content-length: it waits for each answer, and counts under
the phase in which it asked. What it takes for a failure is told by the caller of ``ask``.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from plait.api.errors import PlaitError
from plait.cli.demo.files import HOST

ANSWER_TIMEOUT_S = 15.0
RECONNECT_S = 0.05
_REMEMBERED = 5


class Tally:
    """What one phase counted; latencies in seconds."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.requests = 0
        self.failures = 0
        self.latencies: list[float] = []
        self.answered: Counter[str] = Counter()
        self.reasons: list[str] = []
        self.changed = asyncio.Event()

    def took(self, seconds: float, who: str) -> None:
        """One right answer."""
        self.requests += 1
        self.latencies.append(seconds)
        self.answered[who] += 1
        self.changed.set()

    def failed(self, reason: str) -> None:
        """One that should not have failed."""
        self.requests += 1
        self.failures += 1
        if len(self.reasons) < _REMEMBERED:
            self.reasons.append(reason)
        self.changed.set()

    def quantile_ms(self, share: float) -> float:
        """A quantile of the latencies in milliseconds, 0 without any."""
        if not self.latencies:
            return 0.0
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


@attrs.frozen
class Answer:
    """An HTTP answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class HttpClient:
    """One keep-alive connection, opened when it is needed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.opened = 0

    async def get(self, path: str, user: str = "") -> Answer:
        """Ask and read the answer. Raises OSError (as TimeoutError), EOFError, ValueError; the next call reconnects."""
        whole = False
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                if self._streams is None:
                    self._streams = await asyncio.open_connection(HOST, self._port)
                    self.opened += 1
                reader, writer = self._streams
                who = f"x-user: {user}\r\n" if user else ""
                writer.write(f"GET {path} HTTP/1.1\r\nhost: hello\r\n{who}\r\n".encode())
                answer = await _answer(reader)
            whole = answer.headers.get("connection", "").lower() != "close"
            return answer
        finally:
            if not whole:
                self.close()

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class Load:
    """HTTP and TCP traffic in a task group; ``tally`` counts requests, ``tcp`` round trips."""

    def __init__(self, http_port: int, tcp_port: int, connections: int = 8, rate: float = 500.0) -> None:
        self.tally = Tally("")
        self.tcp = Tally("tcp")
        self._clients = [HttpClient(http_port) for _ in range(connections)]
        self._tcp_port = tcp_port
        self._pause_s = connections / rate
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def connections(self) -> int:
        """How many HTTP connections there are."""
        return len(self._clients)

    @property
    def opened(self) -> int:
        """How many HTTP connections were opened: as many as there are, if none was lost."""
        return sum(client.opened for client in self._clients)

    def start(self, group: asyncio.TaskGroup, tcp_connections: int = 2, tcp_rate: float = 50.0) -> None:
        """Begin; ``stop`` ends it."""
        self._tasks = [group.create_task(self._ask(client)) for client in self._clients]
        pause_s = tcp_connections / tcp_rate
        self._tasks += [group.create_task(self._talk(number, pause_s)) for number in range(tcp_connections)]

    async def stop(self) -> None:
        """End all of it."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for client in self._clients:
            client.close()

    def begin(self, name: str) -> Tally:
        """Count under this name from now on."""
        self.tally = Tally(name)
        return self.tally

    async def until(self, requests: int, still: Callable[[], None]) -> None:
        """Until so many were answered in this phase; ``still`` raises when going on makes no sense."""
        tally = self.tally
        while tally.requests < requests:
            still()
            tally.changed.clear()
            try:
                await asyncio.wait_for(tally.changed.wait(), 2 * ANSWER_TIMEOUT_S)
            except TimeoutError:
                raise PlaitError(f"no request was answered for {2 * ANSWER_TIMEOUT_S:g} s") from None

    async def _ask(self, client: HttpClient) -> None:
        pace = _Pace(self._pause_s)
        while True:
            tally, started = self.tally, time.perf_counter()
            try:
                answer = await client.get("/")
            except (OSError, EOFError, ValueError) as error:  # TimeoutError is an OSError
                tally.failed(f"{type(error).__name__}: {error}".removesuffix(": "))
                await asyncio.sleep(RECONNECT_S)
                continue
            who = answer.headers.get("x-answered-by", "")
            if answer.status == 200 and who and answer.body == f"hello from {who}\n".encode():
                tally.took(time.perf_counter() - started, who)
            else:
                tally.failed(f"status {answer.status}, body {answer.body[:80]!r}")
            await pace.wait()

    async def _talk(self, number: int, pause_s: float) -> None:
        pace = _Pace(pause_s)
        while True:
            try:
                reader, writer = await asyncio.open_connection(HOST, self._tcp_port)
            except OSError as error:
                self.tcp.failed(str(error))
                await asyncio.sleep(RECONNECT_S)
                continue
            try:
                await self._round_trips(f"connection {number}", reader, writer, pace)
            except (OSError, EOFError, ValueError) as error:
                self.tcp.failed(f"{type(error).__name__}: {error}".removesuffix(": "))
            finally:
                writer.close()

    async def _round_trips(self, who: str, reader: Any, writer: Any, pace: _Pace) -> None:
        for turn in range(1 << 62):
            line = f"{who}, turn {turn}\n".encode()
            started = time.perf_counter()
            writer.write(line)
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                echoed = await reader.readexactly(len(line))
            if echoed != line:
                raise ValueError(f"{echoed!r} came back for {line!r}")
            self.tcp.took(time.perf_counter() - started, "echo")
            await pace.wait()


class _Pace:
    """A turn every so many seconds; turns that were missed are not made up for."""

    def __init__(self, pause_s: float) -> None:
        self._pause_s = pause_s
        self._next = 0.0

    async def wait(self) -> None:
        now = time.perf_counter()
        self._next = max(self._next + self._pause_s, now)
        await asyncio.sleep(self._next - now)


async def _answer(reader: asyncio.StreamReader) -> Answer:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    except asyncio.LimitOverrunError as error:
        raise ValueError("the head of the answer does not end") from error
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    status = head[0].partition(" ")[2][:3]
    return Answer(int(status), headers, body)


def total(tallies: Sequence[Tally]) -> Tally:
    """All of them as one."""
    whole = Tally("all")
    for tally in tallies:
        whole.requests += tally.requests
        whole.failures += tally.failures
        whole.latencies += tally.latencies
        whole.answered += tally.answered
        whole.reasons += tally.reasons
    return whole
