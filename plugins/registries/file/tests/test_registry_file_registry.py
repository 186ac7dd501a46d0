"""Watching and writing the file."""

import asyncio
import contextlib
import os
import stat
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from plait import Address, ConfigError, Instance, PlaitError, Registry, RegistrySink, RegistryType, Service
from plait.testing import RecordingSink, check_registry
from plait_registry_file import FileSettings, plait_registries
from plait_registry_file.registry import FileRegistry
from plait_registry_file.writing import locked

A = "services: [{name: a, instances: [{address: '127.0.0.1:1'}]}]\n"
AB = "services: [{name: a, instances: [{address: '127.0.0.1:1'}]}, {name: b}]\n"


class Sink(RegistrySink):
    """Writes down what it is told, and wakes who waits for it."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self._news = asyncio.Event()

    def _tell(self, text: str) -> None:
        self.told.append(text)
        self._news.set()

    def update(self, service: Service, instances: Sequence[Instance]) -> None:
        self._tell(f"{service.key}={','.join(str(instance.address) for instance in instances)}")

    def remove(self, service: Service) -> None:
        self._tell(f"-{service.key}")

    def failed(self, error: Exception) -> None:
        self._tell(f"! {error}")

    async def take(self, count: int = 1) -> list[str]:
        """The next ``count`` things told, in order."""
        async with asyncio.timeout(10):
            while len(self.told) < count:
                self._news.clear()
                await self._news.wait()
        taken, self.told = self.told[:count], self.told[count:]
        return taken


@contextlib.asynccontextmanager
async def watched(path: Path) -> AsyncIterator[Sink]:
    sink = Sink()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(FileRegistry(str(path), 0.005).watch(sink))
        yield sink
        task.cancel()
    assert sink.told == []


def rename_in(path: Path, text: str) -> None:
    beside = path.with_name("new")
    beside.write_text(text)
    beside.rename(path)


def test_hook_registers_the_type() -> None:
    (found,) = plait_registries()
    assert isinstance(found, RegistryType)
    assert found.name == "plait.registries.file"
    assert found.can == {"register"}
    assert isinstance(found.factory(FileSettings("a.yaml")), Registry)


@pytest.mark.parametrize(("path", "interval"), [("", 1.0), ("a", 0.0)])
def test_useless_settings_are_refused(path: str, interval: float) -> None:
    with pytest.raises(ConfigError, match=r"'path' is empty|'poll_interval_s' is 0"):
        FileRegistry(path, interval)


@pytest.mark.parametrize("change", [Path.write_text, rename_in])
def test_changes_are_told_as_the_level_of_each_service(tmp_path: Path, change: object) -> None:
    async def run() -> None:
        path = tmp_path / "services.yaml"
        path.write_text(A)
        async with watched(path) as sink:
            assert await sink.take() == ["a=127.0.0.1:1"]
            change(path, AB)  # type: ignore[operator]
            assert await sink.take() == ["b="]
            change(path, AB.replace(":1'", ":2'"))  # type: ignore[operator]
            assert await sink.take() == ["a=127.0.0.1:2"]
            change(path, "services: [{name: b}]")  # type: ignore[operator]
            assert await sink.take() == ["-a"]

    asyncio.run(run())


def test_bad_file_is_told_once_and_then_everything_again(tmp_path: Path) -> None:
    async def run() -> None:
        path = tmp_path / "services.yaml"
        path.write_text(A)
        async with watched(path) as sink:
            await sink.take()
            rename_in(path, "services: [{nam: a}]")
            (failure,) = await sink.take()
            assert failure.startswith(f"! {path}:1:")
            assert "did you mean 'name'" in failure
            rename_in(path, A)
            assert await sink.take() == ["a=127.0.0.1:1"]

    asyncio.run(run())


def test_emptied_or_deleted_file_removes_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        path = tmp_path / "services.yaml"
        path.write_text(AB)
        async with watched(path) as sink:
            await sink.take(2)
            path.write_text("")
            assert await sink.take() == [f"! {path}:1:1: the document is empty, expected a mapping"]
            path.unlink()
            assert await sink.take() == [f"! cannot read {path}: No such file or directory"]
            path.write_text(A)
            assert await sink.take(2) == ["a=127.0.0.1:1", "-b"]

    asyncio.run(run())


def test_file_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    async def run() -> None:
        path = tmp_path / "services.json"
        async with watched(path) as sink:
            assert await sink.take() == [f"! cannot read {path}: No such file or directory"]
            path.write_text('{"services": [{"name": "a"}]}')
            assert await sink.take() == ["a="]

    asyncio.run(run())


def test_registered_instances_are_in_the_file_until_the_registry_closes(tmp_path: Path) -> None:
    async def run() -> None:
        path = tmp_path / "services.yaml"
        path.write_text(A)
        path.chmod(0o640)
        registry = FileRegistry(str(path), 0.005)
        service, instance = Service("c", "1.0"), Instance(Address("127.0.0.1", 9), weight=2)
        async with watched(path) as sink:
            await sink.take()
            await registry.register(service, instance)
            assert await sink.take() == ["c:1.0=127.0.0.1:9"]
            await registry.register(Service("a"), Instance(Address("127.0.0.1", 2)))
            assert await sink.take() == ["a=127.0.0.1:1,127.0.0.1:2"]
            await registry.deregister(service, instance)
            assert await sink.take() == ["c:1.0="]
            await registry.close()
            assert await sink.take() == ["a=127.0.0.1:1"]
        assert stat.S_IMODE(path.stat().st_mode) == 0o640

    asyncio.run(run())


def test_registering_makes_a_file_that_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "services.json"
    asyncio.run(FileRegistry(str(path), 1).register(Service("a"), Instance(Address("::1", 80))))
    assert '"address": "[::1]:80"' in path.read_text()


def test_registering_never_overwrites_a_bad_file(tmp_path: Path) -> None:
    path = tmp_path / "services.yaml"
    path.write_text("services: 3")
    with pytest.raises(ConfigError, match=r"services\.yaml:1:11"):
        asyncio.run(FileRegistry(str(path), 1).register(Service("a"), Instance(Address("::1", 80))))
    assert path.read_text() == "services: 3"


def test_link_to_the_file_stays_a_link(tmp_path: Path) -> None:
    path, link = tmp_path / "real.yaml", tmp_path / "link.yaml"
    path.write_text(A)
    link.symlink_to(path)
    asyncio.run(FileRegistry(str(link), 1).register(Service("b"), Instance(Address("::1", 80))))
    assert link.is_symlink()
    assert "[::1]:80" in path.read_text()


def test_writers_that_register_at_once_lose_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        registries = [FileRegistry(str(tmp_path / "services.yaml"), 1) for _ in range(8)]
        async with asyncio.TaskGroup() as group:
            for port, registry in enumerate(registries, 1):
                group.create_task(registry.register(Service("a"), Instance(Address("::1", port))))

    asyncio.run(run())
    text = (tmp_path / "services.yaml").read_text()
    assert sorted(int(line.rpartition(":")[2].strip("'")) for line in text.splitlines() if "address" in line) == [
        *range(1, 9)
    ]
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


def test_lock_held_by_another_is_reported(tmp_path: Path) -> None:
    path = str(tmp_path / "services.yaml")
    with (
        locked(path, 1),
        pytest.raises(PlaitError, match=r"services\.yaml\.lock is held by another process for 0 s"),
        locked(path, 0),
    ):
        time.monotonic()


def test_registry_keeps_the_rules(tmp_path: Path) -> None:
    path = tmp_path / "services.yaml"
    path.write_text(A)
    changes: list[tuple[Callable[[], object], Callable[[RecordingSink], bool]]] = [
        (lambda: rename_in(path, AB), lambda sink: set(sink.services) == {"a", "b"}),
        (lambda: rename_in(path, "services: 3"), lambda sink: len(sink.failures) == 1 and len(sink.services) == 2),
        (lambda: rename_in(path, A), lambda sink: set(sink.services) == {"a"}),
    ]
    asyncio.run(check_registry(FileRegistry(str(path), 0.005), lambda sink: set(sink.services) == {"a"}, *changes))
