"""What comes in with streams: data, and how much more of it the peer may send (RFC 9113, 5.2 and 6.9).

Events that belong together are joined while one read is worked off: a head, the data and the end of a message that came
in it are one event, and so are all data of a stream. Windows are given back when half of them is used; the stream's not
while its reader is slow.
"""

from __future__ import annotations

from plait.api import Data, Event, Fault, Headers, Trailers
from plait_protocol_http2 import frames
from plait_protocol_http2.errors import (
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    PROTOCOL_ERROR,
    Violation,
    malformed,
)
from plait_protocol_http2.options import Http2Options
from plait_protocol_http2.sending import Sender
from plait_protocol_http2.streams import HALF_LOCAL, IDLE, IGNORED, OPEN, RESET, VERDICTS, Stream


class Receiver(Sender):
    """The incoming half of a connection, as far as streams go; ``connection.Connection`` reads the frames."""

    def __init__(self, options: Http2Options) -> None:
        super().__init__(options)
        self._events: list[Event] = []
        self._touched: list[Stream] = []  # those with something of this read that is not yet told
        self._dead: bool = False
        self._last_id: int = 0  # the largest that was begun, by whichever side begins streams
        # what we let the peer send: until it acknowledged our settings it may believe in the defaults
        self._stream_window: int = max(options.initial_stream_window_size, frames.DEFAULT_WINDOW)
        self._stream_credit: int = options.initial_stream_window_size // 2 or 1
        self._window: int = max(options.initial_connection_window_size, frames.DEFAULT_WINDOW)
        self._credit: int = self._window // 2
        self._received: int = 0
        self._withholds: bool = False  # data of paused streams use up the connection's window too
        self._empty_frames: int = 0

    def _settle(self) -> None:
        """Tell what of this read is not told yet: data whose message goes on."""
        touched = self._touched
        self._touched = []
        for stream in touched:
            stream.event = None
            if stream.pieces is not None:
                self._events.append(Data(stream.body(), False, stream.id))

    def _break_stream(self, id: int, error: Violation) -> None:
        """Give a stream up for what its peer did. Those that bring that about are not to gain by it."""
        if not error.survives:
            raise error
        if (
            error.counter == "http2.rx_messaging_error"
            and not self._options.override_stream_error_on_invalid_http_message
        ):
            raise Violation(error.code, str(error), "rx_messaging_error")
        stream = self._streams.get(id)
        if stream is not None:
            stream.event = stream.pieces = None
            answered = stream.answered
            self._remove(stream, RESET)
            self._count_closed(not answered)
        else:
            self._gone.add(id, RESET)
            self._count_closed(True)
        self._put(frames.rst_stream(id, error.code))
        self._events.append(Fault(error, id))

    def _count_closed(self, premature: bool) -> None:
        """A stream is over; ``premature`` when it was given up before it was answered."""

    def _stray(self, kind: int, id: int) -> None:
        """A frame of a stream that is not under way, or not that way."""
        stream = self._streams.get(id)
        if stream is not None:
            state = stream.state
        elif self._is_idle(id):
            state = IDLE
        else:
            state = self._gone.state(id)
        verdict = VERDICTS[state].get(kind, IGNORED)
        if verdict == IGNORED:
            return
        what = f"{frames.NAMES[kind]} on stream {id}, which is {'idle' if state == IDLE else 'closed'}"
        if verdict < 0:
            raise Violation(-verdict, what)
        self._break_stream(id, Violation(verdict, what, survives=True, status=400))

    def _is_idle(self, id: int) -> bool:
        """Whether nobody has used ``id`` yet."""
        return id > self._last_id or not id & 1

    # data

    def _on_data(self, data: bytes, start: int, end: int, flags: int, id: int) -> None:
        size = end - start
        if not id:
            raise Violation(PROTOCOL_ERROR, "DATA on stream 0")
        self._window -= size
        if self._window < 0:
            raise Violation(FLOW_CONTROL_ERROR, "more data than the connection's window")
        if flags & frames.PADDED:
            start, end = without_padding(data, start, end)
        ended = flags & frames.END_STREAM
        if start < end:
            self._empty_frames = 0
        elif not ended:
            self._count_empty()
        stream = self._streams.get(id)
        if stream is None or (stream.state != OPEN and stream.state != HALF_LOCAL):
            self._credit_connection(size)
            self._stray(frames.DATA, id)
            return
        stream.window -= size
        if stream.window < 0:
            self._credit_connection(size)
            error = Violation(FLOW_CONTROL_ERROR, "more data than the stream's window", survives=True, status=400)
            self._break_stream(id, error)
            return
        if stream.left >= 0:
            stream.left -= end - start
            if stream.left < 0 or (ended and stream.left):
                self._credit_connection(size)
                self._break_stream(id, malformed("the body is not as long as its content-length"))
                return
        if stream.tunnel is not None and not stream.tunnel.accepted:
            stream.tunnel.early.append(data[start:end])
            stream.tunnel.size += size
            if ended:
                stream.tunnel.end = True
                self._got_end(stream)
            return
        if self._withholds and stream.paused:
            stream.withheld += size
            stream.received += size
        else:
            self._received += size
            if self._received >= self._credit:
                self._credit_connection(0)
            if not ended:
                stream.received += size
                if stream.received >= self._stream_credit and not stream.paused:
                    self._credit_stream(stream)
        if stream.refused:
            if ended:
                self._got_end(stream)
            return
        pieces = stream.pieces
        if pieces is not None:
            pieces.append(data[start:end])
            if ended:
                self._end_message(stream, None)
        elif not ended:
            if start < end:
                stream.pieces = [data[start:end]]
                if stream.event is None:
                    self._touched.append(stream)
        elif stream.event is not None:
            stream.event.body = data[start:end]
            stream.event.end = True
            stream.event = None
            self._got_end(stream)
        else:
            self._events.append(Data(data[start:end], True, id))
            self._got_end(stream)

    def _end_message(self, stream: Stream, trailers: Headers | None) -> None:
        """A message is complete: in its head, if that came in the same read."""
        body = stream.body()
        event = stream.event
        if event is not None:
            event.body = body
            event.trailers = trailers
            event.end = True
            stream.event = None
        elif trailers is None:
            self._events.append(Data(body, True, stream.id))
        else:
            if body:
                self._events.append(Data(body, False, stream.id))
            self._events.append(Trailers(trailers, stream.id))
        self._got_end(stream)

    def _accept(self, stream: Stream) -> list[Event]:
        """A tunnel is open: what came early for it goes on."""
        tunnel = stream.tunnel
        if tunnel is None or not (tunnel.early or tunnel.end):
            return []
        data = b"".join(tunnel.early)
        tunnel.early = []
        self._credit_connection(tunnel.size)
        stream.received += tunnel.size
        tunnel.size = 0
        if stream.received >= self._stream_credit and not stream.paused and not tunnel.end:
            self._credit_stream(stream)
        return [Data(data, tunnel.end, stream.id)]

    def _count_empty(self) -> None:
        self._empty_frames += 1
        if self._empty_frames > self._options.max_consecutive_inbound_frames_with_empty_payload:
            raise Violation(ENHANCE_YOUR_CALM, "too many empty frames", "inbound_empty_frames_flood")

    # the peer's windows

    def _credit_connection(self, size: int) -> None:
        self._received += size
        if self._received >= self._credit and not self._dead:
            self._window += self._received
            self.output.append(frames.window_update(0, self._received))
            self._received = 0

    def _credit_stream(self, stream: Stream) -> None:
        stream.window += stream.received
        self.output.append(frames.window_update(stream.id, stream.received))
        stream.received = 0

    def _give_back(self, stream: Stream) -> None:
        size = stream.withheld
        stream.withheld = 0
        if stream.tunnel is not None:
            size += stream.tunnel.size
            stream.tunnel.size = 0
        if size:
            self._credit_connection(size)

    def pause(self, id: int) -> None:
        """Grant the peer no more of this stream's window."""
        stream = self._streams.get(id)
        if stream is not None:
            stream.paused = True

    def resume(self, id: int) -> None:
        """Give the window back that was used meanwhile."""
        stream = self._streams.get(id)
        if stream is None or not stream.paused:
            return
        stream.paused = False
        if stream.withheld:
            self._give_back(stream)
        if stream.received >= self._stream_credit and stream.state in (OPEN, HALF_LOCAL):
            self._credit_stream(stream)


def without_padding(data: bytes, start: int, end: int) -> tuple[int, int]:
    """Where the payload of a padded frame is."""
    if start == end:
        raise Violation(FRAME_SIZE_ERROR, "a padded frame without its pad length")
    padding = data[start]
    start += 1
    if padding > end - start:
        raise Violation(PROTOCOL_ERROR, "more padding than frame")
    return start, end - padding
