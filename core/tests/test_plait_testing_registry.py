"""The registry kit waits for what a registry must tell, and sees whether it ends."""

import asyncio

import pytest

import plait
from plait.testing import RecordingSink, check_registry
from plait.testing import registry as kit


class Memory(plait.Registry):
    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.services: dict[str, list[plait.Instance]] = {"echo": [plait.Instance(plait.Address("127.0.0.1", 7))]}
        self.closed = False

    async def watch(self, sink: plait.RegistrySink) -> None:
        while True:
            for name, instances in self.services.items():
                sink.update(plait.Service(name), instances)
            await self.changed.wait()
            self.changed.clear()

    def put(self, name: str) -> None:
        self.services[name] = []
        self.changed.set()

    async def close(self) -> None:
        self.closed = True


class Ends(Memory):
    async def watch(self, sink: plait.RegistrySink) -> None:
        sink.update(plait.Service("echo"), [])


class Stubborn(Memory):
    async def watch(self, sink: plait.RegistrySink) -> None:
        try:
            await super().watch(sink)
        except asyncio.CancelledError:
            return


def has_echo(sink: RecordingSink) -> bool:
    return "echo" in sink.services


def test_a_right_registry_passes_and_is_closed() -> None:
    async def check() -> None:
        registry = Memory()
        sink = await check_registry(
            registry, has_echo, (lambda: registry.put("late"), lambda sink: "late" in sink.services)
        )
        assert sorted(sink.services) == ["echo", "late"]
        assert registry.closed

    asyncio.run(check())


def test_what_is_not_told_in_time_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RecordingSink.until, "__defaults__", (0.05,))
    with pytest.raises(AssertionError, match=r"the registry told: services \{'echo'"):
        asyncio.run(_checked(Memory, lambda sink: "gone" in sink.services))


def test_a_watch_that_ends_by_itself_is_an_error() -> None:
    with pytest.raises(AssertionError, match="ended by itself"):
        asyncio.run(_checked(Ends, has_echo))


def test_a_watch_that_swallows_its_cancellation_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kit, "DEADLINE_S", 1.0)
    with pytest.raises(AssertionError, match="swallowed its cancellation"):
        asyncio.run(_checked(Stubborn, has_echo))


async def _checked(registry: type[Memory], condition: object) -> None:
    await check_registry(registry(), condition)  # type: ignore[arg-type]
