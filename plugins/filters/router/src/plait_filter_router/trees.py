"""Matcher trees, compiled: from a request to the action that the tree has for it.

Everything is a call over a request's bytes, made once. A list in which several entries ask for exact values of one
input (a service, a method) becomes a table by that value: each request meets only the entries that may be its own, in
their order, and never asks them again for what it was looked up by.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, TypeVar

from plait.api import (
    AllOf,
    AnyOf,
    Condition,
    ConfigError,
    CustomCondition,
    InputMatches,
    MatcherList,
    MatcherMap,
    MatcherTree,
    MatchInput,
    Not,
    OnMatch,
    Request,
)
from plait.stream import compile_string
from plait_filter_router.text import encode

_KNOWN_LIMIT = 1024
_LONGEST_NAMES_BYTES = 512

K = TypeVar("K")
T = TypeVar("T")
Test: TypeAlias = Callable[[Request], bool]
Read: TypeAlias = Callable[[Request], bytes | None]
Find: TypeAlias = Callable[[Request], T | None]
Step: TypeAlias = tuple[Test | None, T | None, Find[T] | None]
"""What is asked (None: nothing), and what follows: an action, or else the tree to ask."""

_TABLE_FROM = 2
"""How many entries must ask for exact values of one input to make looking it up worth while."""


def compile_tree(tree: MatcherTree, act: Callable[[object], T]) -> Find[T]:
    """A call that finds what ``act`` made of the action for a request, or None.

    Raises ConfigError for an expression, input or condition that does not compile.
    """
    otherwise = _steps([(None, tree.on_no_match)] if tree.on_no_match is not None else [], act)
    if isinstance(tree, MatcherMap):
        entries = {encode(key): _steps([(None, then)], act)[0] for key, then in tree.entries}
        return _prefixes(tree, entries, otherwise) if tree.prefixes else _exact(tree, entries, otherwise)
    return _list(tree, otherwise, act)


def compile_remembering(tree: MatcherTree, act: Callable[[object], T]) -> Find[T]:
    """As ``compile_tree``; what a tree says that looks at service and method alone is remembered by those.

    A tree that looks at the service alone is asked by that: the method may have to be looked for in the call's content.
    """
    find = compile_tree(tree, act)
    inputs = _inputs(tree)
    if not inputs or not inputs <= _INPUTS.keys():
        return find
    return _by_service(find) if inputs == {"service"} else _by_names(find)


def _by_service(find: Find[T]) -> Find[T]:
    known: dict[bytes, T | None] = {}

    def remember(request: Request) -> T | None:
        service = request.raw_authority
        if service in known:
            return known[service]
        return _kept(known, service, len(service), find(request))

    return remember


def _by_names(find: Find[T]) -> Find[T]:
    known: dict[tuple[bytes, bytes, bytes], T | None] = {}

    def remember(request: Request) -> T | None:
        names = request.raw_authority, request.raw_path, request.raw_method
        if names in known:
            return known[names]
        return _kept(known, names, sum(map(len, names)), find(request))

    return remember


def _kept(known: dict[K, T | None], names: K, size: int, found: T | None) -> T | None:
    """``found``, remembered by names that are not too long, in a table that is emptied when it is full."""
    if len(known) >= _KNOWN_LIMIT:
        known.clear()
    if size <= _LONGEST_NAMES_BYTES:
        known[names] = found
    return found


def _inputs(tree: MatcherTree) -> set[str]:
    """The kinds of what a tree looks at; ``custom`` for what only its plugin knows."""
    outcomes = [then for _, then in tree.entries]
    kinds: set[str] = set()
    if isinstance(tree, MatcherMap):
        kinds.add(tree.input.kind)
    else:
        kinds.update(*(_looked_at(condition) for condition, _ in tree.entries))
    if tree.on_no_match is not None:
        outcomes.append(tree.on_no_match)
    return kinds.union(*(_inputs(then.tree) for then in outcomes if then.tree is not None))


def _looked_at(condition: Condition) -> set[str]:
    if isinstance(condition, InputMatches):
        return {condition.input.kind}
    if isinstance(condition, CustomCondition):
        return {"custom"}
    if isinstance(condition, Not):
        return _looked_at(condition.condition)
    return set[str]().union(*map(_looked_at, condition.conditions))


def _steps(entries: list[tuple[Condition | None, OnMatch]], act: Callable[[object], T]) -> tuple[Step[T], ...]:
    steps: list[Step[T]] = []
    for condition, then in entries:
        test = None if condition is None else compile_condition(condition)
        steps.append((test, *_outcome(then, act)))
    return tuple(steps)


def _outcome(then: OnMatch, act: Callable[[object], T]) -> tuple[T | None, Find[T] | None]:
    return (act(then.action), None) if then.tree is None else (None, compile_tree(then.tree, act))


# lists


def _list(tree: MatcherList, otherwise: tuple[Step[T], ...], act: Callable[[object], T]) -> Find[T]:
    pins = [_pins(condition) for condition, _ in tree.entries]
    inputs = [looked_at for pinned in pins for looked_at in pinned]
    by = max(inputs, key=inputs.count, default=None)
    if by is None or inputs.count(by) < _TABLE_FROM:
        return _in_order((*_steps(list(tree.entries), act), *otherwise))

    whole: list[tuple[frozenset[bytes] | None, Step[T]]] = []
    for (condition, then), pinned in zip(tree.entries, pins, strict=True):
        values, rest = pinned.get(by, (None, condition))
        test = None if rest is None else compile_condition(rest)
        whole.append((values, (test, *_outcome(then, act))))
    table: dict[bytes | None, tuple[Step[T], ...]] = {
        value: (*(step for values, step in whole if values is None or value in values), *otherwise)
        for value in frozenset().union(*(values for values, _ in whole if values is not None))
    }
    return _looked_up(by, table, (*(step for values, step in whole if values is None), *otherwise))


def _in_order(steps: tuple[Step[T], ...]) -> Find[T]:
    if steps and steps[0][0] is None and steps[0][2] is None:
        action = steps[0][1]  # of every request
        return lambda request: action

    def find(request: Request) -> T | None:
        for test, action, below in steps:
            if test is None or test(request):
                if below is None:
                    return action
                found = below(request)
                if found is not None:
                    return found
        return None

    return find


def _looked_up(by: MatchInput, table: dict[bytes | None, tuple[Step[T], ...]], others: tuple[Step[T], ...]) -> Find[T]:
    read = compile_input(by)

    def find(request: Request) -> T | None:
        for test, action, below in table.get(read(request), others):
            if test is None or test(request):
                if below is None:
                    return action
                found = below(request)
                if found is not None:
                    return found
        return None

    return find


Pins: TypeAlias = dict[MatchInput, tuple[frozenset[bytes], Condition | None]]
"""By input: the values that it must have for a condition to hold, and what is left to ask once it has one of them."""


def _pins(condition: Condition) -> Pins:
    if isinstance(condition, InputMatches):
        value = condition.value
        if value.kind != "exact" or value.ignore_case:
            return {}
        return {condition.input: (frozenset((encode(value.value),)), None)}
    if isinstance(condition, AllOf):
        found: Pins = {}
        for index, one in enumerate(condition.conditions):
            for looked_at, (values, rest) in _pins(one).items():
                others = [*condition.conditions[:index], *condition.conditions[index + 1 :]]
                if rest is not None:
                    others.insert(0, rest)
                left = None if not others else others[0] if len(others) == 1 else AllOf(tuple(others))
                found.setdefault(looked_at, (values, left))
        return found
    if isinstance(condition, AnyOf):
        each = [_pins(one) for one in condition.conditions]
        return {
            looked_at: (frozenset().union(*(pinned[looked_at][0] for pinned in each)), None)
            for looked_at in (each[0] if each else {})
            if all(looked_at in pinned and pinned[looked_at][1] is None for pinned in each)
        }
    return {}


# maps


def _exact(tree: MatcherMap, entries: dict[bytes, Step[T]], otherwise: tuple[Step[T], ...]) -> Find[T]:
    table: dict[bytes | None, tuple[Step[T], ...]] = {key: (step, *otherwise) for key, step in entries.items()}
    return _looked_up(tree.input, table, otherwise)


def _prefixes(tree: MatcherMap, entries: dict[bytes, Step[T]], otherwise: tuple[Step[T], ...]) -> Find[T]:
    read = compile_input(tree.input)
    lengths = tuple(sorted({len(key) for key in entries}, reverse=True))
    last = _in_order(otherwise)

    def find(request: Request) -> T | None:
        value = read(request)
        if value is not None:
            for length in lengths:
                step = entries.get(value[:length])
                if step is not None and len(value) >= length:
                    _, action, below = step
                    found = action if below is None else below(request)
                    if found is not None:
                        return found
        return last(request)

    return find


# inputs and conditions


def _service(request: Request) -> bytes:
    return request.raw_authority


def _path(request: Request) -> bytes:
    return request.raw_path if request.raw_method else request.raw_authority


def _method(request: Request) -> bytes:
    return request.raw_method or request.raw_path


_INPUTS: dict[str, Read] = {"service": _service, "path": _path, "method": _method}


def compile_input(looked_at: MatchInput) -> Read:
    """A call that gives the input of a request, None where it has none; raises ConfigError for an unknown kind."""
    if looked_at.kind == "header":
        name = encode(looked_at.name.lower())
        if name[:1] == b":":
            return lambda request: request.pseudo(name)
        return lambda request: request.headers.find(name)
    read = _INPUTS.get(looked_at.kind)
    if read is None:
        raise ConfigError(f"unknown input {looked_at.kind!r}", expected="service, path, method or header")
    return read


def compile_condition(condition: Condition) -> Test:
    """A call that says whether a request meets a condition; raises ConfigError for what does not compile."""
    if isinstance(condition, InputMatches):
        return _compile_match(condition)
    if isinstance(condition, CustomCondition):
        return condition.compile()
    if isinstance(condition, Not):
        inner = compile_condition(condition.condition)
        return lambda request: not inner(request)
    tests = tuple(compile_condition(one) for one in condition.conditions)
    if isinstance(condition, AnyOf):
        return _any_of(tests)
    return _all_of(tests)


def _compile_match(condition: InputMatches) -> Test:
    read, matches, value = compile_input(condition.input), compile_string(condition.value), condition.value
    if value.kind == "exact" and not value.ignore_case:
        expected = encode(value.value)
        if condition.input.kind == "service":
            return lambda request: request.raw_authority == expected
        return lambda request: read(request) == expected

    def test(request: Request) -> bool:
        found = read(request)
        return found is not None and matches(found)

    return test


def _any_of(tests: tuple[Test, ...]) -> Test:
    def test(request: Request) -> bool:
        for one in tests:  # noqa: SIM110 - a generator would cost more than the tests
            if one(request):
                return True
        return False

    return test


def _all_of(tests: tuple[Test, ...]) -> Test:
    def test(request: Request) -> bool:
        for one in tests:  # noqa: SIM110 - as above
            if not one(request):
                return False
        return True

    return test
