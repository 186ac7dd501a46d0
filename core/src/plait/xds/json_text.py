"""JSON text as the same tree of nodes that YAML gives, with its places.

It takes what Envoy's protobuf parser takes besides RFC 8259: a comma before a closing bracket, strings in single
quotes, keys without quotes, tabs in strings. Unlike in YAML, a number is a number whatever its size.
"""

from __future__ import annotations

import json
import math
import re
from typing import NoReturn

from plait.xds.document import Builder, Document, MappingNode, Plain, ScalarNode, SequenceNode

_SPACE = re.compile(r"[ \t\r\n]*")
_TOKEN = re.compile(
    r"""(?P<mark>[{}\[\]:,])
    |(?P<string>"(?:[^"\\\x00-\x08\x0a-\x1f]|\\.)*"|'(?:[^'\\\x00-\x08\x0a-\x1f]|\\.)*')
    |(?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![\w.]))
    |(?P<word>[A-Za-z_$][\w$]*)""",
    re.VERBOSE | re.ASCII,
)
_WORDS: dict[str, Plain] = {"true": True, "false": False, "null": None}
_REQUOTE = re.compile(r"""\\.|\"""")


def read_json(text: str, file: str) -> Document:
    """Read one JSON text; ``file`` is only a name for messages. Raises ``ConfigError`` on a syntax error."""
    return _Reader(text.removeprefix("\ufeff"), file).read()


class _Reader:
    """A state machine over tokens: what may come next is a set of marks and kinds."""

    def __init__(self, text: str, file: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._line_start = 0
        self._builder = Builder(file)
        self._open: list[str] = []

    def read(self) -> Document:
        wanted = "value"
        while True:
            kind, token, line, column = self._next()
            if kind == "":
                if wanted != "end":
                    self._fail("the text ends too early", line, column, wanted)
                return self._builder.document("the document is empty")
            wanted = self._step(wanted, kind, token, line, column)

    def _step(self, wanted: str, kind: str, token: str, line: int, column: int) -> str:
        """Take one token where ``wanted`` is expected; return what is expected after it."""
        if token in ("}", "]") and kind == "mark" and self._open and self._open[-1] == token:
            if wanted in ("comma", "key", "item"):
                self._open.pop()
                self._builder.end()
                return "comma" if self._open else "end"
        elif wanted in ("value", "item"):
            if kind == "mark" and token == "{":
                self._builder.start(MappingNode(line, column))
                self._open.append("}")
                return "key"
            if kind == "mark" and token == "[":
                self._builder.start(SequenceNode(line, column))
                self._open.append("]")
                return "item"
            if kind in ("string", "number") or (kind == "word" and token in _WORDS):
                self._builder.scalar(self._scalar(kind, token, line, column))
                return "comma" if self._open else "end"
        elif wanted == "key" and kind in ("string", "word"):
            name = self._string(token, line, column) if kind == "string" else token
            self._builder.scalar(ScalarNode(name, name, line, column))
            return "colon"
        elif wanted == "colon" and token == ":" and kind == "mark":
            return "value"
        elif wanted == "comma" and token == "," and kind == "mark":
            return "key" if self._open[-1] == "}" else "item"
        self._fail(f"unexpected {token!r} in JSON", line, column, wanted)

    def _next(self) -> tuple[str, str, int, int]:
        """Return kind, text, line and column of the next token; kind "" at the end."""
        space = _SPACE.match(self._text, self._at)
        assert space is not None  # it matches nothing at least
        start = space.end()
        breaks = self._text.count("\n", self._at, start)
        if breaks:
            self._line += breaks
            self._line_start = self._text.rfind("\n", self._at, start) + 1
        line, column = self._line, start - self._line_start + 1
        if start == len(self._text):
            return "", "", line, column
        found = _TOKEN.match(self._text, start)
        if found is None:
            self._builder.fail(f"JSON syntax error at {self._text[start : start + 12]!r}", line, column)
        self._at = found.end()
        return found.lastgroup or "", found.group(), line, column

    def _scalar(self, kind: str, token: str, line: int, column: int) -> ScalarNode:
        if kind == "word":
            return ScalarNode(_WORDS[token], token, line, column)
        if kind == "string":
            value = self._string(token, line, column)
            return ScalarNode(value, value, line, column)
        if len(token) <= 20 and token.lstrip("-").isdigit():
            return ScalarNode(int(token), token, line, column)
        number = float(token)
        if math.isinf(number):
            self._builder.fail(f"number {token[:24]} is out of range", line, column, expected="a double")
        return ScalarNode(number, token, line, column)

    def _string(self, token: str, line: int, column: int) -> str:
        if token[0] == "'":
            inner = _REQUOTE.sub(lambda m: {"\\'": "'", '"': '\\"'}.get(m.group(), m.group()), token[1:-1])
            token = f'"{inner}"'
        try:
            text: str = json.loads(token, strict=False)
        except ValueError:
            self._builder.fail(f"bad escape in string {token[:24]}", line, column, expected="JSON's escapes")
        return text

    def _fail(self, what: str, line: int, column: int, wanted: str) -> NoReturn:
        close = f" or '{self._open[-1]}'" if self._open else ""
        expected = {
            "value": "a value",
            "item": f"a value{close}",
            "key": f"a key{close}",
            "colon": "':'",
            "comma": f"','{close}",
            "end": "nothing more",
        }[wanted]
        self._builder.fail(what, line, column, expected=expected)
