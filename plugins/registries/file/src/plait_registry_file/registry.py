"""Watches the file and tells what changed; registers by writing it.

What a look at the file means:

    there, and right     every service in it is as it says; one that was in it before and is not any more is removed
    missing, unreadable  ``sink.failed``; what was told stays in force
    or wrong             the same, naming file, line and column; once for each new reason

A file that was replaced (another inode, as by a rename) is read at once. One that was written in place is read when
two looks in a row see it unchanged: until then its writer may be half way, and half a file can be a good one with
fewer services. Nothing here blocks the event loop: the file is touched in a thread.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import TypeAlias

from plait import ConfigError, Instance, PlaitError, Registry, RegistrySink, Service
from plait_registry_file.document import Picture, read, write
from plait_registry_file.writing import locked, replace

LOCK_TIMEOUT_S = 5.0

Look: TypeAlias = tuple[int, int, int, int]
"""Device, inode, size and time of change (of permissions too) in nanoseconds: equal while the file is the same."""


class FileRegistry(Registry):
    """The registry of one file."""

    def __init__(self, path: str, poll_interval_s: float) -> None:
        if not path:
            raise ConfigError("'path' is empty", expected="the path of a file")
        if poll_interval_s <= 0:
            raise ConfigError(f"'poll_interval_s' is {poll_interval_s:g}", expected="more than 0")
        self._path = path
        self._poll_interval_s = poll_interval_s
        self._registered: list[tuple[Service, Instance]] = []

    async def watch(self, sink: RegistrySink) -> None:
        told: Picture = {}
        failure = ""
        first = True
        previous: Look | None = None
        read_at: Look | None = None  # what the file looked like when it was last read
        while True:
            try:
                look = await asyncio.to_thread(_look, self._path)
                replaced = previous is not None and look[:2] != previous[:2]
                whole = first or replaced or look == previous
                previous = look
                if look != read_at and whole:
                    read_at = look
                    picture = await asyncio.to_thread(read, self._path)
                    # after a failure everything is told again: that is how the sink learns that it is over
                    _tell(sink, {} if failure else told, told, picture)
                    told, failure = picture, ""
            except OSError as error:
                previous = read_at = None
                failure = _failed(sink, PlaitError(f"cannot read {self._path}: {error.strerror}"), failure)
            except ConfigError as error:
                failure = _failed(sink, error, failure)
            first = False
            await asyncio.sleep(self._poll_interval_s)

    async def register(self, service: Service, instance: Instance) -> None:
        def add(instances: tuple[Instance, ...]) -> tuple[Instance, ...]:
            return (*(one for one in instances if one.address != instance.address), instance)

        self._registered.append((service, instance))
        await asyncio.to_thread(self._change, service, add)

    async def deregister(self, service: Service, instance: Instance) -> None:
        def drop(instances: tuple[Instance, ...]) -> tuple[Instance, ...]:
            return tuple(one for one in instances if one.address != instance.address)

        await asyncio.to_thread(self._change, service, drop)
        self._registered = [
            (other, one)
            for other, one in self._registered
            if other.key != service.key or one.address != instance.address
        ]

    async def close(self) -> None:
        for service, instance in list(self._registered):
            await self.deregister(service, instance)

    def _change(self, service: Service, change: Callable[[tuple[Instance, ...]], tuple[Instance, ...]]) -> None:
        """Change the instances of one service in the file; a service stays, even when it has none left."""
        path = os.path.realpath(self._path)  # a link stays a link, and what it points to is replaced
        with locked(path, LOCK_TIMEOUT_S):
            picture = read(path) if os.path.exists(path) else {}
            before = picture.get(service.key)
            instances = change(before[1] if before else ())
            if before is None and not instances:
                return
            picture[service.key] = (before[0] if before else service, instances)
            replace(path, write(path, picture))


def _look(path: str) -> Look:
    status = os.stat(path)
    return status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns


def _failed(sink: RegistrySink, error: PlaitError, known: str) -> str:
    """Tell a failure unless it is the ``known`` one; return its reason."""
    if str(error) != known:
        sink.failed(error)
    return str(error)


def _tell(sink: RegistrySink, known: Picture, told: Picture, picture: Picture) -> None:
    """Tell what is in ``picture`` and not ``known``, and what was ``told`` and is gone."""
    for key, (service, instances) in picture.items():
        if known.get(key) != (service, instances):
            sink.update(service, instances)
    for key, (service, _) in told.items():
        if key not in picture:
            sink.remove(service)
