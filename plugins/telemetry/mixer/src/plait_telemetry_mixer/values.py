"""Mixer's types of values (istio.policy.v1beta1.ValueType), what stands for them in Python, and how text becomes them.

STRING, EMAIL_ADDRESS, URI, DNS_NAME  str      IP_ADDRESS  IPv4Address or IPv6Address
INT64                                 int      TIMESTAMP   datetime with a zone
DOUBLE                                float    DURATION    timedelta
BOOL                                  bool     STRING_MAP  any object with ``get(key)``; a mapping when it leaves
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit


class ValueType(enum.Enum):
    """The type of an attribute or an expression."""

    STRING = "STRING"
    INT64 = "INT64"
    DOUBLE = "DOUBLE"
    BOOL = "BOOL"
    TIMESTAMP = "TIMESTAMP"
    IP_ADDRESS = "IP_ADDRESS"
    EMAIL_ADDRESS = "EMAIL_ADDRESS"
    URI = "URI"
    DNS_NAME = "DNS_NAME"
    DURATION = "DURATION"
    STRING_MAP = "STRING_MAP"


_CLASSES: dict[ValueType, tuple[type, ...]] = {
    ValueType.STRING: (str,),
    ValueType.EMAIL_ADDRESS: (str,),
    ValueType.URI: (str,),
    ValueType.DNS_NAME: (str,),
    ValueType.INT64: (int,),
    ValueType.DOUBLE: (float, int),
    ValueType.BOOL: (bool,),
    ValueType.IP_ADDRESS: (IPv4Address, IPv6Address),
    ValueType.TIMESTAMP: (datetime,),
    ValueType.DURATION: (timedelta,),
}
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?(?:h|ms|m|s|us|µs|ns))+", re.ASCII)
_PART = re.compile(r"([0-9.]+)(h|ms|m|s|us|µs|ns)")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_EMAIL = re.compile(r"[^\s@<>]+@([^\s@<>]+)")


def belongs(value: object, type_: ValueType) -> bool:
    """Whether a value that another plugin gave is of the type."""
    if type_ is ValueType.STRING_MAP:
        return hasattr(value, "get")
    return isinstance(value, _CLASSES[type_]) and (type_ is ValueType.BOOL) == isinstance(value, bool)


def parse_ip(text: str) -> IPv4Address | IPv6Address:
    """An address; one of IPv4 in IPv6's clothes is the IPv4 one. Raises ``ValueError``."""
    address = ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def parse_duration(text: str) -> timedelta:
    """Go's durations: ``1h30m``, ``10ms``. Raises ``ValueError``."""
    if text == "0":
        return timedelta(0)
    if _DURATION.fullmatch(text) is None:
        raise ValueError(f"{text!r} is not a duration such as 10s or 1h30m")
    total = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    try:
        return timedelta(seconds=-total if text[0] == "-" else total)
    except OverflowError:
        raise ValueError(f"{text!r} is too long a duration") from None


def parse_timestamp(text: str) -> datetime:
    """A time of RFC 3339. Raises ``ValueError``."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None or "T" not in text:
        raise ValueError(f"{text!r} is not a time of RFC 3339 such as 2015-01-02T15:04:35Z")
    return found.astimezone(UTC)


def parse_dns_name(text: str) -> str:
    """A name in lower case and without the dot at its end. Raises ``ValueError``."""
    name = text.lower().removesuffix(".")
    if not name or len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise ValueError(f"{text!r} is not a DNS name")
    return name


def parse_email(text: str) -> str:
    """An address with its domain in lower case. Raises ``ValueError``."""
    found = _EMAIL.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not an e-mail address")
    return text[: found.start(1)] + parse_dns_name(found[1])


def parse_uri(text: str) -> str:
    """A URI as it came. Raises ``ValueError`` for none."""
    if not text or any(character.isspace() for character in text) or not (urlsplit(text).scheme or text[0] == "/"):
        raise ValueError(f"{text!r} is not a URI")
    return text


def _parse_bool(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(f"{text!r} is not true or false")
    return text == "true"


_PARSERS: dict[ValueType, Callable[[str], object]] = {
    ValueType.STRING: str,
    ValueType.INT64: int,
    ValueType.DOUBLE: float,
    ValueType.BOOL: _parse_bool,
    ValueType.TIMESTAMP: parse_timestamp,
    ValueType.IP_ADDRESS: parse_ip,
    ValueType.EMAIL_ADDRESS: parse_email,
    ValueType.URI: parse_uri,
    ValueType.DNS_NAME: parse_dns_name,
    ValueType.DURATION: parse_duration,
}


def parse(text: str, type_: ValueType) -> object:
    """A value of the type, from text. Raises ``ValueError``, also for STRING_MAP, which has no text."""
    parser = _PARSERS.get(type_)
    if parser is None:
        raise ValueError("a STRING_MAP cannot be written as text")
    return parser(text)
