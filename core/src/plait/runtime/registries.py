"""Watches registries in the supervisor and turns what they tell into resources of the config store.

Each registry is a source of its own. What it tells is gathered for a moment before it is applied, so that a hundred
services that appear at once make one update. A registry whose watch ends or fails is watched again after a pause; until
then what it said stays in force.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import attrs

from plait.api.config import Endpoint, Endpoints, Extension
from plait.api.context import Stats
from plait.api.errors import PlaitError
from plait.api.registry import Instance, Registry, RegistrySink, Service
from plait.xds.store import Resources

GATHER_S = 0.05
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
STEADY_S = 60.0
CLOSE_TIMEOUT_S = 5.0

_log = logging.getLogger("plait.registries")


def endpoints_of(service: Service, instances: Sequence[Instance]) -> Endpoints:
    """A service's instances as the endpoints of the cluster called by its key."""
    return Endpoints(
        service.key,
        tuple(
            Endpoint(
                instance.address,
                weight=max(1, instance.weight),
                healthy=instance.healthy,
                locality=instance.zone,
                metadata=dict(instance.metadata),
            )
            for instance in instances
        ),
    )


class _Sink(RegistrySink):
    """What one registry told so far."""

    def __init__(self, name: str, stats: Stats) -> None:
        self._name = name
        self._services: dict[str, Endpoints] = {}
        self.news = asyncio.Event()
        self._updates = stats.counter(f"registry.{name}.update_total")
        self._failures = stats.counter(f"registry.{name}.update_failure")
        self._services_gauge = stats.gauge(f"registry.{name}.services")
        self._instances_gauge = stats.gauge(f"registry.{name}.instances")

    def update(self, service: Service, instances: Sequence[Instance]) -> None:
        self._services[service.key] = endpoints_of(service, instances)
        self._told()

    def remove(self, service: Service) -> None:
        if self._services.pop(service.key, None) is not None:
            self._told()

    def failed(self, error: Exception) -> None:
        self._failures.value += 1
        _log.warning("registry %r cannot be read now, what it told stays in force: %s", self._name, error)

    def resources(self) -> Resources:
        """All of it."""
        return Resources(services=tuple(self._services[key] for key in sorted(self._services)))

    def _told(self) -> None:
        self._updates.value += 1
        self._services_gauge.value = len(self._services)
        self._instances_gauge.value = sum(len(one.endpoints) for one in self._services.values())
        self.news.set()


@attrs.define
class _Watched:
    extension: Extension
    registry: Registry
    task: asyncio.Task[None]


class Registries:
    """The registries of a supervisor, changed whole by ``configure``.

    ``build`` makes a registry, ``change(source, resources)`` applies what it says and raises PlaitError when that is
    refused.
    """

    def __init__(
        self,
        group: asyncio.TaskGroup,
        build: Callable[[Extension], Registry],
        change: Callable[[str, Resources | None], Awaitable[None]],
        stats: Stats,
    ) -> None:
        self._group = group
        self._build = build
        self._change = change
        self._stats = stats
        self._watched: dict[str, _Watched] = {}
        self._silent: set[str] = set()
        self._spoken = asyncio.Event()

    async def configure(self, extensions: Sequence[Extension]) -> None:
        """Watch these and no others; one that did not change is left alone. Raises PluginError and changes nothing."""
        wanted = {extension.name: extension for extension in extensions}
        new = {
            name: self._build(extension)
            for name, extension in wanted.items()
            if name not in self._watched or self._watched[name].extension != extension
        }
        for name in [name for name in self._watched if name not in wanted or name in new]:
            await self._forget(name)
            if name not in wanted:
                await self._apply(name, None)
        for name, registry in new.items():
            task = self._group.create_task(self._follow(name, registry), name=f"registry {name}")
            self._watched[name] = _Watched(wanted[name], registry, task)
            self._silent.add(name)

    async def first_words(self, timeout_s: float) -> None:
        """Until each registry told something and that was applied or refused, or the time is over."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._silent:
                    self._spoken.clear()
                    await self._spoken.wait()
        except TimeoutError:
            _log.warning("no word yet from %s", ", ".join(f"registry {name!r}" for name in sorted(self._silent)))

    async def close(self) -> None:
        """Stop watching, and withdraw what was registered through them."""
        for name in list(self._watched):
            await self._forget(name)

    async def _forget(self, name: str) -> None:
        watched = self._watched.pop(name)
        self._silent.discard(name)
        watched.task.cancel()
        await asyncio.wait([watched.task], timeout=CLOSE_TIMEOUT_S)
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await watched.registry.close()
        except Exception as error:  # noqa: BLE001 - a plugin that cannot close must not keep the others open
            _log.warning("registry %r did not close: %s", name, str(error) or type(error).__name__)

    async def _follow(self, name: str, registry: Registry) -> None:
        sink = _Sink(name, self._stats)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(name, registry, sink))
            group.create_task(self._publish(name, sink))

    async def _watch(self, name: str, registry: Registry, sink: _Sink) -> None:
        """Watch for ever; this is the supervisor of a plugin's task."""
        loop = asyncio.get_running_loop()
        pause_s = FIRST_PAUSE_S
        while True:
            started = loop.time()
            try:
                await registry.watch(sink)
                sink.failed(PlaitError("its watch ended"))
            except Exception as error:  # noqa: BLE001 - whatever it is, the registry is watched again
                _log.debug("watching registry %r failed", name, exc_info=error)
                sink.failed(error)
            if loop.time() - started > STEADY_S:
                pause_s = FIRST_PAUSE_S
            await asyncio.sleep(pause_s)
            pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)

    async def _publish(self, name: str, sink: _Sink) -> None:
        while True:
            await sink.news.wait()
            await asyncio.sleep(GATHER_S)
            sink.news.clear()
            await self._apply(name, sink.resources())
            self._silent.discard(name)
            self._spoken.set()

    async def _apply(self, name: str, resources: Resources | None) -> None:
        try:
            await self._change(name, resources)
        except PlaitError as error:
            _log.error("what registry %r tells is refused, what it told before stays in force: %s", name, error)
