"""The context of plugins that run in the supervisor: registries and sinks of statistics. It carries no traffic."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from plait.api.config import Extension, Node, RouteConfiguration
from plait.api.context import Context, Stats, Timer
from plait.api.errors import PluginError
from plait.net.tasks import Tasks
from plait.plugins.catalogue import Catalogue
from plait.plugins.factory import build


class _LoopTimer(Timer):
    def __init__(self, handle: asyncio.TimerHandle) -> None:
        self._handle = handle

    def cancel(self) -> None:
        self._handle.cancel()


class SupervisorContext(Context):
    """``close`` ends the tasks that plugins spawned; there are no clusters and no routes here."""

    worker = -1
    wheel = None

    def __init__(self, catalogue: Catalogue, stats: Stats, node: Node, concurrency: int) -> None:
        self._catalogue = catalogue
        self._tasks = Tasks()
        self.stats = stats
        self.node = node
        self.concurrency = concurrency

    def make(self, category: type[Any], extension: Extension) -> Any:
        """The object of a registered ``category`` that ``extension`` describes. Raises PluginError."""
        registered, plugin = self._catalogue.find(category, extension.type)
        owner = self._catalogue.info(plugin).distribution
        return build(registered, extension.settings, self, name=plugin, distribution=owner)

    def build(self, kind: str | type, extension: Extension, *extra: object) -> Any:
        plugin = extension.plugin
        if not plugin:
            raise PluginError(extension.type, f"no plugin is named for {extension.name!r}")
        categories = (kind,) if isinstance(kind, type) else ()
        registered = self._catalogue.of(plugin, extension.type, *categories)
        owner = self._catalogue.info(plugin).distribution
        return build(registered, extension.settings, self, *extra, name=plugin, distribution=owner)

    def cluster(self, name: str) -> Any | None:
        return None

    def route_configuration(self, name: str) -> RouteConfiguration | None:
        return None

    def protocol(self, name: str) -> Any:
        from plait.api.protocol import ProtocolType

        return self._catalogue.find(ProtocolType, name)[0]

    def protocols(self) -> Mapping[str, Any]:
        from plait.api.protocol import ProtocolType

        return {name: found for name, (found, _) in self._catalogue.every(ProtocolType).items()}

    def call_later(self, delay_s: float, call: Callable[[], None]) -> Timer:
        return _LoopTimer(asyncio.get_running_loop().call_later(delay_s, call))

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        return self._tasks.spawn(work, name)

    async def close(self) -> None:
        """End what plugins spawned."""
        await self._tasks.close()

    def for_chain(self, stat_prefix: str, routes: str = "") -> Context:
        return self
