"""Captured calls are filled and checked byte by byte, by the callers and by what answers them."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from bench.errors import BenchError
from bench.rpc.calls import Caller, Calls, call_once
from bench.rpc.echo import Answerer
from bench.rpc.scenarios import scenarios
from bench.rpc.wires import Wire, wires

EVERY_WIRE = pytest.mark.parametrize("wire", wires().values(), ids=list(wires()))


@EVERY_WIRE
def test_no_two_calls_are_alike_but_for_length(wire: Wire) -> None:
    first, second = wire.call(1), wire.call(2)
    assert first != second
    assert len(first) == len(second) == wire.request_length
    assert wire.argument(1) != wire.argument(2)


@EVERY_WIRE
def test_the_length_in_the_frame_is_that_of_the_frame(wire: Wire) -> None:
    def length(frame: bytes, fixed: int, at: int) -> int:
        if wire.name == "dubbo":
            return 16 + int.from_bytes(frame[12:16], "big")
        parts = (frame[at : at + 2], frame[at + 2 : at + 4], frame[at + 4 : at + 8])
        return fixed + sum(int.from_bytes(part, "big") for part in parts)

    assert length(wire.call(1), 22, 14) == wire.request_length
    assert length(wire.response.filled(bytes(wire.id_width)), 20, 12) == wire.response_length


@EVERY_WIRE
@pytest.mark.parametrize("step", [1, 7, 166, 10_000])
def test_calls_are_answered_under_their_ids_however_they_are_cut(wire: Wire, step: int) -> None:
    sent = b"".join(wire.call(number) for number in (7, 8, 9))
    answerer = Answerer(wire)
    answers = [answerer.feed(sent[at : at + step]) for at in range(0, len(sent), step)]
    expected = [wire.response.filled(number.to_bytes(wire.id_width, "big")) for number in (7, 8, 9)]
    assert b"".join(answer or b"" for answer in answers) == b"".join(expected)
    assert None not in answers


@EVERY_WIRE
def test_a_changed_byte_is_no_call(wire: Wire) -> None:
    call = bytearray(wire.call(7))
    call[-1] ^= 1
    assert Answerer(wire).feed(bytes(call)) is None


@pytest.mark.parametrize(
    ("name", "beat", "answer"),
    [
        # sofa-bolt-node's heartbeat and its answer, and Java Dubbo's.
        ("bolt", "0101000001000000630100000bb80000000000000000", "0100000001000000630100000000000000000000"),
        ("dubbo", "dabbe2000000000000000009000000014e", "dabb22140000000000000009000000014e"),
    ],
)
def test_heartbeats_are_answered_between_calls(name: str, beat: str, answer: str) -> None:
    wire = wires()[name]
    answerer = Answerer(wire)
    assert answerer.feed(bytes.fromhex(beat)) == bytes.fromhex(answer)
    both = answerer.feed(wire.call(3) + bytes.fromhex(beat))
    assert both == wire.response.filled((3).to_bytes(wire.id_width, "big")) + bytes.fromhex(answer)


@EVERY_WIRE
def test_answers_in_any_order_and_any_pieces_end_their_calls(wire: Wire) -> None:
    with socket.socket() as unused:
        caller = Caller(wire, unused)
        caller.calls(3, now_ns=100)
        came = b"".join(wire.response.filled(number.to_bytes(wire.id_width, "big")) for number in (3, 1, 2))
        took_ns: list[int] = []
        assert caller.answers(came[:50], 150, took_ns) is None
        assert caller.answers(came[50:], 160, took_ns) is None
    assert sorted(took_ns)[-1] == 60
    assert len(took_ns) == 3
    assert not caller.under_way


@EVERY_WIRE
def test_answers_that_are_not_expected_are_errors(wire: Wire) -> None:
    def error(answer: bytes) -> str | None:
        with socket.socket() as unused:
            caller = Caller(wire, unused)
            caller.calls(1, now_ns=100)
            return caller.answers(answer, 150, [])

    right = wire.response.filled((1).to_bytes(wire.id_width, "big"))
    assert error(right) is None
    assert error(wire.response.filled((2).to_bytes(wire.id_width, "big"))) == "id"
    assert error(right + right) == "id"
    assert error(right[:-1] + b"?") == "answer"
    assert error(b"HTTP") == "answer"


@contextmanager
def upstream(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server on a port of its own that handles each connection in a thread."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=handle, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def answering(wire: Wire, calls: int = 1 << 30) -> Callable[[socket.socket], None]:
    def handle(connection: socket.socket) -> None:
        answerer, left = Answerer(wire), calls
        with connection:
            while left > 0 and (data := connection.recv(65536)):
                left -= 1
                connection.sendall(answerer.feed(data) or b"?")

    return handle


@EVERY_WIRE
def test_every_call_of_a_turn_is_answered(wire: Wire) -> None:
    with upstream(answering(wire)) as port:
        call_once(wire, port)
        found = Calls(wire, connections=2, depth=3).run(port, 1)
    assert found.complaint(len(wire.body)) is None
    assert found.requests >= 6
    assert found.bytes_read == found.requests * wire.response_length
    assert 0 < found.p50_us <= found.p99_us <= found.duration_us


def test_a_connection_that_is_lost_is_an_error() -> None:
    wire = wires()["bolt"]
    with upstream(answering(wire, calls=2)) as port:
        found = Calls(wire, connections=1, depth=1).run(port, 1)
    assert found.complaint(len(wire.body)) == "errors: read 1"


def test_an_answer_that_is_an_error_is_told_by_the_probe() -> None:
    def handle(connection: socket.socket) -> None:
        with connection:
            connection.recv(65536)
            connection.sendall(b"\xda\xbb\x02\x46" + bytes(12))

    wire = wires()["dubbo"]
    with upstream(handle) as port, pytest.raises(BenchError, match="a call of dubbo was answered with"):
        call_once(wire, port)


def test_envoy_carries_dubbo_where_the_others_carry_bolt() -> None:
    named = {scenario.name: scenario for scenario in scenarios()}
    bolt = named["bolt-16x16"]
    assert bolt.of("envoy") is named["dubbo-16x16"]
    assert bolt.of("plait") is bolt
    assert bolt.cpu_target == named["dubbo-16x16"].cpu_target == 0.5
