"""Calls as lines of JSON from standard input, each in its own thread; results as lines of JSON as they come."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from typing import Any

_output = threading.Lock()


def say(line: str) -> None:
    """A line on standard output, at once."""
    with _output:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def serve(call: Callable[[dict[str, Any]], Any]) -> None:
    """Until the end of standard input."""
    say("ready")
    for text in sys.stdin:
        threading.Thread(target=_answer, args=(call, json.loads(text)), daemon=True).start()


def _answer(call: Callable[[dict[str, Any]], Any], line: dict[str, Any]) -> None:
    result: dict[str, Any] = {"id": line["id"]}
    try:
        result["value"] = call(line)
    except Exception as error:  # noqa: BLE001 (whatever the library raises is the result)
        result["error"] = {"class": type(error).__name__, "message": str(error)}
    say(json.dumps(result))
