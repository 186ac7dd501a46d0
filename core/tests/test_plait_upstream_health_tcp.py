"""What a TCP check takes for an answer."""

from __future__ import annotations

import pytest

from plait.upstream.health.tcp import in_order


@pytest.mark.parametrize(
    ("expected", "data", "there"),
    [
        ([], b"", True),
        ([b"ab"], b"ab", True),
        ([b"ab"], b"xxabxx", True),
        ([b"ab"], b"a", False),
        ([b"a", b"b"], b"a--b", True),
        ([b"a", b"b"], b"ba", False),
        ([b"a", b"a"], b"a", False),
        ([b"aa", b"a"], b"aaa", True),
        ([b"\0\xff"], b"..\0\xff", True),
    ],
)
def test_blocks_are_found_in_their_order(expected: list[bytes], data: bytes, there: bool) -> None:
    assert in_order(expected, data) is there
