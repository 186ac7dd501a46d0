"""Which responses a retry policy tries again."""

from __future__ import annotations

import pytest

from plait.api import Headers, Response, RetryPolicy
from plait.stream.retries import RetryRule


def answered(status: int, code: bytes | None = None) -> Response:
    return Response(status, Headers([] if code is None else [(b"grpc-status", code)]))


def rule(*words: str, codes: tuple[int, ...] = ()) -> RetryRule:
    return RetryRule(RetryPolicy(retry_on=words, retriable_status_codes=codes))


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("cancelled", b"1"),
        ("deadline-exceeded", b"4"),
        ("resource-exhausted", b"8"),
        ("internal", b"13"),
        ("unavailable", b"14"),
    ],
)
def test_grpc_word_takes_its_status_and_no_other(word: str, code: bytes) -> None:
    made = rule(word)
    assert made.on_response(answered(200, code))
    assert not made.on_response(answered(200, b"0"))
    assert not made.on_response(answered(200, b"2"))
    assert not made.on_response(answered(200))
    assert not made.on_response(answered(503))


def test_grpc_status_in_trailers_comes_too_late() -> None:
    response = answered(200)
    response.trailers = Headers([(b"grpc-status", b"14")])
    assert not rule("unavailable").on_response(response)


def test_http_words_look_at_the_status_alone() -> None:
    assert rule("5xx").on_response(answered(500))
    assert not rule("5xx").on_response(answered(200, b"14"))
    assert rule("gateway-error").on_response(answered(502))
    assert not rule("gateway-error").on_response(answered(500))
    assert rule("retriable-status-codes", codes=(418,)).on_response(answered(418))
    assert not rule("reset", codes=(418,)).on_response(answered(418))
