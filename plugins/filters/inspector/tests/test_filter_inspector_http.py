"""HTTP is recognized by its first line, in whatever pieces it comes."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait import Connection, Sniff
from plait.testing import FakeContext
from plait_filter_inspector import HttpInspection, HttpInspector
from plait_filter_inspector.http import read_version


def peer(**fields: Any) -> Connection:
    connection = Connection(cast("Any", None))
    for name, value in fields.items():
        setattr(connection, name, value)
    return connection


@pytest.mark.parametrize(
    ("first", "version"),
    [
        (b"GET / HTTP/1.1\r\n", "http/1.1"),
        (b"GET / HTTP/1.0\n", "http/1.0"),
        (b"M-SEARCH * HTTP/1.1\r\n", "http/1.1"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "h2c"),
    ],
)
def test_every_prefix_wants_more_until_the_version_is_there(first: bytes, version: str) -> None:
    for length in range(len(first)):
        assert read_version(first[:length]) is Sniff.MORE, first[:length]
    assert read_version(first) == version
    assert read_version(first + b"host: a\r\n\r\n") == version


@pytest.mark.parametrize(
    "first",
    [
        b"\x16\x03\x01",
        b" GET / HTTP/1.1\r\n",
        b"GET /\r\n",
        b"GET / HTTP/1.2\r\n",
        b"GET  / HTTP/1.1\r\n",
        b"GET / HTTP/1.1 \r\n",
        b"\r\n",
        b"G\0T",
        b"A" * 33,
        b"PRI * HTTP/2.0\r\n\r\nXX",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"GET /" + b"a" * 70_000,
    ],
)
def test_what_is_no_http_is_none(first: bytes) -> None:
    assert read_version(first) is Sniff.NO


@given(st.binary(max_size=100))
def test_anything_is_judged(data: bytes) -> None:
    assert read_version(data) in (Sniff.NO, Sniff.MORE, "http/1.0", "http/1.1", "h2c")


def test_the_inspector_names_the_protocol_and_counts(plait_context: FakeContext) -> None:
    inspector = HttpInspector(HttpInspection(), plait_context)
    connection = peer()
    assert not inspector.peek(connection, b"GET /")
    assert inspector.peek(connection, b"GET / HTTP/1.1\r\n")
    assert connection.application_protocols == ("http/1.1",)
    assert inspector.peek(nothing := peer(), b"\xda\xbb")
    assert nothing.application_protocols == ()
    assert plait_context.fake_stats.values() == {
        "http_inspector.http11_found": 1,
        "http_inspector.http_not_found": 1,
    }


def test_tls_is_left_to_its_own_inspector(plait_context: FakeContext) -> None:
    connection = peer(transport_protocol="tls", application_protocols=("h2",))
    assert HttpInspector(HttpInspection(), plait_context).peek(connection, b"\x16\x03")
    assert connection.application_protocols == ("h2",)
    assert plait_context.fake_stats.values() == {}
