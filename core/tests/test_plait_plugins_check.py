"""Checking imports every plugin and compares what it declares with what it registers."""

from typing import TYPE_CHECKING

from plait.plugins import Checked, check, discover

if TYPE_CHECKING:
    from conftest import Site

FILTER = """
import plait

@plait.hookimpl
def plait_filters():
    return [plait.FilterType("acme.filters.one", None, plait.StreamFilter, "acme.v1.One", {translate!r})]
"""


def checked(site: "Site") -> list[Checked]:
    return check(discover([str(site.path)]))


def add(site: "Site", name: str, *declared: str, translate: str = "", source: str = "") -> None:
    module = f"acme_{name.replace('-', '_')}"
    site.add(
        f"acme-{name}",
        {"plait.filters": {name: module}, "plait.extensions": dict.fromkeys(declared, module)},
        modules={module: source or FILTER.format(translate=translate)},
    )


def test_a_right_plugin_passes(site: "Site") -> None:
    add(site, "one", "acme.filters.one", "acme.v1.One")
    [found] = checked(site)
    assert (found.names, found.undeclared, found.error) == (("acme.filters.one",), (), None)


def test_what_is_registered_and_not_declared_is_told(site: "Site") -> None:
    add(site, "one", "acme.filters.one")
    [found] = checked(site)
    assert (found.undeclared, found.error) == (("acme.v1.One",), None)


def test_a_declaration_that_nothing_stands_behind_fails(site: "Site") -> None:
    add(site, "one", "acme.filters.one", "acme.filters.gone")
    [found] = checked(site)
    assert "declares acme.filters.gone in plait.extensions" in str(found.error)


def test_a_translation_that_is_not_there_fails(site: "Site") -> None:
    add(site, "one", translate="acme_one:gone")
    [found] = checked(site)
    assert "translate of 'acme.filters.one' names 'acme_one:gone', which is no function" in str(found.error)


def test_a_translation_that_cannot_be_imported_fails(site: "Site") -> None:
    add(site, "one", translate="acme_gone.translate:one")
    [found] = checked(site)
    assert "acme_gone.translate cannot be imported: ModuleNotFoundError" in str(found.error)


def test_one_bad_plugin_does_not_hide_the_others(site: "Site") -> None:
    add(site, "bad", source="1 / 0")
    add(site, "one", "acme.filters.one")
    bad, good = checked(site)
    assert "ZeroDivisionError" in str(bad.error)
    assert good.error is None


def test_both_of_two_distributions_with_one_plugin_name_fail(site: "Site") -> None:
    add(site, "one")
    site.add(
        "acme-other", {"plait.filters": {"one": "acme_other"}}, modules={"acme_other": FILTER.format(translate="")}
    )
    assert ["two distributions have a plugin of this name" in str(found.error) for found in checked(site)] == [
        True,
        True,
    ]


def test_two_plugins_with_one_type_name_fail(site: "Site") -> None:
    add(site, "one")
    add(site, "two")
    first, second = checked(site)
    assert first.error is None
    assert "so does filters:one of acme-one" in str(second.error)
