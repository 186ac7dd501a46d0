"""`python -m bench`: which scenarios, which proxies, how long, and where the figures go."""

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from bench import peers, proxies, report
from bench.errors import BenchError
from bench.process import pick_cores
from bench.rounds import Plan, progress, run_scenario
from bench.scenario import Scenario
from bench.scenarios import all_scenarios

FULL = Plan(rounds=12, seconds=1, warmup_s=2, starts=3)
QUICK = Plan(rounds=3, seconds=1, warmup_s=1, starts=1)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure Plait beside other proxies, all up at once on one core and taking turns.",
    )
    names = ", ".join(all_scenarios())
    made.add_argument("--scenario", type=_names, metavar="A,B", help=f"some of {names} (default: all)")
    made.add_argument(
        "--proxies",
        type=_names,
        default=proxies.default_names(),
        metavar="A,B",
        help=f"some of {', '.join(proxies.NAMES)} (default: all; mosn where {proxies.MOSN} names its binary); "
        "ratios are of the first to each other one",
    )
    made.add_argument("--rounds", type=_positive, metavar="N", help=f"turns of each proxy (default: {FULL.rounds})")
    made.add_argument("--seconds", type=_positive, metavar="S", help=f"length of a turn (default: {FULL.seconds})")
    made.add_argument("--quick", action="store_true", help=f"{QUICK.rounds} rounds and one start: a glance, no figure")
    made.add_argument("--mesh", type=Path, default=peers.MESH, metavar="PATH", help="Plait's command")
    made.add_argument("--baseline", type=Path, metavar="PATH", help="a second Plait's command, for before and after")
    made.add_argument("--json", type=Path, metavar="FILE", help="write every figure and turn")
    made.add_argument("--markdown", type=Path, metavar="FILE", help="write tables for docs/performance.md; - prints")
    return made


def plan_of(arguments: argparse.Namespace) -> Plan:
    base = QUICK if arguments.quick else FULL
    return Plan(
        rounds=arguments.rounds or base.rounds,
        seconds=arguments.seconds or base.seconds,
        warmup_s=base.warmup_s,
        starts=base.starts,
    )


def main(argv: list[str] | None = None) -> int:
    """0 when measured, 1 when something failed or must not be reported, 2 for wrong arguments."""
    made = parser()
    arguments = made.parse_args(argv)
    known = all_scenarios()
    chosen = arguments.scenario or list(known)
    for name in chosen:
        if name not in known:
            made.error(f"no scenario named {name}: expected some of {', '.join(known)}")
    for name in arguments.proxies:
        if name not in proxies.NAMES:
            made.error(f"no proxy named {name}: expected some of {', '.join(proxies.NAMES)}")
    signal.signal(signal.SIGTERM, _interrupt)
    plan = plan_of(arguments)
    results: list[report.Result] = []
    try:
        scenarios = [known[name] for name in chosen]
        peers.ensure_debian({command for scenario in scenarios for command in scenario.commands})
        names = [name for name in arguments.proxies if any(takes_part(name, one) for one in scenarios)]
        taking_part = proxies.known(names, arguments.mesh, arguments.baseline)
        cores = pick_cores()
        os.sched_setaffinity(0, {cores.load})
        for scenario in scenarios:
            found = report.result(scenario, run_scenario(scenario, taking_part, plan, cores))
            results.append(found)
            print(report.terminal(found), flush=True)
    except BenchError as error:
        progress(None)
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        progress(None)
        print("bench: interrupted", file=sys.stderr)
        return 130
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(report.as_json(results, plan), indent=1) + "\n")
    if arguments.markdown is not None:
        text = report.markdown(results, plan)
        if str(arguments.markdown) == "-":
            print("\n" + text)
        else:
            arguments.markdown.write_text(text)
    return 0


def takes_part(proxy: str, scenario: Scenario) -> bool:
    return proxies.has_config(scenario.of(proxy).config, proxies.SUFFIXES[proxy])


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
