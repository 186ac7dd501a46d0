"""What gRPC says in headers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.api import Headers, Response
from plait.stream import grpc


def fields(**values: bytes) -> Headers:
    return Headers([(name.replace("_", "-").encode(), value) for name, value in values.items()])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"application/grpc", True),
        (b"application/grpc+proto", True),
        (b"application/grpc+", True),
        (b"application/grpc-web", False),
        (b"application/grpc-web+proto", False),
        (b"application/grpcx", False),
        (b"application/json", False),
    ],
)
def test_content_type_tells_grpc(value: bytes, expected: bool) -> None:
    assert grpc.is_grpc(fields(content_type=value)) is expected


def test_message_without_content_type_is_not_grpc() -> None:
    assert not grpc.is_grpc(Headers([]))


# "HTTP to gRPC Status Code Mapping" of gRPC
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (200, 0),
        (400, 13),
        (401, 16),
        (403, 7),
        (404, 12),
        (429, 14),
        (502, 14),
        (503, 14),
        (504, 14),
        (500, 2),
        (418, 2),
    ],
)
def test_http_status_has_its_grpc_status(status: int, code: int) -> None:
    assert grpc.code_of_http(status) == code


def test_status_of_trailers_counts_before_that_of_the_head() -> None:
    response = Response(200, fields(grpc_status=b"0"))
    assert grpc.status_of(response) == 0
    response.trailers = fields(grpc_status=b"5")
    assert grpc.status_of(response) == 5


@pytest.mark.parametrize("value", [b"", b"-1", b"x", b"1234567890"])
def test_status_that_is_no_number_is_none(value: bytes) -> None:
    assert grpc.status_in(fields(grpc_status=value)) is None


@pytest.mark.parametrize(
    ("message", "encoded"),
    [
        (b"no healthy upstream", b"no healthy upstream"),
        (b"100%", b"100%25"),
        ("gr\u00fc\u00dfe".encode(), b"gr%C3%BC%C3%9Fe"),
        (b"a\r\nb\x7f", b"a%0D%0Ab%7F"),
    ],
)
def test_message_is_percent_encoded(message: bytes, encoded: bytes) -> None:
    assert grpc.percent_encode(message) == encoded


@given(st.binary())
def test_encoded_message_is_printable(message: bytes) -> None:
    assert all(0x20 <= byte <= 0x7E for byte in grpc.percent_encode(message))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"1H", 3600.0),
        (b"2M", 120.0),
        (b"3S", 3.0),
        (b"250m", 0.25),
        (b"99999999u", 99.999999),
        (b"1000n", 1e-6),
        (b"0S", 0.0),
    ],
)
def test_timeout_is_read_in_every_unit(value: bytes, expected: float) -> None:
    assert grpc.timeout_s(fields(grpc_timeout=value)) == pytest.approx(expected)


@pytest.mark.parametrize("value", [b"", b"1", b"S", b"1 S", b"1s", b"-1S", b"+1S", b"1.5S", b"123456789m"])
def test_timeout_that_cannot_be_understood_is_none(value: bytes) -> None:
    assert grpc.timeout_s(fields(grpc_timeout=value)) is None


def test_missing_timeout_is_none() -> None:
    assert grpc.timeout_s(Headers([])) is None


@pytest.mark.parametrize(
    ("limit_s", "expected"),
    [
        (0.25, b"250m"),
        (15, b"15000m"),
        (0.0001, b"1m"),
        (99999.999, b"99999999m"),
        (100_000, b"100000S"),
        (1e9, b"16666666M"),
    ],
)
def test_timeout_is_written_in_the_finest_unit_with_room(limit_s: float, expected: bytes) -> None:
    assert grpc.encode_timeout(limit_s) == expected


@given(st.floats(min_value=0.001, max_value=1e10))
def test_written_timeout_can_be_read(limit_s: float) -> None:
    read = grpc.timeout_s(fields(grpc_timeout=grpc.encode_timeout(limit_s)))
    assert read is not None
    assert read == pytest.approx(limit_s, rel=0.5, abs=0.001)
