"""What the RPC peers ask of each other: each case makes calls and gives what the caller got, to be compared."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tests.interop.rpc import Call
from tests.running import until

Result = dict[str, Any]
Ask = Callable[[Sequence[Call]], list[Result]]

_words = itertools.count(1)
AFTER = Call("text", ("after",))
PERSON = {"name": "Ann", "age": 30, "tags": ["one", "two"]}
MIXED_LIST = [1, "two", None, [3], {"k": "v"}, True, 1.5]
MIXED_MAP = {"int": 1, "text": "x", "list": [1, 2], "null": None, "true": True, "double": 1.5}
BYTES = {"$bytes": "AAEC/w=="}
MEGABYTE = "0123456789abcdef" * 65536


class Case(NamedTuple):
    """``expected`` is the whole answer; when it is None, the answer must be an error."""

    name: str
    ask: Callable[[Ask], Any]
    expected: Any


def _same(name: str, method: str, value: Any) -> Case:
    return Case(name, lambda ask: ask([Call(method, (value,))])[0], {"value": value})


def _one_way(ask: Ask) -> Any:
    word = f"word {next(_words)}"
    (sent,) = ask([Call("note", (word,))])
    if "error" in sent:
        return sent

    def noted() -> Any:
        (answer,) = ask([Call("noted", (word,))])
        return answer if "error" in answer or answer["value"] in (True, "true") else None

    return until(noted, "the word is noted")


def _timeout(milliseconds: Any) -> Callable[[Ask], Any]:
    """The error, and that there is a connection for calls after it."""

    def ask_again(ask: Ask) -> Any:
        (slept,) = ask([Call("sleep", (milliseconds,), 150)])
        time.sleep(0.35)  # the late answer comes, for which some clients give up the connection
        after = until(lambda: next((each for each in ask([AFTER]) if "value" in each), None), "a call after it")
        return [slept, after]

    return ask_again


def _late_answer(milliseconds: Any) -> Callable[[Ask], Any]:
    """As above, and that an answer for which nobody waits any more harms no call that is under way when it comes."""

    def ask_meanwhile(ask: Ask) -> Any:
        (slept,) = ask([Call("sleep", (milliseconds,), 150)])
        return [slept, *ask([AFTER, Call("sleep", (milliseconds,))])]

    return ask_meanwhile


def _many(ask: Ask) -> Any:
    return ask([Call("text", (f"number {number}",)) for number in range(100)])


TIMEOUT = [None, {"value": "after"}]
MANY = [{"value": f"number {number}"} for number in range(100)]

SHARED = [
    _same("text", "text", "hello"),
    _same("two-byte and three-byte characters", "text", "häß 你好"),
    _same("four-byte characters", "text", "a \N{GRINNING FACE} \N{MUSICAL SYMBOL G CLEF}"),
    _same("thousand characters", "text", "0123456789" * 100),
    _same("megabyte", "text", MEGABYTE),
    Case("exception", lambda ask: ask([Call("fail", ("no way",))])[0], None),
    Case("one-way", _one_way, {"value": True}),
    Case("many at once", _many, MANY),
]
CASES = [
    *SHARED,
    _same("empty text", "text", ""),
    _same("small number", "number", 7),
    _same("negative number", "number", -1234),
    _same("large number", "number", 123456789),
    _same("map", "map", {"one": 1, "two": "2"}),
    _same("map of mixed values", "map", MIXED_MAP),
    _same("list", "list", ["one", "two"]),
    _same("list of mixed values", "list", MIXED_LIST),
    _same("bytes", "bytes", BYTES),
    Case(
        "object",
        lambda ask: ask([Call("older", ({"$person": PERSON}, 5))])[0],
        {"value": {"$person": {**PERSON, "age": 35}}},
    ),
    Case("timeout", _timeout(400), TIMEOUT),
    Case("late answer", _late_answer(400), [*TIMEOUT, {"value": "slept"}]),
]
# Protobuf: arguments and values are texts in messages, so a case says the same with texts.
PROTOBUF_CASES = [
    *(case._replace(expected={"value": "true"}) if case.name == "one-way" else case for case in SHARED),
    Case("timeout", _timeout("400"), TIMEOUT),
    Case("late answer", _late_answer("400"), [*TIMEOUT, {"value": "slept"}]),
]


def comparable(result: Any) -> Any:
    """A result without what differs from run to run in its messages: addresses, ids, times, stack traces."""
    if isinstance(result, list):
        return [comparable(each) for each in result]
    if not isinstance(result, dict) or "error" not in result:
        return result
    error = result["error"]
    message = error["message"].split("\n\tat ")[0]
    return {
        "error": {
            "class": error["class"],
            "message": re.sub(r"(loopback|[0-9]+(\.[0-9]+){3}):[0-9]+|[0-9]+", "#", message),
        }
    }


def matches(result: Any, expected: Any) -> bool:
    """Whether a result is the expected one; None stands for any error."""
    if isinstance(expected, list):
        return len(result) == len(expected) and all(map(matches, result, expected))
    return "error" in result if expected is None else bool(result == expected)


def same(case: Case, result: Any, direct: Any) -> bool:
    """Whether a caller gets what it gets directly.

    When a time is over, the caller gives up by its own clock or for what its sidecar or server says at that moment: the
    error is of one class then, its words are chance.
    """
    if case.name not in ("timeout", "late answer"):
        return bool(result == direct)
    (error, *others), (expected, *more) = result, direct
    return bool(error["error"]["class"] == expected["error"]["class"] and others == more)
