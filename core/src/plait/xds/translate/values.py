"""Durations, fractions, wrapped scalars, regular expressions, prefixes and bodies: what many messages have in them."""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Any

from plait.xds.positions import Where

MILLION = 1_000_000
_STEPS = {0: 10_000, 1: 100, 2: 1}
"""Millionths in one of FractionalPercent's HUNDRED, TEN_THOUSAND and MILLION."""

_REFERENCE = re.compile(r"\\(.?)", re.DOTALL)


def seconds(message: Any) -> float:
    """The length of a google.protobuf.Duration."""
    return float(message.seconds) + float(message.nanos) / 1e9


def duration_s(message: Any, field: str, where: Where, default: float = 0.0, *, positive: bool = False) -> float:
    """The duration in a field of ``message``, or ``default``; raises for one that is negative (or 0)."""
    if not message.HasField(field):
        return default
    value = seconds(getattr(message, field))
    if value < 0 or (positive and value == 0):
        raise (where / field).error(f"{field} is {value:g}s", expected="more than 0s" if positive else "0s or more")
    return value


def wrapped(message: Any, field: str, default: Any) -> Any:
    """The value of a wrapper (``UInt32Value`` …) in a field of ``message``, or ``default``."""
    return getattr(message, field).value if message.HasField(field) else default


def enum_name(message: Any, field: str) -> str:
    """The name of an enum field's value in lower case, or its number where the protobufs here know no name."""
    number = getattr(message, field)
    value = message.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number.get(number)
    return str(number) if value is None else str(value.name).lower()


def millionths(message: Any) -> int:
    """An envoy.type.v3.FractionalPercent in millionths; more than all is all."""
    return min(int(message.numerator) * _STEPS.get(message.denominator, 10_000), MILLION)


def runtime_fraction(message: Any, where: Where) -> int:
    """A RuntimeFractionalPercent in millionths. Its key is never set, so that its default stands."""
    if not message.HasField("default_value"):
        raise where.error("the fraction has no default_value", expected="default_value: {numerator: N}")
    return millionths(message.default_value)


def regex(pattern: str, where: Where) -> Any:
    """The compiled expression; raises where RE2 does not take it."""
    import re2  # here, because a configuration without expressions need not load it

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern.encode(), options)
    except re2.error as error:
        cause = error.args[0] if error.args else ""
        reason = cause.decode("utf-8", "replace") if isinstance(cause, bytes) else str(cause)
        raise where.error(f"bad regular expression {pattern!r}: {reason}", expected="RE2 syntax") from error


def regex_matcher(message: Any, where: Where) -> str:
    """The expression of an envoy.type.matcher.v3.RegexMatcher, which RE2 has compiled once."""
    if not message.regex:
        raise (where / "regex").error("the regular expression is empty", expected="RE2 syntax")
    regex(message.regex, where / "regex")
    return str(message.regex)


def substitution(message: Any, where: Where) -> tuple[str, str]:
    """Pattern and substitution of a RegexMatchAndSubstitute; ``\\1`` … must be groups of the pattern."""
    pattern = regex_matcher(message.pattern, where / "pattern")
    groups = regex(pattern, where / "pattern" / "regex").groups
    for found in _REFERENCE.finditer(message.substitution):
        digit = found[1]
        if digit == "\\":
            continue
        if not digit.isdigit():
            raise (where / "substitution").error(
                f"{found[0]!r} in the substitution means nothing", expected=r"\0 to \9, or \\"
            )
        if int(digit) > groups:
            what = f"the substitution wants group {digit}, and the pattern has {groups}"
            raise (where / "substitution").error(what, expected="groups of the pattern")
    return pattern, str(message.substitution)


def cidr(message: Any, where: Where) -> str:
    """An envoy.config.core.v3.CidrRange as text, without bits beyond its length."""
    try:
        address = ipaddress.ip_address(message.address_prefix)
    except ValueError:
        what = f"{message.address_prefix!r} is not an IP address"
        raise (where / "address_prefix").error(what, expected="an address such as 10.0.0.0 or fd00::") from None
    length = wrapped(message, "prefix_len", 0)
    if length > address.max_prefixlen:
        what = f"prefix_len is {length}"
        raise (where / "prefix_len").error(what, expected=f"at most {address.max_prefixlen} for {address}")
    return str(ipaddress.ip_network((address, length), strict=False))


def data_source(message: Any, where: Where) -> bytes:
    """The bytes of an envoy.config.core.v3.DataSource: inline, of a file or of an environment variable."""
    kind = message.WhichOneof("specifier")
    if message.HasField("watched_directory"):
        raise (where / "watched_directory").error("field 'watched_directory' is not supported yet by plait")
    if kind == "inline_string":
        return bytes(message.inline_string.encode())
    if kind == "inline_bytes":
        return bytes(message.inline_bytes)
    if kind == "filename":
        try:
            return Path(message.filename).read_bytes()
        except OSError as error:
            reason = error.strerror or str(error)
            raise (where / kind).error(f"cannot read {message.filename!r}: {reason}", expected="a file") from error
    if kind == "environment_variable":
        found = os.environb.get(message.environment_variable.encode())
        if found is None:
            raise (where / kind).error(f"environment variable {message.environment_variable!r} is not set")
        return found
    raise where.error(
        "the data has no source", expected="inline_string, inline_bytes, filename or environment_variable"
    )


def plain(value: Any) -> Any:
    """A google.protobuf.Struct, ListValue or Value as Python has it; a number without a fraction is an int."""
    name = value.DESCRIPTOR.name
    if name == "Struct":
        return {key: plain(item) for key, item in sorted(value.fields.items())}
    if name == "ListValue":
        return [plain(item) for item in value.values]
    kind = value.WhichOneof("kind")
    if kind is None or kind == "null_value":
        return None
    inner = getattr(value, kind)
    if kind == "number_value":
        return int(inner) if inner.is_integer() else inner
    return plain(inner) if kind in ("struct_value", "list_value") else inner
