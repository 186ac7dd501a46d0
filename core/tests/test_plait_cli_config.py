"""`mesh config show` and `mesh validate`: what they print of a configuration that is right."""

import json

import pytest
import yaml

import plait
from plait import runtime
from plait.cli import Exit, main
from plait.runtime.options import RunOptions
from plait.runtime.plain import plain


@pytest.fixture
def bootstrap(monkeypatch: pytest.MonkeyPatch) -> plait.Bootstrap:
    """What the runtime gives for any configuration of this test."""
    made = plait.Bootstrap(node=plait.Node("sidecar", "shop"), clusters=(plait.Cluster("echo"),))

    def validate(options: RunOptions) -> plait.Bootstrap:
        assert options.config_path == "a.yaml"
        return made

    monkeypatch.setattr(runtime, "validate", validate)
    return made


@pytest.mark.parametrize("format", ["yaml", "json"])
def test_show_prints_the_whole_model(
    bootstrap: plait.Bootstrap, format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["config", "show", "-c", "a.yaml", "--format", format]) == Exit.OK
    text = capsys.readouterr().out
    assert (json.loads(text) if format == "json" else yaml.safe_load(text)) == plain(bootstrap, whole=True)


@pytest.mark.parametrize("arguments", [("validate",), ("run", "--mode", "validate")])
def test_a_valid_configuration_is_said_to_be_valid(
    bootstrap: plait.Bootstrap, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "-c", "a.yaml"]) == Exit.OK
    assert capsys.readouterr().out == "configuration 'a.yaml' is valid\n"
