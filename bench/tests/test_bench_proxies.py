"""The configurations are complete, and get the ports that the harness chose."""

from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.proxies import CONFIGS, MOSN, Ports, default_names, known, plait, with_ports
from bench.scenarios import all_scenarios

PORTS = Ports(listener=21001, admin=21002, upstream=21003)


def test_ports_are_replaced_and_longer_numbers_left() -> None:
    text = "listen 10000; admin 9901; to 127.0.0.1:18080; requests 1000000000; 99010"
    assert with_ports(text, PORTS) == "listen 21001; admin 21002; to 127.0.0.1:21003; requests 1000000000; 99010"


def _files() -> list[str]:
    """The configurations of all scenarios: Plait's, and those of the peers that speak the protocol."""
    configs = {scenario.config for scenario in all_scenarios().values()}
    return sorted(path.name for path in CONFIGS.iterdir() if path.name.partition(".")[0] in configs)


@pytest.mark.parametrize("file", _files())
def test_every_configuration_has_both_ports(file: str) -> None:
    text = with_ports((CONFIGS / file).read_text(), PORTS)
    assert "21001" in text
    assert "21003" in text


@pytest.mark.parametrize("config", sorted({scenario.config for scenario in all_scenarios().values()}))
def test_plait_takes_part_in_every_scenario(config: str) -> None:
    assert f"{config}.yaml" in _files()


def test_mosn_takes_part_only_where_there_is_a_binary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(MOSN, raising=False)
    assert "mosn" not in default_names()
    monkeypatch.setenv(MOSN, str(tmp_path / "mosn"))
    assert "mosn" in default_names()
    with pytest.raises(BenchError, match="MOSN=PATH names its binary"):
        known(["mosn"], Path("mesh"), None)


def test_unknown_proxy_is_named() -> None:
    with pytest.raises(BenchError, match="no proxy named squid"):
        known(["squid"], Path("mesh"), None)


def test_missing_plait_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="make setup"):
        plait("plait", tmp_path / "mesh")
