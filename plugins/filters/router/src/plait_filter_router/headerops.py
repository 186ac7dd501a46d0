"""Added and removed headers, compiled: constants are bytes already, format strings are functions.

In each level what is removed goes first, then what is added, in order; levels follow each other from the most specific
(weighted cluster, route) to the most general (virtual host, table), so that the general one has the last word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from plait.api import ConfigError, HeaderOp, Headers, Stream
from plait.stream import compile_format
from plait_filter_router.text import encode

Operation = Callable[[Headers, Stream], None]

ACTIONS = ("append_if_exists_or_add", "add_if_absent", "overwrite_if_exists_or_add", "overwrite_if_exists")


def compile_operations(levels: Iterable[tuple[Sequence[str], Sequence[HeaderOp]]]) -> tuple[Operation, ...]:
    """Operations of all levels (names to remove, fields to add), in the order to apply them.

    Raises ConfigError for an unknown action or format operator, and for fields that routing has made: ``:…`` and host.
    """
    made: list[Operation] = []
    for removed, added in levels:
        made += [_removal(name) for name in removed]
        made += [_addition(operation) for operation in added]
    return tuple(made)


def _name(name: str) -> bytes:
    if name.startswith(":") or name.lower() == "host":
        raise ConfigError(
            f"header {name!r} cannot be changed here", hint="use host_rewrite, prefix_rewrite or a redirect"
        )
    return encode(name.lower())


def _removal(name: str) -> Operation:
    key = _name(name)
    return lambda headers, stream: headers.delete(key)


def _addition(operation: HeaderOp) -> Operation:
    if operation.action not in ACTIONS:
        raise ConfigError(f"unknown header append action {operation.action!r}", expected=" or ".join(ACTIONS))
    key = _name(operation.name)
    apply = _APPLY[operation.action]
    if "%" not in operation.value:
        constant = encode(operation.value)
        if not constant and not operation.keep_empty:
            return lambda headers, stream: None
        return lambda headers, stream: apply(headers, key, constant)
    fill = compile_format(operation.value, missing="")
    keep_empty = operation.keep_empty

    def add(headers: Headers, stream: Stream) -> None:
        value = encode(fill(stream))
        if value or keep_empty:
            apply(headers, key, value)

    return add


def _add_if_absent(headers: Headers, key: bytes, value: bytes) -> None:
    if headers.find(key) is None:
        headers.append(key, value)


def _overwrite_if_exists(headers: Headers, key: bytes, value: bytes) -> None:
    if headers.find(key) is not None:
        headers.put(key, value)


_APPLY: dict[str, Callable[[Headers, bytes, bytes], None]] = {
    "append_if_exists_or_add": Headers.append,
    "add_if_absent": _add_if_absent,
    "overwrite_if_exists_or_add": Headers.put,
    "overwrite_if_exists": _overwrite_if_exists,
}
