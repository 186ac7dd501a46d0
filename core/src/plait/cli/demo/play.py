"""One run of the demo from beginning to end: the copy of the files, signals, what is printed, the exit code."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from plait.api.errors import PlaitError
from plait.cli.demo.files import DemoFiles, claim_ports, copy, find
from plait.cli.demo.processes import Children
from plait.cli.demo.report import as_object, next_steps, table
from plait.cli.demo.scenario import Result, Scenario
from plait.cli.exits import Exit

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def play(arguments: argparse.Namespace) -> int:
    """Play; the exit code. Raises PlaitError, its files left behind for a look at the logs."""
    source = find(arguments.files)
    folder = Path(tempfile.mkdtemp(prefix="plait-demo-"))
    claim = None if arguments.free_ports else claim_ports()
    try:
        code = asyncio.run(_play(arguments, copy(source, folder, free_ports=claim is None)))
    except* PlaitError as group:
        raise PlaitError(f"{_first(group)}\nits files and logs are in {folder}") from group
    finally:
        if claim is not None:
            claim.close()
    if code in (Exit.OK, Exit.INTERRUPTED):
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"mesh: the files and logs of the demo are in {folder}", file=sys.stderr)
    return code


async def _play(arguments: argparse.Namespace, files: DemoFiles) -> Exit:
    started = time.monotonic()
    progress = sys.stderr if arguments.json else sys.stdout

    def say(text: str) -> None:
        print(f"{time.monotonic() - started:5.1f} s  {text}", file=progress, flush=True)

    children = Children(files.folder)
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    _on_signals(loop, task.cancel)
    moved = {port: new for port, new in files.ports.items() if port != new}
    if moved:
        say(f"ports in place of those in the files: {', '.join(f'{new} for {port}' for port, new in moved.items())}")
    code = Exit.INTERRUPTED
    try:
        result = await Scenario(files, children, say, arguments.requests).play()
        _print(result, files, arguments)
        code = Exit.FAILED if result.problems else Exit.OK
        if arguments.keep:
            say(f"all of it runs on, its files are in {files.folder}; Ctrl-C ends it")
            await asyncio.Event().wait()
    except asyncio.CancelledError:
        say("interrupted" if code is Exit.INTERRUPTED else "ending as asked to")
    finally:
        # From here on a signal cuts the ending short instead of cancelling it.
        _on_signals(loop, children.kill_all)
        say("ending services and sidecars")
        await children.end()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
    return code


def _on_signals(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
    for number in _SIGNALS:
        loop.add_signal_handler(number, call)


def _print(result: Result, files: DemoFiles, arguments: argparse.Namespace) -> None:
    if arguments.json:
        print(json.dumps(as_object(result), indent=2), flush=True)
        return
    print(f"\n{table(result)}\n")
    for problem in result.problems:
        print(f"mesh: {problem}", file=sys.stderr)
    print(f"{next_steps(result, files, running=arguments.keep)}\n", flush=True)


def _first(group: BaseExceptionGroup[PlaitError]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
