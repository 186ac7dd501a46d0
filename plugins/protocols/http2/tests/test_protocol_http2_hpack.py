"""HPACK: RFC 7541's examples, blocks of other encoders, another implementation as oracle, and what is no block."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hpack import Decoder as OtherDecoder
from hpack import Encoder as OtherEncoder
from hpack import HeaderTuple, NeverIndexedHeaderTuple
from hypothesis import given
from hypothesis import strategies as st

from plait_protocol_http2.errors import COMPRESSION_ERROR, Violation
from plait_protocol_http2.hpack import (
    NEVER_INDEXED,
    NO_TABLE,
    Decoder,
    encode_field,
    encode_integer,
    encode_string,
    read_integer,
)
from plait_protocol_http2.table import STATIC, STATIC_INDEX

Field = tuple[bytes, bytes]

GET = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"www.example.com")]
NO_CACHE = [*GET, (b"cache-control", b"no-cache")]
CUSTOM = [
    *((b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/index.html")),
    *((b":authority", b"www.example.com"), (b"custom-key", b"custom-value")),
]
DATE_21 = b"Mon, 21 Oct 2013 20:13:21 GMT"
DATE_22 = b"Mon, 21 Oct 2013 20:13:22 GMT"
FOUND = [
    *((b":status", b"302"), (b"cache-control", b"private"), (b"date", DATE_21)),
    (b"location", b"https://www.example.com"),
]
OK = [
    *((b":status", b"200"), (b"cache-control", b"private"), (b"date", DATE_22)),
    *((b"location", b"https://www.example.com"), (b"content-encoding", b"gzip")),
    (b"set-cookie", b"foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"),
]

# RFC 7541, C.3 and C.4 (one connection's requests), C.5 and C.6 (responses, with a table of 256 bytes).
STORIES = {
    "C.3": (
        4096,
        [
            ("828684410f7777772e6578616d706c652e636f6d", GET),
            ("828684be58086e6f2d6361636865", NO_CACHE),
            ("828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565", CUSTOM),
        ],
    ),
    "C.4": (
        4096,
        [
            ("828684418cf1e3c2e5f23a6ba0ab90f4ff", GET),
            ("828684be5886a8eb10649cbf", NO_CACHE),
            ("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf", CUSTOM),
        ],
    ),
    "C.5": (
        256,
        [
            (
                "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e17"
                "68747470733a2f2f7777772e6578616d706c652e636f6d",
                FOUND,
            ),
            ("4803333037c1c0bf", [(b":status", b"307"), *FOUND[1:]]),
            (
                "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d41"
                "53444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b207665727369"
                "6f6e3d31",
                OK,
            ),
        ],
    ),
    "C.6": (
        256,
        [
            (
                "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97"
                "c8e9ae82ae43d3",
                FOUND,
            ),
            ("4883640effc1c0bf", [(b":status", b"307"), *FOUND[1:]]),
            (
                "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd"
                "5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
                OK,
            ),
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STORIES)
def test_stories_of_the_rfc_are_read(name: str) -> None:
    table_size, story = STORIES[name]
    decoder = Decoder(table_size)
    if table_size < 4096:
        decoder.allow(table_size)
        story = [("3fe101" + story[0][0], story[0][1]), *story[1:]]  # the encoder says that it made its table smaller
    for block, fields in story:
        assert decoder.decode(bytes.fromhex(block)) == fields


# tests/data/README.md says whose they are
TOLD: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "stories.json").read_text())


@pytest.mark.parametrize("story", TOLD["fields"])
@pytest.mark.parametrize("encoder", TOLD["blocks"])
def test_stories_that_other_encoders_tell_are_read(encoder: str, story: str) -> None:
    blocks: list[tuple[int, str]] = TOLD["blocks"][encoder][story]
    told: list[list[list[str]]] = TOLD["fields"][story]
    largest = max(size for size, _ in blocks)
    decoder = Decoder(largest)
    allowed = largest
    for (size, block), fields in zip(blocks, told, strict=True):
        if size != allowed:
            decoder.allow(size)
            allowed = size
        assert decoder.decode(bytes.fromhex(block)) == [(name.encode(), value.encode()) for name, value in fields]


# RFC 7541, C.2
@pytest.mark.parametrize(
    ("block", "field", "changed"),
    [
        ("400a637573746f6d2d6b65790d637573746f6d2d686561646572", (b"custom-key", b"custom-header"), True),
        ("040c2f73616d706c652f70617468", (b":path", b"/sample/path"), False),
        ("100870617373776f726406736563726574", (b"password", b"secret"), False),
        ("82", (b":method", b"GET"), False),
    ],
)
def test_representations_say_whether_the_table_changed(block: str, field: Field, changed: bool) -> None:
    decoder = Decoder()
    assert decoder.decode(bytes.fromhex(block)) == [field]
    assert (decoder.changed, decoder.suspect) == (changed, False)


def test_a_name_that_a_peer_never_indexes_is_sent_so_from_then_on() -> None:
    name = b"x-very-private"
    assert encode_field(name, b"v")[0] == 0x00
    Decoder().decode(b"\x10" + encode_string(name) + encode_string(b"v"))
    assert name in NEVER_INDEXED
    assert encode_field(name, b"v")[0] == 0x10
    NEVER_INDEXED.discard(name)


# RFC 7541, C.1
@pytest.mark.parametrize(("value", "mask", "encoded"), [(10, 31, "0a"), (1337, 31, "1f9a0a"), (42, 255, "2a")])
def test_integers_of_the_rfc(value: int, mask: int, encoded: str) -> None:
    text = bytes.fromhex(encoded)
    assert encode_integer(value, mask) == text
    if len(text) > 1:
        assert read_integer(text, 1, mask) == (value, len(text))


@pytest.mark.parametrize(
    ("block", "why"),
    [
        ("80", "index 0"),
        ("be", "index 62 is not in the table"),
        ("ff80", "ends inside"),
        ("ffffffffffff7f", "too large"),
        ("3fe21f", "table size 4097"),
        ("8220", "behind a field"),
        ("40", "ends inside"),
        ("4001", "ends inside"),
        ("40016101", "longer than the block"),
        ("0f", "ends inside"),
        ("7f000161", "index 63 is not in the table"),
        ("0f2f0161", "index 62 is not in the table"),
        ("048100", "padded"),
        ("0482ffff", "padded"),
        ("0484ffffffff", "EOS"),
        ("01ff8080808010", "longer than the block"),
    ],
)
def test_what_is_no_block_is_an_error_of_compression(block: str, why: str) -> None:
    with pytest.raises(Violation, match=why) as caught:
        Decoder().decode(bytes.fromhex(block))
    assert caught.value.code == COMPRESSION_ERROR
    assert not caught.value.survives


def test_table_must_shrink_first_once_a_smaller_one_is_acknowledged() -> None:
    decoder = Decoder(100)
    assert decoder.decode(bytes.fromhex("3fe11f82")) == [(b":method", b"GET")]  # 4096, which it may still believe in
    decoder.allow(100)
    with pytest.raises(Violation, match="smaller"):
        decoder.decode(b"\x82")
    decoder = Decoder(100)
    decoder.allow(100)
    with pytest.raises(Violation, match="allowed"):
        decoder.decode(bytes.fromhex("3f4682"))  # 101
    decoder = Decoder(100)
    decoder.allow(100)
    assert decoder.decode(bytes.fromhex("3f4582")) == [(b":method", b"GET")]
    assert decoder.changed


def test_an_entry_larger_than_the_table_empties_it() -> None:
    decoder = Decoder()
    small = b"\x40\x01a\x01b"
    assert decoder.decode(small + b"\xbe") == [(b"a", b"b")] * 2
    large = b"\x40\x01c" + encode_string(b"d" * 5000)
    assert decoder.decode(large) == [(b"c", b"d" * 5000)]
    with pytest.raises(Violation, match="not in the table"):
        decoder.decode(b"\xbe")


def test_fields_that_may_not_be_there_are_suspect_for_as_long_as_the_table_may_have_them() -> None:
    decoder = Decoder()
    told = []
    for block in (b"\x00\x01A\x01b", b"\x82", b"\x40\x01A\x01b", b"\xbe"):
        decoder.decode(block)
        told.append(decoder.suspect)
    assert told == [True, False, True, True]


def test_what_is_remembered_of_one_connection_means_the_same_in_another() -> None:
    literal = b"\x40\x05x-one\x03two"
    first, second = Decoder(), Decoder()
    assert first.decode(literal) == second.decode(literal)
    assert first.decode(literal)[0] is second.decode(literal)[0]
    secret = b"\x0f\x08\x06secret"  # authorization
    assert first.decode(secret)[0] is not second.decode(secret)[0]


NAMES = st.sampled_from([b":path", b"accept", b"x-a", b"x-request-id", b"authorization", b"cookie", b"date", b"x-b-c"])
VALUES = st.one_of(st.sampled_from([b"", b"/", b"a", b"gzip, deflate"]), st.binary(max_size=200))
FIELDS = st.lists(st.tuples(NAMES, VALUES, st.booleans()), max_size=12)


@given(st.lists(st.tuples(FIELDS, st.booleans(), st.integers(0, 4096)), max_size=12))
def test_blocks_of_another_encoder_are_read(story: list[tuple[list[tuple[bytes, bytes, bool]], bool, int]]) -> None:
    encoder, decoder = OtherEncoder(), Decoder()
    for fields, huffman, table_size in story:
        encoder.header_table_size = table_size
        tuples = [NeverIndexedHeaderTuple(n, v) if never else HeaderTuple(n, v) for n, v, never in fields]
        assert decoder.decode(encoder.encode(tuples, huffman=huffman)) == [(n, v) for n, v, _ in fields]


@given(st.lists(FIELDS, max_size=6))
def test_blocks_of_ours_are_read_by_another_decoder(story: list[list[tuple[bytes, bytes, bool]]]) -> None:
    decoder = OtherDecoder()
    decoder.max_header_list_size = 1 << 20
    for index, fields in enumerate(story):
        block = b"".join([encode_field(name, value) for name, value, _ in fields])
        read = decoder.decode((b"" if index else NO_TABLE) + block, raw=True)
        assert [(bytes(name), bytes(value)) for name, value in read] == [(name, value) for name, value, _ in fields]
    assert decoder.header_table_size == (0 if story else 4096)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_violation(block: bytes) -> None:
    with contextlib.suppress(Violation):
        Decoder().decode(block)


def test_static_table_is_that_of_the_rfc() -> None:
    assert len(STATIC) == 62
    # spot checks of appendix A, from the beginning to the end
    expected = {
        1: (b":authority", b""), 7: (b":scheme", b"https"), 14: (b":status", b"500"),
        16: (b"accept-encoding", b"gzip, deflate"), 19: (b"accept", b""), 24: (b"cache-control", b""),
        28: (b"content-length", b""), 31: (b"content-type", b""), 33: (b"date", b""), 38: (b"host", b""),
        46: (b"location", b""), 54: (b"server", b""), 58: (b"user-agent", b""), 61: (b"www-authenticate", b""),
    }  # fmt: skip
    assert {index: STATIC[index] for index in expected} == expected
    assert STATIC_INDEX[b":method", b"POST"] == 3
