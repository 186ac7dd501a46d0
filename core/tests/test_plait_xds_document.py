"""Configuration text becomes a tree that knows its places; what the text may not do is refused with the place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from plait.api.errors import ConfigError
from plait.xds import yaml_text
from plait.xds.document import MAX_DEPTH, Document, MappingNode, Node, ScalarNode, SequenceNode
from plait.xds.files import read_file
from plait.xds.json_text import read_json
from plait.xds.yaml_text import read_yaml


def plain(node: Node) -> Any:
    """Return the values of a tree without their places."""
    if isinstance(node, MappingNode):
        return {name: plain(value) for name, (_, value) in node.entries.items()}
    if isinstance(node, SequenceNode):
        return [plain(item) for item in node.items]
    assert isinstance(node, ScalarNode)
    return node.value


def values(text: str) -> Any:
    """Read YAML that must have nothing wrong in it."""
    document = read_yaml(text, "a.yaml")
    assert document.errors == []
    return plain(document.root)


def refused(text: str, read: Any = read_yaml) -> str:
    """Return the message of the error that ends the reading of a text."""
    with pytest.raises(ConfigError) as caught:
        read(text, "a.yaml")
    return str(caught.value)


# Dumped by Envoy 1.40 (/config_dump, node.metadata) for the same text, null as None.
AS_ENVOY_READS = {
    "1": 1,
    "1.5": "1.5",
    "010": 8,
    "-010": -8,
    "08": "08",
    "0x10": 16,
    "0x": "0x",
    "0b11": "0b11",
    "0o17": "0o17",
    "+5": 5,
    "1e3": "1e3",
    "1_000": "1_000",
    "12:30": "12:30",
    "2021-01-01": "2021-01-01",
    ".inf": ".inf",
    "2147483648": "2147483648",
    "-2147483648": -2147483648,
    "99999999999": "99999999999",
    "0xFFFFFFFFFF": "1099511627775",
    "18446744073709551615": "18446744073709551615",
    "y": True,
    "On": True,
    "oN": "oN",
    "NO": False,
    "'y'": "y",
    "null": None,
    "NULL": None,
    "nUll": "nUll",
    "'null'": "null",
    "": None,
    "''": "",
    "=": "=",
    '"\\x41"': "A",
    "!!str 5": 5,
    "!!str null": "null",
    "!!null x": "x",
    "!!bool 'y'": True,
    "! 5": "5",
    "!foo y": True,
    "!!binary aGk=": "aGk=",
}


@pytest.mark.parametrize("written", AS_ENVOY_READS)
def test_scalar_has_the_type_that_envoy_gives_it(written: str) -> None:
    value = values(f"a: {written}")["a"]
    assert value == AS_ENVOY_READS[written]
    assert type(value) is type(AS_ENVOY_READS[written])


def test_key_is_text_whatever_it_looks_like() -> None:
    assert values("{y: 1, 1: 2, ~: 3, 0x10: 4}") == {"y": 1, "1": 2, "null": 3, "0x10": 4}


def test_key_tagged_ignore_is_left_out() -> None:
    assert values("!ignore shared: &a {b: 1}\nc: *a") == {"c": {"b": 1}}


def test_every_key_and_value_keeps_its_place() -> None:
    root = read_yaml("é: {á: x}\nlist:\n  - one\n  - two: 2\n", "a.yaml").root
    assert isinstance(root, MappingNode)
    _, flow = root.entries["é"]
    assert isinstance(flow, MappingNode)
    key, value = flow.entries["á"]
    assert [(n.line, n.column) for n in (flow, key, value)] == [(1, 4), (1, 5), (1, 8)]
    key, items = root.entries["list"]
    assert isinstance(items, SequenceNode)
    assert (key.line, key.column) == (2, 1)
    assert [(n.line, n.column) for n in items.items] == [(3, 5), (4, 5)]


def test_alias_repeats_its_anchor() -> None:
    assert values("a: &x {b: [1]}\nc: *x\nd: [*x, *x]") == {
        "a": {"b": [1]},
        "c": {"b": [1]},
        "d": [{"b": [1]}, {"b": [1]}],
    }


def test_anchor_may_be_given_anew() -> None:
    assert values("a: &x 1\nb: *x\nc: &x 2\nd: *x") == {"a": 1, "b": 1, "c": 2, "d": 2}


def test_merge_key_gives_way_to_keys_of_the_mapping() -> None:
    text = "base: &a {x: 1, y: 2}\nmore: &b {y: 3, z: 4}\nboth: {<<: [*a, *b], x: 9}\none: {<<: *a}"
    merged = values(text)
    assert merged["both"] == {"x": 9, "y": 2, "z": 4}
    assert merged["one"] == {"x": 1, "y": 2}


def test_quoted_merge_key_is_a_key() -> None:
    assert values('{"<<": {a: 1}}') == {"<<": {"a": 1}}


def test_merge_of_a_scalar_is_refused() -> None:
    assert refused("a: {<<: 1}").startswith("a.yaml:1:9: '<<' merges something that has no keys")


def test_alias_without_anchor_is_refused() -> None:
    assert refused("a: *b") == "a.yaml:1:4: alias '*b' has no anchor, expected an '&b' before it"


def test_alias_inside_its_own_anchor_is_refused() -> None:
    assert refused("a: &x\n  b: *x") == "a.yaml:2:6: alias '*x' stands inside its own anchor"


def test_alias_bomb_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    assert "aliases multiply the document" in refused("\n".join(lines))


def test_depth_is_limited() -> None:
    assert values("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert "too deeply nested, expected at most 100 levels" in refused("[" * 101 + "]" * 101)
    assert "too deeply nested" in refused("[" * 100_000)


def test_depth_counts_what_aliases_bring() -> None:
    lines = ["- &a0 [" + "[" * 48 + "]" * 48 + "]", "- &a1 [[*a0]]", "- &a2 [" + "[" * 46 + "*a1" + "]" * 46 + "]"]
    assert values("\n".join(lines))
    assert "too deeply nested through aliases" in refused("\n".join([*lines, "- [[*a2]]"]))


def test_key_given_twice_is_reported_with_both_places_and_the_rest_is_read() -> None:
    document = read_yaml("a:\n- b: 1\n  c: 2\n  b: 3\nd: 4\nd: 5\n", "a.yaml")
    assert [str(error) for error in document.errors] == [
        "a.yaml:4:3: key 'b' is given again, expected each key once, first given at a.yaml:2:3",
        "a.yaml:6:1: key 'd' is given again, expected each key once, first given at a.yaml:5:1",
    ]
    assert document.errors[0].path == ("a", 0, "b")
    assert plain(document.root) == {"a": [{"b": 1, "c": 2}], "d": 4}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a: [1, 2",
            "a.yaml:1:9: YAML syntax error: did not find expected ',' or ']', "
            "while parsing a flow sequence begun at a.yaml:1:4",
        ),
        ("a: [1,\n\n", "a.yaml:2:1: YAML syntax error: did not find expected"),
        ("a:\n\tb: 1", "a.yaml:2:1: YAML syntax error: found character that cannot start any token"),
        ("a: b: c", "a.yaml:1:5: YAML syntax error: mapping values are not allowed in this context"),
        ("a: 'b", "a.yaml:1:6: YAML syntax error: found unexpected end of stream"),
        ("a: 1\n---\nb: 2", "a.yaml:2:1: a second document in the file, expected one document"),
        ("", "a.yaml:1:1: the document is empty, expected a mapping"),
        ("# nothing\n", "a.yaml:1:1: the document is empty"),
        ("? [a]\n: b", "a.yaml:1:3: a list or mapping is used as a key"),
        ("a: &x [1]\n*x : b", "a.yaml:2:1: a list or mapping is used as a key"),
        ("a: \x00", "a.yaml:1:4: character U+0000 is not allowed in YAML"),
        ("b: 1\na: x\x1b", "a.yaml:2:5: character U+001B is not allowed in YAML"),
    ],
)
def test_unreadable_yaml_is_refused_with_its_place(text: str, message: str) -> None:
    # these are the words of libyaml, which is in PyYAML's wheels; its Python parser has its own
    assert refused(text).startswith(message)


def test_tab_as_indentation_gets_a_hint() -> None:
    assert refused("a:\n\tb: 1").endswith("indent with spaces, not tabs")


def test_yaml_is_read_without_libyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_text, "_LOADER", yaml.SafeLoader)
    assert values("a: &x {b: [y, 010, '1']}\nc: *x\n!ignore d: 1\ne: ! 5") == {
        "a": {"b": [True, 8, "1"]},
        "c": {"b": [True, 8, "1"]},
        "e": "5",
    }
    assert refused("a: *b").startswith("a.yaml:1:4: alias '*b' has no anchor")
    assert refused('a: "\\ud800"').startswith("a.yaml:1:4: half of a surrogate pair")


def json_values(text: str) -> Any:
    document = read_json(text, "a.json")
    assert document.errors == []
    return plain(document.root)


def test_json_keeps_its_types() -> None:
    text = (
        '{"a": [1, -2.5, 1e3, 99999999999, true, false, null], "b": "\\ud83d\\ude00\\n", "c": {}, "y": "y", "<<": []}'
    )
    assert json_values(text) == {
        "a": [1, -2.5, 1000.0, 99999999999, True, False, None],
        "b": "😀\n",
        "c": {},
        "y": "y",
        "<<": [],
    }


def test_json_may_have_what_envoy_takes_besides() -> None:
    assert json_values("""{'a': 'it\\'s "b"', c: [1, 2,], "d": "x\ty",}""") == {
        "a": 'it\'s "b"',
        "c": [1, 2],
        "d": "x\ty",
    }


def test_json_values_keep_their_places() -> None:
    root = read_json('{\n  "a": [1,\n 2]}', "a.json").root
    assert isinstance(root, MappingNode)
    key, items = root.entries["a"]
    assert isinstance(items, SequenceNode)
    assert [(n.line, n.column) for n in (root, key, items, *items.items)] == [(1, 1), (2, 3), (2, 8), (2, 9), (3, 2)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1:1: the text ends too early, expected a value"),
        ("{} {}", "1:4: unexpected '{' in JSON, expected nothing more"),
        ('{"a" 1}', "1:6: unexpected '1' in JSON, expected ':'"),
        ('{"a": 1 "b": 2}', "1:9: unexpected '\"b\"' in JSON, expected ',' or '}'"),
        ("[1, }", "1:5: unexpected '}' in JSON, expected a value or ']'"),
        ("[", "1:2: the text ends too early, expected a value or ']'"),
        ('{"a":}', "1:6: unexpected '}' in JSON, expected a value"),
        ("[,]", "1:2: unexpected ',' in JSON, expected a value or ']'"),
        ("[abc]", "1:2: unexpected 'abc' in JSON, expected a value or ']'"),
        ("[0x10]", "1:2: JSON syntax error at '0x10]'"),
        ("[01]", "1:2: JSON syntax error at '01]'"),
        ('["a]', "1:2: JSON syntax error at '\"a]'"),
        ("{1: 2}", "1:2: unexpected '1' in JSON, expected a key or '}'"),
        ('["\\x"]', "1:2: bad escape in string"),
        ('["\\ud83d"]', "1:2: half of a surrogate pair"),
        ("[1e999]", "1:2: number 1e999 is out of range"),
        ("a: b", "1:1: unexpected 'a' in JSON, expected a value"),
        ("[" * 101, "1:101: too deeply nested"),
    ],
)
def test_unreadable_json_is_refused_with_its_place(text: str, message: str) -> None:
    assert refused(text, read_json).startswith(f"a.yaml:{message}")


def test_json_key_given_twice_is_reported() -> None:
    document = read_json('{"a": 1,\n"a": 2}', "a.json")
    assert [str(e) for e in document.errors] == [
        "a.json:2:1: key 'a' is given again, expected each key once, first given at a.json:1:2"
    ]


def test_file_is_yaml_or_json_by_its_name(tmp_path: Path) -> None:
    def read(name: str, content: bytes) -> Document:
        (tmp_path / name).write_bytes(content)
        return read_file(tmp_path / name)

    assert plain(read("a.yaml", b"a: y").root) == {"a": True}
    assert plain(read("a.YML", b"\xef\xbb\xbfa: 1.5").root) == {"a": "1.5"}
    assert plain(read("a.json", b'{"a": 1.5}').root) == {"a": 1.5}
    with pytest.raises(ConfigError, match="in JSON"):
        read("a.conf", b"a: y")


def test_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^cannot read .*absent\.yaml: No such file or directory$"):
        read_file(tmp_path / "absent.yaml")
    (tmp_path / "latin.yaml").write_bytes("a: 1\nb: é".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.yaml:2:4: byte 0xe9 is not UTF-8"):
        read_file(tmp_path / "latin.yaml")
