"""The text of the file, and every way in which it is wrong."""

from pathlib import Path

import pytest

from plait import Address, ConfigError, Instance, Service
from plait_registry_file.document import parse_address, read, write

WHOLE = """\
services:
  - name: catalogue
    version: 1.10
    group: blue
    protocol: http1
    metadata: {team: shop, floor: "3"}
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
        "catalogue:1.10:blue": (
            Service("catalogue", "1.10", "blue", "http1", {"team": "shop", "floor": "3"}),
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
        ("[]", "1:1", "the document is no mapping, expected a mapping with services"),
        ("services: [3]", "1:12", "field 'services[0]' is 3, expected a mapping"),
        ("services: [{name: a, instances: [3]}]", "1:34", "field 'services[0].instances[0]' is 3, expected a mapping"),
        ("{}", "1:1", "field 'services' is missing"),
        ("services: 3", "1:11", "field 'services' is 3, expected a list"),
        ("{services: [], servces: []}", "1:16", "unknown field 'servces', expected one of services, did you mean"),
        ("services: [{}]", "1:12", "field 'services[0].name' is missing, expected text"),
        ("services: [{name: ''}]", "1:19", "the service has no name, expected a name"),
        ("services: [{name: a}, {name: a}]", "1:23", "service 'a' is given again, expected each once"),
        ("services: [{name: a, colour: red}]", "1:22", "unknown field 'colour', expected one of name, version"),
        ("services: [{name: a, metadata: 3}]", "1:32", "field 'services[0].metadata' is 3, expected a mapping"),
        ("services: [{name: a, metadata: {b: []}}]", "1:36", "field 'services[0].metadata.b' is [], expected text"),
        (
            "services: [{name: a, instances: [{weight: 1}]}]",
            "1:34",
            "field 'services[0].instances[0].address' is missing, expected text",
        ),
        ("services: [{name: a, instances: [{address: b}]}]", "1:44", "'b' is not an address, expected host:port"),
        (
            "services: [{name: a, instances: [{address: 'b:1', weight: heavy}]}]",
            "1:59",
            "field 'services[0].instances[0].weight' is 'heavy', expected a whole number",
        ),
        (
            "services: [{name: a, instances: [{address: 'b:1', weight: 0}]}]",
            "1:59",
            "weight is 0, expected 1 to 1000000",
        ),
        (
            "services: [{name: a, instances: [{address: 'b:1', healthy: 1}]}]",
            "1:60",
            "field 'services[0].instances[0].healthy' is 1, expected true or false",
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


def test_text_must_look_like_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"1:31: field 'services\[0\].version' is 2, expected text, put it in quotes"):
        read(file(tmp_path, "services: [{name: a, version: 2}]"))


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    path = file(tmp_path, "services:\n- {nme: a}\n- {name: b, instances: [{address: 1}, {address: 2}]}\n")
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
