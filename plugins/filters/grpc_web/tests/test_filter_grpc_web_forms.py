"""The forms of gRPC-Web."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait import Headers
from plait_filter_grpc_web.forms import TextDecoder, encode_text, subtype_of, trailers_frame


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"application/grpc-web", (False, b"")),
        (b"application/grpc-web+proto", (False, b"+proto")),
        (b"application/grpc-web-text", (True, b"")),
        (b"application/grpc-web-text+proto", (True, b"+proto")),
        (b"application/grpc-web; charset=utf-8", (False, b"; charset=utf-8")),
        (b"application/grpc-website", None),
        (b"application/grpc", None),
        (b"application/json", None),
        (None, None),
    ],
)
def test_content_type_tells_the_form(value: bytes | None, expected: tuple[bool, bytes] | None) -> None:
    assert subtype_of(value) == expected


def test_trailers_are_a_frame_of_fields() -> None:
    trailers = Headers([(b"grpc-status", b"0"), (b"grpc-message", b"fine")])
    # by hand after PROTOCOL-WEB.md: 0x80, the length, and fields as in HTTP/1
    assert trailers_frame(trailers) == b"\x80\0\0\0\x22grpc-status:0\r\ngrpc-message:fine\r\n"
    assert trailers_frame(Headers([])) == b"\x80\0\0\0\0"


@given(st.lists(st.binary(max_size=10)), st.lists(st.integers(min_value=1, max_value=7), min_size=1))
def test_text_padded_anywhere_and_cut_anywhere_is_decoded(pieces: list[bytes], sizes: list[int]) -> None:
    text, decoder, decoded, turn = b"".join(map(encode_text, pieces)), TextDecoder(), b"", 0
    while text:
        size = sizes[turn % len(sizes)]
        decoded += decoder.feed(text[:size])
        text, turn = text[size:], turn + 1
    assert decoded == b"".join(pieces)
    assert not decoder.cut


@pytest.mark.parametrize("text", [b"****", b"AA=A", b"A===", b"====", b"AAA\n", b"AAAA\xff\xff\xff\xff"])
def test_text_that_is_no_base64_is_an_error(text: bytes) -> None:
    with pytest.raises(ValueError, match="no base64"):
        TextDecoder().feed(text)


def test_cut_text_is_noticed() -> None:
    decoder = TextDecoder()
    assert decoder.feed(b"AAAAA") == b"\0\0\0"
    assert decoder.cut


@given(st.lists(st.binary(max_size=30)))
def test_text_of_any_bytes_raises_nothing_but_value_error(pieces: list[bytes]) -> None:
    decoder, decoded = TextDecoder(), b""
    try:
        for piece in pieces:
            decoded += decoder.feed(piece)
    except ValueError:
        return
    assert len(decoded) <= len(base64.b64encode(b"".join(pieces)))
