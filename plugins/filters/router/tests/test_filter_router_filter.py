"""What the router does with a request, from the route table to ``forward``."""

from collections.abc import Mapping
from typing import Any, cast

import pytest

from plait.api import (
    CONTINUE,
    STOP,
    UNSOUGHT,
    ConfigError,
    Connection,
    DirectResponse,
    ForwardAction,
    HeaderOp,
    HeaderOps,
    Headers,
    MirrorPolicy,
    RedirectAction,
    RegexRewrite,
    Request,
    Response,
    RetryPolicy,
    Route,
    RouteConfiguration,
    RouteMatch,
    Stream,
    Verdict,
    VirtualHost,
    WeightedCluster,
)
from plait.stream import ForwardOptions
from plait.testing import FakeContext
from plait_filter_router import Router, RouterSettings


class Worker(FakeContext):
    """A context with one table, which can be changed, and with clusters that are their own names."""

    def __init__(self, table: RouteConfiguration | None) -> None:
        super().__init__(clusters={"one": "one", "two": "two"})
        self.table = table
        self.stat_prefix = "http.ingress"
        self.routes = "routes"

    def route_configuration(self, name: str) -> RouteConfiguration | None:
        assert name == "routes"
        return self.table


class Call(Stream):
    """A stream that remembers how it was answered."""

    upstream_host = ""

    def __init__(self, router: Router, path: bytes = b"/", host: bytes = b"a.example", **fields: str) -> None:
        request = Request(Headers([]), 1)
        request.raw_path, request.raw_authority, request.raw_method = path, host, b"GET"
        request.raw_scheme, request.protocol = b"http", "HTTP/1.1"
        for name, value in fields.items():
            request.headers.set(name.replace("_", "-"), value)
        super().__init__(request, Connection(cast("Any", None)), 0.0)
        self.connection.peer = "10.0.0.9:4711"
        self.router = router
        self.replies: list[tuple[int, bytes | str, Mapping[str, str], str, str]] = []

    @property
    def route(self) -> Route | None:
        if self.found_route is UNSOUGHT:
            self.found_route = self.router.route(self)
        return self.found_route

    def clear_route(self) -> None:
        self.found_route = UNSOUGHT

    def route_settings(self, name: str) -> object | None:
        return self.route.filter_settings.get(name) if self.route else None

    def reply(
        self,
        status: int,
        body: str | bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
        details: str = "",
        flag: str = "",
    ) -> Verdict:
        self.replies.append((status, body, headers or {}, details, flag))
        self.details = details
        return STOP

    def reset(self, reason: str, *, flag: str = "") -> None: ...

    def resume(self) -> None: ...

    async def request_body(self, limit_bytes: int = 1 << 20) -> bytes:
        return b""

    async def response_body(self, limit_bytes: int = 1 << 20) -> bytes:
        return b""


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


def table(*routes: Route, **host: Any) -> RouteConfiguration:
    return RouteConfiguration("routes", (VirtualHost("all", ("*",), routes, **host),))


def to(action: Any, match: RouteMatch | None = None, **more: Any) -> Route:
    return Route(match or RouteMatch(), action, **more)


def make(configuration: RouteConfiguration | None, **settings: bool) -> tuple[Router, Worker]:
    worker = Worker(configuration)
    return Router(RouterSettings(**settings), worker), worker


def test_request_goes_to_the_cluster_of_its_route(sent: Sent) -> None:
    router, worker = make(table(to(ForwardAction(cluster="one", timeout_s=2.5))))
    call = Call(router)
    assert router.on_request(call) is STOP
    ((cluster, options),) = sent
    assert (cluster, options.timeout_s) == ("one", 2.5)
    assert list(call.request.headers) == [("x-envoy-expected-rq-timeout-ms", "2500")]
    assert worker.fake_stats.values()["http.ingress.rq_total"] == 1


def test_first_route_that_matches_wins(sent: Sent) -> None:
    router, _ = make(
        table(
            to(ForwardAction(cluster="two"), RouteMatch("path", "/exact")),
            to(ForwardAction(cluster="one"), RouteMatch("prefix", "/")),
        )
    )
    for path in (b"/exact", b"/exact/more"):
        router.on_request(Call(router, path))
    assert [cluster for cluster, _ in sent] == ["two", "one"]


def test_request_without_a_route_is_answered_404() -> None:
    router, worker = make(table(to(ForwardAction(cluster="one"), RouteMatch("prefix", "/api"))))
    call = Call(router, b"/other")
    assert router.on_request(call) is STOP
    assert call.replies == [(404, b"", {}, "route_not_found", "NR")]
    assert worker.fake_stats.values()["http.ingress.no_route"] == 1


def test_missing_table_is_no_route() -> None:
    router, _ = make(None)
    call = Call(router)
    router.on_request(call)
    assert call.replies[0][0] == 404


def test_unknown_cluster_is_answered_as_the_route_says() -> None:
    router, worker = make(
        table(
            to(ForwardAction(cluster="gone", cluster_not_found_status=404), RouteMatch("prefix", "/x")),
            to(ForwardAction(cluster="gone")),
        )
    )
    for path, status in ((b"/x", 404), (b"/", 503)):
        call = Call(router, path)
        router.on_request(call)
        assert call.replies == [(status, b"", {}, "cluster_not_found", "NC")]
    assert worker.fake_stats.values()["http.ingress.no_cluster"] == 2


def test_direct_response_and_redirect_are_answered_here() -> None:
    router, _ = make(
        table(
            to(DirectResponse(403, b"no entry"), RouteMatch("prefix", "/secret")),
            to(RedirectAction(status=308, https=True)),
        )
    )
    call = Call(router, b"/secret")
    router.on_request(call)
    assert call.replies == [(403, b"no entry", {}, "direct_response", "")]
    call = Call(router, b"/p?q")
    router.on_request(call)
    assert call.replies == [(308, b"", {"location": "https://a.example/p?q"}, "direct_response", "")]


def test_cluster_can_come_from_a_header(sent: Sent) -> None:
    router, _ = make(table(to(ForwardAction(cluster_header="X-Cluster"))))
    router.on_request(Call(router, x_cluster="two"))
    assert sent[0][0] == "two"
    without = Call(router)
    router.on_request(without)
    assert without.replies[0][:1] == (503,)


def test_weights_share_the_traffic(sent: Sent) -> None:
    shares = (WeightedCluster("one", 3), WeightedCluster("two", 1), WeightedCluster("never", 0))
    router, _ = make(table(to(ForwardAction(weighted=shares))))
    for _ in range(1000):
        router.on_request(Call(router))
    ones = sum(cluster == "one" for cluster, _ in sent)
    assert len(sent) == 1000
    assert 650 < ones < 850


def test_share_has_header_operations_of_its_own(sent: Sent) -> None:
    headers = HeaderOps(request_add=(HeaderOp("x-share", "canary"),), response_add=(HeaderOp("x-by", "canary"),))
    router, _ = make(table(to(ForwardAction(weighted=(WeightedCluster("one", 1, headers),)))))
    call = Call(router)
    router.on_request(call)
    assert call.request.headers.get("x-share") == "canary"
    call.response = Response(200, Headers([]))
    router.on_response(call)
    assert call.response.headers.get("x-by") == "canary"


def test_header_operations_run_from_the_route_to_the_table(sent: Sent) -> None:
    def ops(level: str) -> HeaderOps:
        return HeaderOps(
            request_add=(
                HeaderOp("x-all", level),
                HeaderOp("x-last", level, "overwrite_if_exists_or_add"),
                HeaderOp("x-first", level, "add_if_absent"),
                HeaderOp("x-known", level, "overwrite_if_exists"),
            )
        )

    configuration = RouteConfiguration(
        "routes",
        (VirtualHost("all", ("*",), (to(ForwardAction(cluster="one"), headers=ops("route")),), headers=ops("host")),),
        headers=ops("table"),
    )
    router, _ = make(configuration, suppress_envoy_headers=True)
    call = Call(router)
    router.on_request(call)
    headers = call.request.headers
    assert headers.get_all("x-all") == ["route", "host", "table"]
    assert headers.get_all("x-last") == ["table"]
    assert headers.get_all("x-first") == ["route"]
    assert "x-known" not in headers


def test_values_are_filled_in_and_removal_comes_first(sent: Sent) -> None:
    headers = HeaderOps(
        request_remove=("x-user",),
        request_add=(
            HeaderOp("x-user", "%REQ(x-real-user)%@%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"),
            HeaderOp("x-empty", "%REQ(absent)%"),
            HeaderOp("x-kept", "%REQ(absent)%", keep_empty=True),
            HeaderOp("x-path", "%REQ(:PATH)%"),
        ),
    )
    router, _ = make(table(to(ForwardAction(cluster="one", prefix_rewrite="/new"), headers=headers)))
    call = Call(router, b"/old", x_user="forged", x_real_user="ann")
    router.on_request(call)
    assert call.request.headers.get_all("x-user") == ["ann@10.0.0.9"]
    assert "x-empty" not in call.request.headers
    assert call.request.headers.get("x-kept") == ""
    assert call.request.headers.get("x-path") == "/old", "headers are filled in before the path is rewritten"


def test_what_was_rewritten_is_left_in_headers(sent: Sent) -> None:
    action = ForwardAction(cluster="one", regex_rewrite=RegexRewrite("^/a", "/b"), host_rewrite="b.example")
    for quiet in (False, True):
        router, _ = make(table(to(action)), suppress_envoy_headers=quiet)
        call = Call(router, b"/a?q=1")
        router.on_request(call)
        assert (call.request.path, call.request.authority) == ("/b?q=1", "b.example")
        assert call.request.headers.get("x-envoy-original-path") == (None if quiet else "/a?q=1")
        assert call.request.headers.get("x-envoy-original-host") == (None if quiet else "a.example")


def test_response_headers_of_the_route_and_the_upstream_s_time(sent: Sent) -> None:
    headers = HeaderOps(response_add=(HeaderOp("x-by", "%UPSTREAM_HOST%"),), response_remove=("server",))
    router, _ = make(table(to(ForwardAction(cluster="one"), headers=headers)))
    call = Call(router)
    router.on_request(call)
    call.upstream_host, call.details = "127.0.0.1:80", "via_upstream"
    call.request_ended, call.response_started = 1.0, 1.0625
    call.response = Response(200, Headers([(b"server", b"x")]))
    assert router.on_response(call) is CONTINUE
    assert list(call.response.headers) == [("x-envoy-upstream-service-time", "62"), ("x-by", "127.0.0.1:80")]


def test_answer_of_our_own_has_no_upstream_time() -> None:
    router, _ = make(table())
    call = Call(router)
    router.on_request(call)
    call.response = Response(404, Headers([]))
    router.on_response(call)
    assert len(call.response.headers) == 0
    assert call.details == "route_not_found"


def test_callers_headers_change_timeouts_and_retries(sent: Sent) -> None:
    retry = RetryPolicy(("connect-failure",), num_retries=1)
    router, _ = make(table(to(ForwardAction(cluster="one", retry=retry))))
    call = Call(
        router,
        x_envoy_upstream_rq_timeout_ms="700",
        x_envoy_upstream_rq_per_try_timeout_ms="200",
        x_envoy_max_retries="4",
        x_envoy_retry_on="5xx, reset",
    )
    router.on_request(call)
    options = sent[0][1]
    assert options.timeout_s == 0.7
    assert options.retry is not None
    assert (options.retry.count, options.retry.per_try_timeout_s, options.retry.on_5xx) == (4, 0.2, True)
    assert list(call.request.headers) == [("x-envoy-expected-rq-timeout-ms", "200")]


def test_nonsense_in_callers_headers_is_dropped(sent: Sent) -> None:
    router, _ = make(table(to(ForwardAction(cluster="one"))))
    call = Call(router, x_envoy_upstream_rq_timeout_ms="soon", x_envoy_max_retries="-1")
    router.on_request(call)
    assert sent[0][1].timeout_s == 15.0
    assert list(call.request.headers) == [("x-envoy-expected-rq-timeout-ms", "15000")]


def test_virtual_host_s_retry_policy_is_for_routes_without_one(sent: Sent) -> None:
    own = to(ForwardAction(cluster="one", retry=RetryPolicy(("5xx",), 2)), RouteMatch("prefix", "/own"))
    router, _ = make(table(own, to(ForwardAction(cluster="one")), retry=RetryPolicy(("reset",), 7)))
    router.on_request(Call(router, b"/own"))
    router.on_request(Call(router, b"/"))
    assert [options.retry and options.retry.count for _, options in sent] == [2, 7]


def test_changed_table_is_used_by_the_next_stream_only(sent: Sent) -> None:
    router, worker = make(table(to(ForwardAction(cluster="one"))))
    early = Call(router)
    assert early.route is not None
    worker.table = table(to(ForwardAction(cluster="two")))
    router.on_request(Call(router))
    router.on_request(early)
    assert [cluster for cluster, _ in sent] == ["two", "one"]


def test_table_that_does_not_compile_leaves_the_one_before(sent: Sent, caplog: pytest.LogCaptureFixture) -> None:
    router, worker = make(table(to(ForwardAction(cluster="one"))))
    worker.table = table(to(ForwardAction(cluster="two"), RouteMatch("safe_regex", "(")))
    for _ in range(2):
        router.on_request(Call(router))
    assert [cluster for cluster, _ in sent] == ["one", "one"]
    assert len(caplog.records) == 1


def test_first_table_that_does_not_compile_names_its_route() -> None:
    with pytest.raises(ConfigError, match=r"route bad of virtual host 'all': regular expression '\('"):
        make(table(to(ForwardAction(cluster="one"), RouteMatch("safe_regex", "("), name="bad")))


def test_mirrors_of_a_route_are_handed_on_with_their_shares(sent: Sent) -> None:
    mirrors = (MirrorPolicy("two"), MirrorPolicy("three", 10_000))
    router, _ = make(table(to(ForwardAction(cluster="one", mirrors=mirrors))))
    router.on_request(Call(router))
    assert sent[0][1].mirrors == (("two", 1_000_000), ("three", 10_000))


def test_settings_of_the_route_win_over_host_and_table() -> None:
    configuration = RouteConfiguration(
        "routes",
        (
            VirtualHost(
                "all",
                ("*",),
                (to(ForwardAction(cluster="one"), filter_settings={"fault": "route"}),),
                filter_settings={"fault": "host", "limit": "host"},
            ),
        ),
        filter_settings={"fault": "table", "limit": "table", "third": "table"},
    )
    router, _ = make(configuration)
    call = Call(router)
    assert [call.route_settings(name) for name in ("fault", "limit", "third", "none")] == [
        "route",
        "host",
        "table",
        None,
    ]


@pytest.mark.parametrize(
    ("rule", "fields", "redirected"),
    [
        ("all", {}, True),
        ("all", {"x_forwarded_proto": "https"}, False),
        ("external_only", {"x_envoy_internal": "true"}, False),
        ("external_only", {}, True),
        ("none", {}, False),
    ],
)
def test_virtual_host_can_require_tls(sent: Sent, rule: str, fields: dict[str, str], redirected: bool) -> None:
    router, _ = make(table(to(ForwardAction(cluster="one")), require_tls=rule))
    call = Call(router, b"/p", b"a.example", **fields)
    router.on_request(call)
    assert bool(call.replies) is redirected
    if redirected:
        assert call.replies[0][:3] == (301, b"", {"location": "https://a.example/p"})


@pytest.mark.parametrize(
    "headers",
    [
        HeaderOps(request_add=(HeaderOp("host", "x"),)),
        HeaderOps(request_remove=(":path",)),
        HeaderOps(request_add=(HeaderOp("x", "%NOPE%"),)),
        HeaderOps(response_add=(HeaderOp("x", "y", "perhaps"),)),
    ],
)
def test_header_operation_that_cannot_be_is_refused(headers: HeaderOps) -> None:
    with pytest.raises(ConfigError):
        make(table(to(ForwardAction(cluster="one"), headers=headers)))
