"""What a plugin answers is checked before anything is made of it."""

from types import SimpleNamespace
from typing import Any

import attrs
import pytest

import plait
from plait.plugins import KINDS, answers
from plait.plugins.answers import _CHECKS


@attrs.frozen
class Settings:
    header: str = "x"


def factory(settings: Settings) -> plait.StreamFilter:
    return plait.StreamFilter()


def plugin(answer: object, hook: str = "plait_filters", **marks: Any) -> SimpleNamespace:
    def implementation() -> object:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return SimpleNamespace(
        **{hook: plait.hookimpl(**marks)(implementation) if marks else plait.hookimpl(implementation)}
    )


def refusal(kind: str, module: object) -> str:
    with pytest.raises(plait.PluginError) as caught:
        answers(kind, module, name="filters:acme", distribution="acme-filter")
    assert caught.value.distribution == "acme-filter"
    assert caught.value.remedy
    assert "filters:acme" in str(caught.value)
    return caught.value.cause


def filters(*changes: dict[str, Any]) -> list[plait.FilterType]:
    whole: dict[str, Any] = {"name": "acme", "settings": Settings, "factory": factory}
    return [plait.FilterType(**{**whole, **change}) for change in changes]


def test_a_right_answer_is_given_back() -> None:
    [item] = answers("filters", plugin(filters({})))
    assert item.name == "acme"


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (None, "plait_filters returned None, expected a list of FilterType or ListenerFilterType or NetworkFilterType"),
        ("acme", "plait_filters returned an object of type str, expected a list of"),
        (["acme"], "plait_filters returned an object of type str at [0], expected FilterType or"),
        (
            [plait.AdapterType("a", None, dict, ("t",))],
            "returned an object of type AdapterType at [0], expected FilterType",
        ),
        (RuntimeError("no luck"), "plait_filters raised RuntimeError: no luck (" + __file__),
        (filters({"name": ""}), "plait_filters: name of FilterType at [0] is '', expected a name"),
        (filters({"factory": 3}), "factory of FilterType 'acme' is 3, expected a callable"),
        (
            filters({"settings": dict}),
            "settings of FilterType 'acme' is <class 'dict'>, expected an attrs class or None",
        ),
        (filters({"settings": Settings()}), "expected an attrs class or None"),
        (filters({"translate": "acme.translate"}), "translate of FilterType 'acme' is 'acme.translate', expected"),
        (filters({"proto": None}), "proto of FilterType 'acme' is None, expected text"),
        (filters({"terminal": "yes"}), "terminal of FilterType 'acme' is 'yes', expected True or False"),
        (filters({"factory": lambda: None}), "takes no argument, expected one for its settings, Settings"),
        (
            filters({"factory": lambda settings, *, loop: None}),
            "requires the keyword argument 'loop', expected positional",
        ),
        (filters({}, {}), "plait_filters returned the name 'acme' twice"),
    ],
)
def test_a_wrong_answer_is_refused(answer: object, cause: str) -> None:
    assert cause in refusal("filters", plugin(answer))


def test_a_coroutine_function_is_refused() -> None:
    async def plait_filters() -> list[plait.FilterType]:
        return []

    cause = refusal("filters", SimpleNamespace(plait_filters=plait.hookimpl(plait_filters)))
    assert cause == "plait_filters is a coroutine function"


def test_a_hook_with_arguments_is_refused() -> None:
    def plait_filters(config: object) -> list[plait.FilterType]:
        return []

    cause = refusal("filters", SimpleNamespace(plait_filters=plait.hookimpl(plait_filters)))
    assert "signature that does not fit" in cause
    assert "config" in cause


def test_an_unknown_hook_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(plait.PluginError, match="unknown hook 'plait_filterz'; did you mean 'plait_filters'"):
        answers("filters", plugin([], "plait_filterz"))


def test_a_missing_mark_is_noticed() -> None:
    assert refusal("filters", SimpleNamespace(plait_filters=list)) == "its function plait_filters is not marked"


def test_a_plugin_without_the_hook_of_its_kind_is_refused() -> None:
    assert refusal("telemetry", plugin(filters({}))) == "it implements no plait_telemetry"


def test_a_hook_wrapper_is_refused() -> None:
    def plait_filters() -> Any:
        return (yield)

    cause = refusal("filters", SimpleNamespace(plait_filters=plait.hookimpl(wrapper=True)(plait_filters)))
    assert "hook wrapper" in cause


def test_a_format_and_a_sink_may_share_a_name() -> None:
    page = plait.StatsFormatType("acme", "text/plain", str)
    sink = plait.StatsSinkType("acme", Settings, factory)
    assert answers("telemetry", plugin([sink, page], "plait_telemetry")) == (sink, page)


def test_every_field_of_every_type_is_checked() -> None:
    fields = {field.name for kind in KINDS.values() for category in kind.categories for field in attrs.fields(category)}
    assert fields == set(_CHECKS)
