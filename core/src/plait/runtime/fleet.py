"""The workers as processes: told of updates together, replaced one by one when they die.

An update is sent to every worker and each one votes. If one refuses, those that applied it are sent the update that
undoes it: ``apply`` returns the refusals and the caller decides what to undo. A worker that dies, or does not vote in
time and is killed, has no vote; the next one in its slot starts with all that is in force. Workers that keep dying are
started again after ever longer pauses.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from plait.api.config import Listener
from plait.api.errors import PlaitError
from plait.runtime import ipc
from plait.runtime.children import Reaper, describe_exit, kill
from plait.runtime.sockets import ListeningSockets
from plait.runtime.spawning import Spawned, spawn
from plait.runtime.statistics import StatsDelta
from plait.xds.store import Update

VOTE_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 6.0
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 10.0
STEADY_S = 10.0
"""A worker that lived this long did not crash because of how it started."""

_log = logging.getLogger("plait.runtime")


class Child:
    """One worker process; ``current`` once it has everything that is in force."""

    def __init__(
        self, slot: int, spawned: Spawned, reaper: Reaper, on_counted: Callable[[int, StatsDelta], None]
    ) -> None:
        loop = asyncio.get_running_loop()
        self.slot = slot
        self.pid = spawned.pid
        self.current = False
        self.started = loop.time()
        self.drained = False
        self.exit_code: int | None = None
        self.gone = asyncio.Event()
        self._silent = False
        self._on_counted = on_counted
        self._votes: dict[int, asyncio.Future[str]] = {}
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._news = asyncio.Event()
        self.channel = ipc.Channel(spawned.sock, self._heard, self._unheard)
        reaper.watch(spawned.pid, self._ended)

    async def vote(self, update: Update, payload: bytes) -> str:
        """Send an update; empty when it was applied, else why not. Raises TimeoutError or PlaitError (it died)."""
        loop = asyncio.get_running_loop()
        vote: asyncio.Future[str] = loop.create_future()
        self._votes[update.version] = vote
        self.channel.send(ipc.Apply(update.version, payload))
        if self.gone.is_set():
            raise PlaitError(f"worker {self.slot} died")
        try:
            async with asyncio.timeout(VOTE_TIMEOUT_S):
                return await vote
        finally:
            self._votes.pop(update.version, None)

    async def ask(self, token: int, what: str, timeout_s: float) -> Any:
        """The answer of the worker, or None when there is none in time."""
        answer = self._answers[token] = asyncio.get_running_loop().create_future()
        self.channel.send(ipc.Ask(token, what))
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        except (TimeoutError, PlaitError):
            return None
        finally:
            self._answers.pop(token, None)

    async def wait_drained(self) -> None:
        """Until nothing is under way in the worker, or it is gone."""
        while not self.drained and not self.gone.is_set():
            self._news.clear()
            await self._news.wait()

    def abandon(self) -> None:
        """Kill it and listen no more."""
        self.channel.close()
        self._silent = True
        if self.exit_code is None:
            kill(self.pid)
        self._check_gone()

    def _heard(self, message: Any, _: object) -> None:
        if isinstance(message, ipc.Counted):
            self._on_counted(self.slot, message.delta)
        elif isinstance(message, ipc.Applied | ipc.Refused):
            vote = self._votes.get(message.version)
            if vote is not None and not vote.done():
                vote.set_result(message.error if isinstance(message, ipc.Refused) else "")
        elif isinstance(message, ipc.Told):
            answer = self._answers.get(message.token)
            if answer is not None and not answer.done():
                answer.set_result(message.answer)
        elif isinstance(message, ipc.Drained):
            self.drained = True
            self._news.set()

    def _unheard(self, error: Exception | None) -> None:
        if error is not None:
            _log.error("worker %d (pid %d) cannot be talked to: %s", self.slot, self.pid, error)
        self._silent = True
        if self.exit_code is None:
            kill(self.pid)
        self._check_gone()

    def _ended(self, code: int) -> None:
        self.exit_code = code
        self._check_gone()

    def _check_gone(self) -> None:
        if not self._silent or self.exit_code is None:
            return  # what it said last is read first
        self.current = False
        self.gone.set()
        self._news.set()
        for future in (*self._votes.values(), *self._answers.values()):
            if not future.done():
                future.set_exception(PlaitError(f"worker {self.slot} died"))


class Fleet:
    """All workers of a supervisor. Its tasks live in the group that ``start`` is given."""

    def __init__(
        self,
        command: Callable[[int], Sequence[str]],
        sockets: ListeningSockets,
        everything: Callable[[], Update],
        on_counted: Callable[[int, StatsDelta], None],
        on_death: Callable[[int], None],
    ) -> None:
        self._command = command
        self._sockets = sockets
        self._everything = everything
        self._on_counted = on_counted
        self._on_death = on_death
        self._children: dict[int, Child] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._start: Callable[[int], ipc.Start] | None = None
        self._in_force = False
        self._changing = asyncio.Lock()
        self._stopping = False
        self._tokens = 0

    def start(self, group: asyncio.TaskGroup, spawned: Sequence[Spawned], reaper: Reaper) -> None:
        """Take over the workers that run already and look after each slot from now on."""
        for slot, one in enumerate(spawned):
            self._children[slot] = Child(slot, one, reaper, self._on_counted)
            self._tasks.append(group.create_task(self._tend(slot, reaper), name=f"tend worker {slot}"))

    def introduce(self, start: Callable[[int], ipc.Start]) -> None:
        """Tell the workers, and all that come after them, who they are."""
        self._start = start
        for slot, child in self._children.items():
            child.channel.send(start(slot))

    @property
    def pids(self) -> list[int]:
        """Process ids by slot."""
        return [child.pid for _, child in sorted(self._children.items())]

    @property
    def current(self) -> int:
        """How many workers serve what is in force."""
        return sum(child.current for child in self._children.values())

    async def apply(self, update: Update, undo: Callable[[list[str]], tuple[Update, bool]]) -> None:
        """Bring ``update`` to every worker, then let ``undo(refusals)`` decide.

        ``undo`` is called with the distinct refusals while no worker can join; it returns what to send to the workers
        that applied the update if there is a refusal, and whether the update is in force now.
        """
        async with self._changing:
            held: Mapping[str, Listener] = self._everything().listeners if self._in_force else {}
            children = [child for child in self._children.values() if child.current or not self._in_force]
            votes = await self._poll(children, update, held)
            applied = [child for child in children if votes.get(child) == ""]
            refusals = sorted({vote for vote in votes.values() if vote})
            if not votes and not self._in_force:
                refusals = ["no worker lived long enough to apply it"]
            correction, in_force = undo(refusals)
            if in_force:
                self._in_force = True
                for child in applied:
                    child.current = True
            elif correction:
                kept = {name: listener for name, listener in held.items() if name not in update.removed_listeners}
                await self._correct(applied, correction, {**kept, **update.listeners})

    async def _correct(self, children: Sequence[Child], update: Update, held: Mapping[str, Listener]) -> None:
        votes = await self._poll(children, update, held)
        for child in children:
            if votes.get(child) != "":
                _log.error("worker %d cannot go back to what it had, and is replaced", child.slot)
                kill(child.pid)

    async def _poll(self, children: Sequence[Child], update: Update, held: Mapping[str, Listener]) -> dict[Child, str]:
        """The votes of those that gave one; a worker that is too late is killed."""
        payload = pickle.dumps(update, pickle.HIGHEST_PROTOCOL)
        votes: dict[Child, str] = {}

        async def poll(child: Child) -> None:
            child.channel.send_sockets(self._sockets.of(child.slot, update.listeners, held))
            try:
                votes[child] = await child.vote(update, payload)
            except TimeoutError:
                _log.error(
                    "worker %d took over %.0f s to apply %s, and is replaced", child.slot, VOTE_TIMEOUT_S, update
                )
                kill(child.pid)
            except PlaitError:
                pass  # it died; its successor starts with what is in force then

        async with asyncio.TaskGroup() as group:
            for child in children:
                group.create_task(poll(child))
        return votes

    async def ask(self, what: str, timeout_s: float) -> list[Any]:
        """What the workers answer within the time, those that answer."""
        self._tokens += 1
        token = self._tokens
        children = [child for child in self._children.values() if child.current]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(child.ask(token, what, timeout_s)) for child in children]
        return [task.result() for task in tasks]

    async def drain(self, timeout_s: float) -> None:
        """No new connections; those there are may finish within the time. Dead workers stay dead from here on."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        children = list(self._children.values())
        for child in children:
            child.channel.send(ipc.Drain(timeout_s))
        try:
            async with asyncio.timeout(timeout_s + 2.0), asyncio.TaskGroup() as group:
                for child in children:
                    group.create_task(child.wait_drained())
        except TimeoutError:
            _log.warning("some connections were still open after %.0f s and are closed", timeout_s)

    async def stop(self) -> None:
        """End the workers: kindly, then by force."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        children = list(self._children.values())
        for child in children:
            child.channel.send(ipc.Stop())
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S), asyncio.TaskGroup() as group:
                for child in children:
                    group.create_task(child.gone.wait())
        except TimeoutError:
            for child in children:
                if not child.gone.is_set():
                    _log.warning("worker %d does not stop and is killed", child.slot)
        self.abandon()

    def abandon(self) -> None:
        """End the workers at once."""
        for child in self._children.values():
            child.abandon()

    async def _tend(self, slot: int, reaper: Reaper) -> None:
        """Replace the worker in ``slot`` whenever it dies."""
        loop = asyncio.get_running_loop()
        pause_s = 0.0
        while True:
            child = self._children[slot]
            await child.gone.wait()
            self._on_death(slot)
            if loop.time() - child.started > STEADY_S:
                pause_s = 0.0
            how = describe_exit(child.exit_code or 0)
            _log.error("worker %d (pid %d) ended by %s; a new one starts in %.1f s", slot, child.pid, how, pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(LONGEST_PAUSE_S, 2 * pause_s or FIRST_PAUSE_S)
            child = self._children[slot] = Child(slot, spawn(self._command(slot)), reaper, self._on_counted)
            await self._join(child)

    async def _join(self, child: Child) -> None:
        """Give a new worker everything that is in force; it takes part in the first update like the others."""
        if self._start is not None:
            child.channel.send(self._start(child.slot))
        async with self._changing:
            if not self._in_force:
                return
            update = self._everything()
            vote = (await self._poll([child], update, {})).get(child)
            if vote == "":
                child.current = True
                _log.info("worker %d (pid %d) serves version %d", child.slot, child.pid, update.version)
            elif vote:
                _log.error("worker %d cannot apply what is in force, and is replaced: %s", child.slot, vote)
                kill(child.pid)
