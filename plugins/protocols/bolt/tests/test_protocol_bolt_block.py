"""Header blocks: what they say, how they are recognized, and how they are written again."""

from __future__ import annotations

from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.api import Headers, LocalProtocolError
from plait_protocol_bolt import block as module
from plait_protocol_bolt.block import BlockError, BoltBlock, block_of, encode_headers, field, walk

# As SOFARPC 5.14.3 writes it.
JAVA = b"".join(
    field(name, value)
    for name, value in (
        (b"sofa_head_target_service", b"R$Hello:1.0"),
        (b"rpc_trace_context.sofaRpcId", b"0.1"),
        (b"rpc_trace_context.sofaTraceId", b"7f0000011795385763595100029046"),
        (b"service", b"R$Hello:1.0"),
        (b"sofa_head_method_name", b"say"),
        (b"app", None),
    )
)


@pytest.fixture(autouse=True)
def forgetful() -> None:
    module.KNOWN.clear()
    module._templates.clear()


def test_service_and_method_are_those_of_the_headers() -> None:
    block = block_of(JAVA)
    assert (block.service, block.method, block.failed) == (b"R$Hello:1.0", b"say", False)
    assert block_of(field(b"sofa_head_target_service", b"a")).service == b"a"
    assert block_of(field(b"service", b"b") + field(b"sofa_head_target_service", b"a")).service == b"b"
    assert block_of(field(b"sofa_head_response_error", b"true")).failed


def test_names_are_found_in_lower_case() -> None:
    headers = Headers(block_of(JAVA))
    assert headers.get("rpc_trace_context.SOFARPCID") == "0.1"
    assert list(headers)[1] == ("rpc_trace_context.sofarpcid", "0.1")
    assert headers.get("app") == ""
    assert len(headers) == 6


def test_a_block_that_differs_in_trace_ids_is_recognized(monkeypatch: pytest.MonkeyPatch) -> None:
    block_of(JAVA)
    monkeypatch.setattr(module, "walk", lambda source: pytest.fail("it was parsed"))
    other = JAVA.replace(b"029046", b"029047").replace(b"0.1", b"0.7")
    block = block_of(other)
    assert (block.source, block.service, block.method) == (other, b"R$Hello:1.0", b"say")
    monkeypatch.undo()
    assert block.index[b"rpc_trace_context.sofatraceid"] == b"7f0000011795385763595100029047"


def test_what_varies_is_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    def source(user: bytes) -> bytes:
        return field(b"service", b"s") + field(b"user", user) + field(b"sofa_head_method_name", b"m")

    block_of(source(b"anna"))
    block_of(source(b"hugo"))
    monkeypatch.setattr(module, "walk", lambda source: pytest.fail("it was parsed"))
    assert block_of(source(b"lisa")).method == b"m"


def test_no_other_method_passes_for_the_one_that_is_known() -> None:
    def source(method: bytes) -> bytes:
        return field(b"service", b"s") + field(b"rpc_trace_context.sofaRpcId", b"0") + field(module.METHOD, method)

    assert [block_of(source(method)).method for method in (b"one", b"two", b"one", b"two")] == [
        *(b"one", b"two", b"one", b"two")
    ]


def test_a_length_that_lies_where_a_value_varied_is_seen() -> None:
    block_of(JAVA)
    at = JAVA.index(b"7f000001") - 4
    with pytest.raises(BlockError):
        block_of(JAVA[:at] + pack(">i", 31) + JAVA[at + 4 :])


@pytest.mark.parametrize(
    "source",
    [
        b"\0",
        b"\0\0\0\1",
        b"\0\0\0\1a",
        b"\0\0\0\1a\0\0\0\2b",
        b"\xff\xff\xff\xfe\0\0\0\0",
        field(b"a", b"b") + b"\0\0\0\0",
        field(b"a", b"b") + field(b"a", b"c"),
        b"\x7f\xff\xff\xffa",
    ],
)
def test_a_block_that_lies_is_refused(source: bytes) -> None:
    with pytest.raises(BlockError):
        block_of(source)


def test_tables_are_bounded() -> None:
    for number in range(3000):
        block_of(field(b"n%d" % number, b"x" * (number % 300)))
    assert len(module.KNOWN) <= 1024
    assert len(module._templates) <= 256
    assert all(len(alike) <= 4 for alike in module._templates.values())
    block_of(field(b"long", b"x" * 4096))
    assert all(len(source) <= 2048 for source in module.KNOWN)


def test_headers_nobody_changed_are_written_byte_for_byte() -> None:
    assert encode_headers(Headers(block_of(JAVA))) == JAVA


def test_the_spelling_of_others_survives_a_change() -> None:
    block = block_of(JAVA)
    headers = Headers(block)
    headers.set("sofa_head_method_name", "shout")
    headers.set("x-added", "1")
    left = JAVA.replace(field(b"sofa_head_method_name", b"say"), b"")
    assert encode_headers(headers, block) == left + field(b"sofa_head_method_name", b"shout") + field(b"x-added", b"1")


def test_a_field_that_is_set_keeps_its_own_spelling() -> None:
    block = block_of(field(b"UserId", b"1") + field(b"b", None))
    headers = Headers(block)
    headers.set("userid", "2")
    assert encode_headers(headers, block) == field(b"b", None) + field(b"UserId", b"2")
    headers.remove("userid")
    headers.set("userid", "3")
    assert encode_headers(headers, block) == field(b"b", None) + field(b"UserId", b"3")
    fresh = Headers([])
    fresh.set("rpc_trace_context.sofarpcid", "0")
    assert encode_headers(fresh) == field(b"rpc_trace_context.sofaRpcId", b"0")


def test_a_list_that_was_replaced_keeps_what_it_took_over() -> None:
    block = block_of(JAVA)
    headers = Headers(block)
    headers.raw = [one for one in headers.raw if one[0] != b"service"]
    assert encode_headers(headers, block) == JAVA.replace(field(b"service", b"R$Hello:1.0"), b"")


def test_a_field_without_a_name_is_handed_on_and_not_shown() -> None:
    nameless = b"\xff\xff\xff\xff" + pack(">i", 1) + b"x"
    headers = Headers(block_of(nameless + field(b"a", b"b")))
    assert list(headers) == [("a", "b")]
    headers.set("c", "d")
    assert encode_headers(headers) == nameless + field(b"a", b"b") + field(b"c", b"d")


def test_a_block_that_no_frame_holds_is_not_written() -> None:
    headers = Headers([])
    headers.set("a", "x" * 0x8000)
    with pytest.raises(LocalProtocolError, match="header block"):
        encode_headers(headers)


names = st.binary(min_size=0, max_size=12)
fields = st.dictionaries(names, st.none() | st.binary(max_size=20), max_size=8)


@given(fields)
def test_what_is_written_is_read(entries: dict[bytes, bytes | None]) -> None:
    source = b"".join(field(name, value) for name, value in entries.items())
    assert [(name, value) for name, value, _, _ in walk(source)] == list(entries.items())
    block = block_of(source)
    assert encode_headers(Headers(block), block) == source


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_else(source: bytes) -> None:
    try:
        block = block_of(source)
    except BlockError:
        return
    assert isinstance(block, BoltBlock)
    assert len(block.raw) == len([one for one in walk(source) if one[0] is not None])


@given(fields, st.lists(st.integers(0, 255), max_size=6))
def test_a_template_says_what_a_walk_says(entries: dict[bytes, bytes | None], noise: list[int]) -> None:
    source = b"".join(field(name, value) for name, value in entries.items())
    for byte in [0, *noise]:
        spoilt = bytearray(source)
        if spoilt:
            spoilt[byte % len(spoilt)] ^= byte
        try:
            walked = {name: value for name, value, _, _ in walk(bytes(spoilt))}
        except BlockError:
            with pytest.raises(BlockError):
                block_of(bytes(spoilt))
            continue
        block = block_of(bytes(spoilt))
        assert block.method == (walked.get(module.METHOD) or b"")
        assert block.index == {
            name.lower(): value or b"" for name, value in reversed(walked.items()) if name is not None
        }
