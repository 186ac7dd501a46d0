"""Text that becomes values, and text that does not."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest

from plait_telemetry_mixer.values import ValueType, belongs, parse


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        ("STRING", "x", "x"),
        ("INT64", "-5", -5),
        ("DOUBLE", "1e3", 1000.0),
        ("BOOL", "true", True),
        ("BOOL", "false", False),
        ("IP_ADDRESS", "::ffff:1.2.3.4", ip_address("1.2.3.4")),
        ("DURATION", "1h2m3.5s", timedelta(hours=1, minutes=2, seconds=3.5)),
        ("DURATION", "-10ms", timedelta(milliseconds=-10)),
        ("DURATION", "0", timedelta(0)),
        ("TIMESTAMP", "2026-01-02T03:04:05+01:00", datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)),
        ("DNS_NAME", "A.Example.", "a.example"),
        ("EMAIL_ADDRESS", "A@B.C", "A@b.c"),
        ("URI", "http://x/y", "http://x/y"),
    ],
)
def test_text_becomes_a_value(type_: str, text: str, value: object) -> None:
    found = parse(text, ValueType(type_))
    assert found == value
    assert belongs(found, ValueType(type_))


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        ("INT64", "x"),
        ("BOOL", "yes"),
        ("IP_ADDRESS", "1.2.3"),
        ("DURATION", "10"),
        ("DURATION", "1d"),
        ("DURATION", "99999999999999999h"),
        ("TIMESTAMP", "2026-01-02"),
        ("TIMESTAMP", "2026-01-02T03:04:05"),
        ("DNS_NAME", "a..b"),
        ("DNS_NAME", "x" * 64),
        ("EMAIL_ADDRESS", "a"),
        ("URI", "a b"),
        ("URI", ""),
        ("STRING_MAP", "a"),
    ],
)
def test_text_that_is_none_is_refused(type_: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text, ValueType(type_))


@pytest.mark.parametrize(
    ("value", "type_", "fits"),
    [
        (True, "INT64", False),
        (1, "BOOL", False),
        (1, "DOUBLE", True),
        ({}, "STRING_MAP", True),
        ("x", "STRING_MAP", False),
        (b"x", "STRING", False),
    ],
)
def test_value_of_another_plugin_is_judged(value: object, type_: str, fits: bool) -> None:
    assert belongs(value, ValueType(type_)) is fits
