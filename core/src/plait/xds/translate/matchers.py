"""Matchers of strings, headers and query parameters."""

from __future__ import annotations

from typing import Any

from plait.api.config import HeaderMatcher, QueryMatcher, StringMatcher
from plait.xds.positions import Where
from plait.xds.translate.values import regex_matcher

_KINDS = ("exact", "prefix", "suffix", "contains")
_OLD_HEADER_KINDS = {f"{kind}_match": kind for kind in _KINDS}


def string_matcher(message: Any, where: Where) -> StringMatcher:
    """An envoy.type.matcher.v3.StringMatcher. ``ignore_case`` has no effect on expressions, as in Envoy."""
    kind = message.WhichOneof("match_pattern")
    if kind is None:
        raise where.error("the matcher matches nothing", expected=f"one of {', '.join(_KINDS)}, safe_regex")
    if kind == "safe_regex":
        return StringMatcher(kind, regex_matcher(message.safe_regex, where / kind))
    if kind not in _KINDS:
        raise (where / kind).error(f"field {kind!r} is not supported yet by plait")
    return _string(kind, getattr(message, kind), where / kind, message.ignore_case)


def _string(kind: str, value: str, where: Where, ignore_case: bool = False) -> StringMatcher:
    if kind != "exact" and not value:
        raise where.error(f"the {kind} is empty", expected="at least one character")
    return StringMatcher(kind, value, bool(ignore_case))


def header_matcher(message: Any, where: Where) -> HeaderMatcher:
    """An envoy.config.route.v3.HeaderMatcher; one that says only a name asks for presence."""
    if not message.name:
        raise (where / "name").error("the header has no name", expected="the name of a header")
    kind = message.WhichOneof("header_match_specifier")
    value: StringMatcher | None = None
    bounds: tuple[int, int] | None = None
    present = True
    if kind == "string_match":
        value = string_matcher(message.string_match, where / kind)
    elif kind == "safe_regex_match":
        value = StringMatcher("safe_regex", regex_matcher(message.safe_regex_match, where / kind))
    elif kind == "range_match":
        bounds = (message.range_match.start, message.range_match.end)
    elif kind == "present_match":
        present = message.present_match
    elif kind is not None:
        value = _string(_OLD_HEADER_KINDS[kind], getattr(message, kind), where / kind)
    return HeaderMatcher(
        name=message.name,
        value=value,
        range=bounds,
        present=present,
        invert=message.invert_match,
        treat_missing_as_empty=message.treat_missing_header_as_empty,
    )


def query_matcher(message: Any, where: Where) -> QueryMatcher:
    """An envoy.config.route.v3.QueryParameterMatcher."""
    if not message.name:
        raise (where / "name").error("the parameter has no name", expected="the name of a query parameter")
    kind = message.WhichOneof("query_parameter_match_specifier")
    if kind == "string_match":
        return QueryMatcher(message.name, string_matcher(message.string_match, where / kind))
    return QueryMatcher(message.name, present=message.present_match if kind == "present_match" else True)
