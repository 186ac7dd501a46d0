"""The flags become what the runtime is started with."""

import os

import attrs
import pytest

from plait.cli import Exit, main
from plait.cli.options import LOG_LEVELS, UsageError, checked_options
from plait.cli.verbs import own_commands, parser
from plait.runtime.logs import LEVELS
from plait.runtime.options import RunOptions


def options(*arguments: str) -> RunOptions:
    return checked_options(parser(own_commands()).parse_args(arguments))


def test_a_file_is_enough() -> None:
    expected = RunOptions(config_path="a.yaml", concurrency=len(os.sched_getaffinity(0)))
    assert options("run", "-c", "a.yaml") == expected
    assert options("validate", "--config-path", "a.yaml") == expected
    assert options("config", "show", "-c", "a.yaml") == expected


def test_every_flag_arrives() -> None:
    given = options(
        *("run", "-c", "a.yaml", "--config-yaml", "{}", "--concurrency", "0", "--service-cluster", "shop"),
        *("--service-node", "shop-1", "--log-level", "debug", "--drain-time-s", "2.5", "--mode", "validate"),
        *("--plugins", "http,filters:fault", "--plugins", "tcp", "--no-plugins", "udp, file"),
        *("--admin-address-path", "admin.txt"),
    )
    assert given == RunOptions(
        config_path="a.yaml",
        config_yaml="{}",
        concurrency=0,
        service_cluster="shop",
        service_node="shop-1",
        log_level="debug",
        drain_time_s=2.5,
        mode="validate",
        plugins=("http", "filters:fault", "tcp"),
        no_plugins=("udp", "file"),
        admin_address_path="admin.txt",
    )
    assert all(
        getattr(given, field.name) != field.default for field in attrs.fields(RunOptions) if field.name != "concurrency"
    )


def test_no_configuration_is_refused() -> None:
    with pytest.raises(UsageError):
        options("run")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--concurrency", "-1"),
        ("--concurrency", "two"),
        ("--drain-time-s", "nan"),
        ("--drain-time-s", "-3"),
        ("--log-level", "loud"),
        ("--mode", "dance"),
        ("--conc", "1"),
    ],
)
def test_wrong_values_are_usage_errors(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "-c", "a.yaml", *arguments]) == Exit.USAGE
    assert "mesh run: error:" in capsys.readouterr().err or arguments[0] == "--conc"


def test_every_level_is_known_to_the_runtime() -> None:
    assert set(LOG_LEVELS) <= set(LEVELS)
