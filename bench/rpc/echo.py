"""The upstream of the RPC scenarios: answers every call of one wire with the same response, under the call's id.

    python -m bench.rpc.echo dubbo 18080

It compares every byte of every request that is not id or argument with the captured call, and closes the connection on
anything else, so a proxy that changes or loses a byte fails its scenario. Heartbeats are answered, whenever they come.
"""

import select
import socket
import sys

from bench.rpc.wires import Wire, wires

READ_BYTES = 1 << 18
BACKLOG = 1024
# What an idle proxy asks its upstream: Bolt's heartbeat is a request of 22 bytes without content, Dubbo's an event.
_BOLT_BEAT, _BOLT_BEAT_LENGTH = b"\x01\x01\x00\x00", 22
_DUBBO_BEAT, _DUBBO_BEAT_LENGTH = 0x20, 17


class Answerer:
    """One connection's bytes in, the answers out; None when the bytes are not the wire's calls."""

    def __init__(self, wire: Wire) -> None:
        request, response = wire.request, wire.response
        self._before, self._middle, self._after = request.before_id, request.after_id, request.after_argument
        self._id_at = len(request.before_id)
        self._id_end = self._id_at + wire.id_width
        self._after_at = self._id_end + len(request.after_id) + wire.argument_width
        self._length = wire.request_length
        self._answer_before, self._answer_after = response.before_id, response.after_id
        self._rest = b""

    def feed(self, data: bytes) -> bytes | None:
        if self._rest:
            data = self._rest + data
        before, middle, after, after_at = self._before, self._middle, self._after, self._after_at
        id_at, id_end, length = self._id_at, self._id_end, self._length
        answer_before, answer_after = self._answer_before, self._answer_after
        pieces: list[bytes] = []
        at, stop = 0, len(data)
        while stop - at >= length:
            if (
                data.startswith(before, at)
                and data.startswith(middle, at + id_end)
                and data.startswith(after, at + after_at)
            ):
                pieces += (answer_before, data[at + id_at : at + id_end], answer_after)
                at += length
                continue
            used = self._heartbeat(data, at, pieces)
            if not used:
                return None
            at += used
        while at < stop and (used := self._heartbeat(data, at, pieces)):
            at += used
        self._rest = data[at:]
        return b"".join(pieces)

    def _heartbeat(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        """The length of the heartbeat that begins here, now answered; 0 if none does."""
        if data.startswith(_BOLT_BEAT, at) and len(data) - at >= _BOLT_BEAT_LENGTH:
            pieces += (b"\x01\x00\x00\x00\x01", data[at + 5 : at + 9], data[at + 9 : at + 10], bytes(10))
            return _BOLT_BEAT_LENGTH
        if data.startswith(b"\xda\xbb", at) and len(data) - at >= _DUBBO_BEAT_LENGTH and data[at + 2] & _DUBBO_BEAT:
            pieces += (b"\xda\xbb\x22\x14", data[at + 4 : at + 12], b"\x00\x00\x00\x01N")
            return _DUBBO_BEAT_LENGTH
        return 0


def serve(wire: Wire, listener: socket.socket) -> None:
    """For ever: one loop over all connections."""
    poll = select.epoll()
    poll.register(listener.fileno(), select.EPOLLIN)
    accepting = listener.fileno()
    connections: dict[int, tuple[socket.socket, Answerer]] = {}
    while True:
        for number, _ in poll.poll():
            if number == accepting:
                connection, _address = listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connections[connection.fileno()] = connection, Answerer(wire)
                poll.register(connection.fileno(), select.EPOLLIN)
                continue
            connection, answerer = connections[number]
            try:
                data = connection.recv(READ_BYTES)
                answer = answerer.feed(data) if data else None
                if answer:
                    # The loop is closed: a proxy never owes more reads than its calls under way.
                    connection.sendall(answer)
            except OSError:
                answer = None
            if answer is None:
                poll.unregister(number)
                connection.close()
                del connections[number]
                if data:
                    print(f"not a call of {wire.name}: {data[:80].hex()}", file=sys.stderr, flush=True)


def main() -> None:
    wire, port = wires()[sys.argv[1]], int(sys.argv[2])
    with socket.create_server(("127.0.0.1", port), backlog=BACKLOG) as listener:
        serve(wire, listener)


if __name__ == "__main__":
    main()
