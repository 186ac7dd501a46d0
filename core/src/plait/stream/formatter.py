"""Envoy's format strings (``%REQ(:METHOD)% %RESPONSE_CODE%``), compiled once: for access logs and added headers.

Grammar: ``%OPERATOR%``, ``%OPERATOR(argument)%``, and with ``:N`` before the last ``%`` at most N characters; ``%%`` is
a percent sign. The operators themselves are in ``plait.stream.operators``. A compiled format takes a ``Stream``, or a
``Connection`` for protocols without streams. Bytes that are no UTF-8 come out as surrogate escapes: encode the text
with ``plait.api.headers.encode``.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from plait.api.connection import Connection
from plait.api.errors import ConfigError
from plait.api.stream import Stream
from plait.stream.operator_values import Pair
from plait.stream.operators import OPERATORS

Format = Callable[[Stream | Connection], str]
_Value = Callable[[Stream | Connection], object]
_Getter = Callable[[Any], object]

_TOKEN = re.compile(r"%%|%([A-Z0-9_]+)(?:\((.*?)\))?(?::([0-9]+))?%")


def compile_format(text: str, *, missing: str = "-") -> Format:
    """A function that fills ``text`` in; ``missing`` stands where there is no value (Envoy: empty in added headers).

    Raises ConfigError, naming the operator and those of nearly the same name, for one that is unknown.
    """
    literals, operators = _parse(text)
    if not operators:
        constant = literals[0]
        return lambda subject: constant
    template = "%s".join([literal.replace("%", "%%") for literal in literals])
    of_streams: list[_Getter] = [pair[0] for pair in operators]
    of_connections: list[_Getter] = [pair[1] for pair in operators]

    def fill(subject: Stream | Connection) -> str:
        values: list[object] = []
        for get in of_connections if isinstance(subject, Connection) else of_streams:
            value = get(subject)
            if value.__class__ is not str:
                value = missing if value is None else _text(value)
            values.append(value)
        return template % tuple(values)

    return fill


def compile_json_format(mapping: Mapping[str, object], *, omit_empty_values: bool = False) -> Format:
    """A function that gives one line of JSON shaped like ``mapping``, without a line break at its end.

    A string that is a single operator keeps its type (numbers, true, null where there is no value); in longer strings
    missing values are ``-``. With ``omit_empty_values`` fields without a value are left out. Raises ConfigError.
    """
    node = _compile_node(mapping, omit_empty_values)

    def line(subject: Stream | Connection) -> str:
        return json.dumps(node(subject), separators=(",", ":"), default=str)

    return line


def _parse(text: str) -> tuple[list[str], list[Pair]]:
    """The literals (one more than operators) and the operators of a format string."""
    literals = [""]
    operators: list[Pair] = []
    at = 0
    while (percent := text.find("%", at)) >= 0:
        literals[-1] += text[at:percent]
        match = _TOKEN.match(text, percent)
        if match is None:
            raise ConfigError(
                f"format string has a % at {percent + 1} that begins no operator: {text[percent : percent + 40]!r}",
                expected="%OPERATOR%, %OPERATOR(argument)% or %% for a percent sign",
            )
        at = match.end()
        if match[1] is None:
            literals[-1] += "%"
            continue
        operators.append(_operator(match[1], match[2], match[3]))
        literals.append("")
    literals[-1] += text[at:]
    return literals, operators


def _operator(name: str, argument: str | None, limit: str | None) -> Pair:
    build = OPERATORS.get(name)
    if build is None:
        near = difflib.get_close_matches(name, OPERATORS, 3, 0.6)
        raise ConfigError(
            f"format operator %{name}% is unknown or not supported",
            hint=f"did you mean {' or '.join(f'%{other}%' for other in near)}" if near else "",
        )
    try:
        pair = build(argument)
    except ConfigError as error:
        raise ConfigError(
            f"format operator %{name}%: {error.what}", expected=error.expected, hint=error.hint
        ) from error
    return pair if limit is None else _cut(pair, int(limit))


def _cut(pair: Pair, limit: int) -> Pair:
    of_stream, of_connection = pair

    def from_stream(stream: Stream) -> object:
        value = of_stream(stream)
        return value[:limit] if isinstance(value, str) else value

    def from_connection(connection: Connection) -> object:
        value = of_connection(connection)
        return value[:limit] if isinstance(value, str) else value

    return from_stream, from_connection


def _text(value: object) -> str:
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, separators=(",", ":"), default=str)
    return str(value)


def _compile_node(node: object, omit: bool) -> _Value:
    if isinstance(node, str):
        return _compile_string(node)
    if isinstance(node, Mapping):
        return _compile_mapping(node, omit)
    if isinstance(node, Sequence):
        items = [_compile_node(item, omit) for item in node]
        return lambda subject: [item(subject) for item in items]
    return lambda subject: node


def _compile_mapping(node: Mapping[str, object], omit: bool) -> _Value:
    fields = [(str(key), _compile_node(value, omit)) for key, value in node.items()]
    if not omit:
        return lambda subject: {key: value(subject) for key, value in fields}
    return lambda subject: {key: made for key, value in fields if (made := value(subject)) is not None}


def _compile_string(text: str) -> _Value:
    literals, operators = _parse(text)
    if not operators:
        constant = literals[0]
        return lambda subject: constant
    if len(operators) > 1 or literals != ["", ""]:
        return compile_format(text)
    of_stream, of_connection = operators[0]

    def value(subject: Stream | Connection) -> object:
        if isinstance(subject, Connection):
            return of_connection(subject)
        return of_stream(subject)

    return value
