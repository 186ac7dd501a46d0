"""The supervisor: owns the configuration, the listening sockets, the workers, the admin server and the signals.

Its life from top to bottom is ``Supervisor._serve`` and ``Supervisor._end``. Every change of configuration, whoever
wants it, goes through ``change``: the store works out the difference, sockets are bound, all workers vote, and only
then is it in force. It carries no traffic itself, except with ``--concurrency 0``.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from plait.api.config import Bootstrap, Extension
from plait.api.errors import ConfigError, PlaitError
from plait.api.extension import RegistryType, StatsSinkType
from plait.api.telemetry import Snapshot
from plait.plugins.catalogue import Catalogue
from plait.runtime import ipc
from plait.runtime.admin import Admin
from plait.runtime.admin_http import AdminServer
from plait.runtime.children import Reaper
from plait.runtime.configuration import Loaded, load, resources_of
from plait.runtime.fleet import Fleet
from plait.runtime.loading import load_in_child
from plait.runtime.logs import configure_logging
from plait.runtime.options import RunOptions
from plait.runtime.registries import Registries
from plait.runtime.server_stats import ServerStats
from plait.runtime.sinks import StatsSinks
from plait.runtime.sockets import ListeningSockets
from plait.runtime.spawning import Spawned, python
from plait.runtime.statistics import MergedStats, StatsDelta
from plait.runtime.supervisor_context import SupervisorContext
from plait.xds.store import ConfigStore, Resources, Update

STATS_TIMEOUT_S = 1.0
REGISTRY_WAIT_S = 3.0
"""How long listeners wait at the start for the first word of every registry."""

_log = logging.getLogger("plait.runtime")


class Supervisor:
    """See the module. ``inline`` is the data plane of ``--concurrency 0``, already loaded."""

    def __init__(
        self,
        options: RunOptions,
        loader: Spawned | None,
        workers: Sequence[Spawned],
        loaded: Loaded | None,
    ) -> None:
        self.options = options
        self.state = "PRE_INITIALIZING"
        self.version = ""
        self.started_at = time.time()
        self.bootstrap = Bootstrap()
        self.store = ConfigStore()
        self.merged = MergedStats()
        self.catalogue: Catalogue | None = None
        self.sockets = ListeningSockets(max(1, options.concurrency))
        self._loader = loader
        self._spawned = workers
        self._loaded = loaded
        self._own = ServerStats(self.store, options.concurrency)
        self._group: asyncio.TaskGroup
        self._reaper: Reaper | None = None
        self._admin: AdminServer | None = None
        self._context: SupervisorContext | None = None
        self._registries: Registries | None = None
        self._sinks = StatsSinks(self._build_sink, self.collect)
        self._flushing: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()
        self._stop = asyncio.Event()
        self._at_once = asyncio.Event()
        self._wake = asyncio.Event()
        self._reload_wanted = False
        self._plugins: tuple[Any, ...] = ()
        self.workers = self._make_workers()

    def _make_workers(self) -> Any:
        if self.options.concurrency:
            return Fleet(self._command, self.sockets, self.store.everything, self._counted, self._died)
        from plait.runtime.inline import InlineWorker

        return InlineWorker(self.sockets, self.store.everything, self._counted)

    def _command(self, slot: int) -> Sequence[str]:
        return python("plait.runtime.worker", "--slot", str(slot), "--log-level", self.options.log_level)

    # the life

    async def run(self) -> int:
        """Until a signal; the exit code. Raises PlaitError when the start fails."""
        failure: PlaitError | None = None
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                self._listen_to_signals()
                await self._serve(group)
            except PlaitError as error:
                failure = error
            finally:
                await self._end(failed=failure is not None)
        if failure is not None:
            raise failure
        return 0

    async def _serve(self, group: asyncio.TaskGroup) -> None:
        # Children run already: look after them before anything can go wrong.
        if self.options.concurrency:
            self._reaper = Reaper()
        self.workers.start(group, self._spawned, self._reaper)
        loaded = await self._unless_stopped(self._load(self._loader))
        if loaded is None:
            return
        self.bootstrap = loaded.bootstrap
        self._plugins = loaded.plugins
        self.version = loaded.version
        self.catalogue = Catalogue(*loaded.plugins)
        self._context = SupervisorContext(
            self.catalogue, self._own.stats, self.bootstrap.node, max(1, self.options.concurrency)
        )
        self.state = "INITIALIZING"
        # The admin server comes first, so that a slow start can be watched.
        await self._start_admin(group)
        self.workers.introduce(self._introduction)
        # Registries speak before listeners open: the first request finds endpoints.
        self._registries = Registries(group, self._build_registry, self.change, self._own.stats)
        await self._registries.configure(self.bootstrap.registries)
        await self._unless_stopped(self._registries.first_words(REGISTRY_WAIT_S))
        await self._unless_stopped(self.change("bootstrap", resources_of(self.bootstrap)))
        if self._stop.is_set():
            return
        await self._sinks.configure(self.bootstrap.stats_sinks)
        self._flushing = group.create_task(
            self._sinks.flush_forever(lambda: self.bootstrap.stats_flush_interval_s, self.merged.next_interval),
            name="stats flush",
        )
        self.state = "LIVE"
        where = ", ".join(f"{name} on {address}" for name, address in self.sockets.addresses().items())
        _log.info("live with %s: %s", _count(self.options.concurrency, "worker"), where or "no listeners")
        gc.collect()
        gc.freeze()
        while not self._stop.is_set():
            self._wake.clear()
            if self._reload_wanted:
                self._reload_wanted = False
                await self._unless_stopped(self._reload())
            else:
                await self._wake.wait()

    async def _end(self, *, failed: bool) -> None:
        """Drain, stop, close; a second signal takes the short way at any point."""
        self.state = "DRAINING"
        ending = self._group.create_task(self._wind_down(drain=not failed), name="wind down")
        hurry = self._group.create_task(self._at_once.wait(), name="second signal")
        await asyncio.wait([ending, hurry], return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        hurry.cancel()
        if self._at_once.is_set():
            _log.warning("second signal: ending at once")
        if self._flushing is not None:
            self._flushing.cancel()
        self.workers.abandon()
        if self._admin is not None:
            await self._admin.close()
        if self._context is not None:
            await self._context.close()
        self.sockets.close()
        if self._reaper is not None:
            self._reaper.close()

    async def _wind_down(self, *, drain: bool) -> None:
        if self._registries is not None:
            await self._registries.close()
        self.sockets.stop_listening()
        if drain and self.workers.current:
            _log.info("draining for at most %.0f s", self.options.drain_time_s)
            await self.workers.drain(self.options.drain_time_s)
        await self.workers.stop()
        await self._sinks.close()
        _log.info("stopped")

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._on_reload)

    def _on_stop(self, number: signal.Signals) -> None:
        if self._stop.is_set():
            self._at_once.set()
        else:
            _log.info("%s: stopping", signal.Signals(number).name)
        self._stop.set()
        self._wake.set()

    def _on_reload(self) -> None:
        self._reload_wanted = True
        self._wake.set()

    async def _unless_stopped(self, work: Coroutine[Any, Any, Any]) -> Any:
        """The result of ``work``, or None when a signal to stop comes first."""
        task = self._group.create_task(_caught(work))
        stop = self._group.create_task(self._stop.wait())
        await asyncio.wait([task, stop], return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not task.done():
            task.cancel()
            return None
        result = task.result()
        if isinstance(result, PlaitError):
            raise result
        return result

    # configuration

    async def _load(self, loader: Spawned | None = None) -> Loaded:
        if self._loaded is not None:
            loaded, self._loaded = self._loaded, None
            return loaded
        if self._reaper is None:
            return await asyncio.to_thread(load, self.options)
        return await load_in_child(self.options, self._reaper, loader)

    async def change(self, source: str, resources: Resources | None) -> None:
        """Bring what ``source`` now says into force everywhere. Raises PlaitError, and nothing has changed then.

        Cancelling the caller does not stop a change under way.
        """
        task = self._group.create_task(_caught(self._change(source, resources)), name=f"change by {source}")
        error = await asyncio.shield(task)
        if error is not None:
            raise error

    async def _change(self, source: str, resources: Resources | None) -> None:
        async with self._changing:
            update = self.store.set_source(source, resources)
            if not update and self.workers.current:
                self.store.accept(update)
                return
            try:
                self.sockets.prepare(update)
            except ConfigError as error:
                self.store.reject(update, str(error))
                self._own.rejected.value += 1
                raise
            refused: list[str] = []

            def decide(refusals: list[str]) -> tuple[Update, bool]:
                refused.extend(refusals)
                if refusals:
                    return self.store.reject(update, "; ".join(refusals)), False
                self.store.accept(update)
                return update, True

            await self.workers.apply(update, decide)
            self.sockets.settle(self.store.everything().listeners)
            if refused:
                self._own.rejected.value += 1
                raise ConfigError("\n".join(refused))
            _log.debug("in force: %s", update)

    async def _reload(self) -> None:
        """Read the file again; what is wrong with it is logged and the old configuration stays."""
        before = self.store.version
        try:
            loaded = await self._load()
            await self.change("bootstrap", resources_of(loaded.bootstrap))
            assert self._registries is not None
            old, self.bootstrap = self.bootstrap, loaded.bootstrap
            await self._registries.configure(self.bootstrap.registries)
            await self._sinks.configure(self.bootstrap.stats_sinks)
        except PlaitError as error:
            self._own.reload_failed.value += 1
            self.store.note_failure("bootstrap", str(error))
            _log.error("the configuration is refused, version %d stays in force:\n%s", before, error)
            return
        self._own.reloaded.value += 1
        _log.info("reloaded: version %d was in force, version %d is now", before, self.store.version)
        for what in ("node", "admin"):
            if getattr(old, what) != getattr(self.bootstrap, what):
                _log.warning("%s changed, which takes a restart", what)
        if loaded.plugins != self._plugins:
            _log.warning("the installed plugins changed, which takes a restart")

    def _introduction(self, slot: int) -> ipc.Start:
        options = self.options
        return ipc.Start(slot, max(1, options.concurrency), self.bootstrap.node, options.drain_time_s, self._plugins)

    def _build_registry(self, extension: Extension) -> Any:
        assert self._context is not None
        return self._context.make(RegistryType, extension)

    def _build_sink(self, extension: Extension) -> Any:
        assert self._context is not None
        return self._context.make(StatsSinkType, extension)

    # what the admin server shows

    async def _start_admin(self, group: asyncio.TaskGroup) -> None:
        if self.bootstrap.admin is None:
            return
        self._admin = AdminServer(group, Admin(self).answer)
        await self._admin.start(self.bootstrap.admin)
        _log.info("admin on %s", self._admin.address)
        if self.options.admin_address_path:
            _write(self.options.admin_address_path, self._admin.address + "\n")

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers, by slot."""
        pids: list[int] = self.workers.pids
        return pids

    def addresses(self) -> dict[str, str]:
        """Where listeners really listen."""
        return self.sockets.addresses()

    async def collect(self) -> Snapshot:
        """Everything the workers counted until now."""
        await self.workers.ask("stats", STATS_TIMEOUT_S)
        self._own.tell(self.state, self.started_at, self.workers.current)
        self.merged.add(SUPERVISOR, self._own.stats.take())
        return self.merged.snapshot()

    async def ask_workers(self, what: str, timeout_s: float) -> list[Any]:
        """Answers of the workers that answer in time."""
        answers: list[Any] = await self.workers.ask(what, timeout_s)
        return [answer for answer in answers if answer is not None]

    def _counted(self, worker: int, delta: StatsDelta) -> None:
        self.merged.add(worker, delta)

    def _died(self, worker: int) -> None:
        self.merged.drop(worker)
        self._own.worker_deaths.value += 1


SUPERVISOR = -2
"""The number under which the supervisor's own statistics are merged."""


async def _caught(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of ``work``, or the PlaitError it raised: as a value it does not end the task group."""
    try:
        return await work
    except PlaitError as error:
        return error


def _write(path: str, text: str) -> None:
    try:
        Path(path).write_text(text)
    except OSError as error:
        raise ConfigError(f"cannot write the admin address to {path}: {(error.strerror or '').lower()}") from error


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def supervise(options: RunOptions, loader: Spawned | None, workers: Sequence[Spawned]) -> int:
    """Run a supervisor on an event loop of its own; the exit code. Raises PlaitError when the start fails."""
    configure_logging(options.log_level)
    new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    loaded = None
    if not options.concurrency:
        import uvloop

        new_loop = uvloop.new_event_loop
        loaded = load(options)

    async def main() -> int:
        return await Supervisor(options, loader, workers, loaded).run()

    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(main())
    except BaseExceptionGroup as group:
        _log.critical("a task of the supervisor failed", exc_info=group)
        return 1
    finally:
        sys.stderr.flush()
