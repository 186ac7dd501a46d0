"""What happens in the demo, in order: start, traffic, a weight changes, an instance dies and returns, a policy
refuses, and the same once more for calls by RPC.

Traffic goes on through all of it. Everything is told as it happens through ``say``; the ``Result`` holds what was
counted, and ``problems`` what should not have been.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Mapping

import attrs

from plait.api.errors import PlaitError
from plait.cli.demo.files import DemoFiles, Sidecar, set_weights, weights
from plait.cli.demo.load import Answer, HttpClient, Load, Tally, total
from plait.cli.demo.processes import Children, config_version, counters
from plait.cli.demo.rpc import CLIENT as RPC_CLIENT
from plait.cli.demo.rpc import SERVER_SIDECAR as RPC_SIDECAR
from plait.cli.demo.rpc import RpcTraffic

CLIENT = "client"
VICTIM = "hello-v2a"
VICTIM_ANSWERS_AS = "v2a"
NEW_WEIGHTS = {"hello-v1": 20, "hello-v2": 80}
ADMIN_VISITORS = (("bob", "/admin", 403), ("alice", "/admin", 200))
RELOAD_TIMEOUT_S = 60.0
_POLL_S = 0.05
_REASONS = 3


@attrs.define
class Refusals:
    """What the policies of hello's sidecars said to callers."""

    asked: int = 0
    refused: int = 0
    let_pass: int = 0
    reasons: list[str] = attrs.field(factory=list)


@attrs.define
class Result:
    """What the demo saw."""

    ports: Mapping[str, int]
    pids: Mapping[str, int]
    rpc: RpcTraffic
    phases: list[Tally] = attrs.field(factory=list)
    tcp: Tally = attrs.field(factory=lambda: Tally("tcp"))
    refusals: Refusals = attrs.field(factory=Refusals)
    retries: int = 0
    retries_succeeded: int = 0
    denied: int = 0
    connections: int = 0
    connections_opened: int = 0
    elapsed_s: float = 0.0
    problems: list[str] = attrs.field(factory=list)

    @property
    def total(self) -> Tally:
        """All phases as one."""
        return total(self.phases)


class Scenario:
    """One run of the demo on a copy of its files."""

    def __init__(self, files: DemoFiles, children: Children, say: Callable[[str], None], requests: int) -> None:
        self._files = files
        self._children = children
        self._say = say
        self._requests = requests
        self._client = _of(files, CLIENT)
        try:
            self._http, self._tcp = self._client.listeners["http"], self._client.listeners["tcp"]
        except KeyError as error:
            raise PlaitError(f"{self._client.file.name} has no listener named {error}: the demo talks to it") from None
        ports = {"http": self._http, "tcp": self._tcp}
        ports |= {f"{name} admin": sidecar.admin for name, sidecar in files.sidecars.items()}
        rpc_client = _of(files, RPC_CLIENT)
        ports |= rpc_client.listeners
        self._rpc = RpcTraffic(files, rpc_client, children, say)
        self.result = Result(ports, children.pids, self._rpc)

    async def play(self) -> Result:
        """All of it. Raises PlaitError when a process does not come up or ends; failed requests are in the result."""
        started = time.monotonic()
        await self._start()
        load = Load(self._http, self._tcp)
        async with asyncio.TaskGroup() as group:
            try:
                self._say(f"HTTP to 127.0.0.1:{self._http}, TCP to 127.0.0.1:{self._tcp}, as the files say")
                load.start(group)
                await self._rpc.start(group)
                await self._traffic(load)
            finally:
                await load.stop()
                await self._rpc.stop()
        await self._count(load)
        self.result.elapsed_s = time.monotonic() - started
        return self.result

    async def _start(self) -> None:
        children, files = self._children, self._files
        self._say(f"starting {len(files.services)} services and {len(files.sidecars)} sidecars")
        for name, argv in files.commands.items():
            await children.start(name, argv)
        async with asyncio.TaskGroup() as group:
            for name in files.services:
                group.create_task(self._until_listening(name))
            for sidecar in files.sidecars.values():
                group.create_task(self._until_ready(sidecar))

    async def _until_listening(self, name: str) -> None:
        port = _port_of(self._files, name)
        await self._children.until_listening(name, port)
        self._say(f"  {name} answers on {port}")

    async def _until_ready(self, sidecar: Sidecar) -> None:
        await self._children.until_ready(sidecar.name, sidecar.admin)
        where = ", ".join(f"{listener} on {port}" for listener, port in sidecar.listeners.items())
        self._say(f"  {sidecar.name} ({sidecar.file.name}) is ready: {where}, admin on {sidecar.admin}")

    async def _traffic(self, load: Load) -> None:
        await self._steady(load, self._requests // 4)
        await self._shift(load, self._requests // 4)
        await self._lose(load, self._requests // 4)
        await self._return(load, self._requests - 3 * (self._requests // 4))
        await self._refuse(load, max(10, self._requests // 100))
        await self._disturb_rpc(load, max(10, self._requests // 100))

    async def _steady(self, load: Load, requests: int) -> None:
        now = weights(self._client.file)
        self._say(f"sending requests, {_words(now)}")
        await self._phase(load, f"weights {_words(now)}", requests)

    async def _shift(self, load: Load, requests: int) -> None:
        version = await config_version(self._client.admin)
        set_weights(self._client.file, NEW_WEIGHTS)
        self._say(f"changing the weights in {self._client.file.name} to {_words(NEW_WEIGHTS)}, SIGHUP to its sidecar")
        self._begin(load, "weights changing")
        self._children.signal(CLIENT, signal.SIGHUP)
        try:
            async with asyncio.timeout(RELOAD_TIMEOUT_S):
                while await config_version(self._client.admin) == version:
                    self._children.check()
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise PlaitError(f"the changed {self._client.file.name} is not in force; see the log of {CLIENT}") from None
        self._told(load)
        await self._phase(load, f"weights {_words(NEW_WEIGHTS)}", requests)

    async def _lose(self, load: Load, requests: int) -> None:
        self._begin(load, f"without {VICTIM}")
        pid = await self._children.kill(VICTIM)
        self._say(f"killed {VICTIM} (SIGKILL to {pid}): what its sidecar cannot answer is tried again elsewhere")
        await load.until(requests, self._children.check)
        self._told(load)

    async def _return(self, load: Load, requests: int) -> None:
        self._say(f"starting {VICTIM} again")
        tally = self._begin(load, f"{VICTIM} is back")
        await self._children.start(VICTIM, self._files.commands[VICTIM])
        await self._children.until_listening(VICTIM, _port_of(self._files, VICTIM))
        await load.until(requests, self._children.check)
        self._told(load)
        if not tally.answered[VICTIM_ANSWERS_AS]:
            self.result.problems.append(f"{VICTIM} was started again and answered no request")

    async def _refuse(self, load: Load, requests: int) -> None:
        self._say(f"asking {requests} times as mallory, whom a policy of hello's sidecars refuses; then at /admin")
        self._begin(load, "while others are refused")
        client = HttpClient(self._http)
        try:
            for user, path, expected in (*[("mallory", "/", 403)] * requests, *ADMIN_VISITORS):
                try:
                    self._judge(f"{user} at {path}", await client.get(path, user), expected)
                except (OSError, EOFError, ValueError) as error:
                    self.result.problems.append(f"{user} at {path}: no answer: {error}")
        finally:
            client.close()
        await load.until(1, self._children.check)
        self._told(load)

    async def _disturb_rpc(self, load: Load, calls: int) -> None:
        self._begin(load, "while RPC calls fail")
        self.result.problems += await self._rpc.refuse(calls)
        await self._rpc.lose()
        await self._rpc.finish()
        await load.until(1, self._children.check)
        self._told(load)

    def _judge(self, who: str, answer: Answer, expected: int) -> None:
        refusals = self.result.refusals
        reason = f"{who}: {answer.status} {answer.body.decode(errors='replace').strip()}"
        if reason not in refusals.reasons:
            refusals.reasons.append(reason)
            self._say(f"  {reason}")
        refusals.asked += 1
        refusals.refused += answer.status == 403
        refusals.let_pass += answer.status == 200
        if answer.status != expected:
            self.result.problems.append(f"{reason}, expected {expected}")

    async def _count(self, load: Load) -> None:
        result = self.result
        result.connections, result.connections_opened = load.connections, load.opened
        result.tcp = load.tcp
        for name, value in (await counters(self._client.admin, "upstream_rq_retry")).items():
            result.retries += value if name.endswith(".upstream_rq_retry") else 0
            result.retries_succeeded += value if name.endswith(".upstream_rq_retry_success") else 0
        for name, sidecar in self._files.sidecars.items():
            if name == RPC_SIDECAR:
                continue  # what it refuses is counted there
            result.denied += (await counters(sidecar.admin, "mixer.check.denied")).get("mixer.check.denied", 0)
        whole = result.total
        result.problems += [f"a request failed: {reason}" for reason in whole.reasons[:_REASONS]]
        result.problems += [f"a TCP round trip failed: {reason}" for reason in result.tcp.reasons[:_REASONS]]
        for protocol, caller in result.rpc.callers.items():
            result.problems += [f"a call of {protocol} failed: {reason}" for reason in caller.tally.reasons[:_REASONS]]
        if result.denied < result.refusals.refused:
            result.problems.append(f"sidecars counted {result.denied} refusals, callers {result.refusals.refused}")

    async def _phase(self, load: Load, name: str, requests: int) -> None:
        self._begin(load, name)
        await load.until(requests, self._children.check)
        self._told(load)

    def _begin(self, load: Load, name: str) -> Tally:
        tally = load.begin(name)
        self.result.phases.append(tally)
        return tally

    def _told(self, load: Load) -> None:
        tally = load.tally
        self._say(f"  {tally.name}: {tally.requests} requests, {tally.failures} failures; {shares(tally)}")


def shares(tally: Tally) -> str:
    """Who answered how many."""
    whole = sum(tally.answered.values())
    counts = sorted(tally.answered.items())
    return ", ".join(f"{who} {count} ({100 * count / whole:.0f} %)" for who, count in counts) or "nobody answered"


def _words(by_cluster: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {weight}" for name, weight in by_cluster.items())


def _of(files: DemoFiles, name: str) -> Sidecar:
    try:
        return files.sidecars[name]
    except KeyError:
        raise PlaitError(f"the Procfile has no line `{name}: mesh run …`: the demo needs it") from None


def _port_of(files: DemoFiles, name: str) -> int:
    """The port a service is told to listen on: the last word of its command."""
    try:
        return int(files.services[name][-1])
    except (KeyError, ValueError):
        raise PlaitError(f"the Procfile has no line `{name}: … PORT`: the demo needs it") from None
