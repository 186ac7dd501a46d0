"""The command `mesh`: its verbs, exit codes, and what it must not import."""

import json
from typing import TYPE_CHECKING

import pytest

from plait.api.errors import ConfigError, ConfigErrors, OverloadError, PluginError
from plait.api.extension import CommandType
from plait.cli import Exit, main, verbs

if TYPE_CHECKING:
    from conftest import Site

COMMAND = """
import plait

def run(arguments):
    print("hello,", arguments.name)
    return 5

@plait.hookimpl
def plait_commands():
    return [plait.CommandType("hello", "Greet somebody", lambda parser: parser.add_argument("name"), run)]
"""


def mesh(site: "Site", *arguments: str) -> tuple[int, str, str]:
    done = site.run("-c", "import sys; from plait.cli import main; sys.exit(main())", *arguments)
    return done.returncode, done.stdout, done.stderr


def test_version_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == Exit.OK
    assert capsys.readouterr().out.startswith("plait ")


@pytest.mark.parametrize("verb", ["version", "plugins", "--help"])
def test_light_verbs_import_nothing_heavy(site: "Site", verb: str) -> None:
    code = f"import sys; from plait.cli import main; assert not main([{verb!r}]); print(*sys.modules, file=sys.stderr)"
    done = site.run("-c", code)
    assert done.returncode == 0, done.stderr
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert loaded.isdisjoint({"google", "grpc", "envoy", "xds", "yaml", "uvloop", "cattrs", "asyncio"})
    assert not {name for name in loaded if name.startswith("plait_")}


def test_import_of_plait_is_light(site: "Site") -> None:
    done = site.run("-c", "import sys, plait; print(*{name.partition('.')[0] for name in sys.modules})")
    heavy = {
        "google",
        "grpc",
        "envoy",
        "xds",
        "yaml",
        "uvloop",
        "cattrs",
        "asyncio",
        "email",
        "packaging",
        "ssl",
        "socket",
    }
    assert heavy.isdisjoint(done.stdout.split())


def test_no_verb_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == Exit.USAGE
    assert "usage: mesh" in capsys.readouterr().err


def test_an_unknown_verb_is_a_usage_error(site: "Site") -> None:
    code, _, err = mesh(site, "nosuchverb")
    assert code == Exit.USAGE
    assert "invalid choice: 'nosuchverb'" in err


@pytest.mark.parametrize("verb", ["run", "validate"])
def test_no_configuration_is_a_usage_error(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb]) == Exit.USAGE
    assert "give -c FILE or --config-yaml YAML" in capsys.readouterr().err


def test_a_plugin_can_add_a_verb(site: "Site") -> None:
    site.add("acme-hello", {"plait.commands": {"hello": "acme_hello"}}, modules={"acme_hello": COMMAND})
    assert mesh(site, "hello", "mesh") == (5, "hello, mesh\n", "")
    assert "Greet somebody" in mesh(site, "--help")[1]


def test_a_broken_verb_of_a_plugin_exits_with_3(site: "Site") -> None:
    site.add("acme-hello", {"plait.commands": {"hello": "acme_hello"}}, modules={"acme_hello": "import no_such_module"})
    code, _, err = mesh(site, "hello", "mesh")
    assert code == Exit.PLUGIN
    assert "mesh: plugin 'commands:hello' of acme-hello: acme_hello cannot be imported" in err
    code, out, err = mesh(site, "--help")
    assert code == Exit.OK
    assert "plugin 'commands:hello'" in err
    assert "Run a sidecar" in out


def test_verbs_of_plaits_own_cannot_be_taken(site: "Site") -> None:
    source = COMMAND.replace('"hello", "Greet', '"version", "Greet')
    site.add("acme-hello", {"plait.commands": {"hello": "acme_hello"}}, modules={"acme_hello": source})
    assert mesh(site, "version")[1].startswith("plait ")


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (
            PluginError("acme", "no luck", distribution="acme-dist"),
            Exit.PLUGIN,
            "mesh: plugin 'acme' of acme-dist: no luck\n",
        ),
        (
            ConfigError("no", expected="yes", file="a.yaml", line=3, column=5),
            Exit.CONFIG,
            "a.yaml:3:5: no, expected yes\n",
        ),
        (
            ConfigErrors([ConfigError("a", file="f", line=1, column=1), ConfigError("b", file="f", line=2, column=1)]),
            Exit.CONFIG,
            "f:1:1: a\nf:2:1: b\n",
        ),
        (OverloadError("too much"), Exit.FAILED, "mesh: too much\n"),
        (PermissionError(13, "Permission denied", "/x"), Exit.FAILED, "mesh: [Errno 13] Permission denied: '/x'\n"),
        (KeyboardInterrupt(), Exit.INTERRUPTED, ""),
    ],
)
def test_an_error_has_its_exit_code(
    error: BaseException, code: Exit, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(arguments: object) -> int:
        raise error

    monkeypatch.setattr(verbs, "own_commands", lambda: [CommandType("run", "Fail", lambda parser: None, fail)])
    assert main(["run"]) == code
    assert capsys.readouterr().err == text


def test_a_reader_that_leaves_is_no_traceback(site: "Site") -> None:
    code = (
        "import os, sys; from plait.cli import main\n"
        "read, write = os.pipe(); os.close(read); os.dup2(write, 1)\n"
        "sys.exit(main(['plugins', '--json']))"
    )
    done = site.run("-c", code)
    assert (done.returncode, done.stderr) == (Exit.FAILED, "")


def test_json_of_plugins_is_for_machines(site: "Site") -> None:
    site.add(
        "acme-tenant",
        {"plait.filters": {"tenant": "acme_tenant"}, "plait.extensions": {"acme.filters.tenant": "acme_tenant"}},
        modules={"acme_tenant": "raise RuntimeError('imported')"},
    )
    code, out, _ = mesh(site, "plugins", "--json", "--kind", "filters")
    assert code == Exit.OK
    [found] = [plugin for plugin in json.loads(out) if plugin["name"] == "tenant"]
    assert found == {
        "name": "tenant",
        "kind": "filters",
        "distribution": "acme-tenant",
        "version": "1.0",
        "status": "wip",
        "security_posture": "unknown",
        "module": "acme_tenant",
        "registers": ["acme.filters.tenant"],
    }
    assert {plugin["kind"] for plugin in json.loads(out)} == {"filters"}


def test_the_table_of_plugins_has_a_line_for_each(site: "Site") -> None:
    site.add(
        "acme-tenant",
        {
            "plait.filters": {"tenant": "acme_tenant"},
            "plait.extensions": {"acme.b": "acme_tenant", "acme.a": "acme_tenant"},
        },
        version="2.3",
        status="4 - Beta",
    )
    _, out, _ = mesh(site, "plugins", "--kind", "filters")
    heading, *lines = out.splitlines()
    assert heading.split() == ["NAME", "KIND", "DISTRIBUTION", "VERSION", "STATUS", "SECURITY", "POSTURE", "REGISTERS"]
    [index] = [index for index, line in enumerate(lines) if line.startswith("tenant ")]
    assert lines[index].split() == ["tenant", "filters", "acme-tenant", "2.3", "beta", "unknown", "acme.a"]
    assert lines[index + 1].split() == ["acme.b"]


def test_check_of_plugins_exits_with_3_when_one_fails(site: "Site") -> None:
    site.add(
        "acme-tenant",
        {"plait.registries": {"tenant": "acme_tenant"}},
        modules={"acme_tenant": "import no_such_module"},
    )
    code, out, err = mesh(site, "plugins", "--check", "--kind", "registries")
    assert code == Exit.PLUGIN
    assert "failed" in out
    assert "mesh: plugin 'registries:tenant' of acme-tenant: acme_tenant cannot be imported: ModuleNotFoundError" in err
    code, out, _ = mesh(site, "plugins", "--check", "--json", "--kind", "registries")
    [found] = [plugin for plugin in json.loads(out) if plugin["name"] == "tenant"]
    assert (code, found["check"]["ok"]) == (Exit.PLUGIN, False)
    assert "no_such_module" in found["check"]["cause"]
    assert found["check"]["remedy"]


def test_check_of_one_kind_does_not_fail_for_another(site: "Site") -> None:
    site.add("acme-tenant", {"plait.commands": {"tenant": "acme_tenant"}}, modules={"acme_tenant": "1 / 0"})
    assert mesh(site, "plugins", "--check", "--kind", "registries")[0] == Exit.OK
