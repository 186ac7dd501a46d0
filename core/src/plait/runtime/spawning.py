"""Starts processes and speaks to them before there is an event loop; imports next to nothing, so that it happens early.

A child is a fresh interpreter, not a fork: of all that its parent opened it holds one end of a socket pair. Signals
that a terminal or a service manager sends to the whole group are blocked in children: the supervisor decides. A frame
on the socket pair is ``length:u32 | sockets:u8 | pickle``, big-endian.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import struct
import sys
from collections.abc import Sequence
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
