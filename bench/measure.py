"""CPU time and memory of a whole tree of processes, and how busy a core was, read from /proc.

The total is the scheduler's own nanosecond count (the POSIX CPU clock of each process, all its threads, also ended
ones). The kernel splits user from system by ticks, which is coarse: take the split over many turns, never over one.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from bench.errors import BenchError

_PROC = Path("/proc")
# The scheduler's clock of another process, as clock_getcpuclockid(3) makes it: inverted pid, then CPUCLOCK_SCHED.
_CPUCLOCK_SCHED = 2


@dataclass(frozen=True, slots=True)
class Cpu:
    """Processor time used so far: `total_s` exact, the ticks for the split alone."""

    total_s: float
    user_ticks: int
    system_ticks: int

    def __sub__(self, other: "Cpu") -> "Cpu":
        return Cpu(
            self.total_s - other.total_s, self.user_ticks - other.user_ticks, self.system_ticks - other.system_ticks
        )


@dataclass(frozen=True, slots=True)
class Memory:
    """Sums over processes, in KiB. Pages that processes share count once in `pss` and every time in `rss`."""

    rss_kib: int
    pss_kib: int


@dataclass(frozen=True, slots=True)
class CoreTicks:
    """What one core did since boot, in ticks."""

    busy: int
    steal: int
    all: int

    def __sub__(self, other: "CoreTicks") -> "CoreTicks":
        return CoreTicks(self.busy - other.busy, self.steal - other.steal, self.all - other.all)


def _stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; the command before them may hold spaces and brackets."""
    text = (_PROC / str(pid) / "stat").read_text()
    return text[text.rindex(")") + 2 :].split()


def tree(root: int) -> frozenset[int]:
    """`root`, its descendants, and whatever else lives in the session it leads."""
    parents: dict[int, int] = {}
    found = {root}
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = _stat_fields(int(entry.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[0] in "ZX":
            continue
        parents[int(entry.name)] = int(fields[1])
        if int(fields[3]) == root:
            found.add(int(entry.name))
    grown = True
    while grown:
        children = {pid for pid, parent in parents.items() if parent in found} - found
        found |= children
        grown = bool(children)
    return frozenset(found & parents.keys())


def cpu(pids: frozenset[int]) -> Cpu:
    """Raises BenchError if one of them is gone: its time would be missing from the sum."""
    total, user, system = 0.0, 0, 0
    for pid in pids:
        try:
            total += time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)
            fields = _stat_fields(pid)
        except OSError as error:
            raise BenchError(f"process {pid} of the proxy ended while it was measured") from error
        user += int(fields[11])
        system += int(fields[12])
    return Cpu(total, user, system)


def memory(pids: frozenset[int]) -> Memory:
    rss, pss = 0, 0
    for pid in pids:
        try:
            text = (_PROC / str(pid) / "smaps_rollup").read_text()
        except OSError as error:
            raise BenchError(f"cannot read the memory of process {pid}: {error}") from error
        sizes = smaps_sizes(text)
        rss += sizes["Rss"]
        pss += sizes["Pss"]
    return Memory(rss, pss)


def smaps_sizes(text: str) -> dict[str, int]:
    """The `Name: N kB` lines of smaps_rollup."""
    sizes: dict[str, int] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[2] == "kB":
            sizes[words[0].rstrip(":")] = int(words[1])
    return sizes


def core_ticks(core: int) -> CoreTicks:
    for line in (_PROC / "stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            user, nice, system, idle, iowait, irq, softirq, steal = map(int, ticks[:8])
            busy = user + nice + system + irq + softirq
            return CoreTicks(busy, steal, busy + idle + iowait + steal)
    raise BenchError(f"/proc/stat names no core {core}")
