"""The frozen model as JSON has it."""

import enum
import json

import attrs
import pytest
import yaml

import plait
from plait import runtime
from plait.cli import Exit, main
from plait.cli.config import plain
from plait.runtime.options import RunOptions


class Mode(enum.Enum):
    SOFT = "soft"


@attrs.frozen
class Settings:
    mode: Mode = Mode.SOFT
    body: bytes = b"a\xff"
    words: frozenset[str] = frozenset({"b", "a"})
    call: object = ...


def test_objects_name_their_types() -> None:
    listener = plait.Listener(
        "in", plait.Address("127.0.0.1", 80), listener_filters=(plait.Extension("a", "b", Settings()),)
    )
    shown = plain(listener)
    assert isinstance(shown, dict)
    assert shown["@type"] == "plait.Listener"
    assert shown["name"] == "in"
    assert shown["address"] == {
        "@type": "plait.Address",
        "host": "127.0.0.1",
        "port": 80,
        "path": "",
        "mode": 0,
        "udp": False,
    }
    [extension] = shown["listener_filters"]
    assert extension["settings"] == {
        "@type": f"{__name__}.Settings",
        "mode": "soft",
        "body": "a\\xff",
        "words": ["a", "b"],
        "call": "Ellipsis",
    }
    json.dumps(shown)


def test_every_field_of_the_model_is_shown() -> None:
    shown = plain(plait.Bootstrap())
    assert isinstance(shown, dict)
    assert set(shown) == {"@type", *(field.name for field in attrs.fields(plait.Bootstrap))}


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
    assert (json.loads(text) if format == "json" else yaml.safe_load(text)) == plain(bootstrap)


@pytest.mark.parametrize("arguments", [("validate",), ("run", "--mode", "validate")])
def test_a_valid_configuration_is_said_to_be_valid(
    bootstrap: plait.Bootstrap, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "-c", "a.yaml"]) == Exit.OK
    assert capsys.readouterr().out == "configuration 'a.yaml' is valid\n"
