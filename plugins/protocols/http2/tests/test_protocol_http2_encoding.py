"""Header blocks that we write: read by another decoder, and what may never get into one."""

from __future__ import annotations

import pytest
from hpack import Decoder

from plait.api import Block, Headers, LocalProtocolError
from plait_protocol_http2.encoding import (
    REQUEST_KEY,
    REQUEST_PREFIXES,
    RESPONSE_KEY,
    RESPONSE_PREFIXES,
    STATUSES,
    TRAILER_PREFIXES,
    TRAILERS_KEY,
    Prefixes,
    encode_headers,
    encode_length,
    encode_pseudo,
)

Field = tuple[bytes, bytes]


def read(block: bytes) -> list[Field]:
    return [(bytes(name), bytes(value)) for name, value in Decoder(1 << 20).decode(block, raw=True)]


HTTP1 = [
    *((b"host", b"a"), (b"connection", b"close, x-a"), (b"keep-alive", b"5"), (b"proxy-connection", b"close")),
    *((b"transfer-encoding", b"chunked"), (b"upgrade", b"h2c"), (b"http2-settings", b"AAMAAABk")),
    *((b"content-length", b"3"), (b"te", b"gzip"), (b"X-Mixed", b"Case"), (b"accept", b"*/*")),
]


def test_what_belongs_to_a_connection_of_http1_stays_behind() -> None:
    headers = Headers(HTTP1)
    assert read(encode_headers(headers, REQUEST_PREFIXES, REQUEST_KEY)) == [(b"x-mixed", b"Case"), (b"accept", b"*/*")]
    assert read(encode_headers(headers, RESPONSE_PREFIXES, RESPONSE_KEY)) == [
        *((b"host", b"a"), (b"http2-settings", b"AAMAAABk")),
        *((b"x-mixed", b"Case"), (b"accept", b"*/*")),
    ]


def test_te_trailers_goes_on() -> None:
    for headers in (Headers([(b"te", b"trailers")]), added((b"te", b"trailers"))):
        assert read(encode_headers(headers, REQUEST_PREFIXES, REQUEST_KEY)) == [(b"te", b"trailers")]
    assert not encode_headers(added((b"te", b"gzip")), REQUEST_PREFIXES, REQUEST_KEY)


def test_trailers_that_must_not_come_late_are_not_sent() -> None:
    headers = Headers([(b"grpc-status", b"0"), (b"content-length", b"5"), (b"authorization", b"x")])
    assert read(encode_headers(headers, TRAILER_PREFIXES, TRAILERS_KEY)) == [(b"grpc-status", b"0")]


def added(*fields: Field) -> Headers:
    headers = Headers([])
    for name, value in fields:
        headers.append(name, value)
    return headers


@pytest.mark.parametrize("size", [0, 1, 126, 127, 128, 1023, 1024, 70000])
def test_values_of_any_length(size: int) -> None:
    field = (b"x-a", b"v" * size)
    for headers in (Headers([field]), added(field)):
        assert read(encode_headers(headers, RESPONSE_PREFIXES, RESPONSE_KEY)) == [field]


def test_a_block_is_encoded_once_and_what_is_added_each_time() -> None:
    block = Block([(b"a", b"b")])
    first = Headers(block)
    encode_headers(first, RESPONSE_PREFIXES, RESPONSE_KEY)
    kept = block.encoded[RESPONSE_KEY]
    second = Headers(block)
    second.put(b"c", b"d")
    assert read(encode_headers(second, RESPONSE_PREFIXES, RESPONSE_KEY)) == [(b"a", b"b"), (b"c", b"d")]
    assert block.encoded[RESPONSE_KEY] is kept


@pytest.mark.parametrize("value", [b"a\rb", b"a\nb", b"a\0b", b"a\r\nx: y"])
def test_what_would_end_a_line_of_http1_is_refused(value: bytes) -> None:
    for headers in (Headers([(b"x-a", value)]), added((b"x-a", value))):
        with pytest.raises(LocalProtocolError, match="CR, LF or NUL"):
            encode_headers(headers, RESPONSE_PREFIXES, RESPONSE_KEY)


@pytest.mark.parametrize("name", [b"", b"a b", b"a:", b":path", b"a\n"])
def test_names_are_tokens(name: bytes) -> None:
    for headers in (Headers([(name, b"x")]), added((name, b"x"))):
        with pytest.raises(LocalProtocolError, match="not a token"):
            encode_headers(headers, Prefixes(frozenset()), "test")


def test_lengths_of_values_are_not_taken_for_line_ends() -> None:
    field = (b"x-a", b"v" * 10)  # whose length is written as LF
    assert read(encode_headers(added(field, (b"x-b", b"v" * 13)), RESPONSE_PREFIXES, RESPONSE_KEY))[0] == field


def test_what_only_http1_lets_through_is_mended() -> None:
    headers = Headers([(b"x-a", b" b\x01c\t")])
    assert read(encode_headers(headers, RESPONSE_PREFIXES, RESPONSE_KEY)) == [(b"x-a", b"bc")]


def test_credentials_are_never_indexed() -> None:
    block = encode_headers(Headers([(b"authorization", b"x"), (b"accept", b"y")]), REQUEST_PREFIXES, REQUEST_KEY)
    assert [type(field).__name__ for field in Decoder().decode(block)] == ["NeverIndexedHeaderTuple", "HeaderTuple"]


def test_statuses_and_lengths() -> None:
    assert STATUSES[200] == b"\x88"
    assert read(STATUSES[299] + encode_length(12)) == [(b":status", b"299"), (b"content-length", b"12")]
    for status in (0, 99, 101, 1000):
        with pytest.raises(LocalProtocolError):
            STATUSES[status]


@pytest.mark.parametrize("value", [b"/a b", b"/a\nb", b"/a\0", b" /", b"/\r\n"])
def test_targets_that_would_be_read_as_something_else_are_refused(value: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        encode_pseudo(b":path", value)
