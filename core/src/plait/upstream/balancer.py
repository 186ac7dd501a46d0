"""Load balancers: each is made for a fixed set of hosts and picks one; a change of hosts makes a new one.

Weights are honoured by all of them. Source: Envoy, "Supported load balancers".
"""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from plait.api.errors import ConfigError

if TYPE_CHECKING:
    from plait.upstream.cluster import Host


class Balancer(ABC):
    """Picks among ``hosts``, which are never empty."""

    def __init__(self, hosts: Sequence[Host]) -> None:
        self.hosts = tuple(hosts)

    @abstractmethod
    def pick(self) -> Host:
        """The next host."""


class RoundRobin(Balancer):
    """In turn, in proportion to the weights. Starts anywhere, so that workers do not march in step."""

    def __init__(self, hosts: Sequence[Host]) -> None:
        super().__init__(hosts)
        self._turn = _schedule(self.hosts)
        self._at = random.randrange(len(self._turn))

    def pick(self) -> Host:
        at = self._at + 1
        if at >= len(self._turn):
            at = 0
        self._at = at
        return self._turn[at]


def _schedule(hosts: Sequence[Host]) -> list[Host]:
    """One full turn, smooth: a host of weight w stands w times (at most 100), spread evenly."""
    weights = [host.endpoint.weight for host in hosts]
    divisor = math.gcd(*weights)
    weights = [weight // divisor for weight in weights]
    if len(set(weights)) == 1:
        return list(hosts)
    top = max(weights)
    if top > 100:
        weights = [max(1, round(weight * 100 / top)) for weight in weights]
    current = [0] * len(hosts)
    total = sum(weights)
    turn = []
    for _ in range(total):
        current = [value + weight for value, weight in zip(current, weights, strict=True)]
        best = current.index(max(current))
        current[best] -= total
        turn.append(hosts[best])
    return turn


class Single(Balancer):
    """The one host that there is."""

    def pick(self) -> Host:
        return self.hosts[0]


class Random(Balancer):
    """Any host, with the probability of its weight."""

    def __init__(self, hosts: Sequence[Host]) -> None:
        super().__init__(hosts)
        weights = [host.endpoint.weight for host in self.hosts]
        self._sums = list(accumulate(weights)) if len(set(weights)) > 1 else None

    def pick(self) -> Host:
        if self._sums is None:
            return self.hosts[int(random.random() * len(self.hosts))]
        return random.choices(self.hosts, cum_weights=self._sums)[0]


class LeastRequest(Balancer):
    """The one with the fewest requests under way (per weight) of ``choices`` drawn at random."""

    def __init__(self, hosts: Sequence[Host], choices: int) -> None:
        super().__init__(hosts)
        self._draw = Random(self.hosts)
        self._choices = choices

    def pick(self) -> Host:
        best = self._draw.pick()
        for _ in range(self._choices - 1):
            other = self._draw.pick()
            if (other.active + 1) * best.endpoint.weight < (best.active + 1) * other.endpoint.weight:
                best = other
        return best


_POLICIES = ("round_robin", "random", "least_request")


def make_balancer(policy: str, choices: int, hosts: Sequence[Host]) -> Balancer:
    """The balancer that a cluster's ``lb_policy`` names; of a single host, all would say the same."""
    if len(hosts) == 1 and policy in _POLICIES:
        return Single(hosts)
    if policy == "round_robin":
        return RoundRobin(hosts)
    if policy == "random":
        return Random(hosts)
    if policy == "least_request":
        return LeastRequest(hosts, max(2, choices))
    raise ConfigError(f"unknown load balancing policy {policy!r}", expected=", ".join(_POLICIES))
