"""What a policy adapter implements, in Mixer's words.

An *instance* is a mapping of a template's fields, filled from the attributes of a request. An adapter is made once per
handler and worker, and answers in process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

OK = 0
INVALID_ARGUMENT = 3
NOT_FOUND = 5
PERMISSION_DENIED = 7
RESOURCE_EXHAUSTED = 8
FAILED_PRECONDITION = 9
INTERNAL = 13
UNAVAILABLE = 14
UNAUTHENTICATED = 16


@attrs.frozen
class CheckResult:
    """``status`` is a google.rpc.Code (0 allows); the answer may be used again that long and that often."""

    status: int = OK
    message: str = ""
    valid_duration_s: float = 60.0
    valid_use_count: int = 10_000


@attrs.frozen
class QuotaResult:
    """``amount`` was granted for ``valid_duration_s``."""

    amount: int
    valid_duration_s: float = 0.0


class Adapter:
    """Base of policy adapters; override what the templates you handle need."""

    def check(self, template: str, instance: Mapping[str, object]) -> CheckResult:
        """May the request go on? Called on its way, so answer at once."""
        return CheckResult()

    def allocate(self, template: str, instance: Mapping[str, object], amount: int, best_effort: bool) -> QuotaResult:
        """Take ``amount`` of a quota; less may be granted when ``best_effort``, else all or nothing."""
        return QuotaResult(amount)

    def report(self, template: str, instances: Sequence[Mapping[str, object]]) -> None:
        """A batch of what happened."""

    def close(self) -> None:
        """The handler is gone."""
