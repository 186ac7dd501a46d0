"""What ``grpc-timeout`` does where a route heeds it."""

from __future__ import annotations

import pytest

from plait import ForwardAction, Headers, Request
from plait_filter_router.deadlines import limited


def asking(timeout: bytes | None, content_type: bytes = b"application/grpc") -> Request:
    fields = [(b"content-type", content_type)]
    return Request(Headers(fields if timeout is None else [*fields, (b"grpc-timeout", timeout)]))


@pytest.mark.parametrize(
    ("most_s", "offset_s", "asked", "expected"),
    [
        (10.0, 0.0, b"2S", 2.0),
        (10.0, 0.0, b"20S", 10.0),
        (0.0, 0.0, b"20S", 20.0),
        (10.0, 0.5, b"2S", 1.5),
        (10.0, 3.0, b"2S", 2.0),  # an offset never leaves nothing
        (10.0, 0.0, None, 0.0),
        (10.0, 0.0, b"soon", 0.0),
        (10.0, 0.0, b"0S", 0.0),
    ],
)
def test_header_limits_the_stream(most_s: float, offset_s: float, asked: bytes | None, expected: float) -> None:
    action = ForwardAction("a", grpc_timeout_header_max_s=most_s, grpc_timeout_header_offset_s=offset_s)
    request = asking(asked)
    assert limited(action, request) is action
    assert request.timeout_s == expected


@pytest.mark.parametrize(
    ("most_s", "offset_s", "asked", "expected"),
    [
        (10.0, 0.0, b"2S", 2.0),
        (10.0, 0.0, b"20S", 10.0),
        (0.0, 0.0, b"20S", 20.0),
        (10.0, 0.5, b"2S", 1.5),
        (10.0, 3.0, b"2S", 2.0),
        (10.0, 0.0, None, 10.0),
        (0.0, 0.0, None, 0.0),  # no limit at all
    ],
)
def test_older_field_puts_the_header_in_place_of_the_timeout(
    most_s: float, offset_s: float, asked: bytes | None, expected: float
) -> None:
    action = ForwardAction("a", timeout_s=15.0, max_grpc_timeout_s=most_s, grpc_timeout_offset_s=offset_s)
    request = asking(asked)
    assert limited(action, request).timeout_s == expected
    assert request.timeout_s == 0.0


def test_older_field_is_about_grpc_alone() -> None:
    action = ForwardAction("a", timeout_s=15.0, max_grpc_timeout_s=1.0)
    assert limited(action, asking(b"2S", b"application/json")) is action


def test_header_means_nothing_by_default() -> None:
    action, request = ForwardAction("a"), asking(b"1S")
    assert limited(action, request) is action
    assert request.timeout_s == 0.0
