"""Sinks of statistics: fed at intervals, isolated from each other, flushed at the end."""

import asyncio

import pytest

from plait.api import Extension, Snapshot, StatsSink
from plait.runtime.sinks import StatsSinks

EMPTY = Snapshot({}, {}, {})


class Fake(StatsSink):
    def __init__(self, *, broken: bool = False) -> None:
        self.broken = broken
        self.flushed = 0
        self.closed = False

    async def flush(self, snapshot: Snapshot) -> None:
        self.flushed += 1
        if self.broken:
            raise ConnectionError("no collector")

    async def close(self) -> None:
        self.closed = True


async def snapshot() -> Snapshot:
    return EMPTY


def test_failing_sink_leaves_the_others_alone_and_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    good, bad = Fake(), Fake(broken=True)
    made = {"good": good, "bad": bad}

    async def scenario() -> None:
        sinks = StatsSinks(lambda extension: made[extension.type], snapshot)
        await sinks.configure([Extension("a", "good"), Extension("b", "bad")])
        await sinks.flush(1.0)
        await sinks.flush(1.0)
        bad.broken = False
        await sinks.flush(1.0)
        await sinks.close()

    with caplog.at_level("INFO"):
        asyncio.run(scenario())
    assert (good.flushed, bad.flushed) == (4, 4)
    assert good.closed
    assert bad.closed
    assert [record.message for record in caplog.records] == [
        "stats sink 'b' fails, and is tried again: no collector",
        "stats sink 'b' works again",
    ]


def test_only_changed_sinks_are_made_again() -> None:
    made: list[Fake] = []

    def build(extension: Extension) -> StatsSink:
        made.append(Fake())
        return made[-1]

    async def scenario() -> None:
        sinks = StatsSinks(build, snapshot)
        await sinks.configure([Extension("a", "x"), Extension("b", "x")])
        await sinks.configure([Extension("a", "x"), Extension("b", "x", settings=1)])
        assert len(made) == 3
        assert [one.closed for one in made] == [False, True, False]
        await sinks.configure([])
        assert all(one.closed for one in made)

    asyncio.run(scenario())


def test_interval_is_told_even_without_sinks() -> None:
    async def scenario() -> int:
        intervals = 0
        done = asyncio.Event()

        def interval() -> None:
            nonlocal intervals
            intervals += 1
            if intervals == 3:
                done.set()

        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            sinks = StatsSinks(lambda extension: Fake(), snapshot)
            task = group.create_task(sinks.flush_forever(lambda: 0.001, interval))
            await done.wait()
            task.cancel()
        return intervals

    assert asyncio.run(scenario()) == 3


def test_a_sink_that_takes_too_long_is_said_to(caplog: pytest.LogCaptureFixture) -> None:
    class Slow(StatsSink):
        async def flush(self, snapshot: Snapshot) -> None:
            await asyncio.Event().wait()

    async def scenario() -> None:
        sinks = StatsSinks(lambda extension: Slow(), snapshot)
        await sinks.configure([Extension("a", "slow")])
        await sinks.flush(0.01)

    asyncio.run(scenario())
    assert [record.message for record in caplog.records] == [
        "stats sink 'a' fails, and is tried again: not done within 0.01 s"
    ]
