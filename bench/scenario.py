"""What one scenario is: the proxies' configuration, the load, the upstream and how to ask one thing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.load import Load
from bench.process import Process


@dataclass(frozen=True, slots=True)
class Scenario:
    """`required` names what `probe` must have seen each proxy do; `cpu_target` is Plait's CPU over Envoy's.

    `commands` are those that load, upstream and probe need (keys of `peers.DEBIAN`). `instead` gives a proxy that
    cannot speak this protocol another scenario to be measured with, in the same rounds.
    """

    name: str
    title: str
    config: str
    body: bytes
    load: Load
    start_upstream: Callable[[int, int, Path], Process]
    probe: Callable[[int], dict[str, str]]
    required: tuple[str, ...] = ()
    cpu_target: float | None = None
    commands: frozenset[str] = frozenset()
    instead: Mapping[str, "Scenario"] = field(default_factory=dict)

    def of(self, proxy: str) -> "Scenario":
        """The scenario in which this proxy is measured."""
        return self.instead.get(proxy, self)
