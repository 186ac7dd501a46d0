"""The text of the file, and every way in which it is wrong."""

from pathlib import Path

import pytest

from plait import Address, ConfigError, Instance, Service
from plait_registry_file.document import parse_address, read, write

WHOLE = """\
services:
  - name: catalogue
    version: 1.10
    group: on
    protocol: http1
    metadata: {team: shop, floor: 3}
    instances:
      - address: 127.0.0.1:8080
        weight: 5
        healthy: false
        zone: a
        metadata: {rack: "7"}
      - address: "[::1]:80"
  - {name: empty}
"""


def file(folder: Path, text: str, name: str = "services.yaml") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_everything_that_can_be_said_is_read(tmp_path: Path) -> None:
    assert read(file(tmp_path, WHOLE)) == {
        "catalogue:1.10:on": (
            Service("catalogue", "1.10", "on", "http1", {"team": "shop", "floor": "3"}),
            (
                Instance(Address("127.0.0.1", 8080), 5, False, "a", {"rack": "7"}),
                Instance(Address("::1", 80)),
            ),
        ),
        "empty": (Service("empty"), ()),
    }


@pytest.mark.parametrize("name", ["services.yaml", "services.json"])
def test_what_is_written_reads_the_same(tmp_path: Path, name: str) -> None:
    picture = read(file(tmp_path, WHOLE))
    assert read(file(tmp_path, write(name, picture), name)) == picture


def test_json_is_read(tmp_path: Path) -> None:
    text = '{"services": [{"name": "a", "instances": [{"address": "unix:/run/a.sock"}]}]}'
    picture = read(file(tmp_path, text, "services.json"))
    assert picture == {"a": (Service("a"), (Instance(Address(path="/run/a.sock")),))}


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("", "1:1", "the document is empty, expected a mapping"),
        ("services: [", "1:12", "YAML syntax error"),
        ("[]", "1:1", "the document is of the wrong kind, expected a mapping"),
        ("services: [3]", "1:12", "0 is of the wrong kind, expected a mapping"),
        ("services: [{name: a, instances: [3]}]", "1:34", "0 is of the wrong kind, expected a mapping"),
        ("{}", "1:1", "field 'services' is missing"),
        ("services: 3", "1:11", "'services' is of the wrong kind, expected a list"),
        ("{services: [], servces: []}", "1:16", "unknown field 'servces', did you mean 'services'"),
        ("services: [{}]", "1:12", "field 'name' is missing"),
        ("services: [{name: ''}]", "1:19", "the service has no name, expected a name"),
        ("services: [{name: a}, {name: a}]", "1:23", "service 'a' is given again, expected each once"),
        ("services: [{name: a, colour: red}]", "1:22", "unknown field 'colour', known are name, version"),
        ("services: [{name: a, metadata: 3}]", "1:32", "'metadata' is of the wrong kind, expected a mapping"),
        ("services: [{name: a, metadata: {b: []}}]", "1:36", "'b' is of the wrong kind, expected text"),
        ("services: [{name: a, instances: [{weight: 1}]}]", "1:34", "field 'address' is missing"),
        ("services: [{name: a, instances: [{address: b}]}]", "1:44", "'b' is not an address, expected host:port"),
        (
            "services: [{name: a, instances: [{address: 'b:1', weight: heavy}]}]",
            "1:59",
            "'weight' is of the wrong kind, expected a whole number",
        ),
        (
            "services: [{name: a, instances: [{address: 'b:1', weight: 0}]}]",
            "1:59",
            "weight is 0, expected 1 to 1000000",
        ),
        (
            "services: [{name: a, instances: [{address: 'b:1', healthy: 1}]}]",
            "1:60",
            "'healthy' is of the wrong kind, expected true or false",
        ),
        (
            "services: [{name: a, instances: [{address: 'b:1'}, {address: 'b:1'}]}]",
            "1:52",
            "instance b:1 is given again, expected each once",
        ),
        ("services: [{name: a, name: b}]", "1:22", "key 'name' is given again"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, text: str, place: str, message: str) -> None:
    path = file(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}:{place}: {message}")


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    path = file(tmp_path, "services:\n- {nme: a}\n- {name: b, instances: [{address: b}, {address: c}]}\n")
    with pytest.raises(ConfigError) as caught:
        read(path)
    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == [
        f"{path}:2:3",
        f"{path}:2:4",
        f"{path}:3:35",
        f"{path}:3:49",
    ]


@pytest.mark.parametrize(
    "text", ["", "a", "a:", ":1", "a:0", "a:65536", "a:-1", "a:x", "::1:80", "[]:1", "unix:", "a:²"]
)
def test_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="address"):
        parse_address(text)
