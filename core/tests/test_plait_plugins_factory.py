"""Factories get as much as they take, and their plugin is blamed for what they raise."""

from typing import Any

import attrs
import pytest

import plait
from plait.plugins import build


@attrs.frozen
class Settings:
    header: str = "x"


def filter_type(factory: Any, settings: type | None = Settings) -> plait.FilterType:
    return plait.FilterType("acme", settings, factory)


class Needs:
    def __call__(self, settings: Settings, context: object) -> tuple[object, ...]:
        return (settings, context)

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("factory", "given"),
    [
        (lambda: (), 0),
        (lambda settings: (settings,), 1),
        (lambda settings, context: (settings, context), 2),
        (lambda settings, context=None: (settings, context), 2),
        (lambda settings, clock=None: (settings,), 1),
        (lambda settings, context, extra: (settings, context, extra), 3),
        (lambda *every: every, 3),
        (lambda settings, **more: (settings,), 1),
        (Needs(), 2),
    ],
)
def test_a_factory_is_given_what_it_takes(factory: Any, given: int) -> None:
    everything = (Settings("y"), "context", "extra")
    for _ in range(2):
        assert build(filter_type(factory), *everything) == everything[:given]


def test_missing_settings_are_the_defaults() -> None:
    assert build(filter_type(lambda settings: settings), None, None) == Settings("x")


def test_a_type_without_settings_gets_none() -> None:
    assert build(filter_type(lambda settings: settings, None), None, None) is None


def test_what_a_factory_raises_is_blamed_on_its_plugin() -> None:
    def factory(settings: Settings) -> object:
        raise KeyError("tenant")

    with pytest.raises(plait.PluginError) as caught:
        build(filter_type(factory), Settings(), None, name="filters:acme", distribution="acme-filter")
    assert "plugin 'filters:acme' of acme-filter: its factory raised KeyError: 'tenant'" in str(caught.value)
    assert isinstance(caught.value.__cause__, KeyError)


def test_errors_of_plaits_own_pass() -> None:
    def factory(settings: Settings) -> object:
        raise plait.ConfigError("no such cluster")

    with pytest.raises(plait.ConfigError):
        build(filter_type(factory), Settings(), None)


def test_settings_of_another_class_are_refused() -> None:
    with pytest.raises(plait.PluginError, match="its settings are an object of type dict, expected Settings"):
        build(filter_type(lambda settings: settings), {}, None)


def test_a_factory_that_wants_more_than_there_is_is_refused() -> None:
    with pytest.raises(plait.PluginError, match="takes 3 arguments, expected at most 2"):
        build(filter_type(lambda settings, context, extra: None), Settings(), None)
