"""A real data plane in the test's own process: its listeners accept, its clusters connect, its statistics can be read.

For filters of connections and datagrams, which need sockets; a stream filter is tested faster with ``FakeStream``.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import socket
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from plait.api.config import Bootstrap, Cluster, Extension, Listener, RouteConfiguration
from plait.api.context import Context
from plait.plugins import Catalogue, discover
from plait.runtime.dataplane import DataPlane
from plait.runtime.sockets import bind
from plait.xds.store import ConfigStore, Resources

DEADLINE_S = 20.0


def on_every_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make a test of a coroutine function: once on asyncio's loop, once on uvloop, with a deadline."""
    import pytest
    import uvloop

    @functools.wraps(test)
    def run(loop_factory: Callable[[], asyncio.AbstractEventLoop], **fixtures: Any) -> None:
        async def within() -> None:
            async with asyncio.timeout(DEADLINE_S):
                await test(**fixtures)

        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(within())

    signature = inspect.signature(test)
    parameter = inspect.Parameter("loop_factory", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    run.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=(parameter, *signature.parameters.values())
    )
    loops = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    parametrized: Callable[..., None] = pytest.mark.parametrize("loop_factory", loops.values(), ids=loops)(run)
    return parametrized


async def until(condition: Callable[[], object], what: str) -> None:
    """Wait for a true value of ``condition``; AssertionError after the deadline."""
    end = time.monotonic() + DEADLINE_S / 2
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"gave up waiting for {what}")
        await asyncio.sleep(0.005)


class _Plane(DataPlane):
    def __init__(self, catalogue: Catalogue, bootstrap: Bootstrap, objects: Mapping[str, Any]) -> None:
        super().__init__(catalogue, bootstrap.node, drain_time_s=DEADLINE_S)
        self._objects = objects

    def build_for(self, context: Context, kind: str | type, extension: Extension, *extra: object) -> Any:
        if extension.name in self._objects:
            return self._objects[extension.name]
        return super().build_for(context, kind, extension, *extra)


class RunningPlane:
    """``async with RunningPlane(listeners, clusters) as running:`` serves until the end of the block.

    ``objects`` stand for the extensions called so, such as a filter that a test made itself. On the way out everything
    is closed, and AssertionError raised when something raised into the event loop.
    """

    def __init__(
        self,
        listeners: Sequence[Listener] = (),
        clusters: Sequence[Cluster] = (),
        routes: Sequence[RouteConfiguration] = (),
        *,
        objects: Mapping[str, Any] | None = None,
        catalogue: Catalogue | None = None,
    ) -> None:
        self.catalogue = catalogue or Catalogue(discover())
        self.errors: list[Mapping[str, Any]] = []
        self._bootstrap = Bootstrap(listeners=tuple(listeners), clusters=tuple(clusters), routes=tuple(routes))
        self._objects = dict(objects or {})
        self._store = ConfigStore()
        self._addresses: dict[str, Any] = {}

    @classmethod
    def of(cls, text: str, *, objects: Mapping[str, Any] | None = None) -> Self:
        """The data plane of an Envoy bootstrap, in YAML; raises ConfigErrors."""
        from plait.xds import load_bootstrap

        catalogue = Catalogue(discover())
        made = load_bootstrap("", text, catalogue)
        return cls(made.listeners, made.clusters, made.routes, objects=objects, catalogue=catalogue)

    async def __aenter__(self) -> Self:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: self.errors.append(context))
        self.plane = _Plane(self.catalogue, self._bootstrap, self._objects)
        try:
            await self._apply(self._bootstrap)
        except BaseException:
            await self.plane.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.plane.close()
        await asyncio.sleep(0.01)  # transports that were closed say so in the next turns of the loop
        if kind is None and self.errors:
            raise AssertionError(f"raised into the event loop: {self.errors}")

    async def change(
        self,
        listeners: Sequence[Listener] = (),
        clusters: Sequence[Cluster] = (),
        routes: Sequence[RouteConfiguration] = (),
    ) -> None:
        """Bring another configuration into force."""
        await self._apply(Bootstrap(listeners=tuple(listeners), clusters=tuple(clusters), routes=tuple(routes)))

    def address(self, listener: str) -> Any:
        """Where the listener called so is: host and port, or a path."""
        return self._addresses[listener]

    def counter(self, name: str) -> int:
        """The value of a counter now."""
        self.plane.stats.refresh()
        return self.plane.stats.counter(name).value

    def gauge(self, name: str) -> int:
        """The value of a gauge now."""
        self.plane.stats.refresh()
        return self.plane.stats.gauge(name).value

    async def _apply(self, bootstrap: Bootstrap) -> None:
        update = self._store.set_source(
            "bootstrap", Resources(bootstrap.listeners, bootstrap.clusters, (), bootstrap.routes)
        )
        sockets: dict[str, socket.socket] = {}
        for name, listener in update.listeners.items():
            if name not in self._addresses:
                sockets[name] = bind(listener, 1)[0]
        try:
            await self.plane.apply(update, sockets)
        except BaseException:
            for sock in sockets.values():
                sock.close()
            raise
        self._store.accept(update)
        for name, sock in sockets.items():
            address = sock.getsockname()
            self._addresses[name] = address[:2] if isinstance(address, tuple) else address
