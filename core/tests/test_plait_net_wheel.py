"""The coarse clock: never early, cheap to leave, and still when nothing waits."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable

import pytest

from plait.net import Timed, TimerWheel
from plait.net.wheel import TICK_S, ticks
from plait.testing import on_every_loop, until


class Waiting(Timed):
    def __init__(self, expire: Callable[[], None]) -> None:
        self.slot = None
        self._expire = expire

    def expire(self) -> None:
        self._expire()


@on_every_loop
async def test_a_call_is_never_early() -> None:
    wheel = TimerWheel()
    early: list[float] = []
    left: list[float] = []

    def start(delay_s: float) -> None:
        due = time.monotonic() + delay_s
        left.append(due)

        def check() -> None:
            left.remove(due)
            if time.monotonic() < due:
                early.append(due - time.monotonic())

        wheel.call_later(delay_s, check)

    for step in range(40):
        start(step * 0.003)
        await asyncio.sleep(0.003)
    await until(lambda: not left, "all calls")
    assert not early


@on_every_loop
async def test_a_call_is_not_early_after_the_loop_was_busy() -> None:
    """What the clock last saw is long ago then."""
    wheel = TimerWheel()
    called: list[float] = []
    wheel.call_later(60.0, lambda: None)
    end = time.monotonic() + 10 * TICK_S
    while time.monotonic() < end:
        pass
    due = time.monotonic() + 2 * TICK_S
    wheel.call_later(2 * TICK_S, lambda: called.append(time.monotonic()))
    await until(lambda: called, "the call")
    assert called[0] >= due
    wheel.close()


@on_every_loop
async def test_calls_come_in_the_order_of_their_ticks() -> None:
    wheel = TimerWheel()
    order: list[int] = []
    for position in (3, 1, 2):
        wheel.call_later(position * 3 * TICK_S, lambda position=position: order.append(position))  # type: ignore[misc]
    await until(lambda: len(order) == 3, "all calls")
    assert order == [1, 2, 3]


@on_every_loop
async def test_a_cancelled_call_does_not_come() -> None:
    wheel = TimerWheel()
    called: list[str] = []
    timer = wheel.call_later(TICK_S, lambda: called.append("cancelled"))
    wheel.call_later(5 * TICK_S, lambda: called.append("kept"))
    timer.cancel()
    timer.cancel()
    await until(lambda: called, "the call that was kept")
    assert called == ["kept"]


@on_every_loop
async def test_cancelling_late_does_nothing() -> None:
    wheel = TimerWheel()
    called: list[str] = []
    timer = wheel.call_later(TICK_S, lambda: called.append("once"))
    await until(lambda: called, "the call")
    timer.cancel()
    assert called == ["once"]


@on_every_loop
async def test_one_that_expires_can_cancel_another_of_its_tick() -> None:
    wheel = TimerWheel()
    expired: list[str] = []
    entries: dict[str, Waiting] = {}

    def expire(name: str, other: str) -> Callable[[], None]:
        def call() -> None:
            expired.append(name)
            wheel.remove(entries[other])

        return call

    entries["a"], entries["b"] = Waiting(expire("a", "b")), Waiting(expire("b", "a"))
    wheel.add(entries["a"], 2)
    wheel.add(entries["b"], 2)
    wheel.call_later(6 * TICK_S, lambda: expired.append("end"))
    await until(lambda: "end" in expired, "the end")
    assert len(expired) == 2


@on_every_loop
async def test_one_that_expires_can_wait_again() -> None:
    wheel = TimerWheel()
    times: list[float] = []

    def again() -> None:
        times.append(time.monotonic())
        if len(times) < 4:
            wheel.add(entry, ticks(TICK_S))

    entry = Waiting(again)
    wheel.add(entry, ticks(TICK_S))
    await until(lambda: len(times) == 4, "four expiries")
    assert all(later - earlier >= TICK_S for earlier, later in itertools.pairwise(times))
    assert entry.slot is None


@on_every_loop
async def test_one_that_fails_is_logged_and_the_others_come(caplog: pytest.LogCaptureFixture) -> None:
    wheel = TimerWheel()
    called: list[int] = []

    def fail() -> None:
        raise RuntimeError("boom")

    wheel.call_later(TICK_S, fail)
    wheel.call_later(TICK_S, lambda: called.append(1))
    with caplog.at_level(logging.ERROR, "plait.net"):
        await until(lambda: called and caplog.records, "both")
    assert "a timeout failed" in caplog.text
    assert "boom" in caplog.text


@on_every_loop
async def test_an_idle_wheel_stops_ticking_and_starts_again() -> None:
    wheel = TimerWheel()
    called: list[int] = []
    wheel.call_later(TICK_S, lambda: called.append(1))
    await until(lambda: called and wheel._handle is None, "the wheel to stand still")
    wheel.call_later(TICK_S, lambda: called.append(2))
    await until(lambda: len(called) == 2, "the next call")


@on_every_loop
async def test_a_wheel_stops_ticking_when_all_are_cancelled() -> None:
    wheel = TimerWheel()
    timers = [wheel.call_later(delay_s, lambda: None) for delay_s in (60.0, 3600.0)]
    for timer in timers:
        timer.cancel()
    await until(lambda: wheel._handle is None, "the wheel to stand still")
    assert not wheel._slots


@on_every_loop
async def test_a_closed_wheel_forgets() -> None:
    wheel = TimerWheel()
    called: list[int] = []
    timer = wheel.call_later(TICK_S, lambda: called.append(1))
    wheel.close()
    other = TimerWheel()
    other.call_later(5 * TICK_S, lambda: called.append(2))
    await until(lambda: called, "the other wheel")
    assert called == [2]
    timer.cancel()
