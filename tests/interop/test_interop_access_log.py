"""The same format and the same requests: the lines of the access log are those of Envoy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.interop.cases import CASES, Case
from tests.interop.conftest import Pair
from tests.interop.peers import exchange
from tests.running import until

FIELDS = ("method", "path", "protocol", "status", "flags", "details", "received", "sent")

# What need not be equal, and why.
_EARLY = ("how much of the body was there when the answer went out is chance", {"received"})
_CAUSE = ("why there is no connection is said in words of one's own", {"details", "failure"})
_NOT_SENT = ("Envoy names the cluster of the route also when nothing was sent to it", {"cluster"})
DIFFERENT: dict[str, tuple[str, set[str]]] = {
    "redirect of POST": _EARLY,
    "direct response to POST": _EARLY,
    "fault aborts HEAD": _NOT_SENT,
    "cluster that is not there": ("Plait names what it did not find", {"cluster"}),
    "nobody listens": _CAUSE,
    "retry of a connection in vain": _CAUSE,
    "OPTIONS *": ("for Envoy it is no path; for Plait no route has it", {"flags", "details"}),
    "upgrade nobody asked for": _NOT_SENT,
    "fault aborts": _NOT_SENT,
    "fault as the caller asks": _NOT_SENT,
}


def fields(line: str) -> dict[str, str]:
    """The fields of a line, by name."""
    words = line.replace("agent=an ag", "agent=an-ag").split(" ")
    named = dict(zip(FIELDS, words, strict=False))
    return named | dict(word.split("=", 1) for word in words[len(FIELDS) :])


@pytest.fixture(scope="module")
def logged(routing: Pair) -> dict[str, dict[str, str]]:
    """The line of each case, by proxy."""
    found: dict[str, dict[str, str]] = {}
    for name, port in routing.ports.items():
        for number, case in enumerate(CASES):
            headers = [(header, value.format(key=f"log-{name}-{number}")) for header, value in case.headers]
            agent = ("user-agent", "an agent with a long name")
            exchange(port, case.path, case.host, case.method, [("x-case", f"log-{number}"), agent, *headers], case.body)
        log = Path(routing.logs[name])

        def lines(log: Path = log) -> dict[str, str] | None:
            told = dict(re.findall(r"^log-([0-9]+) (.*)$", log.read_text(), re.MULTILINE)) if log.exists() else {}
            return told if len(told) == len(CASES) else None

        told = until(lines, f"the access log of {name} has a line for every request")
        assert told is not None
        found[name] = {case.name: told[str(number)] for number, case in enumerate(CASES)}
    return found


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_access_log_line_is_that_of_envoy(logged: dict[str, dict[str, str]], case: Case) -> None:
    ours, theirs = fields(logged["plait"][case.name]), fields(logged["envoy"][case.name])
    for field in DIFFERENT.get(case.name, ("", set()))[1]:
        assert field in ours
        del ours[field], theirs[field]
    assert ours == theirs
