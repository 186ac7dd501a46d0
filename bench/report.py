"""From turns to figures: the best turn of each proxy, ratios of the first proxy to every other, tables and JSON.

The best turn is the one with the lowest CPU time per request: noise only ever adds to it. Beside the ratio of the
bests stands the median over rounds of the ratio within a round, which no single lucky turn can move. Memory is the
other way round: the highest of all turns.
"""

import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.rounds import Contestant, Plan, Turn
from bench.scenario import Scenario

MEMORY_TARGET = 1.3
READY_TARGET_S = 1.0
# Above this share of the core taken by others, a best turn deserves a warning.
FOREIGN_LIMIT = 0.15


@dataclass(frozen=True, slots=True)
class Figures:
    """What a scenario says of one proxy; latency and throughput are each the best of its turns."""

    proxy: str
    version: str
    requests_per_s: float
    cpu_us: float
    user_us: float
    system_us: float
    cpu_us_median: float
    busy: float
    p50_ms: float
    p99_ms: float
    rss_mib: float
    pss_mib: float
    processes: int
    ready_ms: float
    foreign: float
    steal: float


@dataclass(frozen=True, slots=True)
class Ratios:
    """One proxy's figures over another's; below 1 is better except for `requests_per_s`."""

    proxy: str
    over: str
    cpu: float
    cpu_median: float
    requests_per_s: float
    p50: float
    p99: float
    rss: float
    pss: float
    ready: float


@dataclass(frozen=True, slots=True)
class Result:
    scenario: Scenario
    contestants: list[Contestant]
    figures: list[Figures]
    ratios: list[Ratios]


def result(scenario: Scenario, contestants: list[Contestant]) -> Result:
    found = [figures(contestant) for contestant in contestants]
    ratios: list[Ratios] = []
    if found:
        first, *others = zip(found, contestants, strict=True)
        ratios = [ratio(first[0], other[0], first[1].turns, other[1].turns) for other in others]
    return Result(scenario, contestants, found, ratios)


def best(turns: Sequence[Turn]) -> Turn:
    return min(turns, key=lambda turn: turn.cpu_us_per_request)


def figures(contestant: Contestant) -> Figures:
    turns = contestant.turns
    top = best(turns)
    user = sum(turn.cpu.user_ticks for turn in turns)
    system = sum(turn.cpu.system_ticks for turn in turns)
    user_share = user / (user + system) if user + system else 0.0
    cpu_us = top.cpu_us_per_request
    return Figures(
        proxy=contestant.proxy.name,
        version=contestant.proxy.version,
        requests_per_s=max(turn.sample.requests_per_s for turn in turns),
        cpu_us=cpu_us,
        user_us=cpu_us * user_share,
        system_us=cpu_us * (1 - user_share),
        cpu_us_median=median(turn.cpu_us_per_request for turn in turns),
        busy=top.busy,
        p50_ms=min(turn.sample.p50_us for turn in turns) / 1000,
        p99_ms=min(turn.sample.p99_us for turn in turns) / 1000,
        rss_mib=max(turn.memory.rss_kib for turn in turns) / 1024,
        pss_mib=max(turn.memory.pss_kib for turn in turns) / 1024,
        processes=contestant.processes,
        ready_ms=contestant.ready_s * 1000,
        foreign=top.foreign,
        steal=top.steal,
    )


def ratio(one: Figures, other: Figures, one_turns: Sequence[Turn], other_turns: Sequence[Turn]) -> Ratios:
    """`one` over `other`; the turns of the same index were taken in the same round."""
    rounds = zip(one_turns, other_turns, strict=True)
    return Ratios(
        proxy=one.proxy,
        over=other.proxy,
        cpu=one.cpu_us / other.cpu_us,
        cpu_median=median(mine.cpu_us_per_request / theirs.cpu_us_per_request for mine, theirs in rounds),
        requests_per_s=one.requests_per_s / other.requests_per_s,
        p50=one.p50_ms / other.p50_ms,
        p99=one.p99_ms / other.p99_ms,
        rss=one.rss_mib / other.rss_mib,
        pss=one.pss_mib / other.pss_mib,
        ready=one.ready_ms / other.ready_ms,
    )


FIGURE_HEADS = (
    "proxy", "requests/s", "CPU µs/request", "user + system", "median", "core busy", "p50 ms", "p99 ms",
    "RSS MiB", "PSS MiB", "processes", "ready ms",
)  # fmt: skip
RATIO_HEADS = ("", "CPU", "CPU, median of rounds", "requests/s", "p50", "p99", "RSS", "PSS", "ready")


def figure_rows(found: Iterable[Figures]) -> list[tuple[str, ...]]:
    return [
        (
            one.proxy,
            f"{one.requests_per_s:.0f}",
            f"{one.cpu_us:.1f}",
            f"{one.user_us:.1f} + {one.system_us:.1f}",
            f"{one.cpu_us_median:.1f}",
            f"{one.busy:.0%}",
            f"{one.p50_ms:.2f}",
            f"{one.p99_ms:.2f}",
            f"{one.rss_mib:.1f}",
            f"{one.pss_mib:.1f}",
            str(one.processes),
            f"{one.ready_ms:.0f}",
        )
        for one in found
    ]


def ratio_rows(found: Iterable[Ratios]) -> list[tuple[str, ...]]:
    return [
        (
            f"{one.proxy} ÷ {one.over}",
            *(
                f"{value:.2f}"
                for value in (
                    one.cpu, one.cpu_median, one.requests_per_s, one.p50, one.p99, one.rss, one.pss, one.ready,
                )
            ),
        )
        for one in found
    ]  # fmt: skip


def text_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, the first to the left and the others to the right."""
    lines = [heads, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(heads) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in (heads, rule, *rows))


def verdicts(one: Result) -> list[str]:
    """How Plait stands against what it is meant to reach, and whatever makes the figures doubtful."""
    lines: list[str] = []
    for ratios in one.ratios:
        if ratios.proxy == "plait" and ratios.over == "envoy":
            if one.scenario.cpu_target is not None:
                lines.append(_verdict("CPU per request over Envoy's", ratios.cpu, one.scenario.cpu_target))
            lines.append(_verdict("resident memory over Envoy's", ratios.rss, MEMORY_TARGET))
    for found in one.figures:
        if found.proxy == "plait":
            lines.append(_verdict("seconds until ready", found.ready_ms / 1000, READY_TARGET_S))
        if found.foreign + found.steal > FOREIGN_LIMIT:
            lines.append(
                f"doubtful: others took {found.foreign:.0%} of the core and the host {found.steal:.0%} "
                f"in the best turn of {found.proxy}"
            )
    return lines


def _verdict(what: str, value: float, target: float) -> str:
    return f"{'reached' if value <= target else 'missed'}: {what} {value:.2f}, at most {target:.2f}"


def features_text(one: Result) -> list[str]:
    """What each proxy was seen to add, so that a reader can tell whether they did the same work."""
    lines = []
    for contestant in one.contestants:
        names = ", ".join(sorted(contestant.features)) or "nothing"
        lines.append(f"{contestant.proxy.name} adds {names}")
    return lines


def terminal(one: Result) -> str:
    parts = [
        f"\n{one.scenario.name}: {one.scenario.title}",
        text_table(FIGURE_HEADS, figure_rows(one.figures)),
        *([text_table(RATIO_HEADS, ratio_rows(one.ratios))] if one.ratios else []),
        *verdicts(one),
    ]
    return "\n".join(parts)


def markdown(results: Sequence[Result], plan: Plan) -> str:
    """Ready to be pasted below a heading of docs/performance.md."""
    host = machine()
    versions = {found.proxy: found.version for one in results for found in one.figures}
    parts = [
        f"Measured on {host['cpu']}, {host['cores']} cores, Linux {host['kernel']}, Python {host['python']}: "
        + ", ".join(f"{name} ({version})" for name, version in versions.items())
        + f". {plan.rounds} rounds of turns of {plan.seconds} s, all proxies up at once on one core; "
        "every figure is the best of a proxy's turns, CPU time the lowest per request."
    ]
    for one in results:
        parts.append(f"### {one.scenario.title}")
        parts.append(markdown_table(FIGURE_HEADS, figure_rows(one.figures)))
        if one.ratios:
            parts.append(markdown_table(RATIO_HEADS, ratio_rows(one.ratios)))
        if one.scenario.required:
            parts.append("Headers seen: " + "; ".join(features_text(one)) + ".")
        notes = verdicts(one)
        if notes:
            parts.append("\n".join(f"- {note}" for note in notes))
    return "\n\n".join(parts) + "\n"


def as_json(results: Sequence[Result], plan: Plan) -> dict[str, Any]:
    return {
        "machine": machine(),
        "plan": asdict(plan),
        "scenarios": [
            {
                "name": one.scenario.name,
                "title": one.scenario.title,
                "load": one.scenario.load.version(),
                "figures": [asdict(found) for found in one.figures],
                "ratios": [asdict(ratios) for ratios in one.ratios],
                "verdicts": verdicts(one),
                "features": {each.proxy.name: each.features for each in one.contestants},
                "turns": {each.proxy.name: [asdict(turn) for turn in each.turns] for each in one.contestants},
            }
            for one in results
        ],
    }


def machine() -> dict[str, str]:
    model = "an unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return {
        "cpu": model,
        "cores": str(os.cpu_count()),
        "kernel": ".".join(platform.release().split(".")[:2]),
        "python": platform.python_version(),
    }
