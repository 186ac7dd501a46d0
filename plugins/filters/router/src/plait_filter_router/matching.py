"""The conditions of a route, compiled to calls over a request's bytes.

Paths are compared without their query, as Envoy does. Strings, headers and regular expressions are those of
``plait.stream``; here is what only routes have: paths, queries, gRPC and shares of the traffic.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from plait.api import ConfigError, QueryMatcher, Request, RouteMatch
from plait.stream import compile_fullmatch, compile_request_headers, compile_string, grpc
from plait_filter_router.text import encode

Test = Callable[[Request], bool]
MILLION = 1_000_000


def without_query(path: bytes) -> bytes:
    """``path`` up to its query or fragment."""
    at = path.find(b"?")
    if at >= 0:
        path = path[:at]
    at = path.find(b"#")
    return path if at < 0 else path[:at]


def plain_prefix(match: RouteMatch) -> bytes | None:
    """The prefix, when it is all that the route asks for; None for any other route."""
    if match.kind != "prefix" or not match.case_sensitive or "?" in match.value or "#" in match.value:
        return None
    return encode(match.value) if match == RouteMatch(value=match.value) else None


def compile_match(match: RouteMatch) -> Test:
    """A call that says whether a request is the route's; raises ConfigError for a bad expression or kind."""
    tests: list[Test] = [_path_test(match)]
    if match.headers:
        tests.append(compile_request_headers(match.headers))
    if match.query:
        tests.append(_query_test(match.query))
    if match.grpc:
        tests.append(_is_grpc)
    if match.runtime_fraction < MILLION:  # last, so that the share is one of the requests that match otherwise
        fraction = match.runtime_fraction
        tests.append(lambda request: random.random() * MILLION < fraction)
    if len(tests) == 1:
        return tests[0]
    every = tuple(tests)

    def test(request: Request) -> bool:
        for one in every:  # noqa: SIM110 - a generator would cost more than the tests
            if not one(request):
                return False
        return True

    return test


def _path_test(match: RouteMatch) -> Test:
    kind = match.kind
    if kind == "connect":
        return lambda request: request.raw_method == b"CONNECT"
    if kind == "safe_regex":
        fullmatch = compile_fullmatch(match.value)
        return lambda request: fullmatch(without_query(request.raw_path))
    if kind not in ("prefix", "path", "path_separated_prefix"):
        raise ConfigError(
            f"unknown kind of path match {kind!r}",
            expected="prefix, path, safe_regex, path_separated_prefix or connect",
        )
    value = encode(match.value)
    fold = not match.case_sensitive
    if fold:
        value = value.lower()

    if not fold and kind != "prefix" and b"?" not in value and b"#" not in value:
        return _followed_by(value, (b"", b"?", b"#") if kind == "path" else (b"", b"?", b"#", b"/"))

    def path_of(request: Request) -> bytes:
        path = without_query(request.raw_path)
        return path.lower() if fold else path

    if kind == "prefix":
        return lambda request: path_of(request).startswith(value)
    if kind == "path":
        return lambda request: path_of(request) == value
    below = value + b"/"

    def separated(request: Request) -> bool:
        path = path_of(request)
        return path == value or path.startswith(below)

    return separated


def _followed_by(value: bytes, ends: tuple[bytes, ...]) -> Test:
    """Paths that are ``value`` and then one of ``ends``: no copy of the path without its query is made."""
    length = len(value)
    behind = length + 1

    def test(request: Request) -> bool:
        path = request.raw_path
        return path.startswith(value) and path[length:behind] in ends

    return test


def _query_test(matchers: tuple[QueryMatcher, ...]) -> Test:
    tests = [
        (encode(one.name), None if one.value is None else compile_string(one.value), one.present) for one in matchers
    ]

    def test(request: Request) -> bool:
        query = request.raw_path.partition(b"#")[0].partition(b"?")[2]
        values: dict[bytes, bytes] = {}
        if query:
            for part in query.split(b"&"):
                key, _, value = part.partition(b"=")
                values.setdefault(key, value)
        for name, matches, present in tests:
            found = values.get(name)
            if matches is None:
                if (found is not None) != present:
                    return False
            elif found is None or not matches(found):
                return False
        return True

    return test


def _is_grpc(request: Request) -> bool:
    return grpc.is_grpc(request.headers)
