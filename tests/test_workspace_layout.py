"""Every distribution of the workspace has the same shape; this is what a new plugin must not forget."""

import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from plait import FilterType, ProtocolType, RegistryType
from plait.plugins import Catalogue, discover

ROOT = Path(__file__).parents[1]
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/*/pyproject.toml"))
# Distributions that plugins are built on: they register nothing, so they have no entry points and depend on no core.
LIBRARIES = [ROOT / "plugins/protocols/hessian"]
REGISTERED = [folder for folder in PLUGINS if folder not in LIBRARIES]
PUBLISHED = [ROOT / "core", *PLUGINS, ROOT / "plait-all"]
LISTED = "plait.extensions"
KINDS = {"protocols", "filters", "transports", "registries", "telemetry", "policies"}
# What `plait.testing` has for a plugin that registers such a thing, beside `check_plugin`.
KITS = {FilterType: "run_filter(", ProtocolType: "check_codec(", RegistryType: "check_registry("}
POSTURES = {
    "robust_to_untrusted_downstream",
    "robust_to_untrusted_downstream_and_upstream",
    "requires_trusted_downstream_and_upstream",
    "unknown",
    "data_plane_agnostic",
}


def load(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text())


def relative(folder: Path) -> str:
    return folder.relative_to(ROOT).as_posix()


def import_name(folder: Path) -> str:
    name: str = load(folder)["project"]["name"]
    return name.replace("-", "_")


def plugins_in(folder: Path) -> list[str]:
    """The plugins of a distribution, as `check_plugin` is asked for them: `filters:fault`."""
    groups = load(folder)["project"]["entry-points"]
    return [f"{group.removeprefix('plait.')}:{name}" for group in groups for name in groups[group] if group != LISTED]


@pytest.mark.parametrize("folder", PUBLISHED, ids=relative)
def test_distribution_declares_what_the_catalogue_shows(folder: Path) -> None:
    project = load(folder)["project"]
    assert project["license"] == "Apache-2.0"
    assert project["requires-python"] == ">=3.11"
    assert sum(line.startswith("Development Status :: ") for line in project["classifiers"]) == 1
    assert "plait" in project["keywords"]
    assert len(POSTURES.intersection(project["keywords"])) == 1
    readme = (folder / project["readme"]).read_text()
    assert readme.startswith(f"# {project['name']}\n"), "the README opens with the distribution's name"


@pytest.mark.parametrize("folder", PUBLISHED, ids=relative)
def test_dependencies_have_lower_bounds_only(folder: Path) -> None:
    for requirement in load(folder)["project"]["dependencies"]:
        # a beta is named where a library has nothing else: pip takes none otherwise
        assert re.fullmatch(r"[A-Za-z0-9._-]+>=[0-9.]+(b[0-9]+)?", requirement), requirement


@pytest.mark.parametrize("folder", [ROOT / "core", *PLUGINS], ids=relative)
def test_readme_says_what_every_dependency_is_for(folder: Path) -> None:
    names = {re.split(">=", line)[0] for line in load(folder)["project"]["dependencies"]} - {"plait"}
    if folder.name != "core":
        names.discard("attrs")  # settings are made with it
    readme = (folder / "README.md").read_text()
    assert [name for name in sorted(names) if f"`{name}`" not in readme] == []


@pytest.mark.parametrize("folder", PLUGINS, ids=relative)
def test_plugin_is_a_typed_package(folder: Path) -> None:
    package = folder / "src" / import_name(folder)
    assert (package / "py.typed").is_file()
    assert (package / "__init__.py").is_file()


@pytest.mark.parametrize("folder", LIBRARIES, ids=relative)
def test_library_registers_nothing(folder: Path) -> None:
    assert "entry-points" not in load(folder)["project"]


@pytest.mark.parametrize("folder", REGISTERED, ids=relative)
def test_plugin_is_found_through_its_entry_points(folder: Path) -> None:
    project = load(folder)["project"]
    name, groups = import_name(folder), project["entry-points"]
    kinds = {group.removeprefix("plait.") for group in groups} - {"extensions"}
    assert kinds, "a plugin answers for at least one kind"
    assert kinds <= KINDS
    assert groups["plait.extensions"], "what it registers is listed, to be found without an import"
    for group in groups.values():
        for target in group.values():
            assert target == name or target.startswith(f"{name}.")


@pytest.mark.parametrize("folder", REGISTERED, ids=relative)
def test_plugin_passes_the_conformance_kits_of_its_kinds(folder: Path) -> None:
    tests = "\n".join(path.read_text() for path in (folder / "tests").rglob("test_*.py"))
    assert "check_plugin(" in tests
    catalogue = Catalogue(discover())
    for plugin in plugins_in(folder):
        assert f'"{plugin}"' in tests, f"check_plugin({plugin!r}) is called"
        for registered in catalogue.load(plugin):
            kit = KITS.get(type(registered), "")
            assert kit in tests, f"{kit}…) is called, for {registered.name}"


@pytest.mark.parametrize("folder", PLUGINS, ids=relative)
def test_readme_says_how_far_to_trust_it(folder: Path) -> None:
    readme = (folder / "README.md").read_text()
    [status] = re.findall(r"Development Status :: \d - (\w+)", (folder / "pyproject.toml").read_text())
    assert f"Status: {status.lower()}." in readme
    assert "Security posture: " in readme


def test_no_two_plugins_list_the_same_extension() -> None:
    listed = Counter(
        name for folder in REGISTERED for name in load(folder)["project"]["entry-points"]["plait.extensions"]
    )
    assert [name for name, times in listed.items() if times > 1] == []


def test_workspace_settings_name_every_plugin() -> None:
    tool = load(ROOT)["tool"]
    dists = {load(folder)["project"]["name"] for folder in [ROOT / "core", *PLUGINS]}
    modules = {import_name(folder) for folder in PLUGINS}
    assert set(tool["uv"]["sources"]) == dists
    assert set(tool["importlinter"]["root_packages"]) == {"plait", *modules}
    contracts = {contract["name"]: contract for contract in tool["importlinter"]["contracts"]}
    assert set(contracts["the core never imports a plugin"]["forbidden_modules"]) == modules
    everything = {re.split(">=", line)[0] for line in load(ROOT / "plait-all")["project"]["dependencies"]}
    assert everything == dists


def test_test_files_have_unique_names() -> None:
    files = [path for folder in ("core", "plugins", "tests", "bench") for path in (ROOT / folder).rglob("test_*.py")]
    names = Counter(path.name for path in files)
    assert [name for name, times in names.items() if times > 1] == []


def test_tests_of_a_distribution_carry_its_name() -> None:
    for folder in [ROOT / "core", *PLUGINS]:
        stem = "plait_" if folder.name == "core" else import_name(folder).removeprefix("plait_") + "_"
        for path in (folder / "tests").rglob("test_*.py"):
            assert path.name.startswith(f"test_{stem}"), f"{relative(path)}: name it test_{stem}<module>.py"


@pytest.mark.parametrize("name", ["requirements.lock", "docs/requirements.lock"])
def test_lock_pins_by_hash_and_names_no_index(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert "--index-url" not in text
    pins = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert pins
    assert all("==" in pin and pin.endswith("\\") for pin in pins), "every pin is followed by its hashes"
