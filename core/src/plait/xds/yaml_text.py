"""YAML text as a tree of nodes.

It is read the way Envoy's yaml-cpp reads it, not the way PyYAML's constructors do: only plain scalars have a type,
``y``, ``on`` and their kin are booleans, ``010`` is eight and ``0x10`` sixteen, an integer beyond 32 bits and every
fraction stay text until a field says what they are. Keys tagged ``!ignore`` are left out, as in Envoy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from plait.xds.document import Builder, Document, MappingNode, Plain, ScalarNode, SequenceNode

_BOOLEANS = {
    form: value
    for value, words in ((True, ("y", "yes", "true", "on")), (False, ("n", "no", "false", "off")))
    for word in words
    for form in (word, word.upper(), word.capitalize())
}
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_INTEGER = re.compile(r"[+-]?(?:0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)")
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(text: str, file: str) -> Document:
    """Read one YAML 1.1 document; ``file`` is only a name for messages. Raises ``ConfigError`` on a syntax error."""
    builder = Builder(file)
    text = text.removeprefix("\ufeff")
    bad = _UNPRINTABLE.search(text)
    if bad is not None:
        line = text.count("\n", 0, bad.start()) + 1
        column = bad.start() - text.rfind("\n", 0, bad.start())
        builder.fail(f"character U+{ord(bad.group()):04X} is not allowed in YAML", line, column)
    documents = 0
    for event in _events(text, builder):
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        match event:
            case yaml.ScalarEvent():
                _scalar(event, builder, line, column)
            case yaml.MappingStartEvent():
                builder.start(MappingNode(line, column), anchor=event.anchor)
            case yaml.SequenceStartEvent():
                builder.start(SequenceNode(line, column), anchor=event.anchor)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                builder.end()
            case yaml.AliasEvent():
                builder.alias(str(event.anchor), line, column)
            case yaml.DocumentStartEvent():
                documents += 1
                if documents > 1:
                    builder.fail("a second document in the file", line, column, expected="one document")
            case _:
                pass
    return builder.document("the document is empty")


def _events(text: str, builder: Builder) -> Iterator[Any]:
    """Parse events of PyYAML, its errors turned into ours."""
    try:
        yield from yaml.parse(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark, begun = error.problem_mark or error.context_mark, error.context_mark
        what = f"YAML syntax error: {error.problem or error.context}"
        hint = ""
        if error.problem and error.context and begun is not None:
            hint = f"{error.context} begun at {builder.file}:{begun.line + 1}:{begun.column + 1}"
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        written = text.splitlines()
        if line > len(written):  # the end of the text: say where its last line ends
            line, column = len(written), len(written[-1]) + 1
        start = written[line - 1]
        if "\t" in start[: len(start) - len(start.lstrip())]:
            hint = "indent with spaces, not tabs"
        builder.fail(what, line, column, hint=hint)
    except yaml.YAMLError as error:
        builder.fail(f"YAML syntax error: {error}", 1, 1)


def _scalar(event: Any, builder: Builder, line: int, column: int) -> None:
    plain = not event.style
    node = ScalarNode(_typed(event.value, event.tag, plain), event.value, line, column)
    node.ignored = event.tag == "!ignore"
    builder.scalar(node, anchor=event.anchor, plain=plain and event.tag is None)


def _typed(text: str, tag: str | None, plain: bool) -> Plain:
    """Give a scalar its type as Envoy's parseYamlNode does: by its form, whatever tag other than ``!`` it carries."""
    if tag == "!" or (tag is None and not plain):
        return text
    if tag is None and text in _NULLS:
        return None
    flag = _BOOLEANS.get(text)
    if flag is not None:
        return flag
    if _INTEGER.fullmatch(text) and len(text) <= 24:
        digits = text.lstrip("+-")
        base = 16 if digits[1:2] in ("x", "X") else 8 if len(digits) > 1 and digits[0] == "0" else 10
        number = int(digits, base) * (-1 if text[0] == "-" else 1)
        if -(2**31) <= number < 2**31:
            return number
        if -(2**63) <= number < 2**63:
            return str(number)
    return text
