"""Faults as a stream meets them."""

import asyncio
import inspect
from collections.abc import Mapping
from typing import Any, cast

import pytest

from plait import (
    CONTINUE,
    STOP,
    ConfigError,
    Context,
    Counter,
    FilterType,
    ForwardAction,
    Gauge,
    HeaderMatcher,
    Headers,
    Histogram,
    Request,
    Response,
    Route,
    RouteMatch,
    Stats,
    Stream,
    StringMatcher,
    Verdict,
)
from plait_filter_fault import Abort, Delay, FaultFilter, FaultSettings, Share, plait_filters

ALWAYS = Share(1_000_000)
NEVER = Share(0)


class OwnStats(Stats):
    def __init__(self) -> None:
        self.all: dict[str, Counter | Gauge] = {}

    def counter(self, name: str) -> Counter:
        return cast("Counter", self.all.setdefault(name, Counter(name)))

    def gauge(self, name: str) -> Gauge:
        return cast("Gauge", self.all.setdefault(name, Gauge(name)))

    def histogram(self, name: str) -> Histogram:
        return Histogram(name)

    def values(self) -> dict[str, int]:
        return {name.removeprefix("http.in.fault."): one.value for name, one in self.all.items() if one.value}


class OwnContext:
    stat_prefix = "http.in."

    def __init__(self) -> None:
        self.stats = OwnStats()


class OwnStream(Stream):
    def __init__(
        self, headers: Mapping[str, str], own: object | None = None, path: bytes = b"/", cluster: str = ""
    ) -> None:
        self.request = Request(Headers([(name.encode(), value.encode()) for name, value in headers.items()]))
        self.request.raw_path = path
        self._own = own
        self._found = Route(RouteMatch(), ForwardAction(cluster)) if cluster else None

    @property
    def route(self) -> Route | None:
        return self._found

    def clear_route(self) -> None:
        self._found = None

    def route_settings(self, name: str) -> object | None:
        return self._own if name == "envoy.filters.http.fault" else None

    def reply(
        self,
        status: int,
        body: str | bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
        details: str = "",
        flag: str = "",
    ) -> Verdict:
        self.response = Response(status, Headers([]))
        self.response.body = body.encode() if isinstance(body, str) else body
        self.details, self.flags = details, (*self.flags, flag)
        return STOP

    def reset(self, reason: str, *, flag: str = "") -> None:
        raise AssertionError("nobody resets")

    def resume(self) -> None:
        raise AssertionError("nobody resumes")

    async def request_body(self, limit_bytes: int = 1 << 20) -> bytes:
        return b""


def made(settings: FaultSettings) -> tuple[FaultFilter, OwnStats]:
    context = OwnContext()
    return FaultFilter(settings, cast("Context", context)), context.stats


def outcome(faulty: FaultFilter, stream: OwnStream) -> int:
    """The status that the filter answers with; 0 when it lets the request go on."""
    verdict = faulty.on_request(stream)
    if inspect.isawaitable(verdict):
        verdict = asyncio.run(cast("Any", verdict))
    assert verdict is (CONTINUE if stream.response is None else STOP)
    return stream.response.status if stream.response else 0


def test_hook_registers_the_filter() -> None:
    (found,) = plait_filters()
    assert isinstance(found, FilterType)
    assert found.name == "envoy.filters.http.fault"


def test_abort_answers_with_flag_details_and_count() -> None:
    faulty, stats = made(FaultSettings(abort=Abort(ALWAYS, 503)))
    stream = OwnStream({})
    assert outcome(faulty, stream) == 503
    assert stream.response is not None
    assert stream.response.body == b"fault filter abort"
    assert (stream.flags, stream.details) == (("FI",), "fault_filter_abort")
    assert stats.values() == {"aborts_injected": 1, "active_faults": 1}
    faulty.on_end(stream)
    faulty.on_end(stream)
    assert stats.values() == {"aborts_injected": 1}


def test_delay_waits_and_then_lets_go_on() -> None:
    faulty, stats = made(FaultSettings(delay=Delay(ALWAYS, 0.001)))
    stream = OwnStream({})
    assert outcome(faulty, stream) == 0
    assert stream.flags == ("DI",)
    assert stats.values() == {"delays_injected": 1, "active_faults": 1}


def test_delayed_request_is_aborted_as_one_active_fault() -> None:
    faulty, stats = made(FaultSettings(Delay(ALWAYS, 0.001), Abort(ALWAYS, 500), max_active_faults=1))
    stream = OwnStream({})
    assert outcome(faulty, stream) == 500
    assert stream.flags == ("DI", "FI")
    assert stats.values() == {"delays_injected": 1, "aborts_injected": 1, "active_faults": 1}


def test_share_of_nothing_or_no_fault_lets_everything_go_on() -> None:
    for settings in (FaultSettings(), FaultSettings(Delay(NEVER, 1), Abort(NEVER, 500))):
        faulty, stats = made(settings)
        assert outcome(faulty, OwnStream({})) == 0
        assert stats.values() == {}


def test_share_hits_about_as_many_as_it_says() -> None:
    faulty, _ = made(FaultSettings(abort=Abort(Share(500_000), 500)))
    hits = sum(outcome(faulty, OwnStream({})) == 500 for _ in range(1000))
    assert 350 < hits < 650


def test_too_many_active_faults_are_left_out_and_counted() -> None:
    faulty, stats = made(FaultSettings(abort=Abort(ALWAYS, 500), max_active_faults=1))
    first = OwnStream({})
    assert outcome(faulty, first) == 500
    assert outcome(faulty, OwnStream({})) == 0
    assert stats.values()["faults_overflow"] == 1
    faulty.on_end(first)
    assert outcome(faulty, OwnStream({})) == 500


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 0),
        ({"x-envoy-fault-abort-request": "418"}, 418),
        ({"x-envoy-fault-abort-request": "199"}, 0),
        ({"x-envoy-fault-abort-request": "600"}, 0),
        ({"x-envoy-fault-abort-request": "teapot"}, 0),
        ({"x-envoy-fault-abort-request": "418", "x-envoy-fault-abort-request-percentage": "0"}, 0),
        ({"x-envoy-fault-abort-request": "418", "x-envoy-fault-abort-request-percentage": "many"}, 418),
        ({"x-envoy-fault-abort-request": "418", "x-envoy-fault-abort-request-percentage": "100"}, 418),
    ],
)
def test_caller_asks_for_an_abort(headers: dict[str, str], status: int) -> None:
    faulty, _ = made(FaultSettings(abort=Abort(ALWAYS)))
    assert outcome(faulty, OwnStream(headers)) == status


def test_caller_cannot_ask_for_more_than_configured() -> None:
    faulty, _ = made(FaultSettings(abort=Abort(NEVER)))
    asking = {"x-envoy-fault-abort-request": "500", "x-envoy-fault-abort-request-percentage": "100"}
    assert outcome(faulty, OwnStream(asking)) == 0


@pytest.mark.parametrize(("value", "delays"), [("1", 1), ("0", 0), ("soon", 0), ("-1", 0)])
def test_caller_asks_for_a_delay(value: str, delays: int) -> None:
    faulty, stats = made(FaultSettings(delay=Delay(ALWAYS)))
    assert outcome(faulty, OwnStream({"x-envoy-fault-delay-request": value})) == 0
    assert stats.values().get("delays_injected", 0) == delays


def test_only_requests_that_match_suffer() -> None:
    matchers = (
        HeaderMatcher("x-who", StringMatcher("exact", "me")),
        HeaderMatcher(":path", StringMatcher("prefix", "/p")),
    )
    faulty, _ = made(
        FaultSettings(
            abort=Abort(ALWAYS, 500), upstream_cluster="a", headers=matchers, downstream_nodes=frozenset({"n"})
        )
    )
    headers = {"x-who": "me", "x-envoy-downstream-service-node": "n"}
    assert outcome(faulty, OwnStream(headers, path=b"/p", cluster="a")) == 500
    assert outcome(faulty, OwnStream({**headers, "x-who": "you"}, path=b"/p", cluster="a")) == 0
    assert outcome(faulty, OwnStream({"x-who": "me"}, path=b"/p", cluster="a")) == 0
    assert outcome(faulty, OwnStream(headers, path=b"/q", cluster="a")) == 0
    assert outcome(faulty, OwnStream(headers, path=b"/p", cluster="b")) == 0
    assert outcome(faulty, OwnStream(headers, path=b"/p")) == 0


def test_settings_of_the_route_replace_those_of_the_chain() -> None:
    faulty, _ = made(FaultSettings(abort=Abort(ALWAYS, 500)))
    own = FaultSettings(abort=Abort(ALWAYS, 418))
    assert [outcome(faulty, OwnStream({}, own)) for _ in range(2)] == [418, 418]
    assert outcome(faulty, OwnStream({}, FaultSettings())) == 0
    with pytest.raises(TypeError, match="expected FaultSettings"):
        outcome(faulty, OwnStream({}, own=3))


@pytest.mark.parametrize("disabled", [False, True])
def test_faults_are_counted_by_calling_cluster(disabled: bool) -> None:
    faulty, stats = made(FaultSettings(abort=Abort(ALWAYS, 500), disable_downstream_cluster_stats=disabled))
    outcome(faulty, OwnStream({"x-envoy-downstream-service-cluster": "shop"}))
    assert stats.values().get("shop.aborts_injected", 0) == (0 if disabled else 1)


def test_bad_expression_is_refused_when_the_chain_is_built() -> None:
    with pytest.raises(ConfigError, match="regular expression"):
        made(FaultSettings(headers=(HeaderMatcher("a", StringMatcher("safe_regex", "(")),)))
