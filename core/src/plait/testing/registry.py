"""What every registry must keep to: it tells everything first, goes on telling, and ends when cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from plait.api.registry import Instance, Registry, RegistrySink, Service

DEADLINE_S = 10.0


class RecordingSink(RegistrySink):
    """Remembers: ``services`` as they are now, ``failures`` in order."""

    def __init__(self) -> None:
        self.services: dict[str, tuple[Instance, ...]] = {}
        self.failures: list[Exception] = []
        self._changed = asyncio.Event()

    def update(self, service: Service, instances: Sequence[Instance]) -> None:
        self.services[service.key] = tuple(instances)
        self._changed.set()

    def remove(self, service: Service) -> None:
        self.services.pop(service.key, None)
        self._changed.set()

    def failed(self, error: Exception) -> None:
        self.failures.append(error)
        self._changed.set()

    async def until(self, condition: Callable[[RecordingSink], bool], deadline_s: float = DEADLINE_S) -> None:
        """Wait for what was told to satisfy ``condition``; AssertionError when it does not in time."""
        try:
            async with asyncio.timeout(deadline_s):
                while not condition(self):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            seen = f"services {self.services}, failures {self.failures}"
            raise AssertionError(f"not within {deadline_s:g} s; the registry told: {seen}") from None


async def check_registry(
    registry: Registry,
    first: Callable[[RecordingSink], bool],
    *changes: tuple[Callable[[], object], Callable[[RecordingSink], bool]],
) -> RecordingSink:
    """Watch ``registry``: it must tell ``first``, then after each of ``changes`` (an action) what that one expects.

    Then the watch is cancelled, which must end it, and the registry closed. AssertionError says what was not told.
    """
    sink = RecordingSink()
    watch = asyncio.get_running_loop().create_task(registry.watch(sink), name="registry watch")
    try:
        for action, condition in ((None, first), *changes):
            if action is not None:
                action()
            await sink.until(condition)
            if watch.done():
                raise AssertionError("watch() ended by itself, expected it to go on until cancelled")
    finally:
        watch.cancel()
        done, _ = await asyncio.wait([watch], timeout=DEADLINE_S)
        await registry.close()
    if not done:
        raise AssertionError(f"watch() did not end within {DEADLINE_S:g} s of being cancelled")
    if not watch.cancelled():
        raise AssertionError(f"watch() swallowed its cancellation and ended with {watch.exception()!r}")
    return sink
