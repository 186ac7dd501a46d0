"""States of streams, what is held for one, and what is remembered of those that are over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait_protocol_http2 import frames
from plait_protocol_http2.streams import (
    CLOSED,
    CUT,
    GOT_END,
    HALF_LOCAL,
    HALF_REMOTE,
    IDLE,
    NEXT,
    OPEN,
    RESET,
    SENT_END,
    SKIPPED,
    VERDICTS,
    Gone,
    Held,
)


def test_both_ends_close_a_stream_in_either_order() -> None:
    assert NEXT[NEXT[OPEN][SENT_END]][GOT_END] == CLOSED
    assert NEXT[NEXT[OPEN][GOT_END]][SENT_END] == CLOSED


@pytest.mark.parametrize(("state", "what"), [(HALF_LOCAL, SENT_END), (HALF_REMOTE, GOT_END), (CLOSED, SENT_END)])
def test_nothing_ends_twice(state: int, what: int) -> None:
    assert NEXT[state][what] < 0


def test_every_state_has_verdicts_and_priority_is_let_pass_in_all() -> None:
    assert len(VERDICTS) == SKIPPED + 1
    assert not any(frames.PRIORITY in row for row in VERDICTS)
    assert VERDICTS[IDLE][frames.DATA] < 0
    assert not VERDICTS[OPEN]


@given(st.lists(st.binary(max_size=20), max_size=10), st.lists(st.integers(1, 50), max_size=30))
def test_what_is_held_comes_out_as_it_went_in(pieces: list[bytes], sizes: list[int]) -> None:
    held = Held()
    for piece in pieces:
        held.add(piece)
    whole = b"".join(pieces)
    out = b""
    for size in sizes:
        assert held.size == len(whole) - len(out)
        size = min(size, held.size)
        if size:
            out += held.take(size)
    assert out + (held.take(held.size) if held.size else b"") == whole


def test_at_least_a_thousand_ends_are_remembered_and_not_all_of_them() -> None:
    gone = Gone()
    for id in range(1, 10001, 2):
        gone.add(id, RESET if id % 4 == 1 else CUT)
    assert [gone.state(id) for id in (9997, 9999, 8001, 8003)] == [RESET, CUT, RESET, CUT]
    assert gone.state(1) == SKIPPED
    assert gone.state(10001) == SKIPPED
