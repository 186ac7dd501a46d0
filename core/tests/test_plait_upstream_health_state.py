"""What a host counts as after which results, and how long the next check waits."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.api.config import HealthCheck, TcpHealthCheck
from plait.upstream.health.state import HostState

CHECK = HealthCheck(
    TcpHealthCheck(),
    timeout_s=1,
    interval_s=10,
    unhealthy_threshold=2,
    healthy_threshold=3,
    unhealthy_interval_s=20,
    unhealthy_edge_interval_s=21,
    healthy_edge_interval_s=11,
    no_traffic_interval_s=60,
    no_traffic_healthy_interval_s=70,
)


def after(results: str, check: HealthCheck = CHECK) -> HostState:
    """Return the state after successes (``+``), failures (``-``) and failures that are believed at once (``!``)."""
    state = HostState(check)
    for result in results:
        if result == "+":
            state.succeeded()
        else:
            state.failed(result == "!")
    return state


@pytest.mark.parametrize(
    ("results", "failing"),
    [
        ("", True),
        ("+", False),
        ("-", True),
        ("-+", True),
        ("-++", True),
        ("-+++", False),
        ("-++-++", True),
        ("-++-+++", False),
        ("+-", False),
        ("+--", True),
        ("+-+-", False),
        ("+-+--", True),
        ("+!", True),
        ("+-!", True),
        ("+!+", True),
        ("+!+++", False),
        ("-!+", True),
    ],
)
def test_results_in_a_row_decide(results: str, failing: bool) -> None:
    assert after(results).failing is failing


def test_each_change_is_said_once() -> None:
    state = HostState(CHECK)
    assert [state.succeeded(), state.succeeded()] == [True, False]
    assert [state.failed(False), state.failed(False), state.failed(False)] == [False, True, False]
    assert [state.succeeded(), state.succeeded(), state.succeeded()] == [False, False, True]
    assert state.failed(True)


@pytest.mark.parametrize(
    ("results", "pause", "without_traffic"),
    [
        ("+", 10, 70),
        ("+-", 21, 60),
        ("+-+", 10, 70),
        ("+--", 20, 60),
        ("+--+", 11, 60),
        ("+--+-", 20, 60),
        ("+--+++", 10, 70),
        ("-", 20, 60),
    ],
)
def test_the_pause_is_that_of_the_verdict_and_its_doubts(results: str, pause: float, without_traffic: float) -> None:
    assert after(results).pause_s(True) == pause
    assert after(results).pause_s(False) == without_traffic


def test_a_successor_s_thresholds_hold_from_then_on() -> None:
    state = after("+-")
    state.check = attrs.evolve(CHECK, unhealthy_threshold=4)
    assert not state.failed(False)
    assert not state.failed(False)
    assert state.failed(False)


@given(st.text("+-!", min_size=1, max_size=40))
def test_the_verdict_is_that_of_the_last_results(results: str) -> None:
    state = after(results)
    if results.endswith(("!", "--")) or set(results) <= {"-", "!"}:
        assert state.failing
    if results.endswith("+++") or set(results) == {"+"}:
        assert not state.failing
    assert state.checked
