"""Header operations: what routes, virtual hosts and others add and remove."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from plait.api.config import HeaderOp, HeaderOps
from plait.api.errors import ConfigError
from plait.xds.positions import Where
from plait.xds.translate.values import enum_name

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.ASCII)
_ACTIONS = ("append_if_exists_or_add", "add_if_absent", "overwrite_if_exists_or_add", "overwrite_if_exists")


Check = Callable[[str], object]
"""Raises ConfigError for text that is not a format string."""


def header_ops(message: Any, where: Where, check: Check = str) -> HeaderOps:
    """The four ``…_headers_to_…`` fields of a route configuration, virtual host, route or weighted cluster.

    Raises ConfigError for names that no header has, for those that may not be changed this way, and for what ``check``
    raises it for.
    """
    return HeaderOps(
        request_add=_additions(message.request_headers_to_add, where / "request_headers_to_add", check),
        request_remove=_removals(message.request_headers_to_remove, where / "request_headers_to_remove"),
        response_add=_additions(message.response_headers_to_add, where / "response_headers_to_add", check),
        response_remove=_removals(message.response_headers_to_remove, where / "response_headers_to_remove"),
    )


def header_op(message: Any, where: Where, check: Check = str) -> HeaderOp:
    """An envoy.config.core.v3.HeaderValueOption."""
    header = message.header
    name = str(header.key)
    at = where / "header" / "key"
    _check_name(name, at)
    action = enum_name(message, "append_action")
    if message.HasField("append"):
        if message.append_action:
            raise (where / "append").error("'append' excludes 'append_action'", expected="append_action alone")
        action = _ACTIONS[0] if message.append.value else "overwrite_if_exists_or_add"
    if action not in _ACTIONS:
        raise (where / "append_action").error(f"append_action is {action}", expected=f"one of {', '.join(_ACTIONS)}")
    value = header.raw_value.decode("latin-1") if header.raw_value else str(header.value)
    place = where / "header" / ("raw_value" if header.raw_value else "value")
    bad = next((character for character in value if character in "\0\r\n"), "")
    if bad:
        raise place.error(f"{bad!r} in the value of header {name!r}", expected="one line of text")
    try:
        check(value)
    except ConfigError as error:
        raise place.error(error.what, error.expected, error.hint) from error
    return HeaderOp(name, value, action, bool(message.keep_empty_value))


def _additions(messages: Any, where: Where, check: Check) -> tuple[HeaderOp, ...]:
    return tuple(header_op(message, where / index, check) for index, message in enumerate(messages))


def _removals(names: Any, where: Where) -> tuple[str, ...]:
    for index, name in enumerate(names):
        _check_name(name, where / index)
    return tuple(names)


def _check_name(name: str, where: Where) -> None:
    problem: ConfigError | None = None
    if not name:
        problem = where.error("the header has no name", expected="the name of a header")
    elif name.startswith(":") or name.lower() == "host":
        problem = where.error(f"header {name!r} may not be changed", expected="a name without ':' that is not host")
    elif not _NAME.fullmatch(name):
        problem = where.error(f"{name!r} is not the name of a header", expected="letters, digits and -")
    if problem is not None:
        raise problem
