"""HTTP's edge rules, on a request's way in and a response's way out."""

import re
from collections.abc import Mapping
from typing import Any, cast

import pytest

from plait import (
    CONTINUE,
    STOP,
    Block,
    Connection,
    ForwardAction,
    Headers,
    Request,
    Response,
    Route,
    RouteMatch,
    Stream,
    Verdict,
)
from plait_protocol_http import EdgeSettings, HttpEdge


class Call(Stream):
    """A stream that remembers how it was answered."""

    def __init__(self, path: bytes = b"/", host: bytes = b"a.example", method: bytes = b"GET", **fields: str) -> None:
        request = Request(Headers([]), 1)
        request.raw_path, request.raw_authority, request.raw_method = path, host, method
        for name, value in fields.items():
            request.headers.append(name.replace("_", "-").encode(), value.encode())
        super().__init__(request, Connection(cast("Any", None)), 0.0)
        self.response = Response(200, Headers([]), 1)
        self.connection.peer, self.connection.peer_ip = "10.0.0.9:4711", "10.0.0.9"
        self.connection.local_port = 8080
        self.replies: list[tuple[int, Mapping[str, str], str]] = []
        self.interims: list[int] = []
        self.matched: Route | None = None

    @property
    def headers(self) -> dict[str, str]:
        return dict(self.request.headers)

    @property
    def route(self) -> Route | None:
        return self.matched

    def clear_route(self) -> None: ...

    def route_settings(self, name: str) -> object | None:
        return None

    def reply(
        self,
        status: int,
        body: str | bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
        details: str = "",
        flag: str = "",
    ) -> Verdict:
        self.replies.append((status, headers or {}, details))
        return STOP

    def reset(self, reason: str, *, flag: str = "") -> None: ...

    def resume(self) -> None: ...

    def send_interim(self, status: int, headers: Headers) -> None:
        self.interims.append(status)

    async def request_body(self, limit_bytes: int = 1 << 20) -> bytes:
        return b""

    async def response_body(self, limit_bytes: int = 1 << 20) -> bytes:
        return b""


def edge(**settings: Any) -> HttpEdge:
    return HttpEdge(EdgeSettings(**settings))


UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def test_plain_request_gets_a_scheme_and_an_id() -> None:
    call = Call(accept="*/*")
    assert edge().on_request(call) is CONTINUE
    headers = call.headers
    assert UUID.fullmatch(headers.pop("x-request-id"))
    assert headers == {"accept": "*/*", "x-forwarded-proto": "http"}
    assert call.request.scheme == "http"
    assert call._attributes is None


def test_what_the_caller_says_of_itself_is_believed_without_use_remote_address() -> None:
    call = Call(x_request_id="mine", x_forwarded_proto="https", x_forwarded_for="1.1.1.1")
    edge().on_request(call)
    assert call.headers == {"x-request-id": "mine", "x-forwarded-proto": "https", "x-forwarded-for": "1.1.1.1"}
    assert call.request.scheme == "https"
    assert call.attributes["plait.remote_address"] == "1.1.1.1"


def test_use_remote_address_names_the_peer_and_believes_nothing() -> None:
    call = Call(x_request_id="forged", x_forwarded_proto="https", x_forwarded_for="1.1.1.1")
    edge(use_remote_address=True).on_request(call)
    headers = call.headers
    assert UUID.fullmatch(headers.pop("x-request-id"))
    assert headers == {
        "x-forwarded-for": "1.1.1.1,10.0.0.9",
        "x-forwarded-proto": "http",
        "x-envoy-external-address": "10.0.0.9",
    }


def test_xff_is_left_alone_where_asked() -> None:
    call = Call()
    edge(use_remote_address=True, skip_xff_append=True, preserve_external_request_id=True).on_request(call)
    assert "x-forwarded-for" not in call.headers


def test_external_request_id_is_kept_where_asked() -> None:
    call = Call(x_request_id="theirs")
    edge(use_remote_address=True, preserve_external_request_id=True).on_request(call)
    assert call.headers["x-request-id"] == "theirs"


def test_no_id_is_made_where_not_wanted() -> None:
    call = Call()
    edge(generate_request_id=False).on_request(call)
    assert call.headers == {"x-forwarded-proto": "http"}


def test_trusted_hops_give_the_caller_s_address() -> None:
    call = Call(x_forwarded_for="1.1.1.1, 2.2.2.2", x_forwarded_proto="https")
    edge(use_remote_address=True, xff_num_trusted_hops=2).on_request(call)
    assert call.headers["x-envoy-external-address"] == "1.1.1.1"
    assert call.headers["x-forwarded-proto"] == "https", "a trusted proxy in front says how it was reached"
    assert call.attributes["plait.remote_address"] == "1.1.1.1"


def test_callers_from_outside_cannot_steer_the_router() -> None:
    fields = {
        "x_envoy_internal": "true",
        "x_envoy_max_retries": "9",
        "x_envoy_upstream_rq_timeout_ms": "1",
        "x_forwarded_client_cert": "By=x",
        "x_envoy_retry_on": "5xx",
    }
    call = Call(b"/", b"a.example", b"GET", **fields)
    edge(generate_request_id=False).on_request(call)
    assert call.headers == {"x-forwarded-proto": "http"}


def test_internal_callers_can() -> None:
    call = Call(x_envoy_max_retries="9")
    edge(use_remote_address=True, internal_ranges=("10.0.0.0/8",), generate_request_id=False).on_request(call)
    assert call.headers == {
        "x-envoy-max-retries": "9",
        "x-forwarded-for": "10.0.0.9",
        "x-forwarded-proto": "http",
        "x-envoy-internal": "true",
    }


def test_client_certificate_header_is_forwarded_where_asked() -> None:
    call = Call(x_forwarded_client_cert="By=x")
    edge(forward_client_cert=True).on_request(call)
    assert call.headers["x-forwarded-client-cert"] == "By=x"


def test_port_the_caller_came_to_can_be_named() -> None:
    call = Call()
    edge(use_remote_address=True, append_x_forwarded_port=True).on_request(call)
    assert call.headers["x-forwarded-port"] == "8080"


def test_port_that_the_caller_names_is_kept() -> None:
    call = Call(x_forwarded_port="443")
    edge(use_remote_address=True, append_x_forwarded_port=True).on_request(call)
    assert call.headers["x-forwarded-port"] == "443"


@pytest.mark.parametrize(
    ("settings", "host", "method", "expected"),
    [
        ({"strip_any_host_port": True}, b"a:1", b"GET", b"a"),
        ({"strip_any_host_port": True}, b"[::1]:1", b"GET", b"[::1]"),
        ({"strip_any_host_port": True}, b"[::1]", b"GET", b"[::1]"),
        ({"strip_matching_host_port": True}, b"a:8080", b"GET", b"a"),
        ({"strip_matching_host_port": True}, b"a:81", b"GET", b"a:81"),
        ({"strip_matching_host_port": True}, b"a:8080", b"CONNECT", b"a:8080"),
        ({"strip_trailing_host_dot": True}, b"a.b.", b"GET", b"a.b"),
        ({}, b"a:8080", b"GET", b"a:8080"),
    ],
)
def test_host_port(settings: dict[str, bool], host: bytes, method: bytes, expected: bytes) -> None:
    call = Call(host=host, method=method)
    edge(upgrades=("connect",), **settings).on_request(call)
    assert call.request.raw_authority == expected


def test_path_is_normalized_refused_or_redirected() -> None:
    call = Call(b"/a/../b")
    assert edge(normalize_path=True).on_request(call) is CONTINUE
    assert (call.request.raw_path, call.request.headers.changed) == (b"/b", True)
    call = Call(b"/a%2fb")
    assert edge(escaped_slashes="reject_request").on_request(call) is STOP
    assert call.replies == [(400, {}, "path_normalization_failed")]
    call = Call(b"/a%2fb")
    edge(escaped_slashes="unescape_and_redirect").on_request(call)
    assert call.replies == [(307, {"location": "/a/b"}, "path_normalization_failed")]


def test_path_with_a_fragment_is_refused() -> None:
    call = Call(b"/a#b")
    assert edge().on_request(call) is STOP
    assert call.replies == [(400, {}, "path_normalization_failed")]


def test_clients_cannot_say_what_was_rewritten() -> None:
    call = Call(x_envoy_original_path="/x")
    edge(use_remote_address=True, skip_xff_append=True, generate_request_id=False).on_request(call)
    assert call.headers == {"x-forwarded-proto": "http", "x-envoy-external-address": "10.0.0.9"}


def test_connect_without_a_route_is_left_to_the_router() -> None:
    assert edge().on_request(Call(method=b"CONNECT")) is CONTINUE


def test_upgrade_needs_permission() -> None:
    for settings, expected in (({}, STOP), ({"upgrades": ("websocket",)}, CONTINUE)):
        call = Call()
        call.request.upgrade = b"WebSocket"
        assert edge(**cast("Any", settings)).on_request(call) is expected
        assert call.replies == ([(403, {}, "upgrade_failed")] if expected is STOP else [])


def test_route_s_word_on_upgrades_wins() -> None:
    for allowed in (True, False):
        call = Call(method=b"CONNECT")
        call.matched = Route(RouteMatch("connect"), ForwardAction(cluster="a", upgrades={"CONNECT": allowed}))
        verdict = edge(upgrades=() if allowed else ("connect",)).on_request(call)
        assert verdict is (CONTINUE if allowed else STOP)


def test_expectation_is_answered_here() -> None:
    call = Call(expect="100-Continue")
    call.request.end = False
    edge().on_request(call)
    assert call.interims == [100]
    assert "expect" not in call.headers


def test_expectation_is_left_to_the_upstream_where_asked() -> None:
    call = Call(expect="100-continue")
    call.request.end = False
    edge(proxy_100_continue=True).on_request(call)
    assert call.interims == []
    assert call.headers["expect"] == "100-continue"


def test_underscores_are_allowed_refused_or_dropped() -> None:
    def fresh() -> Call:
        call = Call(accept="x")
        call.request.headers.append(b"x_user", b"root")
        return call

    call = fresh()
    edge().on_request(call)
    assert call.headers["x_user"] == "root"
    call = fresh()
    assert edge(underscores="reject_request").on_request(call) is STOP
    assert call.replies == [(400, {}, "http.unexpected_underscore")]
    call = fresh()
    edge(underscores="drop_header").on_request(call)
    assert "x_user" not in call.headers


def test_response_is_signed() -> None:
    call = Call()
    assert call.response is not None
    call.response.headers.append(b"server", b"upstream")
    assert edge().on_response(call) is CONTINUE
    headers = dict(call.response.headers)
    assert headers["server"] == "plait"
    assert re.fullmatch(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", headers["date"])


def test_date_of_the_upstream_stays() -> None:
    call = Call()
    assert call.response is not None
    call.response.headers.append(b"date", b"then")
    edge().on_response(call)
    assert call.response.headers.get_all("date") == ["then"]


@pytest.mark.parametrize(
    ("rule", "upstream", "expected"),
    [
        ("append_if_absent", "x", "x"),
        ("append_if_absent", None, "front"),
        ("pass_through", None, None),
        ("pass_through", "x", "x"),
        ("overwrite", "x", "front"),
    ],
)
def test_server_header(rule: str, upstream: str | None, expected: str | None) -> None:
    call = Call()
    assert call.response is not None
    if upstream:
        call.response.headers.set("server", upstream)
    edge(server_name="front", server_header=rule).on_response(call)
    assert call.response.headers.get("server") == expected


@pytest.mark.parametrize(("rule", "expected"), [("overwrite", "front"), ("append_if_absent", "filter")])
def test_server_header_of_a_filter_counts_in_responses_that_repeat(rule: str, expected: str) -> None:
    block, signs = Block([(b"a", b"b")]), edge(server_name="front", server_header=rule)
    block.repeats = True
    for name in ("", "filter"):
        call = Call()
        assert call.response is not None
        call.response.headers = Headers(block)
        if name:
            call.response.headers.set("server", name)
        signs.on_response(call)
        assert call.response.headers.get_all("server") == [expected if name else "front"]


def test_responses_that_repeat_are_marked_each_for_itself() -> None:
    block, marks = Block([(b"a", b"b")]), edge(via="front", always_set_request_id_in_response=True)
    block.repeats = True
    for number in ("1", "2"):
        call = Call(x_request_id=number)
        assert call.response is not None
        call.response.headers = Headers(block)
        marks.on_response(call)
        assert (call.response.headers.get_all("via"), call.response.headers.get("x-request-id")) == (["front"], number)


def test_via_is_added_both_ways() -> None:
    call = Call(via="1.0 old")
    front = edge(via="1.1 front")
    front.on_request(call)
    front.on_response(call)
    assert call.response is not None
    assert call.headers["via"] == "1.0 old, 1.1 front"
    assert call.response.headers.get("via") == "1.1 front"


def test_id_is_told_to_the_caller_where_asked() -> None:
    call = Call(x_request_id="seven")
    front = edge(always_set_request_id_in_response=True)
    front.on_request(call)
    front.on_response(call)
    assert call.response is not None
    assert call.response.headers.get("x-request-id") == "seven"
