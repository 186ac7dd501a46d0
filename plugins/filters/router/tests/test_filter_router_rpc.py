"""The router behind generic_proxy and dubbo_proxy: trees in its table, and no headers of its own."""

from typing import Any

import pytest

from plait import FilterType
from plait.api import (
    CONTINUE,
    STOP,
    ConfigError,
    DirectResponse,
    ForwardAction,
    HeaderOp,
    HeaderOps,
    Headers,
    InputMatches,
    MatcherList,
    MatcherMap,
    MatcherTree,
    MatchInput,
    OnMatch,
    RegexRewrite,
    Response,
    Route,
    RouteConfiguration,
    RouteMatch,
    Stream,
    StringMatcher,
    Verdict,
    VirtualHost,
    WeightedCluster,
)
from plait.stream import ForwardOptions
from plait.testing import FakeContext, FakeStream
from plait_filter_router import Router, plait_filters
from plait_filter_router.settings import RPC

Sent = list[tuple[str, ForwardOptions]]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    """What was forwarded: clusters and options."""
    calls: Sent = []

    def forward(stream: Stream, cluster: Any, options: ForwardOptions) -> Verdict:
        calls.append((cluster, options))
        return STOP

    monkeypatch.setattr("plait_filter_router.filter.forward", forward)
    return calls


def to(cluster: str, **more: Any) -> OnMatch:
    return OnMatch(Route(RouteMatch(), ForwardAction(cluster=cluster, **more)))


def router(tree: MatcherTree, *, domains: tuple[str, ...] = ("*",)) -> Router:
    table = RouteConfiguration("rpc", (VirtualHost("all", domains, matcher=tree),), any_case=False)
    context = FakeContext(clusters={"one": "one", "two": "two"}, route_configurations={"rpc": table})
    return Router(RPC, context.for_chain("generic_proxy.in", "rpc"))


def call(router: Router, service: str, method: str = "get", headers: dict[str, str] | None = None) -> FakeStream:
    stream = FakeStream(path=method, authority=service, headers=headers)
    stream.request.raw_method = b""
    stream.found_route = router.route(stream)
    return stream


SERVICES = MatcherMap(MatchInput("service"), (("a", to("one", timeout_s=2.5)), ("b", to("two"))))


def test_services_go_to_the_clusters_that_the_tree_says(sent: Sent) -> None:
    end = router(SERVICES)
    for service in ("b", "a"):
        assert end.on_request(call(end, service)) is STOP
    assert [(cluster, options.timeout_s) for cluster, options in sent] == [("two", 15.0), ("one", 2.5)]


def test_calls_without_a_route_are_answered_404(sent: Sent) -> None:
    for end in (router(SERVICES), router(SERVICES, domains=("other",))):
        stream = call(end, "c")
        end.on_request(stream)
        assert (stream.response and stream.response.status, stream.details, stream.flags) == (
            404, "route_not_found", ("NR",)
        )  # fmt: skip
    assert not sent


def test_attachments_stay_as_they_are(sent: Sent) -> None:
    end = router(SERVICES)
    stream = call(end, "a", headers={"x-envoy-upstream-rq-timeout-ms": "7"})
    end.on_request(stream)
    assert list(stream.request.headers) == [("x-envoy-upstream-rq-timeout-ms", "7")]
    assert not stream.request.headers.changed
    assert sent[0][1].timeout_s == 2.5, "a caller's attachment steers nothing"

    assert not end.sees_responses
    stream.response, stream.details = Response(200, Headers([])), "via_upstream"
    assert end.on_response(stream) is CONTINUE
    assert len(stream.response.headers) == 0


def test_rewrites_leave_no_trace(sent: Sent) -> None:
    rewritten = to("one", host_rewrite="b", regex_rewrite=RegexRewrite("^get", "fetch"))
    end = router(MatcherList((), rewritten))
    stream = call(end, "a", "getAll")
    end.on_request(stream)
    assert (stream.request.authority, stream.request.path) == ("b", "fetchAll")
    assert len(stream.request.headers) == 0


def test_shares_header_operations_and_answers_are_those_of_http(sent: Sent) -> None:
    shares = ForwardAction(weighted=(WeightedCluster("one", 0), WeightedCluster("two", 1)))
    tagged = Route(RouteMatch(), shares, headers=HeaderOps(request_add=(HeaderOp("x-way", "rpc"),)))
    answer = Route(RouteMatch(), DirectResponse(503, b"closed"))
    asks = InputMatches(MatchInput("method"), StringMatcher("exact", "close"))
    end = router(MatcherList(((asks, OnMatch(answer)),), OnMatch(tagged)))
    stream = call(end, "a")
    end.on_request(stream)
    assert [cluster for cluster, _ in sent] == ["two"]
    assert list(stream.request.headers) == [("x-way", "rpc")]

    stream = call(end, "a", "close")
    end.on_request(stream)
    assert stream.response is not None
    assert (stream.response.status, stream.response.body) == (503, b"closed")


def test_settings_of_filters_are_found_on_routes_of_a_tree() -> None:
    route = Route(RouteMatch(), ForwardAction(cluster="one"), filter_settings={"fault": 1})
    end = router(MatcherList((), OnMatch(route)))
    found = end.route(call(end, "a"))
    assert found is not None
    assert found.filter_settings == {"fault": 1}


@pytest.mark.parametrize(
    ("tree", "what"),
    [
        (MatcherMap(MatchInput("colour"), ()), "matcher of virtual host 'all': unknown input 'colour'"),
        (MatcherList((), OnMatch("x")), "matcher of virtual host 'all': an action of its matcher is no route"),
    ],
)
def test_a_tree_that_does_not_compile_refuses_the_chain(tree: MatcherTree, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        router(tree)


def test_the_router_is_registered_under_each_of_envoy_s_names() -> None:
    registered: list[FilterType] = plait_filters()
    assert [one.name for one in registered] == [
        "envoy.filters.http.router", "envoy.filters.generic.router", "envoy.filters.dubbo.router"
    ]  # fmt: skip
    assert all(one.terminal and one.factory is Router for one in registered)


def test_services_are_told_apart_by_case() -> None:
    end = router(SERVICES, domains=("a",))
    assert end.route(call(end, "a")) is not None
    assert end.route(call(end, "A")) is None
