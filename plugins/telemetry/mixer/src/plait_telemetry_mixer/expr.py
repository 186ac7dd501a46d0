"""Mixer's expression language: text to a call over a bag of attributes, with the types checked before any traffic.

The grammar is Go's expression syntax, and so is what binds tighter:

    ||                 1     any of both
    &&                 2     both
    == != < <= > >=    3
    +  |               4     sum or joined text; the first one that is present
    a[b]  a.f(b)  f(a) 5     the value of a key; a function, also written as a method of its first argument

Values are attributes (``source.ip``), text ("a" or `a`), numbers, ``true`` and ``false``. Text that stands where a
duration is needed is one ("10ms"). An attribute or key that is not there makes the whole expression absent, except to
the left of ``|``. The functions are in ``functions``.

Why not a library: those on PyPI speak CEL, where ``|`` does not exist, absence is an error that only a macro catches,
and types are found out while running.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from operator import eq, ge, gt, le, lt, ne
from typing import Any, NamedTuple, Protocol, TypeAlias

from plait import ConfigError, PlaitError
from plait_telemetry_mixer.functions import FUNCTIONS, Function, Signature
from plait_telemetry_mixer.values import ValueType, parse_duration

DEEPEST = 50
"""Levels of brackets and calls within each other."""


class AbsentError(PlaitError):
    """An attribute, or the key of a map, is not there."""


class EvaluationError(PlaitError):
    """A value cannot be made into what the expression asks for: the caller sent something strange."""


class Bag(Protocol):
    """Where attributes come from. Both methods raise ``AbsentError``."""

    def value(self, name: str) -> Any:
        """The value of an attribute."""

    def member(self, name: str, key: str) -> str:
        """The value of a key in a STRING_MAP attribute."""


Evaluate: TypeAlias = Callable[[Bag], Any]


class Expression:
    """A compiled expression: ``evaluate(bag)`` gives a value of ``type``, or raises AbsentError or EvaluationError."""

    __slots__ = ("evaluate", "text", "type")

    def __init__(self, text: str, type_: ValueType, evaluate: Evaluate) -> None:
        self.text = text
        self.type = type_
        self.evaluate = evaluate


def compile_expression(text: str, attributes: Mapping[str, ValueType], *wanted: ValueType) -> Expression:
    """Compile ``text`` over a vocabulary; ``wanted`` are the types it may have, any without them.

    Raises ``ConfigError`` that says at which character of the text something is wrong.
    """
    parser = _Parser(text, attributes)
    node = parser.expression(0)
    parser.end()
    if wanted and node.type not in wanted:
        if ValueType.DURATION in wanted and node.is_text:
            node = parser.as_duration(node)
        else:
            names = " or ".join(type_.value for type_ in wanted)
            raise parser.error(f"it is of type {node.type.value}", node.at, expected=names)
    return Expression(text, node.type, node.evaluate)


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


class _Node(NamedTuple):
    """A part that is understood; ``constant`` holds the value of a literal (in a tuple, for any value may be one)."""

    type: ValueType
    evaluate: Evaluate
    at: int
    constant: tuple[Any] | None = None
    attribute: str = ""

    @property
    def is_text(self) -> bool:
        return self.constant is not None and self.type is ValueType.STRING


_TOKENS = re.compile(
    r"""(?P<space>[ \t\r\n]+)
    |(?P<text>"(?:[^"\\\n]|\\.)*"|`[^`]*`)
    |(?P<number>[0-9]+(?:\.[0-9]+)?)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<mark>==|!=|<=|>=|&&|\|\||[-<>+|()\[\],.])""",
    re.VERBOSE | re.ASCII,
)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "\\": "\\", '"': '"', "'": "'"}
_BINDS = {"||": 1, "&&": 2, "==": 3, "!=": 3, "<": 3, "<=": 3, ">": 3, ">=": 3, "+": 4, "|": 4}
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {"==": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge}
_ORDERED = {ValueType.INT64, ValueType.DOUBLE, ValueType.STRING, ValueType.TIMESTAMP, ValueType.DURATION}
_ADDED = {ValueType.INT64, ValueType.DOUBLE, ValueType.STRING, ValueType.DURATION}


class _Parser:
    def __init__(self, text: str, attributes: Mapping[str, ValueType]) -> None:
        self._text = text
        self._attributes = attributes
        self._tokens = self._scan()
        self._next = 0
        self._depth = 0

    def error(self, what: str, at: int, *, expected: str = "", hint: str = "") -> ConfigError:
        return ConfigError(f"expression {self._text!r}: {what}, at character {at + 1}", expected=expected, hint=hint)

    def end(self) -> None:
        token = self._tokens[self._next]
        if token.kind:
            raise self.error(f"{token.text!r} is not understood here", token.at, expected="an operator or the end")

    def expression(self, binds: int) -> _Node:
        """An expression whose operators all bind tighter than ``binds``."""
        self._depth += 1
        if self._depth > DEEPEST:
            raise self.error("too deeply nested", self._tokens[self._next].at, expected=f"at most {DEEPEST} levels")
        left = self._postfix(self._primary())
        while (binding := _BINDS.get((token := self._tokens[self._next]).text, 0)) > binds and token.kind == "mark":
            self._next += 1
            left = self._binary(token, left, self.expression(binding))
        self._depth -= 1
        return left

    # tokens

    def _scan(self) -> list[_Token]:
        tokens = []
        at = 0
        while at < len(self._text):
            found = _TOKENS.match(self._text, at)
            if found is None:
                character = self._text[at]
                hint = "compare with false" if character == "!" else "text is not closed" if character in '"`' else ""
                raise self.error(f"{character!r} is not understood", at, hint=hint)
            if found.lastgroup != "space":
                tokens.append(_Token(found.lastgroup or "", found[0], at))
            at = found.end()
        return [*tokens, _Token("", "", len(self._text))]

    def _take(self, text: str) -> None:
        token = self._tokens[self._next]
        if token.kind != "mark" or token.text != text:
            found = repr(token.text) if token.kind else "the end"
            raise self.error(f"{found} is not understood here", token.at, expected=repr(text))
        self._next += 1

    def _at_mark(self, text: str) -> bool:
        token = self._tokens[self._next]
        return token.kind == "mark" and token.text == text

    # operands

    def _primary(self) -> _Node:
        token = self._tokens[self._next]
        self._next += 1
        if token.kind == "text":
            return _constant(ValueType.STRING, self._unquoted(token), token.at)
        if token.kind == "number":
            return self._number(token.text, token.at)
        if token.kind == "name":
            return self._named(token)
        if token.text == "(":
            inner = self.expression(0)
            self._take(")")
            return inner._replace(at=token.at)
        if token.text == "-" and self._tokens[self._next].kind == "number":
            self._next += 1
            return self._number("-" + self._tokens[self._next - 1].text, token.at)
        found = repr(token.text) if token.kind else "the end"
        raise self.error(f"{found} is not understood here", token.at, expected="an attribute, a function or a value")

    def _named(self, token: _Token) -> _Node:
        """An attribute, ``true``, ``false``, a function, or a method of an attribute."""
        if token.text in ("true", "false"):
            return _constant(ValueType.BOOL, token.text == "true", token.at)
        if self._at_mark("("):
            return self._call(token, [])
        name = token.text
        while self._at_mark(".") and self._tokens[self._next + 1].kind == "name":
            if self._tokens[self._next + 2].text == "(":
                break  # a method, which _postfix calls
            name += "." + self._tokens[self._next + 1].text
            self._next += 2
        type_ = self._attributes.get(name)
        if type_ is None:
            near = difflib.get_close_matches(name, self._attributes, 1)
            hint = f"did you mean {near[0]}" if near else "declare it in attribute_manifest"
            raise self.error(f"attribute {name} is unknown", token.at, hint=hint)
        return _Node(type_, lambda bag: bag.value(name), token.at, attribute=name)

    def _postfix(self, node: _Node) -> _Node:
        while True:
            if self._at_mark("["):
                self._next += 1
                key = self.expression(0)
                self._take("]")
                node = self._indexed(node, key)
            elif self._at_mark(".") and self._tokens[self._next + 1].kind == "name":
                self._next += 2
                node = self._call(self._tokens[self._next - 1], [node])
            else:
                return node

    def _indexed(self, map_: _Node, key: _Node) -> _Node:
        if map_.type is not ValueType.STRING_MAP:
            raise self.error(f"a {map_.type.value} has no keys", map_.at, expected="a STRING_MAP")
        if key.type is not ValueType.STRING:
            raise self.error(f"the key is of type {key.type.value}", key.at, expected="STRING")
        get_key = key.evaluate
        if map_.attribute:
            name = map_.attribute
            if key.constant is not None:
                constant: str = key.constant[0]
                return _Node(ValueType.STRING, lambda bag: bag.member(name, constant), map_.at)
            return _Node(ValueType.STRING, lambda bag: bag.member(name, get_key(bag)), map_.at)
        get_map = map_.evaluate

        def value(bag: Bag) -> str:
            key_ = get_key(bag)
            found: str | None = get_map(bag).get(key_)
            if found is None:
                raise AbsentError(f"key {key_!r}")
            return found

        return _Node(ValueType.STRING, value, map_.at)

    def _call(self, name: _Token, arguments: list[_Node]) -> _Node:
        function = FUNCTIONS.get(name.text)
        if function is None:
            near = difflib.get_close_matches(name.text, FUNCTIONS, 1)
            known = ", ".join(sorted(FUNCTIONS))
            hint = f"did you mean {near[0]}" if near else f"known are {known}"
            raise self.error(f"function {name.text} is unknown", name.at, hint=hint)
        self._take("(")
        while not self._at_mark(")"):
            arguments.append(self.expression(0))
            if not self._at_mark(")"):
                self._take(",")
        self._next += 1
        signature = function.signature([argument.type for argument in arguments])
        if isinstance(signature, str):
            types = ", ".join(argument.type.value for argument in arguments)
            raise self.error(f"{name.text} does not take ({types})", name.at, expected=signature)
        return self._called(name, function, signature, arguments)

    def _called(self, name: _Token, function: Function, signature: Signature, arguments: list[_Node]) -> _Node:
        call = function.call
        getters = [argument.evaluate for argument in arguments]
        if function.lazy:
            return _Node(signature.result, lambda bag: call(bag, *getters), name.at)
        constants = [argument.constant[0] for argument in arguments if argument.constant is not None]
        try:
            if len(constants) == len(arguments):
                return _constant(signature.result, call(*constants), name.at)
            if function.prepare is not None and arguments[function.prepared].constant is not None:
                prepared = function.prepare(constants[0])
                get = getters[1 - function.prepared]
                return _Node(signature.result, lambda bag: prepared(get(bag)), name.at)
        except (ValueError, ConfigError) as error:
            what = error.what if isinstance(error, ConfigError) else str(error)
            raise self.error(what, name.at) from None

        def value(bag: Bag) -> Any:
            values = [get(bag) for get in getters]
            try:
                return call(*values)
            except (ValueError, ConfigError) as error:
                raise EvaluationError(f"{function.name}: {error}") from None

        return _Node(signature.result, value, name.at)

    # operators

    def _binary(self, operator: _Token, left: _Node, right: _Node) -> _Node:
        if left.type is ValueType.DURATION and right.is_text:
            right = self.as_duration(right)
        elif right.type is ValueType.DURATION and left.is_text:
            left = self.as_duration(left)
        if left.type is not right.type:
            what = f"{operator.text!r} has {left.type.value} on its left and {right.type.value} on its right"
            raise self.error(what, operator.at, expected="the same type on both")
        one, other = left.evaluate, right.evaluate
        if operator.text in ("&&", "||"):
            self._check(operator, left.type, {ValueType.BOOL})
            if operator.text == "&&":
                return _Node(ValueType.BOOL, lambda bag: one(bag) and other(bag), left.at)
            return _Node(ValueType.BOOL, lambda bag: one(bag) or other(bag), left.at)
        if operator.text == "|":
            return _Node(left.type, _first(one, other), left.at)
        if operator.text == "+":
            self._check(operator, left.type, _ADDED)
            return _Node(left.type, lambda bag: one(bag) + other(bag), left.at)
        everything = set(ValueType) - {ValueType.STRING_MAP}
        self._check(operator, left.type, everything if operator.text in ("==", "!=") else _ORDERED)
        compare = _COMPARE[operator.text]
        if right.constant is not None:
            constant = right.constant[0]
            return _Node(ValueType.BOOL, lambda bag: compare(one(bag), constant), left.at)
        return _Node(ValueType.BOOL, lambda bag: compare(one(bag), other(bag)), left.at)

    def _check(self, operator: _Token, type_: ValueType, allowed: set[ValueType]) -> None:
        if type_ not in allowed:
            expected = " or ".join(sorted(one.value for one in allowed))
            raise self.error(f"{operator.text!r} does not take {type_.value}", operator.at, expected=expected)

    def as_duration(self, text: _Node) -> _Node:
        """A literal, read as a duration."""
        assert text.constant is not None
        try:
            value: timedelta = parse_duration(text.constant[0])
        except ValueError as error:
            raise self.error(str(error), text.at) from None
        return _constant(ValueType.DURATION, value, text.at)

    def _number(self, text: str, at: int) -> _Node:
        if "." in text:
            return _constant(ValueType.DOUBLE, float(text), at)
        if len(text) > 20 or not -(2**63) <= int(text) < 2**63:
            raise self.error("the number is too large", at, expected="one of 64 bits")
        return _constant(ValueType.INT64, int(text), at)

    def _unquoted(self, token: _Token) -> str:
        inner = token.text[1:-1]
        if token.text[0] == "`" or "\\" not in inner:
            return inner

        def unescaped(found: re.Match[str]) -> str:
            if digits := found[1] or found[2]:
                return chr(int(digits, 16))
            if found[3] not in _ESCAPED:
                raise self.error(f"{found[0]!r} is no escape", token.at + 1 + found.start(), hint="write \\\\ for \\")
            return _ESCAPED[found[3]]

        return _ESCAPE.sub(unescaped, inner)


def _constant(type_: ValueType, value: Any, at: int) -> _Node:
    return _Node(type_, lambda bag: value, at, (value,))


def _first(one: Evaluate, other: Evaluate) -> Evaluate:
    def value(bag: Bag) -> Any:
        try:
            return one(bag)
        except AbsentError:
            return other(bag)

    return value
