"""Faults as a stream meets them."""

import asyncio
from collections.abc import Mapping
from typing import cast

import pytest

from plait import ConfigError, FilterType, ForwardAction, HeaderMatcher, Route, RouteMatch, StringMatcher
from plait.testing import FakeContext, FakeStream
from plait_filter_fault import Abort, Delay, FaultFilter, FaultSettings, Share, plait_filters

ALWAYS = Share(1_000_000)
NEVER = Share(0)


class Counted:
    """The statistics of one filter, without their prefix."""

    def __init__(self, context: FakeContext) -> None:
        self._context = context

    def values(self) -> dict[str, int]:
        return {name.removeprefix("http.in.fault."): value for name, value in self._context.fake_stats.values().items()}


def asked(
    headers: Mapping[str, str] | None = None, own: object | None = None, path: str = "/", cluster: str = ""
) -> FakeStream:
    return FakeStream(
        path=path,
        headers=headers,
        route=Route(RouteMatch(), ForwardAction(cluster)) if cluster else None,
        route_settings={"envoy.filters.http.fault": own} if own is not None else None,
    )


def made(settings: FaultSettings) -> tuple[FaultFilter, Counted]:
    context = cast("FakeContext", FakeContext().for_chain("http.in."))
    return FaultFilter(settings, context), Counted(context)


def outcome(faulty: FaultFilter, stream: FakeStream) -> int:
    """The status that the filter answers with; 0 when it lets the request go on."""
    asyncio.run(stream.settled(faulty.on_request(stream), "on_request"))
    return stream.response.status if stream.response else 0


def test_hook_registers_the_filter() -> None:
    (found,) = plait_filters()
    assert isinstance(found, FilterType)
    assert found.name == "envoy.filters.http.fault"


def test_abort_answers_with_flag_details_and_count() -> None:
    faulty, stats = made(FaultSettings(abort=Abort(ALWAYS, 503)))
    stream = asked({})
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
    stream = asked({})
    assert outcome(faulty, stream) == 0
    assert stream.flags == ("DI",)
    assert stats.values() == {"delays_injected": 1, "active_faults": 1}


def test_delayed_request_is_aborted_as_one_active_fault() -> None:
    faulty, stats = made(FaultSettings(Delay(ALWAYS, 0.001), Abort(ALWAYS, 500), max_active_faults=1))
    stream = asked({})
    assert outcome(faulty, stream) == 500
    assert stream.flags == ("DI", "FI")
    assert stats.values() == {"delays_injected": 1, "aborts_injected": 1, "active_faults": 1}


def test_share_of_nothing_or_no_fault_lets_everything_go_on() -> None:
    for settings in (FaultSettings(), FaultSettings(Delay(NEVER, 1), Abort(NEVER, 500))):
        faulty, stats = made(settings)
        assert outcome(faulty, asked({})) == 0
        assert stats.values() == {}


def test_share_hits_about_as_many_as_it_says() -> None:
    faulty, _ = made(FaultSettings(abort=Abort(Share(500_000), 500)))
    hits = sum(outcome(faulty, asked({})) == 500 for _ in range(1000))
    assert 350 < hits < 650


def test_too_many_active_faults_are_left_out_and_counted() -> None:
    faulty, stats = made(FaultSettings(abort=Abort(ALWAYS, 500), max_active_faults=1))
    first = asked({})
    assert outcome(faulty, first) == 500
    assert outcome(faulty, asked({})) == 0
    assert stats.values()["faults_overflow"] == 1
    faulty.on_end(first)
    assert outcome(faulty, asked({})) == 500


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
    assert outcome(faulty, asked(headers)) == status


def test_caller_cannot_ask_for_more_than_configured() -> None:
    faulty, _ = made(FaultSettings(abort=Abort(NEVER)))
    asking = {"x-envoy-fault-abort-request": "500", "x-envoy-fault-abort-request-percentage": "100"}
    assert outcome(faulty, asked(asking)) == 0


@pytest.mark.parametrize(("value", "delays"), [("1", 1), ("0", 0), ("soon", 0), ("-1", 0)])
def test_caller_asks_for_a_delay(value: str, delays: int) -> None:
    faulty, stats = made(FaultSettings(delay=Delay(ALWAYS)))
    assert outcome(faulty, asked({"x-envoy-fault-delay-request": value})) == 0
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
    assert outcome(faulty, asked(headers, path="/p", cluster="a")) == 500
    assert outcome(faulty, asked({**headers, "x-who": "you"}, path="/p", cluster="a")) == 0
    assert outcome(faulty, asked({"x-who": "me"}, path="/p", cluster="a")) == 0
    assert outcome(faulty, asked(headers, path="/q", cluster="a")) == 0
    assert outcome(faulty, asked(headers, path="/p", cluster="b")) == 0
    assert outcome(faulty, asked(headers, path="/p")) == 0


def test_settings_of_the_route_replace_those_of_the_chain() -> None:
    faulty, _ = made(FaultSettings(abort=Abort(ALWAYS, 500)))
    own = FaultSettings(abort=Abort(ALWAYS, 418))
    assert [outcome(faulty, asked({}, own)) for _ in range(2)] == [418, 418]
    assert outcome(faulty, asked({}, FaultSettings())) == 0
    with pytest.raises(TypeError, match="expected FaultSettings"):
        outcome(faulty, asked({}, own=3))


@pytest.mark.parametrize("disabled", [False, True])
def test_faults_are_counted_by_calling_cluster(disabled: bool) -> None:
    faulty, stats = made(FaultSettings(abort=Abort(ALWAYS, 500), disable_downstream_cluster_stats=disabled))
    outcome(faulty, asked({"x-envoy-downstream-service-cluster": "shop"}))
    assert stats.values().get("shop.aborts_injected", 0) == (0 if disabled else 1)


def test_bad_expression_is_refused_when_the_chain_is_built() -> None:
    with pytest.raises(ConfigError, match="regular expression"):
        made(FaultSettings(headers=(HeaderMatcher("a", StringMatcher("safe_regex", "(")),)))
