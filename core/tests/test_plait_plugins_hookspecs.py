"""The examples in the hook specifications are plugins that work."""

import doctest
import inspect

from plait.plugins import KINDS, hookspecs


def test_examples_run() -> None:
    result = doctest.testmod(hookspecs)
    assert result.failed == 0
    assert result.attempted >= 6 * len(KINDS)


def test_every_kind_has_a_hook_that_names_its_group_and_version() -> None:
    for kind in KINDS.values():
        text = inspect.getdoc(getattr(hookspecs, kind.hook)) or ""
        assert f"Entry-point group ``{kind.group}``, API version {kind.api}." in text


def test_a_hook_says_what_may_be_returned() -> None:
    for kind in KINDS.values():
        returns = inspect.signature(getattr(hookspecs, kind.hook)).return_annotation
        assert returns == f"list[{' | '.join(category.__name__ for category in kind.categories)}]"
