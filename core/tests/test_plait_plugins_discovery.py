"""Plugins are found in metadata, and nothing is imported for it."""

import sys
from typing import TYPE_CHECKING

import pytest

from plait.plugins import discover
from plait.plugins.discovery import PluginInfo, unmet_requirement

if TYPE_CHECKING:
    from conftest import Site


def named(site: "Site", name: str) -> PluginInfo:
    [info] = [info for info in discover([str(site.path)]) if info.name == name]
    return info


def test_an_entry_point_is_described_by_its_distribution(site: "Site") -> None:
    site.add(
        "acme-tenant",
        {
            "plait.filters": {"tenant": "acme_tenant"},
            "plait.extensions": {"acme.filters.tenant": "acme_tenant", "acme.filters.other": "acme_other"},
        },
        version="2.3",
        status="4 - Beta",
        keywords=["mesh", "robust_to_untrusted_downstream"],
    )
    assert named(site, "tenant") == PluginInfo(
        name="tenant",
        kind="filters",
        distribution="acme-tenant",
        version="2.3",
        module="acme_tenant",
        status="beta",
        security_posture="robust_to_untrusted_downstream",
        registers=("acme.filters.tenant",),
    )


def test_discovery_imports_no_plugin(site: "Site") -> None:
    source = "raise RuntimeError('imported')"
    site.add("acme-tenant", {"plait.filters": {"tenant": "acme_tenant"}}, modules={"acme_tenant": source})
    assert named(site, "tenant").module == "acme_tenant"
    assert "acme_tenant" not in sys.modules


@pytest.mark.parametrize(
    ("classifier", "status"),
    [
        ("5 - Production/Stable", "stable"),
        ("4 - Beta", "beta"),
        ("3 - Alpha", "alpha"),
        ("2 - Pre-Alpha", "wip"),
        ("", "wip"),
    ],
)
def test_status_comes_from_the_classifier(site: "Site", classifier: str, status: str) -> None:
    site.add("acme-tenant", {"plait.filters": {"tenant": "acme_tenant"}}, status=classifier)
    assert named(site, "tenant").status == status


def test_security_posture_is_unknown_unless_a_keyword_says_it(site: "Site") -> None:
    site.add("acme-tenant", {"plait.filters": {"tenant": "acme_tenant"}}, keywords=["mesh"])
    assert named(site, "tenant").security_posture == "unknown"


def test_one_module_in_two_groups_is_two_plugins(site: "Site") -> None:
    site.add(
        "acme-mixer",
        {
            "plait.filters": {"mixer": "acme_mixer"},
            "plait.policies": {"adapters": "acme_mixer"},
            "plait.extensions": {"plait.filters.acme": "acme_mixer", "quota": "acme_mixer"},
        },
    )
    assert [(info.id, info.registers) for info in discover([str(site.path)])] == [
        ("filters:mixer", ("plait.filters.acme", "quota")),
        ("policies:adapters", ("quota",)),
    ]


def test_both_of_two_distributions_with_one_name_are_listed(site: "Site") -> None:
    site.add("acme-one", {"plait.filters": {"tenant": "acme_one"}})
    site.add("acme-two", {"plait.filters": {"tenant": "acme_two"}})
    assert [info.distribution for info in discover([str(site.path)])] == ["acme-one", "acme-two"]


def test_a_distribution_found_twice_counts_once(site: "Site") -> None:
    site.add("acme-tenant", {"plait.filters": {"tenant": "acme_tenant"}})
    assert len(discover([str(site.path), str(site.path)])) == 1


def test_remains_without_metadata_are_passed_over(site: "Site") -> None:
    site.add("acme-tenant", {"plait.filters": {"tenant": "acme_tenant"}})
    next(site.path.glob("*/METADATA")).unlink()
    assert discover([str(site.path)]) == ()


def test_other_groups_are_no_business_of_ours(site: "Site") -> None:
    site.add("acme-tool", {"console_scripts": {"acme": "acme:main"}, "plait.unheard_of": {"x": "acme"}})
    assert discover([str(site.path)]) == ()


@pytest.mark.parametrize(
    ("requirement", "unmet"),
    [
        ("plait>=0.1", False),
        ("plait >= 1.4", False),
        ("plait (>=1.4.0)", False),
        ("plait>=1.5", True),
        ("plait~=1.2", False),
        ("plait<1", True),
        ("plait[all]>=2", True),
        ("plait>=2; python_version < '3'", False),
        ("plait>=2; extra == 'new'", False),
        ("plait", False),
        ("plait-filter-fault>=9", False),
        ("plait>=", True),
    ],
)
def test_requirements_on_plait_are_held_against_the_installed_version(requirement: str, unmet: bool) -> None:
    assert bool(unmet_requirement([requirement], "1.4")) is unmet


def test_an_unmet_requirement_is_found_in_the_metadata(site: "Site") -> None:
    site.add("plait", {}, version="1.4")
    site.add("acme-tenant", {"plait.filters": {"tenant": "acme_tenant"}}, requires=["attrs>=20", "plait>=2.0"])
    assert named(site, "tenant").unmet == "plait>=2.0"
