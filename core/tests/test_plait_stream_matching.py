"""Matchers over strings and headers."""

import pytest

from plait.api import ConfigError, HeaderMatcher, Headers, Request, StringMatcher
from plait.stream.matching import (
    compile_fullmatch,
    compile_header,
    compile_headers,
    compile_request_headers,
    compile_string,
)


@pytest.mark.parametrize(
    ("kind", "value", "ignore_case", "text", "matches"),
    [
        ("exact", "a", False, b"a", True),
        ("exact", "a", False, b"A", False),
        ("exact", "A", True, b"a", True),
        ("prefix", "/ap", False, b"/api", True),
        ("prefix", "/AP", True, b"/api", True),
        ("suffix", "pi", False, b"/api", True),
        ("suffix", "pI", True, b"/aPi", True),
        ("contains", "p", False, b"/api", True),
        ("contains", "P", True, b"/api", True),
        ("contains", "x", False, b"/api", False),
        ("safe_regex", "/a.*", False, b"/api", True),
        ("safe_regex", "/a", False, b"/api", False),
        ("exact", "é", False, "é".encode(), True),
    ],
)
def test_string_matches(kind: str, value: str, ignore_case: bool, text: bytes, matches: bool) -> None:
    assert compile_string(StringMatcher(kind, value, ignore_case))(text) is matches


def test_expression_that_re2_does_not_take_is_refused_with_its_reason() -> None:
    with pytest.raises(ConfigError, match=r"regular expression '\(\?=a\)': .*\(\?=, expected RE2 syntax"):
        compile_string(StringMatcher("safe_regex", "(?=a)"))


@pytest.mark.parametrize("ignore_case", [False, True])
def test_unknown_kind_is_refused(ignore_case: bool) -> None:
    with pytest.raises(ConfigError, match="unknown kind of string matcher 'like'"):
        compile_string(StringMatcher("like", "a", ignore_case))


SENT = Headers([(b"a", b"1"), (b"b", b"x"), (b"b", b"y"), (b"n", b"-3"), (b"w", "²".encode())])
X = StringMatcher("exact", "x")


@pytest.mark.parametrize(
    ("matcher", "matches"),
    [
        (HeaderMatcher("A"), True),
        (HeaderMatcher("a", present=False), False),
        (HeaderMatcher("z", present=False), True),
        (HeaderMatcher("z"), False),
        (HeaderMatcher("z", invert=True), True),
        (HeaderMatcher("z", treat_missing_as_empty=True), True),
        (HeaderMatcher("b", StringMatcher("exact", "x,y")), False),
        (HeaderMatcher("b", X), True),
        (HeaderMatcher("b", X, invert=True), False),
        (HeaderMatcher("b", StringMatcher("exact", "z"), invert=True), True),
        (HeaderMatcher("z", X), False),
        (HeaderMatcher("z", X, invert=True), False),
        (HeaderMatcher("z", X, invert=True, treat_missing_as_empty=True), True),
        (HeaderMatcher("z", StringMatcher("exact", ""), treat_missing_as_empty=True), True),
        (HeaderMatcher("n", range=(-5, 0)), True),
        (HeaderMatcher("n", range=(-5, -3)), False),
        (HeaderMatcher("a", range=(1, 2)), True),
        (HeaderMatcher("b", range=(0, 9)), False),
        (HeaderMatcher("w", range=(0, 9)), False),
    ],
)
def test_header_matches(matcher: HeaderMatcher, matches: bool) -> None:
    assert compile_header(matcher)(SENT) is matches


def test_all_matchers_must_match() -> None:
    assert compile_headers(())(SENT)
    assert compile_headers((HeaderMatcher("a"),))(SENT)
    assert compile_headers((HeaderMatcher("a"), HeaderMatcher("b")))(SENT)
    assert not compile_headers((HeaderMatcher("a"), HeaderMatcher("z")))(SENT)


@pytest.mark.parametrize(
    ("name", "value"),
    [(":method", "GET"), (":path", "/p"), (":authority", "h"), ("host", "h"), (":scheme", "http"), ("a", "1")],
)
def test_request_matches_by_its_routing_attributes(name: str, value: str) -> None:
    request = Request(SENT)
    request.raw_method, request.raw_path, request.raw_authority, request.raw_scheme = b"GET", b"/p", b"h", b"http"
    matcher = HeaderMatcher(name, StringMatcher("exact", value))
    assert compile_request_headers((matcher,))(request)
    assert compile_request_headers((matcher, HeaderMatcher("b")))(request)
    assert not compile_request_headers((matcher, HeaderMatcher("z")))(request)
    assert compile_request_headers(())(request)


def test_expressions_say_the_same_of_a_value_however_often_they_are_asked() -> None:
    matches = compile_fullmatch("/[a-z]{1,300}")
    values = [b"/known", b"/UNKNOWN", b"/" + b"a" * 300, b"/" + b"a" * 301]
    for _ in range(3):
        assert [matches(value) for value in values] == [True, False, True, False]


def test_verdicts_of_expressions_take_a_bounded_room() -> None:
    matches = compile_fullmatch("[0-9]*")
    held: dict[bytes, bool] = matches.__self__  # type: ignore[attr-defined]  # what it is the method of
    most = 0
    for number in range(5000):
        assert matches(b"%d" % number)
        most = max(most, len(held))
    assert most <= 1024
    size = len(held)
    assert matches(b"1" * 1000)
    assert len(held) == size, "long values are not kept"
