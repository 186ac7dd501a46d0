"""xds.type.matcher.v3.Matcher: the trees in which requests look for what becomes of them.

The language is the same wherever Envoy uses it. What may be an input, a matcher of its own kind or an action depends
on who uses it and is asked of a ``Vocabulary``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from plait.api.config import (
    AllOf,
    AnyOf,
    Condition,
    InputMatches,
    MatcherList,
    MatcherMap,
    MatcherTree,
    MatchInput,
    Not,
    OnMatch,
)
from plait.xds.positions import Where
from plait.xds.translate.matchers import string_matcher

if TYPE_CHECKING:
    from plait.xds.translator import Translator

_DEPTH = 32
"""How deep trees and conditions may be: what a table is compiled to calls itself that often."""


class Vocabulary(ABC):
    """What is particular to one use of the language. The methods raise ConfigError for what they do not know.

    ``name``, ``packed`` and ``where`` are those of a TypedExtensionConfig: its name, its Any, and where that is.
    """

    @abstractmethod
    def input(self, name: str, packed: Any, where: Where) -> MatchInput | None:
        """An input; None for one that only matchers of their own kind understand."""

    @abstractmethod
    def custom(self, name: str, packed: Any, where: Where, input: MatchInput | None) -> Condition:
        """A matcher that is no matcher of strings, applied to ``input``."""

    @abstractmethod
    def action(self, name: str, packed: Any, where: Where) -> object:
        """What follows."""


def matcher_tree(
    message: Any, where: Where, translator: Translator, vocabulary: Vocabulary, depth: int = 0
) -> MatcherTree:
    """The tree; raises or reports ConfigError for what is empty or not supported."""
    translator.only(message, where, {"matcher_list", "matcher_tree", "on_no_match"})
    if depth > _DEPTH:
        raise where.error("the matcher is nested too deeply", f"at most {_DEPTH} levels")
    on_no_match: OnMatch | None = None
    if message.HasField("on_no_match"):
        on_no_match = _on_match(message.on_no_match, where / "on_no_match", translator, vocabulary, depth)
    kind = message.WhichOneof("matcher_type")
    if kind == "matcher_list":
        entries = _entries(message.matcher_list.matchers, where / kind / "matchers", translator, vocabulary, depth)
        return MatcherList(entries, on_no_match)
    if kind == "matcher_tree":
        return _map(message.matcher_tree, where / kind, translator, vocabulary, depth, on_no_match)
    if on_no_match is None:
        raise where.error("the matcher is empty", expected="matcher_list, matcher_tree or on_no_match")
    return MatcherList((), on_no_match)


def _on_match(message: Any, where: Where, translator: Translator, vocabulary: Vocabulary, depth: int) -> OnMatch:
    """What follows a match. ``keep_matching`` is refused, as Envoy refuses it where one action is looked for."""
    translator.only(message, where, {"matcher", "action"})
    kind = message.WhichOneof("on_match")
    if kind == "matcher":
        return OnMatch(tree=matcher_tree(message.matcher, where / kind, translator, vocabulary, depth + 1))
    if kind == "action":
        action, at = message.action, where / kind
        return OnMatch(vocabulary.action(action.name, action.typed_config, at / "typed_config"))
    raise where.error("nothing follows the match", expected="action or matcher")


def _entries(
    messages: Sequence[Any], where: Where, translator: Translator, vocabulary: Vocabulary, depth: int
) -> tuple[tuple[Condition, OnMatch], ...]:
    if not messages:
        raise where.error("the list of matchers is empty", expected="at least one")
    entries: list[tuple[Condition, OnMatch]] = []
    for index, message in enumerate(messages):
        at = where / index
        with translator.collect():
            translator.only(message, at, {"predicate", "on_match"})
            condition: Condition | None = None
            with translator.collect():
                condition = _condition(message.predicate, at / "predicate", translator, vocabulary, depth)
            then = _on_match(message.on_match, at / "on_match", translator, vocabulary, depth)
            if condition is not None:
                entries.append((condition, then))
    return tuple(entries)


def _condition(message: Any, where: Where, translator: Translator, vocabulary: Vocabulary, depth: int) -> Condition:
    if depth > _DEPTH:
        raise where.error("the predicate is nested too deeply", f"at most {_DEPTH} levels")
    kind = message.WhichOneof("match_type")
    if kind is None:
        expected = "one of single_predicate, or_matcher, and_matcher, not_matcher"
        raise where.error("the predicate is empty", expected)
    inner, at = getattr(message, kind), where / kind
    if kind == "single_predicate":
        return _single(inner, at, translator, vocabulary)
    if kind == "not_matcher":
        return Not(_condition(inner, at, translator, vocabulary, depth + 1))
    if len(inner.predicate) < 2:
        raise at.error(f"{kind} has {len(inner.predicate)} predicates", expected="at least two")
    conditions = tuple(
        _condition(one, at / "predicate" / index, translator, vocabulary, depth + 1)
        for index, one in enumerate(inner.predicate)
    )
    return AnyOf(conditions) if kind == "or_matcher" else AllOf(conditions)


def _single(message: Any, where: Where, translator: Translator, vocabulary: Vocabulary) -> Condition:
    translator.only(message, where, {"input", "value_match", "custom_match"})
    kind = message.WhichOneof("matcher")
    if kind is None:
        raise where.error("the predicate asks nothing of its input", expected="value_match or custom_match")
    looked_at = _input(message, where, vocabulary)
    if kind == "value_match":
        return InputMatches(_string_input(looked_at, where), string_matcher(message.value_match, where / kind))
    custom, at = message.custom_match, where / kind
    return vocabulary.custom(custom.name, custom.typed_config, at / "typed_config", looked_at)


def _input(message: Any, where: Where, vocabulary: Vocabulary) -> MatchInput | None:
    if not message.HasField("input"):
        raise where.error("the matcher has no input", expected="input: and what is looked at")
    return vocabulary.input(message.input.name, message.input.typed_config, where / "input" / "typed_config")


def _string_input(looked_at: MatchInput | None, where: Where) -> MatchInput:
    if looked_at is None:
        raise (where / "input").error("the input is no text", expected="an input that is text, or custom_match")
    return looked_at


def _map(
    message: Any,
    where: Where,
    translator: Translator,
    vocabulary: Vocabulary,
    depth: int,
    on_no_match: OnMatch | None,
) -> MatcherMap:
    translator.only(message, where, {"input", "exact_match_map", "prefix_match_map"})
    kind = message.WhichOneof("tree_type")
    if kind not in ("exact_match_map", "prefix_match_map"):
        raise where.error("the tree has no map", expected="exact_match_map or prefix_match_map")
    looked_at = _string_input(_input(message, where, vocabulary), where)
    by_key, at = getattr(message, kind).map, where / kind / "map"
    if not by_key:
        raise at.error("the map is empty", expected="at least one entry")
    entries: list[tuple[str, OnMatch]] = []
    for key in sorted(by_key):
        with translator.collect():
            entries.append((key, _on_match(by_key[key], at / key, translator, vocabulary, depth)))
    return MatcherMap(looked_at, tuple(entries), kind == "prefix_match_map", on_no_match)
