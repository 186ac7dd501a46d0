"""Counting messages in bodies that are cut anywhere."""

from hypothesis import given
from hypothesis import strategies as st

from plait_filter_grpc_stats.counting import MessageCounter

_messages = st.lists(st.binary(max_size=20), max_size=6)


def framed(messages: list[bytes]) -> bytes:
    return b"".join([b"\0" + len(message).to_bytes(4, "big") + message for message in messages])


@given(_messages, st.lists(st.integers(min_value=1, max_value=9), min_size=1, max_size=20))
def test_every_message_counts_once_however_it_is_cut(messages: list[bytes], sizes: list[int]) -> None:
    data, counter, told, turn = framed(messages), MessageCounter(), 0, 0
    while data:
        size = sizes[turn % len(sizes)]
        told += counter.feed(data[:size])
        data, turn = data[size:], turn + 1
    assert counter.count == told == len(messages)


def test_message_counts_when_its_length_is_known() -> None:
    counter = MessageCounter()
    assert counter.feed(b"\0\0\0\0") == 0
    assert counter.feed(b"\x05") == 1
    assert counter.feed(b"hello") == 0


@given(st.lists(st.binary(max_size=50)))
def test_nothing_that_a_peer_sends_raises(pieces: list[bytes]) -> None:
    counter = MessageCounter()
    for piece in pieces:
        counter.feed(piece)
    assert counter.count <= sum(map(len, pieces)) // 5
