"""Which requests a route takes."""

import pytest

from plait.api import ConfigError, HeaderMatcher, Headers, QueryMatcher, Request, RouteMatch, StringMatcher
from plait_filter_router.matching import compile_match, plain_prefix


def request(path: bytes, *fields: tuple[bytes, bytes], method: bytes = b"GET") -> Request:
    made = Request(Headers(list(fields)))
    made.raw_path, made.raw_method, made.raw_authority = path, method, b"host"
    return made


@pytest.mark.parametrize(
    ("match", "path", "expected"),
    [
        (RouteMatch("prefix", "/a"), b"/abc", True),
        (RouteMatch("prefix", "/a"), b"/A", False),
        (RouteMatch("prefix", "/a", case_sensitive=False), b"/Abc", True),
        (RouteMatch("prefix", "/a?"), b"/a?x", False),
        (RouteMatch("path", "/a"), b"/a", True),
        (RouteMatch("path", "/a"), b"/a?x=1", True),
        (RouteMatch("path", "/a"), b"/a#part", True),
        (RouteMatch("path", "/a"), b"/a/", False),
        (RouteMatch("path", "/a"), b"/ab", False),
        (RouteMatch("path", "/a?x"), b"/a?x", False),
        (RouteMatch("path", "/A", case_sensitive=False), b"/a", True),
        (RouteMatch("path", "/A", case_sensitive=False), b"/a?x", True),
        (RouteMatch("path_separated_prefix", "/A", case_sensitive=False), b"/a/b", True),
        (RouteMatch("path_separated_prefix", "/A", case_sensitive=False), b"/ab", False),
        (RouteMatch("path_separated_prefix", "/a"), b"/a", True),
        (RouteMatch("path_separated_prefix", "/a"), b"/a?q", True),
        (RouteMatch("path_separated_prefix", "/a"), b"/a/b", True),
        (RouteMatch("path_separated_prefix", "/a"), b"/ab", False),
        (RouteMatch("safe_regex", "/v[0-9]+/.*"), b"/v12/x?y", True),
        (RouteMatch("safe_regex", "/v[0-9]+"), b"/v12/x", False),
    ],
)
def test_path(match: RouteMatch, path: bytes, expected: bool) -> None:
    assert compile_match(match)(request(path)) is expected


def test_connect_takes_connect_requests_only() -> None:
    test = compile_match(RouteMatch("connect", ""))
    assert test(request(b"", method=b"CONNECT"))
    assert not test(request(b"/"))


def test_every_condition_must_hold() -> None:
    match = RouteMatch(
        "prefix",
        "/",
        headers=(
            HeaderMatcher("x-tenant", StringMatcher("exact", "a")),
            HeaderMatcher(":method", StringMatcher("exact", "GET")),
        ),
        query=(QueryMatcher("debug"), QueryMatcher("v", StringMatcher("prefix", "1."))),
    )
    test = compile_match(match)
    assert test(request(b"/?debug&v=1.2", (b"x-tenant", b"a")))
    assert not test(request(b"/?debug&v=2.0", (b"x-tenant", b"a")))
    assert not test(request(b"/?v=1.2", (b"x-tenant", b"a")))
    assert not test(request(b"/?debug&v=1.2", (b"x-tenant", b"b")))
    assert not test(request(b"/?debug&v=1.2", (b"x-tenant", b"a"), method=b"PUT"))


def test_query_parameter_can_be_asked_to_be_absent() -> None:
    test = compile_match(RouteMatch(query=(QueryMatcher("debug", present=False),)))
    assert test(request(b"/?other"))
    assert not test(request(b"/?debug"))


def test_grpc_route_takes_grpc_content_types() -> None:
    test = compile_match(RouteMatch(grpc=True))
    assert test(request(b"/", (b"content-type", b"application/grpc")))
    assert test(request(b"/", (b"content-type", b"application/grpc+proto")))
    assert not test(request(b"/", (b"content-type", b"application/grpc-web")))
    assert not test(request(b"/"))


def test_runtime_fraction_takes_a_share() -> None:
    assert not compile_match(RouteMatch(runtime_fraction=0))(request(b"/"))
    half = compile_match(RouteMatch(runtime_fraction=500_000))
    taken = sum(half(request(b"/")) for _ in range(2000))
    assert 700 < taken < 1300


def test_only_a_bare_prefix_is_compared_on_the_spot() -> None:
    assert plain_prefix(RouteMatch("prefix", "/a")) == b"/a"
    assert plain_prefix(RouteMatch("prefix", "/a", case_sensitive=False)) is None
    assert plain_prefix(RouteMatch("prefix", "/a", grpc=True)) is None
    assert plain_prefix(RouteMatch("path", "/a")) is None


@pytest.mark.parametrize("match", [RouteMatch("safe_regex", "(?=look)"), RouteMatch("glob", "/*")])
def test_what_cannot_be_compiled_is_refused(match: RouteMatch) -> None:
    with pytest.raises(ConfigError):
        compile_match(match)
