"""A TCP relay that keeps what passed through it, and the frames of Bolt and Dubbo in that, for tests to look at."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from tests.running import tcp_service


class Frame(NamedTuple):
    """One frame, and whether it is a heartbeat, a request, and of which id."""

    data: bytes
    heartbeat: bool
    request: bool
    id: int


Split = Callable[[bytes], list[Frame]]


class Recorded:
    """One connection: the bytes of its client and of its server."""

    def __init__(self) -> None:
        self.requests = bytearray()
        self.responses = bytearray()


class Relay:
    """Relays to a port of 127.0.0.1 from ``port``; ``connections`` in the order in which they were opened."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.connections: list[Recorded] = []

    def handle(self, client: socket.socket) -> None:
        """Carry one connection until both sides have closed."""
        with socket.create_connection(("127.0.0.1", self.target), 10) as server:
            record = Recorded()
            self.connections.append(record)
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                each.settimeout(None)
            back = threading.Thread(target=self._carry, args=(server, client, record.responses), daemon=True)
            back.start()
            self._carry(client, server, record.requests)
            back.join()

    @staticmethod
    def _carry(source: socket.socket, sink: socket.socket, kept: bytearray) -> None:
        try:
            while data := source.recv(1 << 16):
                kept += data
                sink.sendall(data)
        except OSError:
            pass
        for each in (source, sink):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


@contextmanager
def relay(target: int) -> Iterator[Relay]:
    """A relay while the block runs."""
    found = Relay(target)
    with tcp_service(found.handle) as found.port:
        yield found


def bolt_frames(data: bytes) -> list[Frame]:
    """The whole frames of Bolt v1 or v2 that ``data`` begins with."""
    frames: list[Frame] = []
    start = 0
    while start + 3 <= len(data):
        v2 = data[start] == 2
        head = start + v2  # in v2 the fields lie one byte further, those behind the codec two
        lengths = head + 10 + v2 + (4 if data[head + 1] else 2)
        if lengths + 8 > len(data):
            break
        kind, command = struct.unpack_from(">BH", data, head + 1)
        (number,) = struct.unpack_from(">I", data, head + 5)
        name, headers, content = struct.unpack_from(">HHI", data, lengths)
        crc = 4 if v2 and data[start + 1] == 2 and data[start + 11] & 1 else 0
        end = lengths + 8 + name + headers + content + crc
        if end > len(data):
            break
        frames.append(Frame(bytes(data[start:end]), command == 0, kind != 0, number))
        start = end
    return frames


def dubbo_frames(data: bytes) -> list[Frame]:
    """The whole frames of Dubbo 2 that ``data`` begins with."""
    frames: list[Frame] = []
    start = 0
    while start + 16 <= len(data):
        _, flag, _, number, length = struct.unpack_from(">HBBqI", data, start)
        end = start + 16 + length
        if end > len(data):
            break
        event = bool(flag & 0x20)  # all but the rare "R" and "W" are heartbeats
        frames.append(Frame(bytes(data[start:end]), event, bool(flag & 0x80), number))
        start = end
    return frames
