"""What the factory of a filter, adapter or sink may ask for: the second argument, if it takes one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from plait.api.config import Extension, Node, RouteConfiguration


class Counter:
    """Only grows. On the hot path write ``counter.value += 1``."""

    __slots__ = ("name", "value")

    def __init__(self, name: str) -> None:
        self.name = name
        self.value = 0


class Gauge:
    """Goes up and down; summed over workers."""

    __slots__ = ("name", "value")

    def __init__(self, name: str) -> None:
        self.name = name
        self.value = 0


class Histogram:
    """Values (milliseconds for times), binned when collected. On the hot path: ``histogram.values.append(v)``."""

    __slots__ = ("name", "values")

    def __init__(self, name: str) -> None:
        self.name = name
        self.values: list[float] = []


class Stats(ABC):
    """Makes and finds statistics by Envoy's dotted names; the same name gives the same object."""

    @abstractmethod
    def counter(self, name: str) -> Counter:
        """The counter called ``name``."""

    @abstractmethod
    def gauge(self, name: str) -> Gauge:
        """The gauge called ``name``."""

    @abstractmethod
    def histogram(self, name: str) -> Histogram:
        """The histogram called ``name``."""

    @abstractmethod
    def observe(self, name: str, read: Callable[[], int], *, grows: bool) -> None:
        """Let ``read`` say the value of a counter (``grows``) or gauge whenever statistics are taken.

        For what is known anyway: traffic then pays nothing for it. Observing a name again replaces its ``read``.
        """


class Timer(ABC):
    """A pending call on the coarse clock."""

    @abstractmethod
    def cancel(self) -> None:
        """The call will not be made; cancelling twice, or late, does nothing."""


class Context(ABC):
    """The worker, as plugins may use it."""

    stats: Stats
    node: Node
    worker: int
    concurrency: int
    wheel: Any  # plait.net.TimerWheel, for the core's own hot paths
    stat_prefix: str = ""
    """Of the chain that a filter is built for, such as ``http.ingress``; empty outside of one."""
    routes: str = ""
    """The name of the chain's route configuration; empty outside of one."""

    @abstractmethod
    def build(self, kind: str | type, extension: Extension, *extra: object) -> Any:
        """Make the object that ``extension`` describes; its factory gets ``extra`` behind settings and context.

        ``kind`` is an entry-point group without ``plait.``, or one category of it (``FilterType`` …).
        """

    @abstractmethod
    def cluster(self, name: str) -> Any | None:
        """The cluster (``plait.upstream.Cluster``) called ``name`` as it is now, or None."""

    @abstractmethod
    def route_configuration(self, name: str) -> RouteConfiguration | None:
        """The route configuration called ``name`` as it is now, or None."""

    @abstractmethod
    def protocol(self, name: str) -> Any:
        """The ``ProtocolType`` called ``name``; raises PluginError when none is."""

    @abstractmethod
    def protocols(self) -> Mapping[str, Any]:
        """Every ``ProtocolType`` by name, which imports all plugins of protocols; raises PluginError when one fails."""

    @abstractmethod
    def call_later(self, delay_s: float, call: Callable[[], None]) -> Timer:
        """Call once, some tens of milliseconds late at most: for timeouts, not for precise delays."""

    @abstractmethod
    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> Any:
        """Run a coroutine as a task that the worker owns; the task."""

    @abstractmethod
    def for_chain(self, stat_prefix: str, routes: str = "") -> Context:
        """This context for the filters of one chain."""
