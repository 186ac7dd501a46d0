"""The same routes and the same requests through Plait and through Envoy: the answers are the same."""

from __future__ import annotations

import json
import math
from collections import Counter

import pytest

from tests.interop.cases import CASES, Case
from tests.interop.conftest import Pair
from tests.interop.peers import Answer, exchange

VOLATILE = ("date", "x-envoy-upstream-service-time", "x-request-id")


def lines(answer: Answer, method: str) -> list[str]:
    """What must be equal, line by line; of volatile headers, that they are there."""
    found = [f"status {answer.status}"]
    body = answer.body
    told = json.loads(body) if body.startswith(b'{"name"') else None
    for name, value in answer.headers:
        volatile = name in VOLATILE or (told and name == "content-length")
        found.append(f"{name}: {'...' if volatile else value}")
    if told:
        found += [f"asked {told['name']}: {told['line']}", f"with body {told['body']!r}"]
        found += [f"with {name}: {_asked(name, value)}" for name, value in told["headers"]]
    else:
        found.append(repr(body))
    if method != "GET" and not told:
        # an answer of the proxy's own to a request whose body may or may not have been read by then
        found = [line for line in found if line != "connection: close"]
    return found


def _asked(name: str, value: str) -> str:
    if name in VOLATILE:
        return "..."
    if name == "x-forwarded-for":  # a loopback peer: Envoy tells the address of the node instead
        return ",".join([*value.split(",")[:-1], "me"])
    if name == "x-envoy-expected-rq-timeout-ms":  # what is left of it, on a retry
        return str(math.ceil(int(value) / 250) * 250)
    return value


def ask(pair: Pair, name: str, case: Case) -> list[str]:
    key = f"{name}-{case.name.replace(' ', '-')}"
    headers = [(header, value.format(key=key)) for header, value in case.headers]
    answer = exchange(pair.ports[name], case.path, case.host, case.method, headers, case.body)
    return [line.replace(key, "key") for line in lines(answer, case.method)]


# Where Plait differs on purpose: why, the lines that only its answer has, and those that only Envoy's has.
ON_PURPOSE: dict[str, tuple[str, set[str], set[str]]] = {
    "path with escapes and dots": (
        "the fragment is refused by both; the connection is in step, so it stays open, and the table's headers are on "
        "every answer",
        {"x-answer-table: table"},
        {"connection: close"},
    ),
    "hop-by-hop headers": ("Proxy-Connection is no header of HTTP's (RFC 9112, C.2.2)", set(), {"connection: close"}),
    "upgrade nobody asked for": ("the connection is in step, so it stays open", set(), {"connection: close"}),
}


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_answers_are_those_of_envoy(routing: Pair, case: Case) -> None:
    ours, theirs = ask(routing, "plait", case), ask(routing, "envoy", case)
    if case.name in ON_PURPOSE:
        _, only_ours, only_theirs = ON_PURPOSE[case.name]
        assert (set(ours) - set(theirs), set(theirs) - set(ours)) == (only_ours, only_theirs)
    else:
        assert ours == theirs


def test_any_token_is_a_method(routing: Pair) -> None:
    """RFC 9110, 9.1; Envoy takes only those that it knows."""
    answers = {name: exchange(port, "/", "clusters.test", "BREW").status for name, port in routing.ports.items()}
    assert answers == {"plait": 200, "envoy": 400}


def test_shares_of_weighted_clusters_are_about_those_of_envoy(routing: Pair) -> None:
    for name in ("plait", "envoy"):
        shares = Counter(
            exchange(routing.ports[name], "/weighted", "clusters.test").header("x-share") for _ in range(200)
        )
        assert set(shares) == {"one", "two"}
        assert 115 < shares["one"] < 185, name  # 150 expected: five standard deviations and more on each side
