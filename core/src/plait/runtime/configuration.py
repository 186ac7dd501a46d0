"""Reads and provisions a configuration in the calling process, and takes errors apart for another one.

Provisioning builds every filter chain once, without sockets, so that what cannot work is refused before any worker
sees it. The supervisor has this done by a child (``plait.runtime.loading``).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import attrs

from plait.api.config import Bootstrap
from plait.api.errors import ConfigError, ConfigErrors, PlaitError, PluginError
from plait.xds.store import ConfigStore, Resources

if TYPE_CHECKING:
    from plait.runtime.options import RunOptions


@attrs.frozen
class Loaded:
    """A configuration that can work. ``plugins`` are the arguments of ``Catalogue`` it was read with.

    ``version`` is Plait's own: the supervisor does not read metadata of distributions, which takes three megabytes.
    """

    bootstrap: Bootstrap
    plugins: tuple[Any, ...]
    version: str = ""


@attrs.frozen
class Failed:
    """Why there is none: an error in parts, since exceptions with keyword arguments do not pickle."""

    kind: str
    parts: tuple[Any, ...]


def load(options: RunOptions) -> Loaded:
    """Read, translate and provision. Raises ConfigError, ConfigErrors or PluginError."""
    from importlib.metadata import version

    from plait.plugins import Catalogue, discover
    from plait.stream import compile_format
    from plait.xds import load_bootstrap

    plugins = (discover(), options.plugins, options.no_plugins)
    catalogue = Catalogue(*plugins)
    bootstrap = load_bootstrap(
        options.config_path,
        options.config_yaml,
        catalogue,
        service_cluster=options.service_cluster,
        service_node=options.service_node,
        check_format=compile_format,
    )
    asyncio.run(_provision(bootstrap, catalogue))
    return Loaded(bootstrap, plugins, version("plait"))


async def _provision(bootstrap: Bootstrap, catalogue: Any) -> None:
    from plait.runtime.dataplane import DataPlane

    plane = DataPlane(catalogue, bootstrap.node)
    try:
        plane.provision(ConfigStore().set_source("bootstrap", resources_of(bootstrap)))
        for extension in bootstrap.registries:
            plane.build("registries", extension)
        for extension in bootstrap.stats_sinks:
            plane.build("telemetry", extension)
    finally:
        await plane.close()


def resources_of(bootstrap: Bootstrap) -> Resources:
    """What a bootstrap says as a source of the config store."""
    return Resources(bootstrap.listeners, bootstrap.clusters, (), bootstrap.routes)


def pack(error: PlaitError) -> Failed:
    """An error to be raised again in another process."""
    if isinstance(error, ConfigErrors):
        return Failed("config errors", tuple(pack(one) for one in error.errors))
    if isinstance(error, ConfigError):
        parts = (error.what, error.expected, error.hint, error.file, error.line, error.column, error.path)
        return Failed("config", parts)
    if isinstance(error, PluginError):
        return Failed("plugin", (error.name, error.cause, error.distribution, error.remedy))
    return Failed("other", (str(error),))


def unpack(failed: Failed) -> PlaitError:
    """The error that ``pack`` took apart."""
    parts = failed.parts
    if failed.kind == "config errors":
        return ConfigErrors([error for error in map(unpack, parts) if isinstance(error, ConfigError)])
    if failed.kind == "config":
        what, expected, hint, file, line, column, path = parts
        return ConfigError(what, expected=expected, hint=hint, file=file, line=line, column=column, path=path)
    if failed.kind == "plugin":
        name, cause, distribution, remedy = parts
        return PluginError(name, cause, distribution=distribution, remedy=remedy)
    return PlaitError(*parts)
