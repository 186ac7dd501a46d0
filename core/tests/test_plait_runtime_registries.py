"""Registries in the supervisor: gathered, applied, watched again, changed and closed."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from plait.api import Address, Endpoint, Endpoints, Extension, Instance, PlaitError, Registry, RegistrySink, Service
from plait.runtime import registries as module
from plait.runtime.registries import Registries, endpoints_of
from plait.runtime.statistics import StatsStore
from plait.xds.store import Resources

ONE = Instance(Address("10.0.0.1", 80))


class Fake(Registry):
    """Runs a script on its sink, then waits."""

    def __init__(self, script: Callable[[RegistrySink], None]) -> None:
        self.script = script
        self.watches = 0
        self.closed = False

    async def watch(self, sink: RegistrySink) -> None:
        self.watches += 1
        self.script(sink)
        await asyncio.Event().wait()

    async def close(self) -> None:
        self.closed = True


class Bench:
    """Registries over a list of what was applied."""

    def __init__(self, group: asyncio.TaskGroup, made: dict[str, Fake]) -> None:
        self.applied: list[tuple[str, Resources | None]] = []
        self.news = asyncio.Event()
        self.refuse = False
        self.stats = StatsStore()
        self.registries = Registries(group, lambda extension: made[extension.type], self._change, self.stats)

    async def _change(self, source: str, resources: Resources | None) -> None:
        self.applied.append((source, resources))
        self.news.set()
        if self.refuse:
            raise PlaitError("no")

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self.news.clear()
                try:
                    async with asyncio.timeout(0.05):
                        await self.news.wait()
                except TimeoutError:
                    pass


def scenario(made: dict[str, Fake], play: Callable[[Bench], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            bench = Bench(group, made)
            try:
                await play(bench)
            finally:
                await bench.registries.close()

    asyncio.run(run())


def test_instance_becomes_an_endpoint_of_the_services_key() -> None:
    instance = Instance(Address("10.0.0.1", 80), weight=0, healthy=False, zone="z", metadata={"k": "v"})
    assert endpoints_of(Service("a", "1.0", "g"), [instance]) == Endpoints(
        "a:1.0:g", (Endpoint(Address("10.0.0.1", 80), weight=1, healthy=False, locality="z", metadata={"k": "v"}),)
    )


def test_what_comes_at_once_is_applied_at_once() -> None:
    def many(sink: RegistrySink) -> None:
        for number in range(100):
            sink.update(Service(f"s{number:03}"), [ONE])
        sink.remove(Service("s000"))
        sink.remove(Service("never-there"))

    async def play(bench: Bench) -> None:
        await bench.registries.configure([Extension("r", "many")])
        await bench.registries.first_words(10)
        ((source, resources),) = bench.applied
        assert source == "r"
        assert resources is not None
        assert [one.cluster for one in resources.services] == [f"s{number:03}" for number in range(1, 100)]
        assert bench.stats.gauge("registry.r.services").value == 99

    scenario({"many": Fake(many)}, play)


def test_failing_registry_is_watched_again_and_what_it_told_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.01)

    def flaky(sink: RegistrySink) -> None:
        if fake.watches == 1:
            sink.update(Service("a"), [ONE])
            raise ConnectionError("gone")
        sink.update(Service("b"), [ONE])

    fake = Fake(flaky)

    async def play(bench: Bench) -> None:
        await bench.registries.configure([Extension("r", "flaky")])
        await bench.until(lambda: fake.watches >= 2 and bool(bench.applied) and len(_services(bench)) == 2)
        assert _services(bench) == ["a", "b"]
        assert bench.stats.counter("registry.r.update_failure").value == 1

    scenario({"flaky": fake}, play)


def _services(bench: Bench) -> list[str]:
    resources = bench.applied[-1][1]
    return [one.cluster for one in resources.services] if resources is not None else []


def test_refused_change_does_not_end_the_watch() -> None:
    sinks: list[RegistrySink] = []
    fake = Fake(sinks.append)

    async def play(bench: Bench) -> None:
        bench.refuse = True
        await bench.registries.configure([Extension("r", "plain")])
        await bench.until(lambda: bool(sinks))
        sinks[0].update(Service("a"), [ONE])
        await bench.until(lambda: len(bench.applied) == 1)
        bench.refuse = False
        sinks[0].update(Service("b"), [ONE])
        await bench.until(lambda: len(bench.applied) == 2)
        assert _services(bench) == ["a", "b"]

    scenario({"plain": fake}, play)


def test_registry_that_goes_takes_its_services_along_and_an_unchanged_one_stays() -> None:
    stays, goes = Fake(lambda sink: sink.update(Service("a"), [ONE])), Fake(lambda sink: sink.update(Service("b"), []))

    async def play(bench: Bench) -> None:
        await bench.registries.configure([Extension("one", "stays"), Extension("two", "goes")])
        await bench.registries.first_words(10)
        await bench.registries.configure([Extension("one", "stays")])
        assert bench.applied[-1] == ("two", None)
        assert goes.closed
        assert not stays.closed
        assert stays.watches == 1

    scenario({"stays": stays, "goes": goes}, play)
    assert stays.closed


def test_silent_registry_does_not_hold_the_start_up() -> None:
    async def play(bench: Bench) -> None:
        await bench.registries.configure([Extension("r", "silent")])
        await bench.registries.first_words(0.01)
        assert not bench.applied

    scenario({"silent": Fake(lambda sink: None)}, play)
