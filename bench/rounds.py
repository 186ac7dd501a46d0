"""The method: all proxies up at once on one core, taking turns of about a second, round after round.

Machines swing by a factor of two within the hour, so figures of two separate runs say nothing about each other; turns
that lie seconds apart do. A turn with a single failed request ends the run: its figures would flatter the proxy.
"""

import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench import measure
from bench.errors import BenchError
from bench.http1 import get
from bench.load import Sample
from bench.process import Cores, Process, free_ports
from bench.proxies import Ports, Proxy
from bench.scenario import Scenario

# A proxy closes the load's connections just after the load has ended; that work belongs to its turn.
SETTLE_S = 0.02


@dataclass(frozen=True, slots=True)
class Plan:
    rounds: int
    seconds: int
    warmup_s: int
    starts: int


@dataclass(frozen=True, slots=True)
class Turn:
    """One proxy under load once. `foreign` and `steal` are the shares of the core that others took meanwhile."""

    sample: Sample
    cpu: measure.Cpu
    memory: measure.Memory
    elapsed_s: float
    foreign: float
    steal: float

    @property
    def cpu_us_per_request(self) -> float:
        return self.cpu.total_s * 1e6 / self.sample.requests

    @property
    def busy(self) -> float:
        return self.cpu.total_s / self.elapsed_s


@dataclass(slots=True)
class Contestant:
    """A proxy in a scenario, and what was measured of it."""

    proxy: Proxy
    ready_s: float
    features: dict[str, str]
    processes: int
    turns: list[Turn] = field(default_factory=list)


@dataclass(slots=True)
class Running:
    process: Process
    port: int
    pids: frozenset[int]


def run_scenario(scenario: Scenario, proxies: list[Proxy], plan: Plan, cores: Cores) -> list[Contestant]:
    """Raises BenchError at the first failed request, changed process or feature that is not on."""
    proxies = [proxy for proxy in proxies if proxy.supports(scenario.of(proxy.name).config)]
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        upstream_ports: dict[str, int] = {}
        for proxy in proxies:
            own = scenario.of(proxy.name)
            if own.name not in upstream_ports:
                upstream_ports[own.name] = start_upstream(own, cores, directory, stack)

        contestants: list[Contestant] = []
        running: list[Running] = []
        for proxy in proxies:
            progress(f"{scenario.name}: starting {proxy.name}")
            own = scenario.of(proxy.name)
            contestant, one = start(own, proxy, plan.starts, upstream_ports[own.name], cores, directory, stack)
            contestants.append(contestant)
            running.append(one)
        for contestant, one in zip(contestants, running, strict=True):
            progress(f"{scenario.name}: warming up {contestant.proxy.name}")
            take_turn(scenario.of(contestant.proxy.name), contestant.proxy, one, plan.warmup_s, cores)
        for number in range(plan.rounds):
            # Each round begins with another proxy, so that none always follows the same neighbour.
            for offset in range(len(proxies)):
                index = (number + offset) % len(proxies)
                contestant = contestants[index]
                own = scenario.of(contestant.proxy.name)
                turn = take_turn(own, contestant.proxy, running[index], plan.seconds, cores)
                contestant.turns.append(turn)
                progress(
                    f"{scenario.name}: round {number + 1}/{plan.rounds}  {contestant.proxy.name:<8} "
                    f"{turn.cpu_us_per_request:7.1f} µs/request  {turn.sample.requests_per_s:8.0f} requests/s"
                )
        progress(None)
    return contestants


def start_upstream(scenario: Scenario, cores: Cores, directory: Path, stack: ExitStack) -> int:
    """The port of what answers behind the proxies, which runs until `stack` ends."""
    (port,) = free_ports(1)
    own = directory / f"upstream-{scenario.name}"
    own.mkdir()
    stack.callback(scenario.start_upstream(port, cores.load, own).stop)
    return port


def start(
    scenario: Scenario,
    proxy: Proxy,
    starts: int,
    upstream_port: int,
    cores: Cores,
    directory: Path,
    stack: ExitStack,
) -> tuple[Contestant, Running]:
    """Starts the proxy `starts` times for its best ready time; the last one stays up until `stack` ends."""
    ready_s = float("inf")
    for attempt in range(starts):
        own = directory / f"{proxy.name}-{attempt}"
        own.mkdir()
        listener, admin = free_ports(2)
        ports = Ports(listener, admin, upstream_port)
        process = Process(proxy.name, proxy.prepare(scenario.config, ports, own), cores.proxy, own)
        with ExitStack() as this_start:
            this_start.callback(proxy.clean, own)
            this_start.callback(process.stop)
            ready_s = min(ready_s, process.wait_until(partial(scenario.probe, listener)))
            if proxy.has_admin:
                process.wait_until(partial(get, admin, "/ready"))
            if attempt == starts - 1:
                stack.push(this_start.pop_all())
    features = scenario.probe(listener)
    missing = [name for name in scenario.required if name not in features]
    if missing:
        raise BenchError(f"{proxy.name} does less than the others in {scenario.name}: no {', '.join(missing)}")
    pids = process.tree()
    return Contestant(proxy, ready_s, features, len(pids)), Running(process, listener, pids)


def take_turn(scenario: Scenario, proxy: Proxy, running: Running, seconds: int, cores: Cores) -> Turn:
    core_before, cpu_before, start_s = measure.core_ticks(cores.proxy), measure.cpu(running.pids), time.monotonic()
    sample = scenario.load.run(running.port, seconds)
    time.sleep(SETTLE_S)
    cpu = measure.cpu(running.pids) - cpu_before
    core = measure.core_ticks(cores.proxy) - core_before
    elapsed_s = time.monotonic() - start_s
    complaint = sample.complaint(len(scenario.body))
    if complaint is None and running.process.tree() != running.pids:
        complaint = "its processes changed under load"
    if complaint is not None:
        raise BenchError(
            f"{proxy.name} in {scenario.name}: {complaint}; nothing is reported\n{running.process.log_tail()}"
        )
    own_ticks = cpu.user_ticks + cpu.system_ticks
    ticks = max(core.all, 1)
    return Turn(
        sample,
        cpu,
        measure.memory(running.pids),
        elapsed_s,
        foreign=max(core.busy - own_ticks, 0) / ticks,
        steal=core.steal / ticks,
    )


def progress(text: str | None) -> None:
    """One line that is rewritten on a terminal, one line each elsewhere; None ends it."""
    if sys.stderr.isatty():
        print("\r\x1b[K" + (text or ""), end="", file=sys.stderr, flush=True)
    elif text is not None:
        print(text, file=sys.stderr, flush=True)
