"""String and header matchers of the configuration, compiled to plain calls over bytes.

What they match is what Envoy 1.40 was seen to match: of a header sent several times one value is enough (inverted: none
may match); a matcher of values is false for a header that is missing, inverted or not, unless that counts as empty.
Regular expressions are RE2's and must match the whole value. Routes (``filters/router``) build on this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from plait.api.config import HeaderMatcher, StringMatcher
from plait.api.errors import ConfigError
from plait.api.headers import Headers
from plait.api.message import Request

MatchBytes: TypeAlias = Callable[[bytes], bool]
MatchHeaders: TypeAlias = Callable[[Headers], bool]
MatchRequest: TypeAlias = Callable[[Request], bool]


def compile_regex(pattern: str) -> Any:
    """A compiled RE2 expression over bytes; raises ``ConfigError`` for what RE2 does not take."""
    import re2  # here, because a configuration without expressions need not load it

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern.encode(), options)
    except re2.error as error:
        cause = error.args[0] if error.args else ""
        reason = cause.decode("utf-8", "replace") if isinstance(cause, bytes) else str(cause)
        raise ConfigError(f"regular expression {pattern!r}: {reason}", expected="RE2 syntax") from error


class _Verdicts(dict[bytes, bool]):
    """What an expression said of the values it was asked for: paths and methods come again and again.

    Asking RE2 from Python costs forty times what looking here does. Long values are not kept, and when the table is
    full it is emptied: callers that never repeat themselves find it no help, and no burden either.
    """

    def __init__(self, fullmatch: Callable[[bytes], object]) -> None:
        super().__init__()
        self._fullmatch = fullmatch

    def __missing__(self, value: bytes) -> bool:
        verdict = self._fullmatch(value) is not None
        if len(value) <= _LONGEST_KEPT_BYTES:
            if len(self) >= _VERDICTS_LIMIT:
                self.clear()
            self[value] = verdict
        return verdict


_VERDICTS_LIMIT = 1024
_LONGEST_KEPT_BYTES = 256


def compile_fullmatch(pattern: str) -> MatchBytes:
    """A call that says whether an RE2 expression matches all of a value; raises ``ConfigError`` for a bad one."""
    return _Verdicts(compile_regex(pattern).fullmatch).__getitem__


def compile_string(matcher: StringMatcher) -> MatchBytes:
    """A call that says whether bytes match; raises ``ConfigError`` for a bad expression or an unknown kind."""
    if matcher.kind == "safe_regex":
        return compile_fullmatch(matcher.value)
    expected = matcher.value.encode("utf-8", "surrogateescape")
    if matcher.ignore_case:
        return _ignoring_case(matcher.kind, expected.lower())
    if matcher.kind == "exact":
        return lambda value: value == expected
    if matcher.kind == "prefix":
        return lambda value: value.startswith(expected)
    if matcher.kind == "suffix":
        return lambda value: value.endswith(expected)
    if matcher.kind == "contains":
        return lambda value: expected in value
    raise _unknown(matcher.kind)


def compile_header(matcher: HeaderMatcher) -> MatchHeaders:
    """A call that says whether headers match; raises ``ConfigError`` as ``compile_string`` does."""
    name = matcher.name.lower().encode("latin-1")
    test = _value_test(matcher)
    combine = all if matcher.invert else any

    def match(headers: Headers) -> bool:
        value = headers.find(name)
        if value is None:
            return test(None)
        values = headers.find_all(name)
        return test(value) if len(values) == 1 else combine(test(one) for one in values)

    return match


def compile_headers(matchers: tuple[HeaderMatcher, ...]) -> MatchHeaders:
    """A call that says whether headers match every one of ``matchers``; none of them match everything."""
    tests = tuple(compile_header(matcher) for matcher in matchers)
    if not tests:
        return lambda headers: True
    if len(tests) == 1:
        return tests[0]

    def match(headers: Headers) -> bool:
        for test in tests:  # noqa: SIM110 - a generator would cost more than the tests
            if not test(headers):
                return False
        return True

    return match


def compile_request_headers(matchers: tuple[HeaderMatcher, ...]) -> MatchRequest:
    """The same over a request, which also knows ``:method``, ``:path``, ``:authority`` (``host``) and ``:scheme``.

    Whatever else begins with a colon is what the protocol has by that name (``Request.pseudo``).
    """
    tests = tuple(_request_test(matcher) for matcher in matchers)
    if not tests:
        return lambda request: True
    if len(tests) == 1:
        return tests[0]

    def match(request: Request) -> bool:
        for test in tests:  # noqa: SIM110 - as above
            if not test(request):
                return False
        return True

    return match


def _request_test(matcher: HeaderMatcher) -> MatchRequest:
    name = matcher.name.lower()
    test = _value_test(matcher)
    if name == ":method":
        return lambda request: test(request.raw_method or None)
    if name == ":path":
        return lambda request: test(request.raw_path or None)
    if name in (":authority", "host"):
        return lambda request: test(request.raw_authority or None)
    if name == ":scheme":
        return lambda request: test(request.raw_scheme or None)
    if name[:1] == ":":
        pseudo = name.encode("latin-1")
        return lambda request: test(request.pseudo(pseudo))
    match = compile_header(matcher)
    return lambda request: match(request.headers)


def _value_test(matcher: HeaderMatcher) -> Callable[[bytes | None], bool]:
    """What ``matcher`` says of a value, None where the header is missing."""
    invert = matcher.invert
    missing_as_empty = matcher.treat_missing_as_empty
    if matcher.value is None and matcher.range is None:
        present = matcher.present
        return lambda value: ((value is not None or missing_as_empty) == present) != invert
    test = compile_string(matcher.value) if matcher.value is not None else _in_range(matcher.range or (0, 0))
    if not invert and not missing_as_empty:
        return lambda value: value is not None and test(value)
    empty = test(b"") != invert if missing_as_empty else False
    return lambda value: empty if value is None else test(value) != invert


def _in_range(bounds: tuple[int, int]) -> MatchBytes:
    start, end = bounds

    def match(value: bytes) -> bool:
        digits = value[1:] if value[:1] in (b"-", b"+") else value
        return digits.isdigit() and len(digits) < 20 and start <= int(value) < end

    return match


def _ignoring_case(kind: str, expected: bytes) -> MatchBytes:
    if kind == "exact":
        return lambda value: value.lower() == expected
    if kind == "prefix":
        return lambda value: value.lower().startswith(expected)
    if kind == "suffix":
        return lambda value: value.lower().endswith(expected)
    if kind == "contains":
        return lambda value: expected in value.lower()
    raise _unknown(kind)


def _unknown(kind: str) -> ConfigError:
    return ConfigError(
        f"unknown kind of string matcher {kind!r}", expected="exact, prefix, suffix, contains or safe_regex"
    )
