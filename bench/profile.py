"""`python -m bench.profile SCENARIO`: where Plait spends its time under a scenario's load.

Plait runs alone and in one process (`--concurrency 0`) on the proxy core. First one turn without a profiler gives the
CPU time per request, then py-spy samples the process under the same load. `--native` shows frames of C and compiled
modules too. This finds hot spots; it compares nothing (`python -m bench` does).
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench import peers, proxies
from bench.errors import BenchError
from bench.process import pick_cores
from bench.report import text_table
from bench.rounds import progress, start, start_upstream, take_turn
from bench.scenario import Scenario
from bench.scenarios import all_scenarios

# py-spy needs a moment to read symbols before its first sample, and the load must outlast its last.
MARGIN_S = 3
# py-spy names a Python function by its first line, but gives a C function another line for each call in it.
_C_LINE = re.compile(r"(?<=\.[ch]):\d+\)$")


@dataclass(frozen=True, slots=True)
class Profile:
    """Samples per function: on top of the stack (`own`), and anywhere in it (`total`)."""

    samples: int
    own: Counter[str]
    total: Counter[str]


def parse_stacks(lines: Iterable[str]) -> Profile:
    """Folded stacks, outermost frame first: `main (a.py);inner (b.py) 12`."""
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()
    samples = 0
    for line in lines:
        stack, _, count_text = line.rstrip("\n").rpartition(" ")
        if not stack or not count_text.isdigit():
            continue
        frames, count = [_C_LINE.sub(")", frame) for frame in stack.split(";")], int(count_text)
        samples += count
        own[frames[-1]] += count
        for frame in set(frames):
            total[frame] += count
    return Profile(samples, own, total)


def table(profile: Profile, order: Counter[str], limit: int) -> str:
    rows = [
        (name, f"{profile.own[name] / profile.samples:.1%}", f"{profile.total[name] / profile.samples:.1%}")
        for name, _ in order.most_common(limit)
    ]
    return text_table(("function", "own", "total"), rows)


def run(scenario: Scenario, arguments: argparse.Namespace) -> Profile:
    py_spy = peers.ensure_py_spy()
    proxy = proxies.plait("plait", arguments.mesh, concurrency=0)
    cores = pick_cores()
    os.sched_setaffinity(0, {cores.load})
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        upstream_port = start_upstream(scenario, cores, directory, stack)
        _, running = start(scenario, proxy, 1, upstream_port, cores, directory, stack)
        progress("warming up")
        take_turn(scenario, proxy, running, 2, cores)
        turn = take_turn(scenario, proxy, running, 2, cores)
        progress(None)
        print(
            f"{scenario.name}: {turn.cpu_us_per_request:.1f} µs of CPU per request, "
            f"{turn.sample.requests_per_s:.0f} requests/s, not profiled",
            flush=True,
        )
        raw = arguments.raw or directory / "stacks"
        command = [str(py_spy), "record", "--pid", str(running.process.pid), "--format", "raw", "--output", str(raw)]
        command += ["--function", "--rate", str(arguments.rate), "--duration", str(arguments.seconds)]
        command += ["--native"] if arguments.native else []
        progress(f"profiling for {arguments.seconds} s")
        profiler = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            take_turn(scenario, proxy, running, arguments.seconds + MARGIN_S, cores)
            output, _ = profiler.communicate(timeout=30)
        except subprocess.TimeoutExpired as error:
            raise BenchError("py-spy did not end in time") from error
        finally:
            if profiler.poll() is None:
                profiler.kill()
                profiler.wait()
        progress(None)
        if profiler.returncode != 0:
            raise BenchError(f"py-spy ended with {profiler.returncode} (it may need root): {output.strip()[-1000:]}")
        with raw.open() as lines:
            profile = parse_stacks(lines)
    if profile.samples == 0:
        raise BenchError("py-spy took no sample: raise --seconds or --rate")
    return profile


def main(argv: list[str] | None = None) -> int:
    known = all_scenarios()
    made = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__.split("\n\n")[1])
    made.add_argument("scenario", choices=list(known))
    made.add_argument("--seconds", type=int, default=8, metavar="S", help="how long to sample (default: 8)")
    made.add_argument("--rate", type=int, default=500, metavar="HZ", help="samples per second (default: 500)")
    made.add_argument("--native", action="store_true", help="frames of C and compiled modules too")
    made.add_argument("--limit", type=int, default=30, metavar="N", help="rows per table (default: 30)")
    made.add_argument("--raw", type=Path, metavar="FILE", help="keep the folded stacks, for a flame graph")
    made.add_argument("--mesh", type=Path, default=peers.MESH, metavar="PATH", help="Plait's command")
    arguments = made.parse_args(argv)
    if arguments.raw is not None:
        arguments.raw = arguments.raw.absolute()
    try:
        peers.ensure_debian(set(known[arguments.scenario].commands))
        profile = run(known[arguments.scenario], arguments)
    except BenchError as error:
        progress(None)
        print(f"bench.profile: {error}", file=sys.stderr)
        return 1
    print(f"\n{profile.samples} samples; by own time\n{table(profile, profile.own, arguments.limit)}")
    print(f"\nby total time\n{table(profile, profile.total, arguments.limit)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
