"""Plugins are loaded when something asks for what they register, and a bad one leaves no trace."""

import sys
from typing import TYPE_CHECKING

import pytest

import plait
from plait.plugins import Catalogue, DuplicateError, MissingPluginError, discover

if TYPE_CHECKING:
    from conftest import Site

FILTER = """
import plait

@plait.hookimpl
def plait_filters():
    return [plait.FilterType({name!r}, None, plait.StreamFilter, proto={proto!r})]
"""


def add(
    site: "Site",
    plugin: str,
    *,
    source: str = "",
    registers: str = "",
    proto: str = "",
    declare: bool = True,
    kind: str = "filters",
) -> None:
    """A distribution acme-<plugin> with a filter acme.filters.<plugin> (or ``registers``)."""
    registers = registers or f"acme.filters.{plugin}"
    names = {name: f"acme_{plugin}" for name in (registers, proto) if name}
    site.add(
        f"acme-{plugin}",
        {f"plait.{kind}": {plugin: f"acme_{plugin}"}, "plait.extensions": names if declare else {}},
        modules={f"acme_{plugin}": source or FILTER.format(name=registers, proto=proto)},
    )


def catalogue(site: "Site", only: list[str] | None = None, blocked: tuple[str, ...] = ()) -> Catalogue:
    return Catalogue(discover([str(site.path)]), only, blocked)


def test_a_name_is_found_in_the_plugin_that_declares_it(site: "Site") -> None:
    add(site, "one")
    add(site, "two")
    found, plugin = catalogue(site).find(plait.FilterType, "acme.filters.two")
    assert (found.name, plugin) == ("acme.filters.two", "filters:two")
    assert "acme_one" not in sys.modules


def test_a_message_is_found_like_a_name(site: "Site") -> None:
    add(site, "one", proto="acme.v1.One")
    assert catalogue(site).find(plait.FilterType, "acme.v1.One")[1] == "filters:one"


def test_a_plugin_that_declares_nothing_is_imported_to_be_found(site: "Site") -> None:
    add(site, "one", declare=False)
    add(site, "two")
    assert catalogue(site).find(plait.FilterType, "acme.filters.one")[1] == "filters:one"
    assert "acme_two" not in sys.modules


def test_a_name_that_its_plugin_forgot_to_declare_is_still_found(site: "Site") -> None:
    site.add(
        "acme-one",
        {"plait.filters": {"one": "acme_one"}, "plait.extensions": {"acme.filters.other": "acme_one"}},
        modules={"acme_one": FILTER.format(name="acme.filters.one", proto="")},
    )
    assert catalogue(site).find(plait.FilterType, "acme.filters.one")[1] == "filters:one"


def test_names_of_one_category_do_not_answer_for_another(site: "Site") -> None:
    add(site, "one")
    with pytest.raises(MissingPluginError, match="no installed plugin registers this AccessLogType"):
        catalogue(site).find(plait.AccessLogType, "acme.filters.one")


def test_a_worker_takes_a_type_by_plugin_and_name(site: "Site") -> None:
    add(site, "one")
    plugins = catalogue(site)
    assert plugins.of("filters:one", "acme.filters.one").factory is plait.StreamFilter
    with pytest.raises(plait.PluginError, match=r"'filters:one' of acme-one: it registers no 'acme\.filters\.two'"):
        plugins.of("filters:one", "acme.filters.two")


def test_every_imports_all_plugins_of_the_kind(site: "Site") -> None:
    add(site, "one")
    add(site, "two")
    plugins = catalogue(site)
    assert dict(plugins.registered(plait.FilterType)) == {}
    assert sorted(plugins.every(plait.FilterType)) == ["acme.filters.one", "acme.filters.two"]
    assert sorted(plugins.registered(plait.FilterType)) == ["acme.filters.one", "acme.filters.two"]


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("import no_such_module", "acme_one cannot be imported: ModuleNotFoundError: No module named 'no_such_module'"),
        ("def (:", "acme_one cannot be imported: SyntaxError: invalid syntax (acme_one.py, line 1)"),
        ("raise SystemExit(4)", "acme_one cannot be imported: SystemExit: 4"),
        ("", "it implements no plait_filters"),
        ("PLAIT_API = 2", "it was made for version 2 of the filters API, and this plait has version 1"),
        ("PLAIT_API = {'filters': 0, 'policies': 1}", "it was made for version 0 of the filters API"),
        ("PLAIT_API = 'new'", "PLAIT_API is 'new', expected a whole number"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_named_with_cause_and_remedy(site: "Site", source: str, cause: str) -> None:
    add(site, "one", source=source or "pass")
    plugins = catalogue(site)
    with pytest.raises(plait.PluginError) as caught:
        plugins.find(plait.FilterType, "acme.filters.one")
    assert caught.value.name == "filters:one"
    assert caught.value.distribution == "acme-one"
    assert cause in caught.value.cause
    assert caught.value.remedy
    assert dict(plugins.registered(plait.FilterType)) == {}


def test_the_module_that_is_missing_is_what_to_install(site: "Site") -> None:
    add(site, "one", source="import no_such_module")
    with pytest.raises(plait.PluginError, match="install what provides 'no_such_module', or leave the plugin out with"):
        catalogue(site).load("filters:one")


def test_an_attribute_can_be_the_plugin(site: "Site") -> None:
    source = "class Plugin:\n" + FILTER.format(name="acme.filters.one", proto="").replace("\n", "\n    ")
    source = source.replace("import plait", "", 1).replace("plait_filters()", "plait_filters(self)")
    site.add(
        "acme-one",
        {"plait.filters": {"one": "acme_one:plugin", "two": "acme_one:absent"}},
        modules={"acme_one": f"import plait\n{source}\nplugin = Plugin()\n"},
    )
    plugins = catalogue(site)
    assert plugins.find(plait.FilterType, "acme.filters.one")[1] == "filters:one"
    with pytest.raises(plait.PluginError, match="acme_one has no attribute 'absent'"):
        plugins.load("filters:two")


def test_an_unmet_requirement_on_plait_is_refused_before_the_import(site: "Site") -> None:
    site.add("plait", {}, version="1.0")
    site.add("acme-one", {"plait.filters": {"one": "acme_one"}}, requires=["plait>=2"], modules={"acme_one": "1 / 0"})
    with pytest.raises(plait.PluginError, match="requires 'plait>=2', which the installed plait does not meet"):
        catalogue(site).load("filters:one")


def test_two_plugins_with_one_type_name_are_both_named_and_the_first_stays(site: "Site") -> None:
    add(site, "one", registers="acme.filters.tenant", declare=False)
    add(site, "two", registers="acme.filters.tenant", declare=False)
    plugins = catalogue(site)
    with pytest.raises(DuplicateError) as caught:
        plugins.find(plait.FilterType, "acme.filters.tenant")
    assert "filters:two" in str(caught.value)
    assert "acme-two" in str(caught.value)
    assert "filters:one of acme-one" in str(caught.value)
    assert [owner for _, owner in plugins.registered(plait.FilterType).values()] == ["filters:one"]


def test_declared_duplicates_are_found_whatever_was_loaded_before(site: "Site") -> None:
    add(site, "one", registers="acme.filters.tenant")
    add(site, "two", registers="acme.filters.tenant")
    plugins = catalogue(site)
    plugins.load("filters:one")
    with pytest.raises(DuplicateError):
        plugins.find(plait.FilterType, "acme.filters.tenant")


def test_two_plugins_with_one_message_are_refused(site: "Site") -> None:
    add(site, "one", proto="acme.v1.Tenant")
    add(site, "two", proto="acme.v1.Tenant")
    with pytest.raises(DuplicateError, match=r"registers the FilterType 'acme\.v1\.Tenant', and so does filters:one"):
        catalogue(site).find(plait.FilterType, "acme.v1.Tenant")


def test_blocking_one_of_two_duplicates_settles_it(site: "Site") -> None:
    add(site, "one", registers="acme.filters.tenant")
    add(site, "two", registers="acme.filters.tenant")
    found = catalogue(site, blocked=("filters:one",)).find(plait.FilterType, "acme.filters.tenant")
    assert found[1] == "filters:two"


def test_a_failed_plugin_registers_none_of_its_names(site: "Site") -> None:
    add(site, "one")
    add(
        site,
        "two",
        source="import plait\n@plait.hookimpl\ndef plait_filters():\n"
        "    return [plait.FilterType(f'acme.filters.{name}', None, plait.StreamFilter) for name in ('two', 'one')]",
    )
    plugins = catalogue(site)
    plugins.load("filters:one")
    for _ in range(2):
        with pytest.raises(DuplicateError):
            plugins.load("filters:two")
    assert list(plugins.registered(plait.FilterType)) == ["acme.filters.one"]


def test_two_distributions_with_one_plugin_name_are_refused(site: "Site") -> None:
    site.add("acme-one", {"plait.filters": {"tenant": "acme_one"}})
    site.add("acme-two", {"plait.filters": {"tenant": "acme_two"}})
    with pytest.raises(DuplicateError, match=r"acme-one 1\.0 \(acme_one\) and acme-two 1\.0 \(acme_two\)"):
        catalogue(site)
    assert catalogue(site, blocked=("tenant",)).plugins == ()


def test_only_the_plugins_named_are_there(site: "Site") -> None:
    add(site, "one")
    add(site, "two", declare=False)
    plugins = catalogue(site, ["filters:one"])
    assert [info.id for info in plugins.plugins] == ["filters:one"]
    plugins.find(plait.FilterType, "acme.filters.one")
    with pytest.raises(MissingPluginError):
        plugins.find(plait.FilterType, "acme.filters.two")
    assert "acme_two" not in sys.modules


def test_what_only_leaves_out_is_named_with_its_plugin(site: "Site") -> None:
    add(site, "one")
    add(site, "two")
    with pytest.raises(MissingPluginError, match=r"'acme\.filters\.two' of acme-two: .* add filters:two to --plugins"):
        catalogue(site, ["one"]).find(plait.FilterType, "acme.filters.two")


def test_a_silent_plugin_that_only_leaves_out_may_be_the_one(site: "Site") -> None:
    add(site, "one", declare=False)
    add(site, "two")
    with pytest.raises(MissingPluginError) as caught:
        catalogue(site, only=["two"]).find(plait.FilterType, "acme.limits")
    assert str(caught.value).endswith("; add filters:one to --plugins if acme-one has it")
    assert "acme_one" not in sys.modules


def test_a_blocked_plugin_is_named(site: "Site") -> None:
    add(site, "one")
    with pytest.raises(MissingPluginError, match="take filters:one out of --no-plugins"):
        catalogue(site, blocked=("one",)).find(plait.FilterType, "acme.filters.one")
    with pytest.raises(MissingPluginError, match="take filters:one out of --no-plugins"):
        catalogue(site, blocked=("one",)).load("filters:one")


@pytest.mark.parametrize("option", ["--plugins", "--no-plugins"])
def test_an_option_that_names_no_plugin_is_refused(site: "Site", option: str) -> None:
    add(site, "tenant")
    only, blocked = (["tennant"], ()) if option == "--plugins" else (None, ("tennant",))
    with pytest.raises(MissingPluginError, match=f"{option} names it, and it is not installed; did you mean 'tenant'"):
        catalogue(site, only, blocked)


def test_a_known_extension_names_the_distribution_to_install(site: "Site") -> None:
    with pytest.raises(MissingPluginError) as caught:
        catalogue(site).find(plait.FilterType, "envoy.filters.http.fault")
    assert caught.value.remedy == "install the distribution plait-filter-fault"


def test_an_unknown_extension_suggests_the_nearest_name(site: "Site") -> None:
    add(site, "tenant")
    with pytest.raises(MissingPluginError, match=r"did you mean 'acme\.filters\.tenant'"):
        catalogue(site).find(plait.FilterType, "acme.filters.tennant")


def test_a_broken_plugin_that_may_have_had_the_name_is_the_error(site: "Site") -> None:
    add(site, "one", source="import no_such_module", declare=False)
    with pytest.raises(plait.PluginError, match="'filters:one' of acme-one: acme_one cannot be imported"):
        catalogue(site).find(plait.FilterType, "acme.filters.one")


def test_a_broken_plugin_that_nobody_needs_is_in_nobodys_way(site: "Site") -> None:
    add(site, "one", source="import no_such_module")
    add(site, "two")
    assert catalogue(site).find(plait.FilterType, "acme.filters.two")[1] == "filters:two"
