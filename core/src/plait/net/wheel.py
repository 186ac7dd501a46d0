"""The coarse clock: one loop timer for all timeouts of a worker.

Time is cut into ticks of ``TICK_S``; what expires in one tick shares a set. Adding and removing cost one set operation
each and no loop timer, so a timeout per request is affordable. A call comes at its time or up to two ticks later, never
earlier. The wheel only ticks while something waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import monotonic

from plait.api.context import Timer

TICK_S = 0.02
_TICKS_PER_S = 1 / TICK_S

_log = logging.getLogger("plait.net")


class Timed:
    """Something that can wait on the wheel, in one slot at a time."""

    __slots__ = ("slot",)
    slot: set[Timed] | None

    def expire(self) -> None:
        """The time is over; override it."""


class _Call(Timed, Timer):
    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self.slot = None

    def expire(self) -> None:
        self._call()

    def cancel(self) -> None:
        slot = self.slot
        if slot is not None:
            slot.discard(self)
            self.slot = None


def ticks(delay_s: float) -> int:
    """How many ticks cover ``delay_s`` seconds."""
    return int(delay_s / TICK_S) + 2


class TimerWheel:
    """Slots by tick number."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None  # the running one, from the first entry on
        self._slots: dict[int, set[Timed]] = {}
        self._tick = 0
        self._handle: asyncio.TimerHandle | None = None

    def add(self, entry: Timed, after: int) -> None:
        """Let ``entry`` expire after that many ticks (see ``ticks``)."""
        now = int(monotonic() * _TICKS_PER_S)  # not ``_tick``, which is behind when the loop was busy
        if self._handle is None:
            self._tick = now
            if self._loop is None:
                self._loop = asyncio.get_running_loop()
            self._handle = self._loop.call_later(TICK_S, self._advance)
        due = now + after
        slot = self._slots.get(due)
        if slot is None:
            slot = self._slots[due] = set()
        slot.add(entry)
        entry.slot = slot

    def remove(self, entry: Timed) -> None:
        """Take ``entry`` out; nothing happens when it does not wait."""
        slot = entry.slot
        if slot is not None:
            slot.discard(entry)
            entry.slot = None

    def call_later(self, delay_s: float, call: Callable[[], None]) -> Timer:
        """Call once after ``delay_s`` seconds."""
        entry = _Call(call)
        self.add(entry, ticks(delay_s))
        return entry

    def close(self) -> None:
        """Forget everything that waits."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._slots.clear()

    def _advance(self) -> None:
        now = int(monotonic() * _TICKS_PER_S)
        first, self._tick = self._tick + 1, now
        slots = self._slots
        due = range(first, now + 1) if now - first < len(slots) else sorted(tick for tick in slots if tick <= now)
        # The handle stays set while entries expire, so that one that waits again lands relative to the new tick.
        for tick in due:
            slot = slots.pop(tick, None)
            if not slot:
                continue
            while slot:
                entry = slot.pop()
                entry.slot = None
                try:
                    entry.expire()
                except Exception:
                    _log.exception("a timeout failed")
        if any(slots.values()):
            self._handle = asyncio.get_running_loop().call_later(TICK_S, self._advance)
        else:
            self._handle = None
            slots.clear()
