"""Starts processes and speaks to them before there is an event loop; imports next to nothing, to happen early.

A child that ``spawn`` starts is a fresh interpreter. One that ``fork`` starts goes on with what its parent has
imported, which saves a third of the time to get ready; it may only be made by a process that has done nothing but
import: no thread, no loop, no open file. Either way it holds of its parent's descriptors the standard ones and one
end of a socket pair, and signals that a terminal or a service manager sends to the whole group are blocked in it: the
supervisor decides. A frame on the socket pair is ``length:u32 | sockets:u8 | pickle``, big-endian.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from typing import Any

import attrs

HEAD = struct.Struct("!IB")

_BLOCKED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@attrs.frozen
class Spawned:
    """A running child and our end of the socket pair."""

    pid: int
    sock: socket.socket


def spawn(command: Sequence[str]) -> Spawned:
    """Start ``command`` with ``--fd N`` behind it, N being its end of a new socket pair."""
    ours, theirs = socket.socketpair()
    with theirs:
        descriptor = 3  # the first behind the standard ones
        spare = os.dup(theirs.fileno())  # never 3 itself when theirs is: dup2 onto itself would close it on exec
        source = spare if theirs.fileno() == descriptor else theirs.fileno()
        try:
            pid = os.posix_spawn(
                command[0],
                [*command, "--fd", str(descriptor)],
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, source, descriptor)],
                setsigmask=_BLOCKED,
            )
        finally:
            os.close(spare)
    return Spawned(pid, ours)


def fork(main: Callable[[list[str]], int], name: str, *arguments: str) -> Spawned:
    """Run ``main([*arguments, "--fd", N])`` in a copy of this process, which must be as the module says."""
    ours, theirs = socket.socketpair()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        theirs.close()
        return Spawned(pid, ours)
    code = 1
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
        descriptor = theirs.detach()
        # Also our ends of the channels to brothers: while one is open here, they would not see their supervisor go.
        os.closerange(3, descriptor)
        os.closerange(descriptor + 1, os.sysconf("SC_OPEN_MAX"))
        _call_yourself(name)
        code = main([*arguments, "--fd", str(descriptor)])
        sys.stderr.flush()
    except BaseException:  # noqa: BLE001 - the frames above belong to another process
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def _call_yourself(name: str) -> None:
    """What ``ps -o comm`` and ``top`` show, where the system has that."""
    try:
        with open("/proc/self/comm", "w") as comm:
            comm.write(name)
    except OSError:
        pass


def python(module: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs a module of ours in this interpreter."""
    return (sys.executable, "-m", module, *arguments)


def send_blocking(sock: socket.socket, message: object) -> None:
    """Send one message on a blocking socket."""
    payload = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    sock.sendall(HEAD.pack(len(payload), 0) + payload)


def receive_blocking(sock: socket.socket) -> Any:
    """The next message from a blocking socket; raises EOFError when the peer is gone."""
    length, _ = HEAD.unpack(_exactly(sock, HEAD.size))
    return pickle.loads(_exactly(sock, length))


def _exactly(sock: socket.socket, count: int) -> bytes:
    data = sock.recv(count, socket.MSG_WAITALL)
    if len(data) < count:
        raise EOFError("the peer is gone")
    return data
