"""The sink as the supervisor sees it: hands snapshots to a thread, one at a time.

Nothing of OpenTelemetry, HTTP or gRPC is imported here, and nothing is sent from the event loop.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from plait import Context, Snapshot, StatsSink
from plait_telemetry_otel.settings import OtlpSettings

if TYPE_CHECKING:
    from plait_telemetry_otel.exporting import Exporter


class OtlpSink(StatsSink):
    """One collector. What is not delivered is not lost: the next report tells all that the missed ones did.

    A collector that is slower than the flush interval gets fewer reports: a flush waits for the one before it, and is
    dropped when the supervisor gives it up before its turn.
    """

    def __init__(self, settings: OtlpSettings, context: Context) -> None:
        self._settings = settings
        self._node = context.node
        self._built_ns = time.time_ns()
        prefix = f"stats_sinks.{settings.stat_prefix}"
        self._succeeded = context.stats.counter(f"{prefix}.export_success")
        self._failed = context.stats.counter(f"{prefix}.export_failure")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="otlp")
        self._exporter: Exporter | None = None

    async def flush(self, snapshot: Snapshot) -> None:
        """Deliver a report; raises UpstreamError. Cancelled, it leaves what is under way to its own deadline."""
        await asyncio.wrap_future(self._thread.submit(self._export, snapshot))

    async def close(self) -> None:
        """Let go of the collector, once what is under way is through; does not wait for that."""
        self._thread.submit(self._close)
        self._thread.shutdown(wait=False)

    # in the thread

    def _export(self, snapshot: Snapshot) -> None:
        try:
            if self._exporter is None:
                from plait_telemetry_otel.exporting import Exporter

                self._exporter = Exporter(self._settings, self._node, self._built_ns)
            self._exporter.export(snapshot)
        except BaseException:
            self._failed.value += 1
            raise
        self._succeeded.value += 1

    def _close(self) -> None:
        if self._exporter is not None:
            self._exporter.close()
