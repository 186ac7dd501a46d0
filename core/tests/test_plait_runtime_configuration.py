"""Errors that cross from one process to another, and what a loader that dies looks like."""

import asyncio
import pickle

import pytest

from plait.api import ConfigError, ConfigErrors, PlaitError, PluginError
from plait.runtime import loading
from plait.runtime.children import Reaper
from plait.runtime.configuration import pack, unpack
from plait.runtime.loading import load_in_child
from plait.runtime.options import RunOptions
from plait.runtime.spawning import spawn

FULL = ConfigError("no", expected="yes", hint="try", file="a.yaml", line=3, column=4, path=("a", 0))


@pytest.mark.parametrize(
    "error",
    [
        FULL,
        ConfigErrors([FULL, ConfigError("other")]),
        PluginError("filters:x", "broken", distribution="plait-filter-x", remedy="repair it"),
        PlaitError("something"),
    ],
)
def test_error_survives_the_way_to_another_process(error: PlaitError) -> None:
    again = unpack(pickle.loads(pickle.dumps(pack(error))))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again).keys() == vars(error).keys()


def test_process_that_dies_instead_of_answering_is_told() -> None:
    async def scenario() -> None:
        reaper = Reaper()
        child = spawn(("/bin/sh", "-c", "exit 9"))
        with pytest.raises(PlaitError, match="the process that reads the configuration ended by exit code 9"):
            await load_in_child(RunOptions(), reaper, child)
        reaper.close()

    asyncio.run(scenario())


def test_process_that_says_nothing_is_given_up_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "LOAD_TIMEOUT_S", 0.05)

    async def scenario() -> None:
        reaper = Reaper()
        child = spawn(("/bin/sh", "-c", "exec sleep 60"))
        with pytest.raises(PlaitError, match="was given up"):
            await load_in_child(RunOptions(), reaper, child)
        reaper.close()

    asyncio.run(scenario())


def test_what_is_wrong_with_a_file_comes_back_from_the_child() -> None:
    async def scenario() -> None:
        reaper = Reaper()
        with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
            await load_in_child(RunOptions("nowhere.yaml", concurrency=1), reaper)
        reaper.close()

    asyncio.run(scenario())
