"""The admin server's table of pages, and what each one asks the supervisor. How HTTP is spoken: ``admin_http``.

A page is one row of ``PAGES`` and one method; a path that ends in ``/`` stands for everything below it. Later pages
that change something are rows with the method POST.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import attrs

from plait.api.config import Bootstrap, Cluster, Thresholds
from plait.api.errors import PluginError
from plait.api.extension import StatsFormatType
from plait.api.telemetry import Snapshot
from plait.plugins.catalogue import Catalogue, MissingPluginError
from plait.runtime import admin_pages as pages
from plait.runtime.admin_http import Answer, Ask
from plait.runtime.config_dump import RESOURCES, config_dump
from plait.runtime.plain import plain
from plait.runtime.statistics import MergedStats
from plait.xds.store import ConfigStore

CLUSTERS_TIMEOUT_S = 2.0


class View(Protocol):
    """What the pages show; the supervisor has it."""

    state: str
    version: str
    started_at: float
    bootstrap: Bootstrap
    store: ConfigStore
    merged: MergedStats
    catalogue: Catalogue | None

    @property
    def options(self) -> Any:
        """What the process was started with: attrs."""

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers."""

    def addresses(self) -> dict[str, str]:
        """Where listeners really listen."""

    async def collect(self) -> Snapshot:
        """Everything the workers counted until now."""

    async def ask_workers(self, what: str, timeout_s: float) -> list[Any]:
        """Answers of the workers that answer in time."""


@attrs.frozen
class Page:
    """A row of the table."""

    path: str
    summary: str
    render: Callable[[Admin, Ask], Awaitable[Answer]]
    method: str = "GET"


def _json(value: Any) -> Answer:
    return Answer(json.dumps(value, indent=1) + "\n", content_type="application/json")


class Admin:
    """Answers requests of the admin server."""

    def __init__(self, view: View) -> None:
        self.view = view

    async def answer(self, ask: Ask) -> Answer:
        """The page that ``ask`` is for."""
        page = _find(ask.path)
        if page is None:
            return Answer(f"invalid path. admin commands are:\n{_index()}", 404)
        allowed = ("GET", "HEAD") if page.method == "GET" else (page.method,)
        if ask.method not in allowed:
            return Answer(f"use {page.method}\n", 405)
        try:
            return await page.render(self, ask)
        except re.error as error:
            return Answer(f"invalid regex: {error}\n", 400)

    async def help(self, ask: Ask) -> Answer:
        return Answer(f"admin commands are:\n{_index()}")

    async def ready(self, ask: Ask) -> Answer:
        return Answer(f"{self.view.state}\n", 200 if self.view.state == "LIVE" else 503)

    async def server_info(self, ask: Ask) -> Answer:
        view = self.view
        uptime = f"{int(time.time() - view.started_at)}s"
        return _json(
            {
                "version": f"plait/{view.version}",
                "state": view.state,
                "uptime_current_epoch": uptime,
                "uptime_all_epochs": uptime,
                "hot_restart_version": "disabled",
                "command_line_options": attrs.asdict(view.options),
                "node": plain(view.bootstrap.node),
                "config_version": view.store.version,
                "worker_pids": view.pids,
            }
        )

    async def stats(self, ask: Ask) -> Answer:
        style = ask.query.get("format", "text")
        if style not in ("text", "json"):
            return await self._stats_plugin(ask, style)
        snapshot = self._select(await self.view.collect(), ask)
        if snapshot is None:
            return Answer("type must be one of All, Counters, Gauges, Histograms\n", 400)
        interval = self.view.merged.interval_quantiles
        return (
            _json(pages.stats_json(snapshot, interval))
            if style == "json"
            else Answer(pages.stats_text(snapshot, interval))
        )

    async def stats_below(self, ask: Ask) -> Answer:
        return await self._stats_plugin(ask, ask.path.removeprefix("/stats/"))

    def _select(self, snapshot: Snapshot, ask: Ask) -> Snapshot | None:
        kind = ask.query.get("type", "all").lower()
        if kind not in ("all", "counters", "gauges", "histograms"):
            return None
        return pages.select(snapshot, ask.query.get("filter", ""), "usedonly" in ask.query, kind)

    async def _stats_plugin(self, ask: Ask, name: str) -> Answer:
        """A format that a plugin renders."""
        catalogue = self.view.catalogue
        if catalogue is None:
            return Answer("no configuration is loaded yet\n", 503)
        try:
            page, _ = catalogue.find(StatsFormatType, name)
        except MissingPluginError as error:
            hint = "" if error.distribution else f"; a plugin such as plait-telemetry-{name} may have it"
            return Answer(f"{error}{hint}\n", 404)
        except PluginError as error:
            return Answer(f"{error}\n", 500)
        snapshot = self._select(await self.view.collect(), ask)
        if snapshot is None:
            return Answer("type must be one of All, Counters, Gauges, Histograms\n", 400)
        return Answer(page.render(snapshot), content_type=page.content_type)

    async def clusters(self, ask: Ask) -> Answer:
        clusters = pages.merge_clusters(await self.view.ask_workers("clusters", CLUSTERS_TIMEOUT_S))
        if ask.query.get("format") == "json":
            return _json(pages.clusters_json(clusters, self._thresholds, self._is_dynamic))
        return Answer(pages.clusters_text(clusters, self._thresholds, self._is_dynamic))

    def _thresholds(self, name: str) -> Thresholds:
        cluster = self.view.store.get("clusters", name)
        return cluster.thresholds if isinstance(cluster, Cluster) else Thresholds()

    def _is_dynamic(self, name: str) -> bool:
        return self.view.store.source_of("clusters", name) != "bootstrap"

    async def config_dump(self, ask: Ask) -> Answer:
        resource = ask.query.get("resource", "")
        if resource and resource not in RESOURCES:
            return Answer(f"{resource} not found in config dump, expected one of {', '.join(RESOURCES)}\n", 404)
        view = self.view
        return _json(
            config_dump(view.bootstrap, view.started_at, view.store, resource, ask.query.get("name_regex", ""))
        )

    async def listeners(self, ask: Ask) -> Answer:
        addresses = self.view.addresses()
        if ask.query.get("format") == "json":
            return _json(pages.listeners_json(addresses))
        return Answer(pages.listeners_text(addresses))


PAGES: Sequence[Page] = (
    Page("/", "this list", Admin.help),
    Page("/clusters", "upstream clusters and their hosts (?format=json)", Admin.clusters),
    Page("/config_dump", "the configuration in force as JSON (?resource=, ?name_regex=)", Admin.config_dump),
    Page("/help", "this list", Admin.help),
    Page("/listeners", "listeners and where they listen (?format=json)", Admin.listeners),
    Page("/ready", "200 when the server accepts traffic, else 503 and its state", Admin.ready),
    Page("/server_info", "version, state, options and worker processes as JSON", Admin.server_info),
    Page("/stats", "statistics (?format=text|json, ?filter=REGEX, ?usedonly, ?type=Counters)", Admin.stats),
    Page("/stats/", "statistics in the format of a plugin, such as /stats/prometheus", Admin.stats_below),
)


def _find(path: str) -> Page | None:
    for page in PAGES:
        if page.path == path:
            return page
    for page in PAGES:
        if page.path != "/" and page.path.endswith("/") and path.startswith(page.path):
            return page
    return None


def _index() -> str:
    return "".join(f"  {page.path}: {page.summary}\n" for page in PAGES)
