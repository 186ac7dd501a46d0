"""Matcher trees find what Envoy's would: order, nesting, tables, maps, and what is missing."""

from collections.abc import Callable
from typing import Any, ClassVar

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.api import (
    AllOf,
    AnyOf,
    Condition,
    ConfigError,
    CustomCondition,
    Headers,
    InputMatches,
    MatcherList,
    MatcherMap,
    MatcherTree,
    MatchInput,
    Not,
    OnMatch,
    Request,
    StringMatcher,
)
from plait_filter_router.trees import compile_remembering, compile_tree

SERVICE, METHOD, PATH, USER = (
    MatchInput("service"), MatchInput("method"), MatchInput("path"), MatchInput("header", "X-User")
)  # fmt: skip


def call(service: str = "", method: str = "", user: str | None = None, http: str = "") -> Request:
    request = Request(Headers([]), raw_authority=service.encode(), raw_path=method.encode(), raw_method=http.encode())
    if user is not None:
        request.headers.set("x-user", user)
    return request


def find(tree: MatcherTree) -> Callable[[Request], object]:
    return compile_tree(tree, lambda action: action)


def exact(value: str, of: MatchInput = SERVICE) -> InputMatches:
    return InputMatches(of, StringMatcher("exact", value))


def prefix(value: str, of: MatchInput = SERVICE) -> InputMatches:
    return InputMatches(of, StringMatcher("prefix", value))


def to(action: object = None, tree: MatcherTree | None = None) -> OnMatch:
    return OnMatch(action, tree)


def rules(*entries: tuple[Condition, object], otherwise: object = None) -> MatcherList:
    made = tuple((condition, then if isinstance(then, OnMatch) else OnMatch(then)) for condition, then in entries)
    return MatcherList(made, None if otherwise is None else OnMatch(otherwise))


@attrs.frozen
class Flagged(CustomCondition):
    def compile(self) -> Callable[[Request], bool]:
        return lambda request: request.native == "flag"


def test_first_entry_that_matches_wins() -> None:
    found = find(rules((prefix("a"), 1), (exact("ab"), 2), (exact("b"), 3)))
    assert [found(call(name)) for name in ("ab", "b", "c")] == [1, 3, None]


def test_on_no_match_is_for_the_rest() -> None:
    found = find(rules((exact("a"), 1), (exact("b"), 2), otherwise=9))
    assert [found(call(name)) for name in ("a", "b", "c", "")] == [1, 2, 9, 9]


def test_a_nested_tree_that_finds_nothing_lets_the_next_entries_try() -> None:
    below = OnMatch(tree=rules((exact("get", METHOD), "get")))
    found = find(rules((exact("a"), below), (exact("a"), "any"), (exact("b"), below), otherwise="none"))
    assert found(call("a", "get")) == "get"
    assert found(call("a", "put")) == "any"
    assert found(call("b", "put")) == "none"


def test_a_nested_on_no_match_is_a_match() -> None:
    below = OnMatch(tree=rules((exact("get", METHOD), "get"), otherwise="other"))
    found = find(rules((exact("a"), below), (exact("a"), "never"), (exact("b"), "b")))
    assert found(call("a", "put")) == "other"


def test_conditions_combine() -> None:
    both = AllOf((exact("a"), exact("get", METHOD)))
    either = AnyOf((exact("b"), exact("c")))
    found = find(rules((both, 1), (either, 2), (Not(exact("d")), 3)))
    calls = [call("a", "get"), call("a", "put"), call("b"), call("c"), call("d")]
    assert [found(one) for one in calls] == [1, 3, 2, 2, None]


def test_a_missing_header_matches_nothing_and_so_its_negation_does() -> None:
    found = find(rules((exact("", USER), "empty"), (Not(prefix("adm", USER)), "user"), otherwise="admin"))
    assert found(call()) == "user"
    assert found(call(user="")) == "empty"
    assert found(call(user="admin")) == "admin"


def test_inputs_of_rpc_and_http() -> None:
    found = find(rules((exact("get", METHOD), "m"), (exact("a", PATH), "p"), (exact("/x", PATH), "h")))
    assert found(call("a", "get")) == "m"
    assert found(call("a", "put")) == "p", "the path of an RPC is its service"
    assert found(call("a", "/x", http="PUT")) == "h"
    assert found(call("b", "/y", http="get")) == "m"


def test_exact_map_looks_up_and_falls_back() -> None:
    below = OnMatch(tree=rules((exact("get", METHOD), "get")))
    found = find(MatcherMap(SERVICE, (("a", to(1)), ("b", below)), on_no_match=to("none")))
    assert [found(call(name)) for name in ("a", "A", "c")] == [1, "none", "none"]
    assert found(call("b", "get")) == "get"
    assert found(call("b", "put")) == "none"


def test_prefix_map_takes_the_longest_and_then_shorter_ones() -> None:
    below = OnMatch(tree=rules((exact("get", METHOD), "get")))
    entries = (("a", to("a")), ("a.b", below), ("a.b.c", to("abc")), ("z", below))
    found = find(MatcherMap(SERVICE, entries, prefixes=True, on_no_match=to("none")))
    assert found(call("a.b.c.d", "put")) == "abc"
    assert found(call("a.b", "get")) == "get"
    assert found(call("a.b", "put")) == "a"
    assert found(call("z", "put")) == "none"
    assert found(call("")) == "none"


def test_map_of_a_missing_header_is_no_match() -> None:
    for prefixes in (False, True):
        found = find(MatcherMap(USER, (("", to("empty")), ("u", to("u"))), prefixes, to("none")))
        assert found(call()) == "none"
        assert found(call(user="")) == "empty"
        assert found(call(user="u")) == "u"


def test_empty_prefix_matches_everything_that_is_there() -> None:
    found = find(MatcherMap(SERVICE, (("", to("all")), ("a", to("a"))), prefixes=True))
    assert [found(call(name)) for name in ("", "a", "b")] == ["all", "a", "all"]


def test_custom_conditions_are_compiled() -> None:
    found = find(rules((AllOf((exact("a"), Flagged())), 1), (Flagged(), 2)))
    flagged = call("a")
    flagged.native = "flag"
    assert (found(flagged), found(call("a"))) == (1, None)


@pytest.mark.parametrize(
    "tree",
    [
        MatcherList(((InputMatches(MatchInput("colour"), StringMatcher("exact", "x")), OnMatch(1)),)),
        MatcherList(((InputMatches(SERVICE, StringMatcher("safe_regex", "(")), OnMatch(1)),)),
        MatcherMap(MatchInput("colour"), ()),
    ],
)
def test_what_does_not_compile_is_refused(tree: MatcherTree) -> None:
    with pytest.raises(ConfigError):
        find(tree)


# against the plainest reading of the language

_names = st.sampled_from(["", "a", "b", "ab", "get"])
_inputs = st.sampled_from([SERVICE, METHOD, USER])
_leaves = st.builds(
    InputMatches, _inputs, st.builds(StringMatcher, st.sampled_from(["exact", "prefix"]), _names, st.booleans())
)
_conditions: st.SearchStrategy[Any] = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(AnyOf, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(AllOf, st.lists(inner, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=4,
)
_actions = st.builds(OnMatch, st.integers(0, 99))


def _trees_over(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    then = st.one_of(_actions, st.builds(OnMatch, st.none(), inner))
    last = st.one_of(st.none(), then)
    lists = st.builds(MatcherList, st.lists(st.tuples(_conditions, then), max_size=5).map(tuple), last)
    keys = st.dictionaries(_names, then, min_size=1, max_size=4).map(lambda made: tuple(made.items()))
    return st.one_of(lists, st.builds(MatcherMap, _inputs, keys, st.booleans(), last))


_trees = st.recursive(_trees_over(st.nothing() | st.just(MatcherList((), None))), _trees_over, max_leaves=6)


def plainly(tree: MatcherTree, request: Request) -> object:
    following: list[OnMatch] = []
    if isinstance(tree, MatcherList):
        following = [then for condition, then in tree.entries if holds(condition, request)]
    else:
        value = read(tree.input, request)
        entries = dict(tree.entries)
        if value is not None:
            keys = [key for key in entries if (value.startswith(key) if tree.prefixes else value == key)]
            following = [entries[key] for key in sorted(keys, key=len, reverse=True)]
    for then in [*following, *([tree.on_no_match] if tree.on_no_match else [])]:
        found = then.action if then.tree is None else plainly(then.tree, request)
        if found is not None:
            return found
    return None


def read(looked_at: MatchInput, request: Request) -> str | None:
    if looked_at == USER:
        return request.headers.get("x-user")
    return request.authority if looked_at == SERVICE else request.path


def holds(condition: Condition, request: Request) -> bool:
    if isinstance(condition, Not):
        return not holds(condition.condition, request)
    if isinstance(condition, AnyOf):
        return any(holds(one, request) for one in condition.conditions)
    if isinstance(condition, AllOf):
        return all(holds(one, request) for one in condition.conditions)
    assert isinstance(condition, InputMatches)
    value, wanted = read(condition.input, request), condition.value
    return value is not None and (value == wanted.value if wanted.kind == "exact" else value.startswith(wanted.value))


@given(_trees, _names, _names, st.one_of(st.none(), _names))
def test_compiled_trees_find_what_the_language_says(
    tree: MatcherTree, service: str, method: str, user: str | None
) -> None:
    request = call(service, method, user)
    assert find(tree)(request) == plainly(tree, request)


_calls = st.lists(st.tuples(_names, _names, st.one_of(st.none(), _names)), min_size=1, max_size=5)


@given(_trees, _calls)
def test_what_is_remembered_is_what_a_tree_says(tree: MatcherTree, calls: list[tuple[str, str, str | None]]) -> None:
    remembering = compile_remembering(tree, lambda action: action)
    for said in (*calls, *calls):
        assert remembering(call(*said)) == plainly(tree, call(*said))


class Watched(Request):
    """Notes who looks at its path."""

    asked: ClassVar[list[bytes]] = []

    @property
    def raw_path(self) -> bytes:
        self.asked.append(b"path")
        return b"c"

    @raw_path.setter
    def raw_path(self, value: bytes) -> None:
        pass


def test_a_tree_over_names_is_asked_once_for_each() -> None:
    Watched.asked.clear()
    remembering = compile_remembering(rules((prefix("a"), 1), (exact("b", METHOD), 2), otherwise=9), lambda act: act)
    for _ in range(3):
        assert remembering(Watched(Headers([]), raw_authority=b"x")) == 9
    assert len(Watched.asked) == 4, "for the tree once, and to look it up each time"


def test_a_tree_over_services_looks_for_no_method() -> None:
    Watched.asked.clear()
    tree = MatcherMap(SERVICE, (("a", to(1)), ("x", to(tree=rules((prefix("x"), 2))))), True, to(9))
    remembering = compile_remembering(tree, lambda act: act)
    for _ in range(3):
        assert [remembering(Watched(Headers([]), raw_authority=name)) for name in (b"abc", b"xyz", b"z")] == [1, 2, 9]
    assert Watched.asked == []
