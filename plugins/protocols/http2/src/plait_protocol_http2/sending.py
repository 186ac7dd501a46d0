"""What goes out on a connection: frames of messages, as much of them as the peer's windows let through (RFC 9113, 5.2).

Data that a window holds back stay with their stream, and an end or trailers behind them; ``encode_…`` of the codecs
return what may be written at once. When a window opens, the streams that wait share it, a frame each in turn.
"""

from __future__ import annotations

from plait.api import Event, LocalProtocolError, Window
from plait_protocol_http2 import frames
from plait_protocol_http2.errors import ENHANCE_YOUR_CALM, FLOW_CONTROL_ERROR, NO_ERROR, PROTOCOL_ERROR, Violation
from plait_protocol_http2.options import Http2Options
from plait_protocol_http2.streams import (
    CLOSED,
    GOT_END,
    HALF_LOCAL,
    HALF_REMOTE,
    NEXT,
    OPEN,
    RESET,
    SENT_END,
    Gone,
    Held,
    Stream,
)

_HEADER = frames.HEADER
_LARGEST = frames.LARGEST_WINDOW


class Sender:
    """The outgoing half of a connection; ``connection.Connection`` is the other."""

    output: list[bytes]
    congested: bool

    def __init__(self, options: Http2Options) -> None:
        self._options: Http2Options = options
        self._streams: dict[int, Stream] = {}
        self._gone = Gone()
        self._blocked: dict[int, Stream] = {}  # those with data that a window holds back
        self._send_window: int = frames.DEFAULT_WINDOW
        self._peer_window: int = frames.DEFAULT_WINDOW  # of a new stream
        self._frame_limit: int = frames.DEFAULT_FRAME_SIZE
        self._peer_header_limit: int = -1
        self._table_update: bytes = b""  # what the next header block must begin with
        self._late: list[Stream] = []  # whose message is sent in full, and whose peer's is not wanted
        self._data_frames: int = 0
        self._pent: int = 0  # frames, and those that are not of messages, put out while the peer took none
        self._pent_control: int = 0

    def _ordered(self, frame: bytes) -> bytes:
        """A frame behind all that waits in ``output``: our acknowledgement of settings goes before what they allow."""
        output = self.output
        output.append(frame)
        frame = b"".join(output)
        output.clear()
        return frame

    # messages

    def _message(self, stream: Stream, block: bytes, body: bytes, end: bool, trailers: bytes | None) -> bytes:
        """The head of a message, with what of its body may be sent; ``end`` is that of all of it."""
        if self._table_update:
            block = self._table_update + block
            self._table_update = b""
        size = len(body)
        length = len(block)
        limit = self._frame_limit
        if trailers is None and length <= limit:
            if not size:
                frame = _HEADER.pack(length << 8 | frames.HEADERS, 5 if end else 4, stream.id) + block
                if end:
                    self._sent_end(stream)
                return frame
            if size <= limit and size <= stream.send_window and size <= self._send_window:
                stream.send_window -= size
                self._send_window -= size
                self._data_frames += 1
                id = stream.id
                frame = b"%b%b%b%b" % (
                    _HEADER.pack(length << 8 | frames.HEADERS, 4, id),
                    block,
                    _HEADER.pack(size << 8, 1 if end else 0, id),
                    body,
                )
                if end:
                    self._sent_end(stream)
                return frame
        bare = end and not size and trailers is None
        parts = [frames.head_frames(stream.id, block, frames.END_STREAM if bare else 0, limit)]
        if bare:
            self._sent_end(stream)
        elif size or trailers is not None:
            parts.append(self._data(stream, body, end and trailers is None))
            if trailers is not None:
                parts.append(self._trailers(stream, trailers))
        return b"".join(parts)

    def _data(self, stream: Stream, data: bytes, end: bool) -> bytes:
        """What of ``data`` may be sent now; the rest is held."""
        size = len(data)
        held = stream.held
        if held is None and size <= self._frame_limit and size <= stream.send_window and size <= self._send_window:
            stream.send_window -= size
            self._send_window -= size
            self._data_frames += 1
            frame = _HEADER.pack(size << 8, 1 if end else 0, stream.id) + data
            if end:
                self._sent_end(stream)
            return frame
        if stream.state not in (OPEN, HALF_REMOTE) or (held is not None and held.end):
            raise LocalProtocolError("cannot send behind the end of a stream", status=500)
        if held is None:
            held = stream.held = Held()
            self._blocked[stream.id] = stream
        held.add(data)
        held.end = end
        parts: list[bytes] = []
        while self._next(stream, held, parts):
            pass
        return b"".join(parts)

    def _trailers(self, stream: Stream, block: bytes) -> bytes:
        """Trailers, which end the message, behind what is held."""
        if self._table_update:
            block = self._table_update + block
            self._table_update = b""
        tail = frames.head_frames(stream.id, block, frames.END_STREAM, self._frame_limit)
        held = stream.held
        if held is None:
            self._sent_end(stream)
            return tail
        if held.end:
            raise LocalProtocolError("cannot send behind the end of a stream", status=500)
        held.end = True
        held.tail = tail
        return b""

    def _count(self, stream: Stream, size: int, end: bool) -> None:
        """Hold a body against the length that was declared; raises LocalProtocolError."""
        if stream.unsent >= 0:
            stream.unsent -= size
            if stream.unsent < 0 or (end and stream.unsent):
                raise LocalProtocolError("the body is not as long as its content-length", status=500)

    def _declare(self, stream: Stream, declared: bytes, sent: int) -> None:
        """Remember a declared length of which ``sent`` bytes go out with the head; raises LocalProtocolError."""
        if not declared.isdigit() or len(declared) > 18:
            raise LocalProtocolError(f"cannot send the content-length {declared[:64]!r}", status=500)
        stream.unsent = int(declared)
        self._count(stream, sent, False)

    def _check_block(self, block: bytes) -> None:
        """Refuse a head that the peer said it would not take; raises LocalProtocolError."""
        if 0 <= self._peer_header_limit < len(block):
            raise LocalProtocolError(f"the head is longer than the peer's {self._peer_header_limit} bytes", status=500)

    # windows

    def _next(self, stream: Stream, held: Held, parts: list[bytes]) -> bool:
        """Put the next frame of what is held to ``parts``; False when that was the last one for now."""
        size = min(held.size, stream.send_window, self._send_window, self._frame_limit) if held.size else 0
        if size <= 0 < held.size:
            return False
        data = held.take(size) if size else b""
        stream.send_window -= size
        self._send_window -= size
        last = not held.size
        end = last and held.end and not held.tail
        if size or end:
            self._data_frames += 1
            parts += (_HEADER.pack(size << 8, 1 if end else 0, stream.id), data)
        if not last:
            return True
        if held.tail:
            parts.append(held.tail)
        stream.held = None
        self._blocked.pop(stream.id, None)
        if held.end:
            self._sent_end(stream)
        return False

    def _flush(self, ids: list[int]) -> list[Event]:
        """Let out what the windows allow of these streams, a frame each in turn; a ``Window`` for each that moved."""
        parts: list[bytes] = []
        moved: dict[int, None] = {}
        waiting = [stream for id in ids if (stream := self._blocked.get(id)) is not None]
        while waiting and self._send_window > 0:
            still: list[Stream] = []
            for stream in waiting:
                held = stream.held
                before = len(parts)
                if held is not None and self._next(stream, held, parts):
                    still.append(stream)
                if len(parts) > before:
                    moved[stream.id] = None
            waiting = still
        for id in moved:
            blocked = self._blocked.pop(id, None)  # those that had nothing come first the next time
            if blocked is not None:
                self._blocked[id] = blocked
        if parts:
            self.output.append(b"".join(parts))
        if self._late:
            self.output.append(self._end_late())
        return [Window(id) for id in moved]

    def _widen(self, increment: int) -> list[Event]:
        """The peer opened the connection's window."""
        if not increment:
            raise Violation(PROTOCOL_ERROR, "WINDOW_UPDATE by 0")
        if self._send_window + increment > _LARGEST:
            raise Violation(FLOW_CONTROL_ERROR, "the connection's window is too large")
        self._send_window += increment
        return self._flush(list(self._blocked)) if self._blocked else []

    def _widen_stream(self, stream: Stream, increment: int) -> list[Event]:
        """The peer opened a stream's window; raises Violation, of which the stream is to die."""
        if not increment:
            raise Violation(PROTOCOL_ERROR, "WINDOW_UPDATE by 0", survives=True, status=400)
        if stream.send_window + increment > _LARGEST:
            raise Violation(FLOW_CONTROL_ERROR, "a stream's window is too large", survives=True, status=400)
        stream.send_window += increment
        return self._flush([stream.id]) if stream.held is not None else []

    def _set_peer_window(self, size: int) -> list[Event]:
        """The peer changed the window of streams, also of those that are open (6.9.2)."""
        change = size - self._peer_window
        self._peer_window = size
        for stream in self._streams.values():
            if stream.send_window + change > _LARGEST:
                raise Violation(FLOW_CONTROL_ERROR, "a stream's window is too large")
            stream.send_window += change
        return self._flush(list(self._blocked)) if change > 0 and self._blocked else []

    def unsent(self, id: int) -> int:
        """Bytes of the stream that the windows hold back."""
        stream = self._streams.get(id)
        return 0 if stream is None or stream.held is None else stream.held.size

    # the end of streams

    def _sent_end(self, stream: Stream) -> None:
        state = NEXT[stream.state][SENT_END]
        if state < 0:
            raise LocalProtocolError("cannot send behind the end of a stream", status=500)
        stream.state = state
        if state == CLOSED:
            self._remove(stream, CLOSED)
        elif stream.refused:
            self._late.append(stream)

    def _end_late(self) -> bytes:
        """Behind the ends of messages that were sent: tell the peers of those that read no more to stop (8.1)."""
        late = self._late
        self._late = []
        return b"".join([self._reset(stream, NO_ERROR) for stream in late if stream.state == HALF_LOCAL])

    def _got_end(self, stream: Stream) -> None:
        stream.state = NEXT[stream.state][GOT_END]
        if stream.state == CLOSED:
            self._remove(stream, CLOSED)

    def _reset(self, stream: Stream, code: int) -> bytes:
        """Give a stream up."""
        self._remove(stream, RESET)
        return frames.rst_stream(stream.id, code)

    def _remove(self, stream: Stream, how: int) -> None:
        stream.state = how
        del self._streams[stream.id]
        self._gone.add(stream.id, how)
        if stream.held is not None:
            stream.held = None
            self._blocked.pop(stream.id, None)
        if stream.withheld or stream.tunnel is not None:
            self._give_back(stream)
        self._stream_ended()

    def _give_back(self, stream: Stream) -> None:
        """Give the connection's window what the stream had of it."""
        raise NotImplementedError

    def _stream_ended(self) -> None:
        """Called behind the end of each stream."""

    # frames that are not of messages

    def _put(self, frame: bytes) -> None:
        """Send a frame that answers the peer, unless it floods us: it asks for ever more and takes nothing."""
        if self.congested:
            self._pent += 1
            self._pent_control += 1
            if self._pent_control > self._options.max_outbound_control_frames:
                raise Violation(ENHANCE_YOUR_CALM, "too many control frames wait to be sent", "outbound_control_flood")
            if self._pent > self._options.max_outbound_frames:
                raise Violation(ENHANCE_YOUR_CALM, "too many frames wait to be sent", "outbound_flood")
        elif self._pent:
            self._pent = self._pent_control = 0
        self.output.append(frame)
