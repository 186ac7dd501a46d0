"""Folded stacks become own and total samples per function."""

from bench.profile import parse_stacks, table


def test_recursion_counts_once_per_sample() -> None:
    profile = parse_stacks(["main (a.py);walk (b.py);walk (b.py) 3\n", "main (a.py) 1\n", "\n"])
    assert profile.samples == 4
    assert profile.own == {"walk (b.py)": 3, "main (a.py)": 1}
    assert profile.total == {"main (a.py)": 4, "walk (b.py)": 3}


def test_table_shows_shares_of_all_samples() -> None:
    profile = parse_stacks(["main (a.py);walk (b.py) 3", "main (a.py) 1"])
    assert table(profile, profile.total, 1).splitlines()[1].split() == ["main", "(a.py)", "25.0%", "100.0%"]


def test_lines_within_a_c_function_are_one_function() -> None:
    profile = parse_stacks(["uv__read (stream.c:1154) 2", "uv__read (stream.c:1050) 1", "feed (codec.py:7) 1"])
    assert profile.own == {"uv__read (stream.c)": 3, "feed (codec.py:7)": 1}
