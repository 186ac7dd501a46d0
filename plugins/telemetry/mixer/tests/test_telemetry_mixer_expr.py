"""The expression language: what it gives, and what it refuses before any traffic."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait import ConfigError
from plait_telemetry_mixer.expr import AbsentError, EvaluationError, compile_expression
from plait_telemetry_mixer.values import ValueType

TYPES = {
    "a": ValueType.INT64,
    "d": ValueType.DOUBLE,
    "b": ValueType.BOOL,
    "s": ValueType.STRING,
    "none": ValueType.STRING,
    "source.ip": ValueType.IP_ADDRESS,
    "source.name": ValueType.STRING,
    "request.headers": ValueType.STRING_MAP,
    "nolabels": ValueType.STRING_MAP,
    "took": ValueType.DURATION,
    "now": ValueType.TIMESTAMP,
    "host": ValueType.DNS_NAME,
}
VALUES: Mapping[str, Any] = {
    "a": 2,
    "d": 1.5,
    "b": True,
    "s": "Abc",
    "source.ip": ip_address("10.0.0.1"),
    "source.name": "cart-v1",
    "request.headers": {"user": "jason", "bad": "no ip"},
    "took": timedelta(milliseconds=20),
    "now": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    "host": "a.example",
}


class Values:
    def value(self, name: str) -> Any:
        if name not in VALUES:
            raise AbsentError(name)
        return VALUES[name]

    def member(self, name: str, key: str) -> str:
        found = self.value(name).get(key)
        if found is None:
            raise AbsentError(key)
        return str(found)


def evaluated(text: str) -> Any:
    return compile_expression(text, TYPES).evaluate(Values())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a", 2),
        ("-3", -3),
        ("1.25", 1.25),
        ("true", True),
        ('"x\\n\\x41\\u00e9\\""', 'x\nAé"'),
        ("`raw\\n`", "raw\\n"),
        ("a == 2", True),
        ("a != 2", False),
        ("a < 3 && d >= 1.5", True),
        ("a > 3 || b", True),
        ("b == false", False),
        ("1 + a", 3),
        ('"x" + s', "xAbc"),
        ('none | "else"', "else"),
        ('s | "else"', "Abc"),
        ('none | none | "last"', "last"),
        ('none | "x" == "x"', True),
        ('s + none | "y"', "y"),
        ("a == 1 || a == 2 && b", True),
        ('request.headers["user"]', "jason"),
        ('request.headers["us" + "er"] == "jason"', True),
        ('request.headers[none | "user"]', "jason"),
        ('request.headers["nobody"] | "x"', "x"),
        ('(nolabels | emptyStringMap())["app"] | "unknown"', "unknown"),
        ('(nolabels | request.headers)["user"]', "jason"),
        ('source.ip == ip("10.0.0.1")', True),
        ('ip("::ffff:10.0.0.1") == source.ip', True),
        ('took < "1s" && "10ms" < took', True),
        ('took + "1s" == "1020ms"', True),
        ('now > timestamp("2026-01-01T00:00:00Z")', True),
        ('host == dnsName("A.example.")', True),
        ('email("a@B.example") == email("a@b.example")', True),
        ('uri("/x") == uri("/x")', True),
        ('match(s, "Ab*")', True),
        ('match(s, "*bc")', True),
        ('match(s, "bc")', False),
        ('match(s, "A" + "*")', True),
        ('"^cart-v[0-9]$".matches(source.name)', True),
        ('"v[2-9]".matches(source.name)', False),
        ('source.name.startsWith("cart")', True),
        ('request.headers["user"].endsWith("son")', True),
        ('"x".startsWith(s)', False),
        ("toLower(s)", "abc"),
        ("size(s)", 3),
        ("size(request.headers)", 2),
        ('conditional(a == 2, "two", none)', "two"),
        ('conditional((none | "x") == "y", 1, 2)', 2),
    ],
)
def test_expression_gives(text: str, value: object) -> None:
    found = evaluated(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "text", ["none", 'none == "x"', 'request.headers["z"]', "toLower(none)", 'nolabels["x"]', "nolabels | nolabels"]
)
def test_what_is_absent_makes_the_whole_absent(text: str) -> None:
    with pytest.raises(AbsentError):
        evaluated(text)


@pytest.mark.parametrize("text", ['ip(request.headers["bad"])', "timestamp(s)", '(s + "(").matches("x")'])
def test_value_of_a_caller_that_makes_no_sense_is_an_error_of_the_evaluation(text: str) -> None:
    with pytest.raises(EvaluationError):
        evaluated(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the end is not understood here, at character 1, expected an attribute, a function or a value"),
        ("a ==", "the end is not understood here, at character 5"),
        ("a a", "'a' is not understood here, at character 3, expected an operator or the end"),
        ("(a", "the end is not understood here, at character 3, expected ')'"),
        ("a ? b", "'?' is not understood, at character 3"),
        ("!b", "'!' is not understood, at character 1, compare with false"),
        ('"x', "'\"' is not understood, at character 1, text is not closed"),
        (r'"\q"', "'\\\\q' is no escape, at character 2"),
        ("99999999999999999999", "the number is too large, at character 1"),
        ("sourc.ip", "attribute sourc.ip is unknown, at character 1, did you mean source.ip"),
        ("zzz", "attribute zzz is unknown, at character 1, declare it in attribute_manifest"),
        ("tolower(s)", "function tolower is unknown, at character 1, did you mean toLower"),
        ("size(a)", "size does not take (INT64), at character 1, expected size(STRING) or size(STRING_MAP)"),
        ("s.startsWith()", "startsWith does not take (STRING), at character 3"),
        ("conditional(b, 1, s)", "conditional does not take (BOOL, INT64, STRING)"),
        ("a == s", "'==' has INT64 on its left and STRING on its right, at character 3, expected the same type"),
        ('a | "x"', "'|' has INT64 on its left"),
        ("a && b", "'&&' has INT64 on its left"),
        ("a && a", "'&&' does not take INT64, at character 3, expected BOOL"),
        ("b < b", "'<' does not take BOOL"),
        ("b + b", "'+' does not take BOOL"),
        ("nolabels == nolabels", "'==' does not take STRING_MAP"),
        ('s["x"]', "a STRING has no keys, at character 1, expected a STRING_MAP"),
        ("request.headers[a]", "the key is of type INT64, at character 17, expected STRING"),
        ('ip("10.0.0")', "'10.0.0' does not appear to be an IPv4 or IPv6 address, at character 1"),
        ('"(".matches(s)', "regular expression '(': "),
        ('took < "soon"', "'soon' is not a duration such as 10s or 1h30m, at character 8"),
        ("(" * 60 + "a" + ")" * 60, "too deeply nested, at character 51"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compile_expression(text, TYPES)
    assert str(caught.value).startswith(f"expression {text!r}: {message}")


def test_type_that_is_not_wanted_is_refused() -> None:
    with pytest.raises(ConfigError, match="it is of type INT64, at character 1, expected BOOL"):
        compile_expression("a", TYPES, ValueType.BOOL)
    assert compile_expression('"5s"', TYPES, ValueType.DURATION).evaluate(Values()) == timedelta(seconds=5)


@given(st.text(alphabet='ab s()[]."`|&=<>+-!,0129\\neimatch', max_size=40))
def test_any_text_compiles_or_is_refused(text: str) -> None:
    try:
        compile_expression(text, TYPES)
    except ConfigError:
        pass
