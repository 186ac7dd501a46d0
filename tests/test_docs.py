"""Everything that README and documentation show is tried: configurations are provisioned, plugins tested, commands run.

A block says what it is: ``yaml`` a configuration (or a part of one), ``python`` and ``toml`` files of a plugin, named
by the comment in their first line, ``console`` what is typed and seen, ``pycon`` a doctest, ``text`` a picture. A named
block that is a file of the repository is the same as that file.
"""

from __future__ import annotations

import doctest
import itertools
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from tools.pages import HEAD
from tools.pages import PAGES as PAGES_MADE

import plait.testing
from plait.cli.verbs import own_commands, parser
from plait.runtime import validate
from plait.runtime.options import RunOptions
from tests.documents.blocks import ROOT, Block, Command, blocks, commands
from tests.documents.checkout import Checkout

PAGES = sorted(
    path
    for pattern in ("README.md", "CONTRIBUTING.md", "docs/**/*.md", "core/README.md", "plait-all/README.md",
                    "plugins/*/*/README.md", "examples/**/README.md", "changelog.d/README.md")
    for path in ROOT.glob(pattern)
    if "_build" not in path.parts
)  # fmt: skip
BLOCKS = [block for page in PAGES for block in blocks(page)]
KINDS = {"yaml", "python", "toml", "console", "pycon", "text"}


def of(kind: str, *, page: Path | None = None) -> list[Block]:
    return [block for block in BLOCKS if block.kind == kind and page in (None, block.page)]


PLUGIN_PAGES = sorted({block.page for block in of("toml") if block.name == "pyproject.toml"})
SESSIONS = sorted({block.page for block in of("console")})


def in_repository(block: Block) -> bool:
    return "/" in block.name and (ROOT / block.name).exists()


def page_id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


# what a block may be


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_is_of_a_kind_that_is_tried(block: Block) -> None:
    if block.kind.startswith("{"):
        assert block.kind in ("{toctree}", "{note}"), "a directive with content that nothing tries"
        return
    assert block.kind in KINDS, f"{block}: {block.kind!r}, expected one of {', '.join(sorted(KINDS))}"
    if block.kind in ("python", "toml"):
        assert block.name, f"{block}: its first line is a comment that names the file"


@pytest.mark.parametrize("block", [one for one in BLOCKS if in_repository(one)], ids=str)
def test_a_block_that_is_a_file_of_the_repository_is_the_same(block: Block) -> None:
    if block.kind == "toml":  # or a part of it
        assert block.body in (ROOT / block.name).read_text()
    else:
        assert block.body == (ROOT / block.name).read_text()


@pytest.mark.parametrize("block", [*of("python"), *of("toml")], ids=str)
def test_a_file_is_one_of_the_repository_or_of_a_plugin_that_is_tried(block: Block) -> None:
    assert block.page in PLUGIN_PAGES or in_repository(block)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_headings_leave_out_no_level(page: Path) -> None:
    text = re.sub(r"^( *)```.*?^\1```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    levels = [len(marks) for marks in re.findall(r"^(#+) ", text, re.MULTILINE)]
    assert levels[0] == 1
    assert [upper for upper, lower in itertools.pairwise(levels) if lower > upper + 1] == [], "sphinx warns of it"


# configurations

_HTTP = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = {
    "name": "envoy.filters.http.router",
    "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
}
_BOOTSTRAP = {"admin", "bootstrap_extensions", "node", "static_resources", "stats_flush_interval", "stats_sinks"}


def clusters_in(part: Any) -> Iterator[str]:
    """The clusters that a part of a configuration refers to."""
    if isinstance(part, dict):
        for key, value in part.items():
            if key == "cluster" and isinstance(value, str):
                yield value
            elif key == "weighted_clusters":
                yield from (one["name"] for one in value["clusters"])
            else:
                yield from clusters_in(value)
    elif isinstance(part, list):
        for value in part:
            yield from clusters_in(value)


def static_cluster(name: str) -> dict[str, Any]:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 8000}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    return {"name": name, "load_assignment": {"cluster_name": name, "endpoints": endpoints}}


def listening(filters: list[Any]) -> dict[str, Any]:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 10000}}
    return {"name": "in", "address": address, "filter_chains": [{"filters": filters}]}


def connection_manager(fields: Mapping[str, Any]) -> dict[str, Any]:
    routes = {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": []}]}
    known = {"stat_prefix": "in", "route_config": routes, "http_filters": [_ROUTER]}
    return {"name": "http", "typed_config": {"@type": _HTTP, **known, **fields}}


def completed(part: dict[str, Any]) -> dict[str, Any]:
    """A bootstrap with the part in its place."""
    from envoy.config.listener.v3.listener_pb2 import Listener
    from envoy.config.route.v3.route_components_pb2 import VirtualHost
    from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
        HttpConnectionManager,
    )

    keys = set(part)
    if keys <= _BOOTSTRAP:
        return part
    resources: dict[str, Any] = {"listeners": []}
    if keys <= {"clusters", "listeners"}:
        resources |= part
    elif keys <= {field.name for field in HttpConnectionManager.DESCRIPTOR.fields}:
        resources["listeners"] = [listening([connection_manager(part)])]
    elif keys <= {"filters"}:
        resources["listeners"] = [listening(part["filters"])]
    elif keys <= {field.name for field in VirtualHost.DESCRIPTOR.fields}:
        host = {"name": "all", "domains": ["*"], **part}
        resources["listeners"] = [listening([connection_manager({"route_config": {"virtual_hosts": [host]}})])]
    elif keys <= {field.name for field in Listener.DESCRIPTOR.fields}:
        resources["listeners"] = [listening([connection_manager({})]) | part]
    else:
        raise AssertionError(f"no place in a bootstrap for {', '.join(sorted(keys))}")
    known = {one["name"] for one in resources.setdefault("clusters", [])}
    missing = sorted(set(clusters_in(part)) - known)
    resources["clusters"] = [*resources["clusters"], *map(static_cluster, missing)]
    return {"static_resources": resources}


def bootstraps(block: Block) -> list[str]:
    """The bootstraps of a block; AssertionError for what is wrong with another file."""
    part = yaml.safe_load(block.text)
    assert isinstance(part, dict), f"{block}: no mapping"
    if set(part) == {"services"}:
        registry_file(block)
    elif set(part) == {"scrape_configs"}:
        assert [job["metrics_path"] for job in part["scrape_configs"]] == ["/stats/prometheus"]
    elif set(part) <= _BOOTSTRAP:
        return [block.text]
    else:
        return [yaml.safe_dump(completed(part))]
    return []


def registry_file(block: Block) -> None:
    import asyncio
    import tempfile

    from plait.testing import check_registry
    from plait_registry_file import FileSettings, plait_registries

    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(block.text)
        file.flush()
        [registered] = plait_registries()
        registry = registered.factory(FileSettings(file.name))
        names = {service["name"] for service in yaml.safe_load(block.text)["services"]}
        asyncio.run(check_registry(registry, lambda sink: {key.split(":")[0] for key in sink.services} == names))


def validated_below(block: Block) -> bool:
    """Whether a session of its page says what is to be said of a configuration."""
    typed = [command.text for session in of("console", page=block.page) for command in commands(session)]
    return bool(block.name) and any("validate" in text and block.name in text.split() for text in typed)


LEFT = [one for one in of("yaml") if one.page not in PLUGIN_PAGES and not validated_below(one)]


@pytest.mark.parametrize("block", LEFT, ids=str)
def test_configuration_can_be_provisioned(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_certificates(block.text)
    for text in bootstraps(block):
        validate(RunOptions(config_yaml=text))


def write_certificates(text: str) -> None:
    """The files ``certs/…`` that a configuration names: ``ca.pem``, and a pair for any other name."""
    names = set(re.findall(r"\bcerts/(\w+)\.(?:pem|key)\b", text))
    if not names:
        return
    authority, folder = trustme.CA(), Path("certs")
    folder.mkdir()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    for name in names - {"ca"}:
        certificate = authority.issue_cert(f"{name}.example")
        certificate.private_key_pem.write_to_path(str(folder / f"{name}.key"))
        for blob in certificate.cert_chain_pems:
            blob.write_to_path(str(folder / f"{name}.pem"), append=True)


# A distribution without entry points is a library: there is nothing in it to configure.
READMES = sorted(
    path
    for path in ROOT.glob("plugins/*/*/README.md")
    if "entry-points" in tomllib.loads(path.with_name("pyproject.toml").read_text())["project"]
)


@pytest.mark.parametrize("page", READMES, ids=page_id)
def test_a_plugin_shows_a_configuration(page: Path) -> None:
    assert of("yaml", page=page)


# what is typed


@pytest.mark.timeout(120)
@pytest.mark.parametrize("page", SESSIONS, ids=page_id)
def test_commands_do_what_is_shown(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    checkout = request.getfixturevalue("plugins") if page in PLUGIN_PAGES else Checkout(tmp_path / "plait")
    for block in BLOCKS:
        if block.page == page and block.name:
            checkout.write(block.name, block.body)
    typed = [command for block in of("console", page=page) for command in commands(block)]
    assert checkout.session([tried(command) for command in typed]) == []


def test_a_command_that_fails_or_prints_something_else_is_noticed(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "plait")
    typed = [Command("echo one", ("one",)), Command("echo one", ("two",)), Command("false"), Command("echo ended")]
    assert [wrong.partition(":")[0] for wrong in checkout.session(typed)] == [
        "`echo one` does not print 'two', but",
        "`false` ended with 1",
    ]
    assert checkout.session([Command("false"), Command("echo $?", ("1",))]) == []


def tried(command: Command) -> Command:
    """The command, or `true` in place of one that a test of its own runs and whose flags are right."""
    demo = re.fullmatch(r"\.venv/bin/mesh (demo\b.*)", command.text)
    if not demo:
        return command
    parser(own_commands()).parse_args(demo[1].split())
    return Command("true")


# plugins

_PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "1.0"
keywords = ["plait", "robust_to_untrusted_downstream"]
classifiers = ["Development Status :: 3 - Alpha"]
dependencies = ["plait>=0.1", "attrs"]

[tool.hatch.build.targets.wheel]
include = ["*.py"]
exclude = ["test_*.py"]

"""


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout in which the plugins of all pages are installed."""
    checkout = Checkout(tmp_path_factory.mktemp("docs") / "plait")
    projects = []
    for page in PLUGIN_PAGES:
        files = {block.name: block.body for block in [*of("python", page=page), *of("toml", page=page)]}
        module = next(name for name in files if name.endswith(".py") and not name.startswith("test_"))
        project = files.pop("pyproject.toml")
        if "project" not in tomllib.loads(project) or "name" not in tomllib.loads(project)["project"]:
            project = _PROJECT.format(name=module.removesuffix(".py").replace("_", "-")) + project
        for name, text in {**files, "pyproject.toml": project}.items():
            checkout.write(f"{page.stem}/{name}", text)
        projects.append(checkout.folder / page.stem)
    checkout.install(*projects)
    return checkout


@pytest.mark.parametrize("page", PLUGIN_PAGES, ids=page_id)
def test_plugins_pass_the_tests_shown_beside_them(page: Path, plugins: Checkout) -> None:
    tests = [block.name for block in of("python", page=page) if block.name.startswith("test_")]
    assert tests, f"{page_id(page)} shows no test"
    flags = ["-q", "-p", "no:cacheprovider", "-W", "error", "--import-mode=importlib"]
    plugins.run(plugins.python, "-m", "pytest", *flags, *tests, folder=plugins.folder / page.stem)


@pytest.mark.parametrize("block", [one for one in of("yaml") if one.page in PLUGIN_PAGES], ids=str)
def test_configuration_of_a_plugin_is_valid(block: Block, plugins: Checkout) -> None:
    for text in bootstraps(block):
        plugins.run(plugins.python, "-m", "plait", "validate", "--config-yaml", text)


# the reference


def test_every_conformance_kit_is_documented() -> None:
    page = (ROOT / "docs/plugins/index.md").read_text()
    assert [name for name in plait.testing.__all__ if f"`{name}" not in page] == []


@pytest.mark.parametrize("name", PAGES_MADE)
def test_the_reference_is_made_from_the_code(name: str) -> None:
    page = ROOT / f"docs/reference/{name}.md"
    assert page.read_text() == PAGES_MADE[name](HEAD), "run tools/reference"


@pytest.mark.parametrize("page", sorted({block.page for block in of("pycon")}), ids=page_id)
def test_examples_print_what_is_shown(page: Path) -> None:
    for block in of("pycon", page=page):
        test = doctest.DocTestParser().get_doctest(block.text, {}, str(block), str(page), block.line)
        assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test).failed == 0, block
