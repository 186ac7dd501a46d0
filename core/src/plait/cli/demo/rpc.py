"""Calls by RPC: the caller programs of ``rpc/``, each with one connection to a sidecar, and what they said.

They speak the protocols, we read their lines of JSON. Two things happen to them: a policy refuses the calls of one
application, and a service dies and returns. Callers get their protocol's own errors then, on connections that live on;
a program whose connection is lost ends, and so does the demo.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from plait.api.errors import PlaitError
from plait.cli.demo.files import DemoFiles, Sidecar
from plait.cli.demo.load import Tally
from plait.cli.demo.processes import Children, counters

CLIENT = "rpc-client"
SERVER_SIDECAR = "rpc-services-sidecar"
VICTIM = "dubbo"
REFUSED_APP = "mallory"
ANSWERS: Mapping[str, Mapping[str, str]] = {
    "sofarpc": {"sayHello": "sofarpc-v1", "sayGoodbye": "sofarpc-v2"},
    "dubbo": {"sayHello": "dubbo-v1"},
}
"""Who has to answer which method of which protocol, as ``rpc-client.yaml`` routes them."""

_ENOUGH = 100
_ERRORS = 10
_IN_A_ROW = 10
_TIMEOUT_S = 30.0


class Caller:
    """What one caller program said. While ``expects_errors``, errors are counted apart and are no failures."""

    def __init__(self, protocol: str) -> None:
        self.tally = Tally(protocol)
        self.errors: Counter[str] = Counter()
        self.expects_errors = False
        self.in_a_row = 0
        self._changed = asyncio.Event()

    async def read(self, lines: asyncio.StreamReader) -> None:
        """Until the program ends."""
        async for line in lines:
            self.heard(line)

    def heard(self, line: bytes) -> None:
        """Count what a line says. Raises PlaitError where it makes no sense."""
        try:
            said: dict[str, Any] = json.loads(line)
            method, seconds = said["method"], said["ms"] / 1000
            error, answer = said.get("error", ""), said.get("answer", "")
        except (ValueError, KeyError, TypeError) as cause:
            raise PlaitError(f"a caller of {self.tally.name} said what no caller of the demo says: {line!r}") from cause
        who = answer.rpartition(", from ")[2]
        self.in_a_row = 0 if error else self.in_a_row + 1
        if error and self.expects_errors:
            self.errors[error] += 1
        elif error:
            self.tally.failed(f"{method}: {error}")
        elif who != ANSWERS[self.tally.name].get(method):
            self.tally.failed(f"{method} was answered by the wrong one: {answer!r}")
        else:
            self.tally.took(seconds, who)
        self._changed.set()

    async def until_requests(self, requests: int, still: Callable[[], None]) -> None:
        """Until so many went well, or failed; see ``until``."""
        await self.until(f"{requests} calls", lambda: self.tally.requests >= requests, still)

    async def until(self, what: str, condition: Callable[[], bool], still: Callable[[], None]) -> None:
        """Until it holds; ``still`` raises when going on makes no sense. Raises PlaitError when nothing comes of it."""
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                while not condition():
                    still()
                    self._changed.clear()
                    try:
                        await asyncio.wait_for(self._changed.wait(), 0.5)
                    except TimeoutError:
                        pass  # look again at whether its program runs
        except TimeoutError:
            raise PlaitError(f"{self.tally.name}: waited {_TIMEOUT_S:g} s in vain for {what}") from None


class RpcTraffic:
    """All of it, in a task group; ``callers`` by their protocol, and ``refused``, whom a policy does not let pass."""

    def __init__(self, files: DemoFiles, client: Sidecar, children: Children, say: Callable[[str], None]) -> None:
        try:
            self._ports = {protocol: client.listeners[protocol] for protocol in ANSWERS}
        except KeyError as error:
            raise PlaitError(f"{client.file.name} has no listener named {error}: the demo talks to it") from None
        self._files = files
        self._children = children
        self._say = say
        self._reading: list[asyncio.Task[None]] = []
        self.callers = {protocol: Caller(protocol) for protocol in ANSWERS}
        self.refused = Caller("sofarpc")
        self.counted = 0

    @property
    def outage(self) -> Counter[str]:
        """What calls were answered with while their service was gone."""
        return self.callers[VICTIM].errors

    async def start(self, group: asyncio.TaskGroup) -> None:
        """Begin; ``stop`` ends it."""
        for protocol, caller in self.callers.items():
            ways = ", ".join(f"{method} to {who}" for method, who in ANSWERS[protocol].items())
            self._say(f"calling {protocol} at 127.0.0.1:{self._ports[protocol]}, over one connection: {ways}")
            lines = await self._children.start_to_read(f"{protocol}-caller", self._argv(protocol, "--calls", "0"))
            self._reading.append(group.create_task(caller.read(lines)))

    async def stop(self) -> None:
        """End the programs, and what reads them."""
        for task in self._reading:
            task.cancel()
        if self._reading:
            await asyncio.wait(self._reading)
        for protocol in self.callers:
            if f"{protocol}-caller" in self._children.pids:
                await self._children.kill(f"{protocol}-caller")

    async def refuse(self, calls: int) -> list[str]:
        """Calls of an application that a policy of the services' sidecar refuses; what should not have been."""
        name = f"sofarpc-{REFUSED_APP}"
        self._say(f"{calls} SOFARPC calls of the application {REFUSED_APP}, whom a policy refuses")
        self.refused.expects_errors = True
        argv = self._argv("sofarpc", "--app", REFUSED_APP, "--calls", str(calls), "--rate", "1000")
        lines = await self._children.start_to_read(name, argv)
        await self.refused.read(lines)
        await self._children.until_done(name)
        self._tell(self.refused.errors)
        found = await counters(self._files.sidecars[SERVER_SIDECAR].admin, "mixer.check.denied")
        self.counted = found.get("mixer.check.denied", 0)
        refused = self.refused.errors.total()
        if refused == self.counted == calls:
            return []
        return [f"{calls} calls of {REFUSED_APP} to refuse, {refused} were refused, the sidecar counted {self.counted}"]

    async def lose(self) -> None:
        """Kill a service while it is called, start it again, and wait until calls go well."""
        caller, still = self.callers[VICTIM], self._children.check
        await caller.until_requests(_ENOUGH, still)
        caller.expects_errors = True
        pid = await self._children.kill(VICTIM)
        self._say(f"killed the only service of {VICTIM} (SIGKILL to {pid}): its callers get errors of their protocol")
        await caller.until("errors", lambda: caller.errors.total() >= _ERRORS, still)
        self._tell(caller.errors)
        self._say(f"starting the service of {VICTIM} again")
        await self._children.start(VICTIM, self._files.commands[VICTIM])
        caller.in_a_row = 0
        await caller.until("answers", lambda: caller.in_a_row >= _IN_A_ROW, still)
        caller.expects_errors = False
        self._say(f"  the same connection gets answers again, after {caller.errors.total()} errors")

    async def finish(self) -> None:
        """Until every caller has made enough calls."""
        for caller in self.callers.values():
            await caller.until_requests(_ENOUGH, self._children.check)

    def _argv(self, protocol: str, *options: str) -> tuple[str, ...]:
        port = str(self._ports[protocol])
        return (sys.executable, "rpc/caller.py", protocol, port, *ANSWERS[protocol], *options)

    def _tell(self, errors: Counter[str]) -> None:
        for error, times in errors.most_common():
            self._say(f"  {times} times: {error}")
