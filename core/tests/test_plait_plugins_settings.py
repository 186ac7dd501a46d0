"""Third-party settings are structured strictly, and every mistake is named with its field."""

import enum
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs
import pytest

import plait
from plait.plugins import structure


class Mode(enum.Enum):
    SOFT = "soft"
    HARD = "hard"


@attrs.frozen
class Rule:
    match: str
    weight: int = 1


@attrs.frozen
class Settings:
    text: str = ""
    count: int = 0
    ratio: float = 0.0
    on: bool = False
    raw: bytes = b""
    names: tuple[str, ...] = ()
    pair: tuple[str, int] = ("", 0)
    some: list[int] = attrs.field(factory=list)
    unique: frozenset[str] = frozenset()
    sequence: Sequence[str] = ()
    labels: Mapping[str, str] = attrs.field(factory=dict)
    anything: Mapping[str, object] = attrs.field(factory=dict)
    mode: Mode = Mode.SOFT
    level: Literal["low", "high"] = "low"
    limit: int | None = None
    either: int | str = 0
    rule: Rule | None = None
    rules: tuple[Rule, ...] = ()
    port: int = attrs.field(default=1, validator=attrs.validators.in_(range(1, 65536)))


@pytest.mark.parametrize(
    ("mapping", "expected"),
    [
        ({}, Settings()),
        ({"text": "a"}, Settings(text="a")),
        ({"count": 3.0}, Settings(count=3)),
        ({"count": "12345678901"}, Settings(count=12345678901)),
        ({"ratio": 2}, Settings(ratio=2.0)),
        ({"ratio": "0.5"}, Settings(ratio=0.5)),
        ({"on": True}, Settings(on=True)),
        ({"raw": "é"}, Settings(raw="é".encode())),
        ({"names": ["a", "b"]}, Settings(names=("a", "b"))),
        ({"pair": ["a", 2.0]}, Settings(pair=("a", 2))),
        ({"some": [1.0]}, Settings(some=[1])),
        ({"unique": ["a", "a"]}, Settings(unique=frozenset("a"))),
        ({"sequence": ["a"]}, Settings(sequence=("a",))),
        ({"labels": {"a": "b"}}, Settings(labels={"a": "b"})),
        ({"anything": {"a": [1, None]}}, Settings(anything={"a": [1, None]})),
        ({"mode": "hard"}, Settings(mode=Mode.HARD)),
        ({"level": "high"}, Settings(level="high")),
        ({"limit": None}, Settings(limit=None)),
        ({"limit": 4.0}, Settings(limit=4)),
        ({"either": 4.0}, Settings(either=4)),
        ({"either": "4"}, Settings(either="4")),
        ({"rule": {"match": "x"}}, Settings(rule=Rule("x"))),
        ({"rules": [{"match": "x", "weight": 2}]}, Settings(rules=(Rule("x", 2),))),
    ],
)
def test_plain_values_become_the_settings(mapping: dict[str, object], expected: Settings) -> None:
    assert structure(Settings, mapping) == expected


@pytest.mark.parametrize(
    ("mapping", "path", "message"),
    [
        ({"text": 3}, ("text",), "field 'text' is 3, expected text, put it in quotes"),
        ({"text": None}, ("text",), "field 'text' is null, expected text"),
        ({"count": 1.5}, ("count",), "field 'count' is 1.5, expected a whole number"),
        ({"count": True}, ("count",), "field 'count' is true, expected a whole number"),
        ({"count": "many"}, ("count",), "field 'count' is 'many', expected a whole number"),
        ({"ratio": "nan"}, ("ratio",), "field 'ratio' is 'nan', expected a number"),
        ({"ratio": "1e999"}, ("ratio",), "field 'ratio' is '1e999', expected a number"),
        ({"on": "yes"}, ("on",), "field 'on' is 'yes', expected true or false"),
        ({"names": "ab"}, ("names",), "field 'names' is 'ab', expected a list of text"),
        ({"names": ["a", 2]}, ("names", 1), "field 'names[1]' is 2, expected text, put it in quotes"),
        ({"pair": ["a"]}, ("pair",), "field 'pair' is ['a'], expected a list of 2"),
        ({"labels": ["a"]}, ("labels",), "field 'labels' is ['a'], expected a mapping"),
        ({"labels": {"a": 1}}, ("labels", "a"), "field 'labels.a' is 1, expected text, put it in quotes"),
        ({"mode": "sofd"}, ("mode",), "field 'mode' is 'sofd', expected one of 'soft', 'hard', did you mean 'soft'?"),
        ({"level": "hihg"}, ("level",), "field 'level' is 'hihg', expected one of 'low', 'high', did you mean 'high'?"),
        ({"limit": "x"}, ("limit",), "field 'limit' is 'x', expected a whole number"),
        ({"either": []}, ("either",), "field 'either' is [], expected a whole number or text"),
        ({"rule": 3}, ("rule",), "field 'rule' is 3, expected a mapping (Rule)"),
        ({"rule": {}}, ("rule",), "field 'rule.match' is missing, expected text"),
        ({"rules": [{"match": "x"}, {}]}, ("rules", 1), "field 'rules[1].match' is missing, expected text"),
        (
            {"rules": [{"match": "x", "wieght": 2}]},
            ("rules", 0, "wieght"),
            "unknown field 'wieght', expected one of match, weight",
        ),
        ({"port": 0}, (), "the settings: 'port' must be in range(1, 65536)"),
    ],
)
def test_a_mistake_is_named_with_its_field(mapping: dict[str, object], path: tuple[Any, ...], message: str) -> None:
    with pytest.raises(plait.ConfigErrors) as caught:
        structure(Settings, mapping)
    [error] = caught.value.errors
    assert error.path == path
    assert message in str(error)


def test_an_unknown_field_suggests_the_nearest() -> None:
    with pytest.raises(plait.ConfigErrors, match="did you mean 'count'"):
        structure(Settings, {"cuont": 1})


def test_every_mistake_is_reported_at_once() -> None:
    with pytest.raises(plait.ConfigErrors) as caught:
        structure(Settings, {"text": 1, "names": [1, "a", 2], "rule": {"weight": "x"}, "nothing": 0})
    assert {error.path for error in caught.value.errors} == {
        ("text",),
        ("names", 0),
        ("names", 2),
        ("rule",),
        ("rule", "weight"),
        ("nothing",),
    }


def test_a_registered_type_lends_its_settings_class() -> None:
    registered = plait.FilterType("acme", Rule, plait.StreamFilter)
    assert structure(registered, {"match": "x"}) == Rule("x")


def test_a_type_without_settings_takes_none() -> None:
    registered = plait.FilterType("acme", None, plait.StreamFilter)
    assert structure(registered, {}) is None
    with pytest.raises(plait.ConfigErrors, match="acme has no settings, expected no fields"):
        structure(registered, {"match": "x"})


def test_a_class_that_cannot_be_read_is_the_plugins_fault() -> None:
    @attrs.frozen
    class Odd:
        worker: plait.Counter

    with pytest.raises(plait.PluginError, match=r"its settings class Odd cannot be read from configuration.*Counter"):
        structure(Odd, {"worker": 3})
