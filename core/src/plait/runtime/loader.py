"""Reads and provisions a configuration, in a short-lived process of its own: ``python -m plait.runtime.loader --fd N``.

Reading Envoy's configuration takes protobuf, YAML and cattrs, some tens of megabytes of code that nothing needs once
the frozen model is there. So the supervisor has a child read it, which sends the model and ends. Provisioning happens
there too: every filter chain is built once, without sockets, so that what cannot work is refused before any worker
sees it. ``load`` does all this in the calling process.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

import attrs

from plait.api.config import Bootstrap
from plait.api.errors import ConfigError, ConfigErrors, PlaitError, PluginError
from plait.runtime.spawning import receive_blocking, send_blocking
from plait.xds.store import ConfigStore, Resources

if TYPE_CHECKING:
    from plait.runtime.options import RunOptions


@attrs.frozen
class Loaded:
    """A configuration that can work. ``plugins`` are the arguments of ``Catalogue`` it was read with."""

    bootstrap: Bootstrap
    plugins: tuple[Any, ...]


@attrs.frozen
class Failed:
    """Why there is none: an error in parts, since exceptions with keyword arguments do not pickle."""

    kind: str
    parts: tuple[Any, ...]


def load(options: RunOptions) -> Loaded:
    """Read, translate and provision. Raises ConfigError, ConfigErrors or PluginError."""
    from plait.plugins import Catalogue, discover
    from plait.xds import load_bootstrap

    plugins = (discover(), options.plugins, options.no_plugins)
    catalogue = Catalogue(*plugins)
    bootstrap = load_bootstrap(
        options.config_path,
        options.config_yaml,
        catalogue,
        service_cluster=options.service_cluster,
        service_node=options.service_node,
    )
    asyncio.run(_provision(bootstrap, catalogue))
    return Loaded(bootstrap, plugins)


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


def main(arguments: list[str]) -> int:
    """``--fd N``: one ``RunOptions`` comes in, one ``Loaded`` or ``Failed`` goes out."""
    with socket.socket(fileno=int(arguments[arguments.index("--fd") + 1])) as sock:
        try:
            options = receive_blocking(sock)
        except EOFError:
            return 1
        answer: Loaded | Failed
        try:
            answer = load(options)
        except PlaitError as error:
            answer = pack(error)
        try:
            send_blocking(sock, answer)
        except BrokenPipeError:
            return 1
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(code)  # there is nothing to tear down, and somebody waits
