"""The flags that verbs with a configuration share, and what they become: ``RunOptions``."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from plait.api.errors import PlaitError

if TYPE_CHECKING:
    from plait.runtime.options import RunOptions


class UsageError(PlaitError):
    """The flags are right one by one, and not together."""


LOG_LEVELS = ("trace", "debug", "info", "warning", "warn", "error", "critical", "off")


def add_configuration(parser: argparse.ArgumentParser) -> None:
    """What says which configuration it is, whose, and which plugins may be used for it."""
    parser.add_argument(
        "-c", "--config-path", metavar="FILE", default="", help="the bootstrap: Envoy's v3 API in YAML or JSON"
    )
    parser.add_argument(
        "--config-yaml", metavar="YAML", default="", help="a bootstrap as text, merged over the file if both are given"
    )
    parser.add_argument(
        "--service-cluster", metavar="NAME", default="", help="the cluster of this node, if the bootstrap has none"
    )
    parser.add_argument(
        "--service-node", metavar="ID", default="", help="the id of this node, if the bootstrap has none"
    )
    parser.add_argument(
        "--plugins",
        metavar="NAMES",
        type=names,
        action="extend",
        help="compose the sidecar from exactly these plugins (`fault` or `filters:fault`); without it, whatever the "
        "configuration refers to is loaded",
    )
    parser.add_argument(
        "--no-plugins", metavar="NAMES", type=names, action="extend", default=[], help="never load these plugins"
    )


def add_running(parser: argparse.ArgumentParser) -> None:
    """How the process runs."""
    parser.add_argument(
        "--concurrency",
        metavar="N",
        type=whole_number,
        help="number of workers, 0 for everything in one process; the number of CPUs unless given",
    )
    parser.add_argument("-l", "--log-level", choices=LOG_LEVELS, default="info", help="what is logged")
    parser.add_argument(
        "--drain-time-s",
        metavar="SECONDS",
        type=seconds,
        default=600.0,
        help="how long connections may go on after the process was told to stop",
    )
    parser.add_argument(
        "--admin-address-path", metavar="FILE", default="", help="write the address of the admin server to this file"
    )


def names(text: str) -> list[str]:
    """The names in ``a,b,c``."""
    return [name.strip() for name in text.split(",") if name.strip()]


def whole_number(text: str) -> int:
    """A whole number of at least 0."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 0")
    return int(text)


def seconds(text: str) -> float:
    """A number of seconds of at least 0."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return value


def checked_options(arguments: argparse.Namespace) -> RunOptions:
    """What the flags say; those that a verb does not have keep their defaults.

    Raises UsageError when there is no configuration.
    """
    from plait.runtime.options import RunOptions

    if not (arguments.config_path or arguments.config_yaml):
        raise UsageError("there is no configuration: give -c FILE or --config-yaml YAML")
    given = vars(arguments)
    concurrency = given.get("concurrency")
    return RunOptions(
        config_path=arguments.config_path,
        config_yaml=arguments.config_yaml,
        concurrency=len(os.sched_getaffinity(0)) if concurrency is None else concurrency,
        service_cluster=arguments.service_cluster,
        service_node=arguments.service_node,
        log_level=given.get("log_level", "info"),
        drain_time_s=given.get("drain_time_s", 600.0),
        mode=given.get("mode", "serve"),
        plugins=None if arguments.plugins is None else tuple(arguments.plugins),
        no_plugins=tuple(arguments.no_plugins),
        admin_address_path=given.get("admin_address_path", ""),
    )
