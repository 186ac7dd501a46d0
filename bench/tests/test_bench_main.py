"""The command line says what it does not know, and leaves with the right code."""

import pytest

from bench.__main__ import FULL, QUICK, main, parser, plan_of


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scenario", "bolt"], "no scenario named bolt: expected some of http-small"),
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
