"""What the supervisor itself counts, under Envoy's names: ``server.``, ``listener_manager.``, ``cluster_manager.``."""

from __future__ import annotations

import time

from plait.runtime.statistics import StatsStore
from plait.xds.store import ConfigStore, Update

STATES = {"LIVE": 0, "DRAINING": 1, "PRE_INITIALIZING": 2, "INITIALIZING": 3}
"""Envoy's numbers in ``server.state``."""


class ServerStats:
    """The supervisor's statistics; follows the store for what changes in it."""

    def __init__(self, store: ConfigStore, concurrency: int) -> None:
        stats = self.stats = StatsStore()
        stats.gauge("server.concurrency").value = concurrency
        self._live = stats.gauge("server.live")
        self._state = stats.gauge("server.state")
        self._uptime = stats.gauge("server.uptime")
        self._workers = stats.gauge("server.workers_live")
        self.worker_deaths = stats.counter("server.worker_deaths")
        self.reloaded = stats.counter("server.config_reload_success")
        self.reload_failed = stats.counter("server.config_reload_failure")
        self.rejected = stats.counter("server.config_update_rejected")
        self._applied = stats.counter("server.config_update_success")
        self._kinds = (
            ("listeners", "listener_manager.listener", stats.gauge("listener_manager.total_listeners_active")),
            ("clusters", "cluster_manager.cluster", stats.gauge("cluster_manager.active_clusters")),
        )
        for _, prefix, _ in self._kinds:
            for what in ("added", "modified", "removed"):
                stats.counter(f"{prefix}_{what}")
        self._store = store
        self._known: dict[str, set[str]] = {"listeners": set(), "clusters": set()}
        store.subscribe(self._changed)

    def _changed(self, update: Update) -> None:
        self._applied.value += 1
        for kind, prefix, active in self._kinds:
            known = self._known[kind]
            changed, removed = getattr(update, kind), getattr(update, "removed_" + kind)
            new = set(changed) - known
            self.stats.counter(f"{prefix}_added").value += len(new)
            self.stats.counter(f"{prefix}_modified").value += len(changed) - len(new)
            self.stats.counter(f"{prefix}_removed").value += len(removed)
            known |= new
            known.difference_update(removed)
            active.value = len(known)

    def tell(self, state: str, started_at: float, workers: int) -> None:
        """Bring the gauges that nobody counts up to date."""
        self._state.value = STATES[state]
        self._live.value = int(state == "LIVE")
        self._uptime.value = int(time.time() - started_at)
        self._workers.value = workers
