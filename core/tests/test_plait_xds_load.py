"""Where the text of a configuration comes from, and what is said when it cannot be read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from plait.api.config import Address, Node
from plait.api.errors import ConfigErrors
from plait.plugins import Catalogue
from plait.xds import load_bootstrap


def complaints(path: str, text: str) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        load_bootstrap(path, text, Catalogue(()))
    return str(caught.value).splitlines()


def test_text_on_the_command_line_is_laid_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text("node: {id: a, cluster: b}\nstatic_resources: {clusters: [{name: one}]}")
    overlay = """
node: {id: c}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 1}}}
static_resources: {clusters: [{name: two}]}
"""
    made = load_bootstrap(str(path), overlay, Catalogue(()))
    assert made.node == Node("c", "b")
    assert made.admin == Address("127.0.0.1", 1)
    assert [one.name for one in made.clusters] == ["one", "two"]


def test_errors_of_both_texts_are_said_with_their_places(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text("static_resources: {clusters: [{name: one, lb_policy: MAGLEV}]}")
    said = complaints(str(path), "stats_flush_interval: 0s\nstatic_resources: {clusters: [{name: one}]}")
    assert [line.replace(str(path), "F").partition(", expected")[0] for line in said] == [
        "F:1:54: lb_policy MAGLEV is not supported yet by plait",
        "--config-yaml:1:23: stats_flush_interval is 0s",
        "--config-yaml:2:38: cluster 'one' is there twice",
    ]


def test_texts_that_cannot_be_read_are_both_named(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text("nod: {}")
    said = complaints(str(path), "node: [")
    assert said[0].startswith(f"{path}:1:1: unknown field 'nod'")
    assert said[1].startswith("--config-yaml:1:8: YAML syntax error")


def test_no_configuration_at_all_is_an_error() -> None:
    assert complaints("", " \n") == ["there is no configuration, expected -c FILE or --config-yaml TEXT"]


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    assert complaints(f"{tmp_path}/none.yaml", "") == [f"cannot read {tmp_path}/none.yaml: No such file or directory"]


def test_the_command_line_says_who_we_are() -> None:
    made = load_bootstrap("", "node: {id: a, locality: {region: r, zone: z}, metadata: {a: 1, b: [c, null]}}",
                          Catalogue(()), service_cluster="shop", service_node="me")  # fmt: skip
    assert made.node == Node("me", "shop", {"a": 1, "b": ["c", None]}, "r/z")


def test_a_type_that_nobody_has_is_named_with_what_to_install() -> None:
    said = complaints("", "stats_sinks: [{name: a, typed_config: {'@type': type.googleapis.com/acme.Unheard}}]")
    assert said == [
        "--config-yaml:1:49: unknown type 'acme.Unheard', expected a message type of an installed distribution"
    ]


def test_the_store_alone_takes_no_protobuf_and_no_yaml() -> None:
    script = (
        "import sys, plait.xds.store\n"
        "print([name for name in ('google.protobuf', 'yaml', 're2', 'cattrs') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=True)
    assert done.stdout == "[]\n"


def test_every_public_name_is_there() -> None:
    import plait.xds

    assert all(getattr(plait.xds, name) is not None for name in plait.xds.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = plait.xds.nothing
