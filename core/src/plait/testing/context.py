"""The worker as a filter or adapter sees it, without a worker: time moves when the test says so."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from plait.api.config import Extension, Node, RouteConfiguration
from plait.api.context import Context, Counter, Gauge, Histogram, Stats, Timer
from plait.api.errors import PluginError


class FakeStats(Stats):
    """Statistics by name; ``values()`` are those that are not 0."""

    def __init__(self) -> None:
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        self._observed: dict[str, Callable[[], int]] = {}

    def counter(self, name: str) -> Counter:
        return self._counters.setdefault(name, Counter(name))

    def gauge(self, name: str) -> Gauge:
        return self._gauges.setdefault(name, Gauge(name))

    def histogram(self, name: str) -> Histogram:
        return self._histograms.setdefault(name, Histogram(name))

    def observe(self, name: str, read: Callable[[], int], *, grows: bool) -> None:
        self._observed[name] = read

    def values(self) -> dict[str, int]:
        """Counters, gauges and what is observed, by name, where it is not 0."""
        found: list[Counter | Gauge] = [*self._counters.values(), *self._gauges.values()]
        values = {one.name: one.value for one in found}
        values.update({name: read() for name, read in self._observed.items()})
        return {name: value for name, value in values.items() if value}


class _Call(Timer):
    def __init__(self, call: Callable[[], None]) -> None:
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        self.call = None


class _Clock:
    """Time and the calls that wait for it, shared by the contexts of all chains."""

    def __init__(self) -> None:
        self.now = 0.0
        self._calls: list[tuple[float, int, _Call]] = []
        self._order = itertools.count()

    def call_later(self, delay_s: float, call: Callable[[], None]) -> _Call:
        timer = _Call(call)
        heapq.heappush(self._calls, (self.now + delay_s, next(self._order), timer))
        return timer

    def due(self) -> float | None:
        """When the next call is due that was not cancelled."""
        while self._calls and self._calls[0][2].call is None:
            heapq.heappop(self._calls)
        return self._calls[0][0] if self._calls else None

    def advance(self, until: float) -> None:
        while (due := self.due()) is not None and due <= until:
            self.now, _, timer = heapq.heappop(self._calls)
            if timer.call is not None:
                timer.call()
        self.now = until


class FakeContext(Context):
    """Answers with ``clusters``, ``route_configurations``, ``protocols`` and ``objects`` (by extension name).

    ``advance(seconds)`` makes the calls that are due, ``skip()`` goes to the next one. ``spawn`` makes tasks of the
    running loop, kept in ``tasks``.
    """

    def __init__(
        self,
        *,
        clusters: Mapping[str, Any] | None = None,
        route_configurations: Mapping[str, RouteConfiguration] | None = None,
        protocols: Mapping[str, Any] | None = None,
        objects: Mapping[str, Any] | None = None,
        node: Node | None = None,
    ) -> None:
        self.fake_stats = FakeStats()
        self.stats = self.fake_stats
        self.node = node or Node("test", "test")
        self.worker = 0
        self.concurrency = 1
        self.wheel = None
        self.tasks: list[asyncio.Task[None]] = []
        self._clusters = dict(clusters or {})
        self._route_configurations = dict(route_configurations or {})
        self._protocols = dict(protocols or {})
        self._objects = dict(objects or {})
        self._clock = _Clock()

    def build(self, kind: str | type, extension: Extension, *extra: object) -> Any:
        try:
            return self._objects[extension.name]
        except KeyError:
            raise PluginError(extension.name, "the test has no such object", remedy="pass it in objects") from None

    def cluster(self, name: str) -> Any | None:
        return self._clusters.get(name)

    def route_configuration(self, name: str) -> RouteConfiguration | None:
        return self._route_configurations.get(name)

    def protocol(self, name: str) -> Any:
        try:
            return self._protocols[name]
        except KeyError:
            raise PluginError(name, "the test has no such protocol", remedy="pass it in protocols") from None

    def protocols(self) -> Mapping[str, Any]:
        return self._protocols

    def call_later(self, delay_s: float, call: Callable[[], None]) -> Timer:
        return self._clock.call_later(delay_s, call)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> Any:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self.tasks.append(task)
        return task

    def for_chain(self, stat_prefix: str, routes: str = "") -> Context:
        chain = FakeContext.__new__(FakeContext)
        chain.__dict__.update(self.__dict__, stat_prefix=stat_prefix, routes=routes)
        return chain

    def advance(self, seconds: float) -> None:
        """Let time pass: what is due by then is called, in order."""
        self._clock.advance(self._clock.now + seconds)

    def skip(self) -> bool:
        """Let time pass until the next call and make it; whether there was one."""
        due = self._clock.due()
        if due is None:
            return False
        self._clock.advance(due)
        return True
