"""The owner of a worker's tasks."""

from __future__ import annotations

import asyncio
import gc
import logging

import pytest

from plait.net.tasks import Tasks
from plait.testing import on_every_loop, until


@on_every_loop
async def test_a_task_that_fails_is_logged_and_leaves_the_others_alone(caplog: pytest.LogCaptureFixture) -> None:
    done = []

    async def fail() -> None:
        raise ValueError("broken")

    async def work() -> None:
        done.append(True)

    tasks = Tasks()
    with caplog.at_level(logging.ERROR, "plait.net"):
        tasks.spawn(fail(), "one")
        tasks.spawn(work(), "two")
        await until(lambda: done and caplog.records, "both tasks")
    assert [record.getMessage() for record in caplog.records] == ["task 'one' failed"]


@pytest.mark.filterwarnings("error")
@on_every_loop
async def test_a_task_may_be_cancelled_before_it_begins(recwarn: pytest.WarningsRecorder) -> None:
    async def work() -> None:
        raise AssertionError("it was cancelled")

    tasks = Tasks()
    tasks.spawn(work(), "one").cancel()
    await asyncio.sleep(0)
    await tasks.close()
    gc.collect()
    assert not list(recwarn)


@on_every_loop
async def test_closing_cancels_what_runs_and_waits_for_it() -> None:
    ended = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    tasks = Tasks()
    tasks.spawn(work(), "one")
    await asyncio.sleep(0)
    await tasks.close()
    assert ended
