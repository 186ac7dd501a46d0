"""The functions of Mixer's expression language; ``f(a, b)`` and ``a.f(b)`` are the same call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any

import attrs

from plait.stream import compile_regex
from plait_telemetry_mixer.values import (
    ValueType,
    parse_dns_name,
    parse_email,
    parse_ip,
    parse_timestamp,
    parse_uri,
)

_EMPTY = MappingProxyType[str, str]({})


@attrs.frozen
class Signature:
    """What a call gives."""

    result: ValueType


@attrs.frozen
class Function:
    """``call`` takes values; a ``lazy`` one the bag and, for each argument, a call that gives its value.

    ``takes`` and ``gives`` are the types; ``takes`` None leaves it to ``judge``, which gives the result's type, or the
    expected ones as text. ``prepare`` does the work of a constant argument once; ``prepared`` is that one's number.
    """

    name: str
    call: Callable[..., Any]
    takes: tuple[ValueType, ...] | None = ()
    gives: ValueType = ValueType.STRING
    judge: Callable[[Sequence[ValueType]], ValueType | str] | None = None
    lazy: bool = False
    prepare: Callable[[Any], Callable[[Any], Any]] | None = None
    prepared: int = 0

    def signature(self, types: Sequence[ValueType]) -> Signature | str:
        """What a call with arguments of these types gives, or which types would be right."""
        if self.judge is not None:
            found = self.judge(types)
            return found if isinstance(found, str) else Signature(found)
        takes = self.takes or ()
        if tuple(types) == takes:
            return Signature(self.gives)
        return f"{self.name}({', '.join(type_.value for type_ in takes)})"


def _conditional(types: Sequence[ValueType]) -> ValueType | str:
    if len(types) == 3 and types[0] is ValueType.BOOL and types[1] is types[2]:
        return types[1]
    return "conditional(BOOL, a type, the same type)"


def _choose(bag: Any, condition: Any, one: Any, other: Any) -> Any:
    return one(bag) if condition(bag) else other(bag)


def _size(types: Sequence[ValueType]) -> ValueType | str:
    if len(types) == 1 and types[0] in (ValueType.STRING, ValueType.STRING_MAP):
        return ValueType.INT64
    return "size(STRING) or size(STRING_MAP)"


def _glob(pattern: str) -> Callable[[str], bool]:
    """Mixer's match: a star at the end, else at the beginning, stands for anything."""
    if pattern.endswith("*"):
        prefix = pattern[:-1]
        return lambda text: text.startswith(prefix)
    if pattern.startswith("*"):
        suffix = pattern[1:]
        return lambda text: text.endswith(suffix)
    return lambda text: text == pattern


def _matches(pattern: str) -> Callable[[str], bool]:
    search = compile_regex(pattern).search
    return lambda text: search(text.encode("utf-8", "surrogateescape")) is not None


_S = ValueType.STRING
_ALL = (
    Function("conditional", _choose, None, judge=_conditional, lazy=True),
    Function("size", len, None, judge=_size),
    Function("match", lambda text, pattern: _glob(pattern)(text), (_S, _S), ValueType.BOOL, prepare=_glob, prepared=1),
    Function("matches", lambda pattern, text: _matches(pattern)(text), (_S, _S), ValueType.BOOL, prepare=_matches),
    Function("startsWith", str.startswith, (_S, _S), ValueType.BOOL),
    Function("endsWith", str.endswith, (_S, _S), ValueType.BOOL),
    Function("toLower", str.lower, (_S,)),
    Function("ip", parse_ip, (_S,), ValueType.IP_ADDRESS),
    Function("timestamp", parse_timestamp, (_S,), ValueType.TIMESTAMP),
    Function("dnsName", parse_dns_name, (_S,), ValueType.DNS_NAME),
    Function("email", parse_email, (_S,), ValueType.EMAIL_ADDRESS),
    Function("uri", parse_uri, (_S,), ValueType.URI),
    Function("emptyStringMap", lambda: _EMPTY, (), ValueType.STRING_MAP),
)
FUNCTIONS = {function.name: function for function in _ALL}
"""All of them by name."""
