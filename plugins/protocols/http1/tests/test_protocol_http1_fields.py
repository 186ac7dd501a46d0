"""Header blocks: what is remembered, and what the next hop gets to see."""

from __future__ import annotations

import pytest

from plait.api import RemoteProtocolError
from plait_protocol_http1 import fields
from plait_protocol_http1.fields import parse_fields


def test_names_are_lower_and_values_trimmed() -> None:
    block = b"X-One:  a b \t\r\nx-two:\r\nX-ONE: c"
    assert parse_fields(block, 10).raw == [(b"x-one", b"a b"), (b"x-two", b""), (b"x-one", b"c")]


def test_nominated_fields_are_gone_but_not_those_that_say_who_asks() -> None:
    block = b"Connection: x-hop, X-Forwarded-For, host\r\nX-Hop: 1\r\nHost: a\r\nX-Forwarded-For: b"
    names = [name for name, _ in parse_fields(block, 10).raw]
    assert names == [b"connection", b"host", b"x-forwarded-for"]


@pytest.mark.parametrize(
    ("block", "index"),
    [
        (b"Connection: x-hop\r\nX-Hop: 1\r\nX-A: b", {b"connection": b"x-hop", b"x-a": b"b"}),
        (b"Content-Length: 3\r\nX-A: b", {b"content-length": b"3", b"x-a": b"b"}),
        (b"X-A: b\r\nContent-Length: 3\r\nX-A: c", {b"content-length": b"3", b"x-a": b"b"}),
        (b"TE: gzip\r\nX-A: b", {b"x-a": b"b"}),
        (b"Host: h\r\nX-A: b", {b"host": b"h", b"x-a": b"b"}),
        (b"", {}),
    ],
)
def test_index_has_the_first_value_of_each_field_that_is_left(block: bytes, index: dict[bytes, bytes]) -> None:
    assert parse_fields(block, 10).block.index == index


def test_te_keeps_trailers_alone() -> None:
    assert parse_fields(b"TE: gzip;q=1, Trailers\r\nTE: x", 10).raw == [(b"te", b"trailers")]
    assert parse_fields(b"TE: gzip", 10).raw == []


def test_tables_stay_bounded() -> None:
    for number in range(5000):
        parse_fields(b"X-Unseen-%d: %d" % (number, number), 10)
    assert len(fields._LINES) <= fields._LINES_LIMIT
    assert len(fields._NAMES) <= fields._NAMES_LIMIT


def test_credentials_and_long_lines_are_not_remembered() -> None:
    lines = [b"Authorization: secret", b"Cookie: secret", b"X-Long: " + b"x" * 500]
    parse_fields(b"\r\n".join(lines), 10)
    assert not fields._LINES.keys() & set(lines)


def test_bad_line_is_refused_every_time() -> None:
    for _ in range(2):
        with pytest.raises(RemoteProtocolError):
            parse_fields(b"A b: c", 10)
