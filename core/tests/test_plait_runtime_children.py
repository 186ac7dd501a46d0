"""Processes started and collected."""

import asyncio
import fcntl
import os
import signal
import sys

from plait.runtime.children import Reaper, describe_exit, kill
from plait.runtime.spawning import receive_blocking, spawn


def test_exits_are_told_once_each_even_those_from_before() -> None:
    async def scenario() -> dict[int, int]:
        codes: dict[int, int] = {}
        done = asyncio.Event()

        def ended(pid: int, code: int) -> None:
            assert pid not in codes
            codes[pid] = code
            if len(codes) == 2:
                done.set()

        early = spawn(("/bin/sh", "-c", "exit 4"))
        try:
            receive_blocking(early.sock)  # returns when the child has closed its end
        except EOFError:
            pass
        late = spawn(("/bin/sh", "-c", "exec sleep 60"))
        reaper = Reaper()
        for child in (early, late):
            reaper.watch(child.pid, lambda code, pid=child.pid: ended(pid, code))  # type: ignore[misc]
        kill(late.pid)
        async with asyncio.timeout(10):
            await done.wait()
        reaper.close()
        early.sock.close()
        late.sock.close()
        return {0: codes[early.pid], 1: codes[late.pid]}

    assert asyncio.run(scenario()) == {0: 4, 1: -signal.SIGKILL}


def test_closing_ends_what_is_left() -> None:
    async def scenario() -> list[int]:
        codes: list[int] = []
        child = spawn(("/bin/sh", "-c", "exec sleep 60"))
        reaper = Reaper()
        reaper.watch(child.pid, codes.append)
        reaper.close()
        child.sock.close()
        return codes

    assert asyncio.run(scenario()) == [-signal.SIGKILL]


def test_child_has_only_its_end_of_the_pair_and_ignores_group_signals() -> None:
    opened = os.open("/dev/null", os.O_RDONLY)
    leak = fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, 100)  # above what the child opens for itself
    os.close(opened)
    code = (
        "import os, signal; [os.kill(os.getpid(), n) for n in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)];"
        "os.write(3, ' '.join(n for n in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{n}')).encode())"
    )
    child = spawn((sys.executable, "-c", code))
    said = b""
    while piece := child.sock.recv(1000):
        said += piece
    _, status = os.waitpid(child.pid, 0)
    child.sock.close()
    assert os.waitstatus_to_exitcode(status) == 0
    os.close(leak)
    assert b"3" in said.split()
    assert str(leak).encode() not in said.split()


def test_exits_have_words() -> None:
    assert describe_exit(3) == "exit code 3"
    assert describe_exit(-9) == "signal SIGKILL"
    assert describe_exit(-200) == "signal 200"
