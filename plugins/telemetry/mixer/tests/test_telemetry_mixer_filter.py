"""Checks as streams and connections meet them."""

from collections.abc import Mapping
from typing import Any, cast

import pytest

from plait import (
    CONTINUE,
    STOP,
    Adapter,
    CheckResult,
    Connection,
    Extension,
    Headers,
    NetworkFilterType,
    Response,
)
from plait.testing import FakeContext, FakeStream, run_filter
from plait_telemetry_mixer import MixerSettings, plait_filters
from plait_telemetry_mixer.attributes import VOCABULARY, AttributeBag, HeaderMap
from plait_telemetry_mixer.engine import Checker
from plait_telemetry_mixer.filter import MixerFilter, ResponseMixerFilter, mixer_filter
from plait_telemetry_mixer.settings import ActionSettings, HeaderOperation, InstanceSettings, RuleSettings


class Recorder(Adapter):
    """Answers what it is told to, and remembers what it was asked."""

    def __init__(self, result: CheckResult | None = None) -> None:
        self.result = result or CheckResult()
        self.asked: list[tuple[str, Mapping[str, object]]] = []
        self.closed = False

    def check(self, template: str, instance: Mapping[str, object]) -> CheckResult:
        self.asked.append((template, instance))
        return self.result

    def close(self) -> None:
        self.closed = True


NOTHING = InstanceSettings("nothing", "checknothing")
ALL = RuleSettings("all", actions=(ActionSettings("h", ("nothing",)),))


def settings(*rules: RuleSettings, instances: tuple[InstanceSettings, ...] = (NOTHING,), **more: Any) -> MixerSettings:
    return MixerSettings((Extension("h", "recorder"),), instances, rules, **more)


def made(adapter: Adapter, written: MixerSettings) -> tuple[MixerFilter, FakeContext]:
    context = FakeContext(objects={"h": adapter})
    return mixer_filter(written, context), context


def test_request_without_a_rule_goes_on() -> None:
    mixer, context = made(Recorder(), settings())
    assert run_filter(mixer, FakeStream()).forwarded
    assert context.fake_stats.values() == {"mixer.check.ok": 1}


@pytest.mark.parametrize(
    ("code", "status"),
    [(7, 403), (16, 401), (8, 429), (5, 404), (3, 400), (14, 503), (13, 500), (4, 504), (99, 500)],
)
def test_refusal_has_a_status_and_a_reason(code: int, status: int) -> None:
    mixer, context = made(Recorder(CheckResult(code, "because")), settings(ALL))
    stream = run_filter(mixer, FakeStream())
    assert stream.replied
    assert stream.response is not None
    assert (stream.response.status, stream.response.body) == (status, b"h.nothing:because")
    assert (stream.flags, stream.details) == (("UAEX",), "mixer_check_denied")
    assert stream.attributes["check.error_code"] == code
    assert stream.attributes["check.error_message"] == "h.nothing:because"
    assert context.fake_stats.values() == {"mixer.check.denied": 1}


@pytest.mark.parametrize(("path", "refused"), [("/admin", True), ("/shop", False)])
def test_rule_is_about_what_matches(path: str, refused: bool) -> None:
    rule = RuleSettings("admin", 'request.url_path == "/admin"', ALL.actions)
    mixer, _ = made(Recorder(CheckResult(7)), settings(rule))
    assert run_filter(mixer, FakeStream(path=f"{path}?q=1")).replied is refused


def test_rule_about_what_is_absent_does_not_match() -> None:
    rule = RuleSettings("who", 'request.headers["x-user"] != "root"', ALL.actions)
    mixer, _ = made(Recorder(CheckResult(7)), settings(rule))
    assert run_filter(mixer, FakeStream()).forwarded
    assert run_filter(mixer, FakeStream(headers={"x-user": "eve"})).replied


def test_instances_are_filled_from_attributes() -> None:
    adapter = Recorder()
    who = InstanceSettings(
        "who",
        "authorization",
        {
            "subject": {"user": 'request.headers["X-User"] | "nobody"', "properties": {"ip": "source.ip"}},
            "action": {"service": "api.service", "method": "request.method", "properties": {"tenant": "acme.tenant"}},
        },
    )
    written = settings(
        RuleSettings(actions=(ActionSettings("h", ("who",)),)),
        instances=(who,),
        attribute_manifest={"acme.tenant": "STRING"},
        mixer_attributes={"acme.tenant": "blue"},
    )
    mixer, _ = made(adapter, written)
    stream = FakeStream("POST", authority="cart", headers={"x-user": "eve"})
    stream.attributes["acme.tenant"] = 3  # not text: another plugin's mistake is no attribute
    run_filter(mixer, stream)
    (asked,) = adapter.asked
    assert asked[0] == "authorization"
    subject: Any = asked[1]["subject"]
    assert subject["user"] == "eve"
    assert str(subject["properties"]["ip"]) == "192.0.2.1"
    action = asked[1]["action"]
    assert action == {"service": "cart", "method": "POST", "properties": {"tenant": "blue"}}


@pytest.mark.parametrize("fail_open", [False, True])
def test_what_cannot_be_checked_is_refused_unless_told_otherwise(fail_open: bool) -> None:
    entry = InstanceSettings("entry", "listentry", {"value": 'request.headers["x-user"]'})
    written = settings(
        RuleSettings(actions=(ActionSettings("h", ("entry",)),)), instances=(entry,), policy_check_fail_open=fail_open
    )
    mixer, context = made(Recorder(), written)
    stream = run_filter(mixer, FakeStream())
    assert stream.forwarded is fail_open
    assert context.fake_stats.values()["mixer.check.error"] == 1
    if not fail_open:
        assert stream.response is not None
        assert (stream.response.status, stream.response.body) == (500, b"h.entry:the check failed")


def test_rule_that_cannot_be_evaluated_is_no_way_around_it() -> None:
    rule = RuleSettings("net", 'ip(request.headers["x-ip"]) == ip("10.0.0.1")', ALL.actions)
    mixer, _ = made(Recorder(), settings(rule))
    assert run_filter(mixer, FakeStream(headers={"x-ip": "garbage"})).replied


def test_answer_is_used_again_for_the_same_attributes() -> None:
    adapter = Recorder(CheckResult(7, "no"))
    rule = RuleSettings("who", '(request.headers["x-user"] | "") == "eve"', ALL.actions)
    mixer, context = made(adapter, settings(rule))
    streams = [
        run_filter(mixer, FakeStream(path=path, headers={"x-user": user}))
        for user, path in (("eve", "/a"), ("eve", "/b"), ("bob", "/a"), ("bob", "/b"))
    ]
    assert [stream.replied for stream in streams] == [True, True, False, False]
    assert [stream.attributes["check.cache_hit"] for stream in streams] == [False, True, False, True]
    assert len(adapter.asked) == 1
    assert context.fake_stats.values() == {
        "mixer.check.denied": 2,
        "mixer.check.ok": 2,
        "mixer.check.cache_hit": 2,
    }


@pytest.mark.parametrize(
    ("result", "times"),
    [(CheckResult(0, "", 60, 2), 2), (CheckResult(0, "", 60, 1), 4), (CheckResult(0, "", 0, 99), 4)],
)
def test_answer_is_used_no_more_often_than_it_is_valid(result: CheckResult, times: int) -> None:
    adapter = Recorder(result)
    mixer, _ = made(adapter, settings(ALL))
    for _ in range(4):
        run_filter(mixer, FakeStream())
    assert len(adapter.asked) == times


def test_answer_is_used_no_longer_than_it_is_valid() -> None:
    now = 100.0
    adapter = Recorder(CheckResult(0, "", 5.0, 1000))
    checker = Checker(settings(ALL), FakeContext(objects={"h": adapter}), clock=lambda: now)
    for now, asked in ((100.0, 1), (104.9, 1), (105.0, 2), (109.9, 2)):  # noqa: B007 - the clock reads it
        stream = FakeStream()
        checker.check(AttributeBag(stream.connection, stream, checker.types, checker.own))
        assert len(adapter.asked) == asked


def test_cache_is_bounded_and_can_be_turned_off() -> None:
    rule = RuleSettings("any", 'request.path != "/none"', ALL.actions)
    for entries, again in ((2, 3), (0, 6)):
        adapter = Recorder()
        mixer, _ = made(adapter, settings(rule, check_cache_entries=entries))
        for path in ("/a", "/a", "/b", "/b", "/c", "/c"):
            run_filter(mixer, FakeStream(path=path))
        assert len(adapter.asked) == again
        run_filter(mixer, FakeStream(path="/a"))
        assert len(adapter.asked) == again + 1, "the oldest answer is gone"


def test_headers_change_where_a_rule_let_the_request_pass() -> None:
    rule = RuleSettings(
        "headers",
        'request.headers["x-user"] == "eve"',
        request_header_operations=(
            HeaderOperation("x-user", ('"<" + request.headers["x-user"] + ">"',)),
            HeaderOperation("x-tag", ('"a"', '"b"'), "APPEND"),
            HeaderOperation("x-secret", (), "REMOVE"),
        ),
        response_header_operations=(HeaderOperation("x-seen", ("request.method",)),),
    )
    mixer, _ = made(Recorder(), settings(rule))
    assert isinstance(mixer, ResponseMixerFilter)
    for _ in range(2):  # the second time from the cache
        stream = FakeStream(headers={"x-user": "eve", "x-tag": "0", "x-secret": "s"})
        run_filter(mixer, stream, Response(200, Headers([(b"x-seen", b"old")])))
        assert list(stream.request.headers) == [("x-tag", "0"), ("x-user", "<eve>"), ("x-tag", "a"), ("x-tag", "b")]
        assert stream.response is not None
        assert list(stream.response.headers) == [("x-seen", "GET")]
    plain = run_filter(mixer, FakeStream(headers={"x-user": "bob"}))
    assert plain.response is not None
    assert list(plain.response.headers) == []


def test_handlers_are_closed_with_the_filter() -> None:
    adapter = Recorder()
    mixer, _ = made(adapter, settings(ALL))
    mixer.close()
    assert adapter.closed


class Transport:
    closed = False

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(("ip", "refused"), [("10.0.0.1", True), ("10.0.0.2", False), ("", False)])
def test_connection_is_refused_by_its_address(ip: str, refused: bool) -> None:
    rule = RuleSettings("net", 'source.ip == ip("10.0.0.1") && context.protocol == "tcp"', ALL.actions)
    context = FakeContext(objects={"h": Recorder(CheckResult(7, "no"))})
    (network,) = [found for found in plait_filters() if isinstance(found, NetworkFilterType)]
    mixer = network.factory(settings(rule), context)
    transport = Transport()
    connection = Connection(cast("Any", transport))
    connection.peer_ip = ip
    assert mixer.on_connection(connection) is (STOP if refused else CONTINUE)
    assert transport.closed is refused
    assert connection.flags == (("UAEX",) if refused else ())
    assert connection.details == ("mixer_check_denied" if refused else "")
    assert connection.attributes.get("check.error_message") == ("h.nothing:no" if refused else None)


def bag(stream: FakeStream) -> AttributeBag:
    return AttributeBag(stream.connection, stream, VOCABULARY, {})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("request.path", "/a/b?x=1&x=2&y=#f"),
        ("request.url_path", "/a/b"),
        ("request.query_params", {"x": "1", "y": ""}),
        ("request.method", "POST"),
        ("request.host", "shop"),
        ("request.size", 4),
        ("request.useragent", "curl"),
        ("request.id", "7"),
        ("context.protocol", "http"),
        ("api.service", "shop"),
        ("connection.id", "0"),
        ("source.port", 40000),
    ],
)
def test_attribute_comes_from_the_request(name: str, value: object) -> None:
    headers = {"user-agent": "curl", "x-request-id": "7", "content-length": "4"}
    stream = FakeStream("POST", "/a/b?x=1&x=2&y=#f", authority="shop", headers=headers, body=b"body")
    assert bag(stream).value(name) == value


def test_rpc_has_an_operation_and_a_protocol_of_its_own() -> None:
    stream = FakeStream("", "greet", authority="com.acme.Greeter", protocol="bolt")
    found = bag(stream)
    names = ("context.protocol", "api.protocol", "api.service", "api.operation")
    assert [found.value(name) for name in names] == ["bolt", "bolt", "com.acme.Greeter", "greet"]
    grpc = bag(FakeStream("POST", "/acme.Greeter/Greet", headers={"content-type": "application/grpc+proto"}))
    assert [grpc.value(name) for name in names] == ["grpc", "grpc", "acme.Greeter", "Greet"]


def test_headers_have_pseudo_headers_among_them() -> None:
    headers = HeaderMap(FakeStream("PUT", "/x", authority="h", headers={"A": "1"}).request)
    assert [headers.get(name) for name in (":method", ":path", ":authority", ":scheme", "a", "b")] == [
        "PUT",
        "/x",
        "h",
        None,
        "1",
        None,
    ]
    assert dict(headers.items()) == {"a": "1"}
