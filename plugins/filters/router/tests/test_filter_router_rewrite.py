"""Rewritten paths and hosts, and the places that redirects name."""

import pytest

from plait.api import ConfigError, ForwardAction, Headers, RedirectAction, RegexRewrite, Request, RouteMatch
from plait_filter_router.rewrite import compile_host_rewrite, compile_location, compile_path_rewrite


def request(path: bytes, authority: bytes = b"a.example", scheme: bytes = b"http") -> Request:
    made = Request(Headers([]))
    made.raw_path, made.raw_authority, made.raw_scheme = path, authority, scheme
    return made


@pytest.mark.parametrize(
    ("match", "replacement", "path", "expected"),
    [
        (RouteMatch("prefix", "/old/"), "/", b"/old/x?q=1", b"/x?q=1"),
        (RouteMatch("prefix", "/old"), "/new", b"/old/x", b"/new/x"),
        (RouteMatch("path_separated_prefix", "/old"), "/new", b"/old", b"/new"),
        (RouteMatch("path", "/old"), "/new/path", b"/old?q=1", b"/new/path?q=1"),
        (RouteMatch("safe_regex", "/o.*"), "/new", b"/old/x?q=1", b"/new?q=1"),
    ],
)
def test_prefix_rewrite_replaces_what_matched(
    match: RouteMatch, replacement: str, path: bytes, expected: bytes
) -> None:
    rewrite = compile_path_rewrite(match, replacement, None)
    assert rewrite is not None
    assert rewrite(path) == expected


@pytest.mark.parametrize(
    ("pattern", "substitution", "path", "expected"),
    [
        (r"^/service/([^/]+)(/.*)$", r"\2/instance/\1", b"/service/foo/v1/api?q=/", b"/v1/api/instance/foo?q=/"),
        ("one", "two", b"/xxx/one/yyy/one/zzz", b"/xxx/two/yyy/two/zzz"),
        ("^(.*?)one(.*)$", r"\1two\2", b"/xxx/one/yyy/one/zzz", b"/xxx/two/yyy/one/zzz"),
        ("(?i)/xxx/", "/yyy/", b"/aaa/XxX/bbb", b"/aaa/yyy/bbb"),
        ("a(b)?", r"[\0|\1]", b"/ab/a", b"/[ab|b]/[a|]"),
        ("/x", r"\\", b"/x", b"\\"),
        ("x*", "-", b"/xx", b"-/-"),
    ],
)
def test_regex_rewrite_is_re2_s(pattern: str, substitution: str, path: bytes, expected: bytes) -> None:
    rewrite = compile_path_rewrite(RouteMatch(), "", RegexRewrite(pattern, substitution))
    assert rewrite is not None
    assert rewrite(path) == expected


@pytest.mark.parametrize("substitution", [r"\1", r"\x"])
def test_substitution_without_its_group_is_refused(substitution: str) -> None:
    with pytest.raises(ConfigError, match="stands for nothing"):
        compile_path_rewrite(RouteMatch(), "", RegexRewrite("/x", substitution))


def test_route_without_a_rewrite_has_none() -> None:
    assert compile_path_rewrite(RouteMatch(), "", None) is None
    assert compile_host_rewrite(ForwardAction(cluster="a")) is None


def test_host_is_rewritten_and_the_old_one_kept_where_asked() -> None:
    rewrite = compile_host_rewrite(ForwardAction(host_rewrite="b.example", append_x_forwarded_host=True))
    assert rewrite is not None
    call = request(b"/")
    rewrite(call)
    assert call.authority == "b.example"
    assert call.headers.get("x-forwarded-host") == "a.example"
    assert call.headers.changed


def test_host_comes_from_a_header_when_it_is_there() -> None:
    rewrite = compile_host_rewrite(ForwardAction(host_rewrite_header="X-Host"))
    assert rewrite is not None
    call = request(b"/")
    rewrite(call)
    assert call.authority == "a.example"
    call.headers.set("x-host", "c.example")
    rewrite(call)
    assert call.authority == "c.example"


@pytest.mark.parametrize(
    ("action", "call", "expected"),
    [
        (RedirectAction(https=True), request(b"/p?q=1"), b"https://a.example/p?q=1"),
        (RedirectAction(https=True), request(b"/", b"a.example:80"), b"https://a.example/"),
        (RedirectAction(https=True), request(b"/", b"a.example:8080"), b"https://a.example:8080/"),
        (RedirectAction(https=True, port=8443), request(b"/", b"a.example:8080"), b"https://a.example:8443/"),
        (RedirectAction(scheme="ftp"), request(b"/", b"[::1]:80"), b"ftp://[::1]/"),
        (RedirectAction(host="b.example"), request(b"/p", b"a.example:8080"), b"http://b.example/p"),
        (RedirectAction(path="/new"), request(b"/p?q=1"), b"http://a.example/new?q=1"),
        (RedirectAction(path="/new?x=2"), request(b"/p?q=1"), b"http://a.example/new?x=2"),
        (RedirectAction(path="/new", strip_query=True), request(b"/p?q=1"), b"http://a.example/new"),
        (RedirectAction(prefix_rewrite="/n/"), request(b"/p?q=1"), b"http://a.example/n/p?q=1"),
        (RedirectAction(regex_rewrite=RegexRewrite("p", "r")), request(b"/p?p"), b"http://a.example/r?p"),
        (RedirectAction(strip_query=True), request(b"/p?q=1#f"), b"http://a.example/p"),
    ],
)
def test_redirect_location(action: RedirectAction, call: Request, expected: bytes) -> None:
    assert compile_location(RouteMatch("prefix", "/"), action)(call) == expected


def test_redirect_follows_the_scheme_that_the_caller_used() -> None:
    call = request(b"/")
    call.headers.set("x-forwarded-proto", "https")
    assert compile_location(RouteMatch(), RedirectAction(path="/x"))(call) == b"https://a.example/x"
