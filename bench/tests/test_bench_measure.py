"""Processes are found as a tree, and their CPU time and memory are summed."""

import os
import subprocess
import sys

import pytest

from bench import measure
from bench.errors import BenchError

SMAPS = """55d0c8a00000-7fff3a9ff000 ---p 00000000 00:00 0                          [rollup]
Rss:                6836 kB
Pss:                1521 kB
Pss_Dirty:           560 kB
"""


def test_smaps_rollup_sizes_are_read() -> None:
    assert measure.smaps_sizes(SMAPS) == {"Rss": 6836, "Pss": 1521, "Pss_Dirty": 560}


def test_tree_holds_children_of_children() -> None:
    script = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'print(flush=True); input()'], stdin=subprocess.PIPE)\n"
        "input()\n"
        "child.communicate(b'\\n')\n"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        pids = measure.tree(process.pid)
        used = measure.memory(pids)
        process.communicate(b"\n")
    assert process.pid in pids
    assert len(pids) == 2
    assert 0 < used.pss_kib <= used.rss_kib


def test_cpu_time_only_grows() -> None:
    own = frozenset({os.getpid()})
    before = measure.cpu(own)
    sum(range(100_000))
    assert (measure.cpu(own) - before).total_s > 0


def test_ended_process_is_an_error() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with pytest.raises(BenchError, match="ended while it was measured"):
        measure.cpu(frozenset({process.pid}))


def test_unknown_core_is_an_error() -> None:
    with pytest.raises(BenchError, match="no core 99999"):
        measure.core_ticks(99999)
