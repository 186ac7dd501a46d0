"""The chunked coding, read in any pieces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from plait_protocol_http1.body import LAST_CHUNK, ChunkedDecoder, encode_chunk


@given(st.lists(st.binary(min_size=1, max_size=50)), st.integers(1, 40), st.binary(max_size=20))
def test_chunks_come_back_in_any_pieces(chunks: list[bytes], step: int, behind: bytes) -> None:
    data = b"".join(map(encode_chunk, chunks)) + LAST_CHUNK
    everything = data + behind
    decoder = ChunkedDecoder(1024, 10)
    read = b""
    for place in range(0, len(everything), step):
        piece = everything[place : place + step]
        at = decoder.feed(piece, 0)
        read += decoder.take()
        if decoder.done:
            assert place + at == len(data)
            break
        assert at == len(piece)
    assert decoder.done
    assert read == b"".join(chunks)


def test_many_tiny_pieces_cost_no_more_than_their_bytes() -> None:
    decoder = ChunkedDecoder(1024, 10)
    body = b"x" * 100_000
    for byte in encode_chunk(body) + LAST_CHUNK:
        decoder.feed(bytes([byte]), 0)
    assert decoder.take() == body
