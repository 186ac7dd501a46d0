"""The load of the RPC scenarios: connections that each keep a number of calls under way, and check every answer.

A closed loop: each answer is followed by the next call on its connection. All answers that one read brings are checked
one by one (every byte, and an id that is under way) and the calls that follow them go out in one write, as clients
that share a connection send them.
"""

import platform
import select
import socket
import time
from dataclasses import dataclass

from bench.errors import BenchError
from bench.load import Sample
from bench.rpc.wires import Wire

READ_BYTES = 1 << 18
# How long the last answers may take once no more calls are made.
GRACE_S = 2.0


@dataclass(frozen=True, slots=True)
class Calls:
    """`connections` times `depth` calls of `wire` under way at any time, from one thread."""

    wire: Wire
    connections: int
    depth: int

    def version(self) -> str:
        return f"bench.rpc.calls on Python {platform.python_version()}"

    def run(self, port: int, seconds: int) -> Sample:
        errors = {"connect": 0, "read": 0, "answer": 0, "id": 0, "unanswered": 0}
        callers: dict[int, Caller] = {}
        for _ in range(self.connections):
            try:
                connected = socket.create_connection(("127.0.0.1", port), timeout=5)
            except OSError:
                errors["connect"] += 1
                continue
            # Writes wait for room in the socket's buffer, which a closed loop never fills for long.
            connected.settimeout(None)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            callers[connected.fileno()] = Caller(self.wire, connected)
        try:
            return _drive(callers, self.depth, seconds, errors)
        finally:
            for caller in callers.values():
                caller.socket.close()


class Caller:
    """One connection: the calls under way on it by id, each with the time it left, in nanoseconds."""

    def __init__(self, wire: Wire, connected: socket.socket) -> None:
        self.socket = connected
        self.under_way: dict[bytes, int] = {}
        self._made = 0
        self._rest = b""
        self._width, self._argument = wire.id_width, wire.argument
        request, response = wire.request, wire.response
        self._before, self._middle, self._after = request.before_id, request.after_id, request.after_argument
        self._answer_before, self._answer_after = response.before_id, response.after_id
        self._id_at = len(response.before_id)
        self._id_end = self._id_at + wire.id_width
        self._length = wire.response_length

    def calls(self, count: int, now_ns: int) -> bytes:
        """The next requests; their ids count from one on each connection, as those of real clients do."""
        before, middle, after, width, argument = self._before, self._middle, self._after, self._width, self._argument
        under_way, made = self.under_way, self._made
        pieces: list[bytes] = []
        for number in range(made + 1, made + count + 1):
            identity = number.to_bytes(width, "big")
            under_way[identity] = now_ns
            pieces += (before, identity, middle, argument(number), after)
        self._made = made + count
        return b"".join(pieces)

    def answers(self, data: bytes, now_ns: int, took_ns: list[int]) -> str | None:
        """Adds how long each call took to `took_ns`; the kind of error if an answer is not what it should be."""
        if self._rest:
            data = self._rest + data
        before, after, length = self._answer_before, self._answer_after, self._length
        id_at, id_end, finished = self._id_at, self._id_end, self.under_way.pop
        stop = len(data) - len(data) % length
        for at in range(0, stop, length):
            if not (data.startswith(before, at) and data.startswith(after, at + id_end)):
                return "answer"
            left_ns = finished(data[at + id_at : at + id_end], 0)
            if not left_ns:
                return "id"
            took_ns.append(now_ns - left_ns)
        self._rest = data[stop:]
        # The beginning of an answer tells at once whether the rest will be one: an error may be shorter.
        return None if before.startswith(self._rest[:id_at]) else "answer"


def _drive(callers: dict[int, Caller], depth: int, seconds: int, errors: dict[str, int]) -> Sample:
    clock = time.perf_counter_ns
    took_ns: list[int] = []
    bytes_read = 0
    with select.epoll() as poll:
        started_ns = ended_ns = clock()
        for number, caller in callers.items():
            poll.register(number, select.EPOLLIN)
            caller.socket.sendall(caller.calls(depth, clock()))
        last_call_ns = started_ns + seconds * 1_000_000_000
        give_up_ns = last_call_ns + int(GRACE_S * 1e9)
        waiting = set(callers)
        while waiting and ended_ns < give_up_ns:
            for number, _ in poll.poll(0.1):
                caller = callers[number]
                answered = len(took_ns)
                try:
                    data = caller.socket.recv(READ_BYTES)
                    now_ns = clock()
                    wrong = caller.answers(data, now_ns, took_ns) if data else "read"
                    answered = len(took_ns) - answered
                    if wrong is None and answered and now_ns < last_call_ns:
                        caller.socket.sendall(caller.calls(answered, now_ns))
                except OSError:
                    data, wrong = b"", "read"
                bytes_read += len(data)
                if wrong is not None:
                    errors[wrong] += 1
                if wrong is not None or not caller.under_way:
                    poll.unregister(number)
                    waiting.discard(number)
            ended_ns = clock()
    errors["unanswered"] = sum(len(callers[number].under_way) for number in waiting)
    took_ns.sort()
    if not took_ns:
        return Sample(0, ended_ns - started_ns, bytes_read, 0, 0, errors)
    return Sample(
        requests=len(took_ns),
        duration_us=(ended_ns - started_ns) // 1000,
        bytes_read=bytes_read,
        p50_us=took_ns[len(took_ns) // 2] // 1000,
        p99_us=took_ns[len(took_ns) * 99 // 100] // 1000,
        errors=errors,
    )


def call_once(wire: Wire, port: int, timeout_s: float = 2.0) -> None:
    """Makes one call on a connection of its own. Raises BenchError unless the whole answer is the one expected."""
    identity = (1).to_bytes(wire.id_width, "big")
    expected = wire.response.filled(identity)
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connected:
        connected.sendall(wire.call(1))
        found = b""
        while len(found) < len(expected) and expected.startswith(found[: len(wire.response.before_id)]):
            data = connected.recv(READ_BYTES)
            if not data:
                break
            found += data
    if found != expected:
        raise BenchError(f"a call of {wire.name} was answered with {found[:200]!r}, expected {expected!r}")
