"""The best turn is chosen, ratios are taken round by round, and tables line up."""

import dataclasses

import pytest

from bench.load import Sample, Wrk
from bench.measure import Cpu, Memory
from bench.proxies import Proxy
from bench.report import as_json, markdown, markdown_table, result, terminal, text_table, verdicts
from bench.rounds import Contestant, Plan, Turn
from bench.scenario import Scenario
from bench.scenarios import all_scenarios

PLAN = Plan(rounds=3, seconds=1, warmup_s=1, starts=1)


def turn(cpu_us: float, requests: int = 10_000, foreign: float = 0.0) -> Turn:
    return Turn(
        sample=Sample(requests, 1_000_000, requests * 200, p50_us=1500, p99_us=3000),
        cpu=Cpu(cpu_us * requests / 1e6, user_ticks=30, system_ticks=10),
        memory=Memory(rss_kib=40 * 1024, pss_kib=30 * 1024),
        elapsed_s=1.0,
        foreign=foreign,
        steal=0.0,
    )


def contestant(name: str, *turns: Turn, ready_s: float = 0.5) -> Contestant:
    proxy = Proxy(name, ".yaml", True, lambda config, directory: [], f"{name} 1.0")
    return Contestant(proxy, ready_s, {"x-request-id": "1"}, 2, list(turns))


@pytest.fixture
def scenario() -> Scenario:
    return dataclasses.replace(all_scenarios()["http-small"], load=FixedLoad())


class FixedLoad(Wrk):
    def __init__(self) -> None:
        super().__init__("/small")

    def version(self) -> str:
        return "wrk 4"


def test_figures_are_those_of_the_best_turn(scenario: Scenario) -> None:
    found = result(scenario, [contestant("plait", turn(30), turn(20), turn(40))]).figures[0]
    assert found.cpu_us == pytest.approx(20)
    assert found.cpu_us_median == pytest.approx(30)
    assert found.user_us == pytest.approx(15)
    assert found.system_us == pytest.approx(5)
    assert found.busy == pytest.approx(0.2)


def test_ratios_compare_the_bests_and_the_rounds(scenario: Scenario) -> None:
    plait = contestant("plait", turn(20), turn(40), turn(30))
    envoy = contestant("envoy", turn(40), turn(50), turn(50), ready_s=0.25)
    (ratios,) = result(scenario, [plait, envoy]).ratios
    assert (ratios.proxy, ratios.over) == ("plait", "envoy")
    assert ratios.cpu == pytest.approx(0.5)
    assert ratios.cpu_median == pytest.approx(0.6)
    assert ratios.rss == pytest.approx(1.0)
    assert ratios.ready == pytest.approx(2.0)


def test_one_proxy_alone_has_no_ratios(scenario: Scenario) -> None:
    alone = result(scenario, [contestant("plait", turn(20))])
    assert alone.ratios == []
    assert "÷" not in terminal(alone)


def test_targets_are_judged_against_envoy(scenario: Scenario) -> None:
    found = result(scenario, [contestant("plait", turn(30), ready_s=1.5), contestant("envoy", turn(40))])
    assert verdicts(found) == [
        "missed: CPU per request over Envoy's 0.75, at most 0.65",
        "reached: resident memory over Envoy's 1.00, at most 1.30",
        "missed: seconds until ready 1.50, at most 1.00",
    ]


def test_a_core_taken_by_others_makes_a_figure_doubtful(scenario: Scenario) -> None:
    found = result(scenario, [contestant("nginx", turn(20, foreign=0.3), turn(25))])
    assert verdicts(found) == ["doubtful: others took 30% of the core and the host 0% in the best turn of nginx"]


def test_text_table_aligns_columns() -> None:
    assert text_table(("name", "n"), [("a", "100"), ("long one", "7")]) == "name        n\na         100\nlong one    7"


def test_markdown_table_has_a_rule_and_aligned_numbers() -> None:
    assert markdown_table(("name", "n"), [("a", "1")]) == "| name | n |\n| --- | ---: |\n| a | 1 |"


def test_reports_hold_every_proxy_and_turn(scenario: Scenario) -> None:
    found = result(scenario, [contestant("plait", turn(20)), contestant("envoy", turn(40))])
    text = markdown([found], PLAN)
    assert "plait (plait 1.0), envoy (envoy 1.0)" in text
    assert "| plait ÷ envoy | 0.50 |" in text
    written = as_json([found], PLAN)["scenarios"][0]
    assert written["ratios"][0]["cpu"] == pytest.approx(0.5)
    assert [len(turns) for turns in written["turns"].values()] == [1, 1]
