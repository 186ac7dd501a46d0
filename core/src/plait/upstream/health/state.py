"""What the checks of one host have found, and when the next one is due; knows no clock and asks nobody.

A host begins as failing. Its first success is enough; from then on it takes as many results in a row as the thresholds
say to change what it counts as.

Source: Envoy, "Health checking" and ``envoy.config.core.v3.HealthCheck``.
"""

from __future__ import annotations

from plait.api.config import HealthCheck


class HostState:
    """``failing`` is the verdict; ``checked`` whether there was any result yet."""

    def __init__(self, check: HealthCheck) -> None:
        self.check = check
        self.failing = True
        self.checked = False
        self._against = 0  # results in a row that contradict the verdict

    def succeeded(self) -> bool:
        """Take note of a success; whether the verdict changed."""
        first, self.checked = not self.checked, True
        return self._note(self.failing, 1 if first else self.check.healthy_threshold)

    def failed(self, at_once: bool) -> bool:
        """Take note of a failure, which ``at_once`` needs no others to be believed; whether the verdict changed."""
        self.checked = True
        return self._note(not self.failing, 1 if at_once else self.check.unhealthy_threshold)

    def _note(self, contradicts: bool, threshold: int) -> bool:
        self._against = self._against + 1 if contradicts else 0
        if self._against < threshold:
            return False
        self.failing, self._against = not self.failing, 0
        return True

    def pause_s(self, traffic: bool) -> float:
        """How long to wait for the next check, without jitter. ``traffic`` says that the cluster has had any."""
        check, settled = self.check, not self._against
        if not traffic:
            return check.no_traffic_healthy_interval_s if settled and not self.failing else check.no_traffic_interval_s
        if settled:
            return check.unhealthy_interval_s if self.failing else check.interval_s
        # the last check was a success while the host counts as failing, or the other way round
        return check.healthy_edge_interval_s if self.failing else check.unhealthy_edge_interval_s
