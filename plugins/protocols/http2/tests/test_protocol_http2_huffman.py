"""The Huffman code, against RFC 7541's examples and another implementation."""

from __future__ import annotations

import pytest
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hypothesis import given
from hypothesis import strategies as st

from plait_protocol_http2.errors import Violation
from plait_protocol_http2.huffman import decode_huffman

OTHER = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)


# RFC 7541, C.4 and C.6
@pytest.mark.parametrize(
    ("coded", "text"),
    [
        ("", b""),
        ("f1e3c2e5f23a6ba0ab90f4ff", b"www.example.com"),
        ("a8eb10649cbf", b"no-cache"),
        ("25a849e95ba97d7f", b"custom-key"),
        ("6402", b"302"),
        ("d07abe941054d444a8200595040b8166e082a62d1bff", b"Mon, 21 Oct 2013 20:13:21 GMT"),
    ],
)
def test_examples_of_the_rfc(coded: str, text: bytes) -> None:
    assert decode_huffman(bytes.fromhex(coded)) == text


@given(st.binary(max_size=100))
def test_every_symbol_comes_back(text: bytes) -> None:
    assert decode_huffman(OTHER.encode(text)) == text


@pytest.mark.parametrize(
    ("coded", "why"),
    [
        ("00", "padded with anything but ones"),  # "0" and three zeros
        ("1ff8", "padded with anything but ones"),
        ("1fff", "too many"),  # "a" and eleven ones
        ("ff", "too many"),
        ("ffffffff", "EOS"),
        ("fffffffc", "EOS"),
    ],
)
def test_padding_is_the_beginning_of_eos_and_no_more_than_seven_bits(coded: str, why: str) -> None:
    with pytest.raises(Violation, match=why):
        decode_huffman(bytes.fromhex(coded))
