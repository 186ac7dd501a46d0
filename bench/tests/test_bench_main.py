"""The command line says what it does not know, and leaves with the right code."""

import pytest

from bench.__main__ import FULL, QUICK, main, parser, plan_of, takes_part
from bench.scenarios import all_scenarios


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scenario", "thrift"], "no scenario named thrift: expected some of http-small"),
        (["--proxies", "squid"], "no proxy named squid: expected some of plait"),
        (["--rounds", "0"], "0 is not a positive number"),
    ],
)
def test_wrong_arguments_exit_with_2(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_quick_and_rounds_shape_the_plan() -> None:
    assert plan_of(parser().parse_args([])) == FULL
    assert plan_of(parser().parse_args(["--quick"])) == QUICK
    assert plan_of(parser().parse_args(["--quick", "--rounds", "5"])).rounds == 5


def test_proxies_take_part_where_they_have_a_configuration() -> None:
    known = all_scenarios()
    by_scenario = {
        name: {proxy for proxy in ("plait", "envoy", "nginx", "nghttpx", "mosn") if takes_part(proxy, known[name])}
        for name in ("http-small", "h2-8x32", "bolt-16x16", "dubbo-generic-16x16")
    }
    assert by_scenario == {
        "http-small": {"plait", "envoy", "nginx"},
        "h2-8x32": {"plait", "envoy", "nghttpx"},
        "bolt-16x16": {"plait", "envoy", "mosn"},
        "dubbo-generic-16x16": {"plait", "envoy"},
    }
