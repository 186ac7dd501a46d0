"""What telemetry plugins implement: access logs, and sinks and pages of statistics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import attrs

from plait.api.connection import Connection
from plait.api.stream import Stream


@attrs.frozen
class HistogramSnapshot:
    """``buckets`` are cumulative counts by upper bound (Envoy's default bounds), ``sum`` of all values."""

    buckets: tuple[tuple[float, int], ...]
    count: int
    sum: float
    quantiles: Mapping[float, float] = attrs.field(factory=dict, hash=False)


@attrs.frozen
class Snapshot:
    """All statistics of all workers at one time, by Envoy's dotted names."""

    counters: Mapping[str, int]
    gauges: Mapping[str, int]
    histograms: Mapping[str, HistogramSnapshot]


class AccessLog(ABC):
    """Writes a line (or what it likes) for every stream or connection that ends."""

    @abstractmethod
    def record(self, stream: Stream) -> None:
        """A stream ended. Called on the hot path: buffer, and write in ``flush``."""

    def record_connection(self, connection: Connection) -> None:
        """A connection without streams (TCP) ended."""

    def flush(self) -> None:
        """Write what is buffered; called about once a second and at the end."""

    def close(self) -> None:
        """Flush and let go."""

    async def closed(self) -> None:
        """Wait until what ``close`` began is done; awaited before the process ends, for a few seconds at most."""


class StatsSink(ABC):
    """Gets a snapshot every flush interval, in the supervisor."""

    @abstractmethod
    async def flush(self, snapshot: Snapshot) -> None:
        """Send it; a failure is logged and the next interval tries again."""

    async def close(self) -> None:
        """The process ends."""
