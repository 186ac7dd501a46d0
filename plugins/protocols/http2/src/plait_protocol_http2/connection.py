"""What both sides of a connection do with what they read: frames, settings, windows, pings, and the limits of patience.

Every read is worked off in one loop. A rule that was broken raises ``Violation`` inside: it ends the
connection with GOAWAY, or the stream with RST_STREAM if only that is hurt, and becomes a ``Fault`` either way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from plait.api import Block, Data, Event, Fault, GoAway, Headers, Ping, Reset
from plait_protocol_http2 import errors, frames
from plait_protocol_http2.errors import (
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    Violation,
    malformed,
)
from plait_protocol_http2.fields import Field, check_fields
from plait_protocol_http2.head import check_size, header_overflow, read_trailers
from plait_protocol_http2.hpack import NO_TABLE, Decoder
from plait_protocol_http2.options import Http2Options
from plait_protocol_http2.receiving import Receiver, without_padding
from plait_protocol_http2.streams import CUT, HALF_LOCAL, OPEN, RESET, Stream

_DEFAULTS = Http2Options()
_UNPACK = frames.HEADER.unpack_from
_FRAME_LIMIT = frames.DEFAULT_FRAME_SIZE  # what we let the peer send: the least there is
_CONTINUATIONS_LIMIT = 32
_DEBUG_LIMIT_BYTES = 256
_TRAILERS_LIMIT = 64
_HEARTBEAT = b"heartbea"
REMEMBERED_BYTES = 4096


class Connection(Receiver):
    """A side of a connection. The subclasses say what a head is, and are the codecs."""

    def __init__(self, options: Http2Options | None, output: list[bytes]) -> None:
        options = options or _DEFAULTS
        super().__init__(options)
        self.output = output
        self.congested = False
        # a frame that is not all there, and how many bytes it takes to go on
        self._partial = bytearray()
        self._need: int = 0
        self._greeted: bool = False  # the peer's SETTINGS came
        self._odd: bool = True  # not every frame may come now
        # a header block that is not all there
        self._block: list[bytes] = []
        self._block_size: int = 0
        self._block_id: int = 0
        self._block_end: bool = False
        self._trailer_blocks: dict[bytes, Block] = {}  # what blocks say while the dynamic table stays as it is
        self._decoder = Decoder(options.hpack_table_size)
        self._limit_bytes: int = options.max_request_headers_kb * 1024
        self._limit: int = options.max_headers_count
        self._acknowledged: bool = False
        # how much patience is left
        self._priorities: int = 0
        self._window_updates: int = 0
        self._opened: int = 0
        self._closed: int = 0
        self._premature: int = 0
        self._pings: int = 0
        self._peer_connects: bool = False

    def _greeting(self, settings: list[tuple[int, int]]) -> bytes:
        """Our settings, with those of this side, and the connection's window."""
        options = self._options
        header_list = self._limit_bytes + 32 * self._limit  # RFC 9113, 6.5.2 counts 32 for each field
        every = [
            *settings,
            (frames.INITIAL_WINDOW_SIZE, options.initial_stream_window_size),
            (frames.MAX_HEADER_LIST_SIZE, header_list),
        ]
        if options.hpack_table_size != 4096:
            every.insert(0, (frames.HEADER_TABLE_SIZE, options.hpack_table_size))
        greeting = frames.settings_frame(every)
        more = self._window - frames.DEFAULT_WINDOW
        return greeting + frames.window_update(0, more) if more else greeting

    # reading

    def feed(self, data: bytes) -> Sequence[Event]:
        """What the frames tell that are complete now."""
        if self._dead:
            return ()
        events: list[Event] = []
        self._events = events
        partial = self._partial
        if partial:
            partial += data
            if len(partial) < self._need:
                return ()
            data = bytes(partial)
            partial.clear()
        try:
            at = self._begin(data) if self._odd else 0
            self._read(data, at)
        except Violation as error:
            self._settle()
            self._fail(error)
            return self._events
        if self._touched:
            self._settle()
        return events

    def _begin(self, data: bytes) -> int:
        """Where the frames begin: behind a preface, if this side reads one."""
        return 0

    def _wait(self, data: bytes, at: int, need: int) -> None:
        """Keep what is there of a frame until ``need`` bytes of it are."""
        self._partial += data[at:] if at else data
        self._need = need

    def _read(self, data: bytes, at: int) -> None:
        size = len(data)
        while size - at >= 9:
            word, flags, id = _UNPACK(data, at)
            length = word >> 8
            if length > _FRAME_LIMIT:
                raise Violation(FRAME_SIZE_ERROR, f"a frame of {length} bytes")
            start = at + 9
            end = start + length
            if end > size:
                break
            kind = word & 0xFF
            id &= 0x7FFFFFFF
            if self._odd:
                self._check_order(kind, flags, id)
            if kind == frames.HEADERS:
                self._on_headers(data, start, end, flags, id)
            elif kind == frames.DATA:
                self._on_data(data, start, end, flags, id)
            elif kind < 10:
                frames.check(kind, id, length)
                _HANDLERS[kind](self, data, start, end, flags, id)
            # Frames of other types mean nothing to us (4.1).
            at = end
        if at < size:
            self._wait(data, at, end - at if size - at >= 9 else 9)

    def _check_order(self, kind: int, flags: int, id: int) -> None:
        """The first frame is SETTINGS (3.4), and nothing comes between the frames of a header block (6.10)."""
        if not self._greeted:
            if kind != frames.SETTINGS or flags & frames.ACK:
                raise Violation(PROTOCOL_ERROR, "the first frame is not SETTINGS")
        elif self._block_id and (kind != frames.CONTINUATION or id != self._block_id):
            raise Violation(PROTOCOL_ERROR, "a frame inside a header block")

    def _fail(self, error: Violation) -> None:
        """The connection is lost."""
        error.survives = False
        self.output.append(frames.goaway(self._peers_last_id(), error.code, str(error).encode()[:_DEBUG_LIMIT_BYTES]))
        self._events.append(Fault(error))
        self._die()

    def _die(self) -> None:
        self._dead = True
        for stream in tuple(self._streams.values()):
            self._remove(stream, RESET)
        self._partial.clear()
        self._block = []

    def _peers_last_id(self) -> int:
        """The largest stream that the peer began and we worked on."""
        return 0

    def eof(self) -> Sequence[Event]:
        """The peer sends no more: a fault when that cuts a message short."""
        if self._dead:
            return ()
        cut = bool(self._partial) or any(stream.state in (OPEN, HALF_LOCAL) for stream in self._streams.values())
        self._dead = True
        if not cut:
            return ()
        return [Fault(Violation(PROTOCOL_ERROR, "connection closed inside a message", "truncated"))]

    # header blocks

    def _on_headers(self, data: bytes, start: int, end: int, flags: int, id: int) -> None:
        if not id:
            raise Violation(PROTOCOL_ERROR, "HEADERS on stream 0")
        depends = -1
        if flags & (frames.PADDED | frames.WITH_PRIORITY):
            if flags & frames.PADDED:
                start, end = without_padding(data, start, end)
            if flags & frames.WITH_PRIORITY:
                if end - start < 5:
                    raise Violation(FRAME_SIZE_ERROR, "HEADERS too short for a priority")
                depends = frames.read_word(data, start) & 0x7FFFFFFF
                start += 5
        ended = bool(flags & frames.END_STREAM)
        if start < end:
            self._empty_frames = 0
        elif not ended:
            self._count_empty()
        if flags & frames.END_HEADERS:
            self._on_block(id, data[start:end], ended)
            if depends == id:
                self._depends_on_itself(id)
            return
        if depends == id:
            raise Violation(PROTOCOL_ERROR, "a stream that depends on itself")
        self._odd = True
        self._block_id = id
        self._block_end = ended
        self._block = [data[start:end]]
        self._block_size = end - start

    def _on_continuation(self, data: bytes, start: int, end: int, flags: int, id: int) -> None:
        if not self._block_id:
            raise Violation(PROTOCOL_ERROR, "CONTINUATION behind no header block")
        last = flags & frames.END_HEADERS
        if start < end:
            self._empty_frames = 0
        elif not last:
            self._count_empty()
        self._block.append(data[start:end])
        self._block_size += end - start
        # An encoded block is hardly ever longer than its fields, and no peer splits it much smaller than it may.
        if self._block_size > 2 * self._limit_bytes + _FRAME_LIMIT or len(self._block) > _CONTINUATIONS_LIMIT:
            raise Violation(ENHANCE_YOUR_CALM, "a header block that does not end", "header_overflow")
        if last:
            block = b"".join(self._block)
            self._block = []
            self._block_id = 0
            self._odd = False
            self._on_block(id, block, self._block_end)

    def _on_block(self, id: int, block: bytes, ended: bool) -> None:
        """A header block is complete."""
        raise NotImplementedError

    def _decode(self, block: bytes, status: int) -> list[Field]:
        """The fields of a block; raises Violation, which survives where the fields and not the block are wrong."""
        decoder = self._decoder
        fields = decoder.decode(block)
        if decoder.changed:
            self._forget()
        overflow = check_size(fields, self._limit_bytes, self._limit)
        if overflow:
            raise header_overflow(overflow, status)
        if decoder.suspect:
            check_fields(fields)
        return fields

    def _forget(self) -> None:
        """Header blocks may mean something else now."""
        self._trailer_blocks.clear()

    def _skip(self, block: bytes) -> None:
        """Read a block that is of no interest for what it does to the table."""
        self._decoder.decode(block)
        if self._decoder.changed:
            self._forget()

    def _on_trailers(self, stream: Stream, block: bytes, ended: bool) -> None:
        id = stream.id
        if stream.state != OPEN and stream.state != HALF_LOCAL:
            self._skip(block)
            self._stray(frames.HEADERS, id)
            return
        try:
            trailers = self._trailer_blocks.get(block) or self._parse_trailers(block)
            if not ended:
                raise malformed("trailers that do not end the stream")
            if stream.left > 0:
                raise malformed("the body is not as long as its content-length")
        except Violation as error:
            self._break_stream(id, error)
            return
        if stream.refused:
            self._got_end(stream)
        elif stream.tunnel is not None and not stream.tunnel.accepted:
            stream.tunnel.end = True
            self._got_end(stream)
        else:
            self._end_message(stream, Headers(trailers) if trailers.raw and stream.tunnel is None else None)

    def _parse_trailers(self, block: bytes) -> Block:
        """The trailers of a block, kept for the next time; raises Violation."""
        trailers = Block(read_trailers(self._decode(block, 431)))
        if not self._decoder.changed and len(block) <= REMEMBERED_BYTES:
            if len(self._trailer_blocks) >= _TRAILERS_LIMIT:
                self._trailer_blocks.clear()
            self._trailer_blocks[block] = trailers
        return trailers

    # frames about streams

    def _on_priority(self, data: bytes, start: int, end: int, flags: int, id: int) -> None:
        """Deprecated (5.3.2), and ignored; but not at any length, in any number."""
        self._priorities += 1
        if self._priorities > self._options.max_inbound_priority_frames_per_stream * (1 + self._opened):
            raise Violation(ENHANCE_YOUR_CALM, "too many PRIORITY frames", "inbound_priority_frames_flood")
        if end - start != 5:
            error = Violation(FRAME_SIZE_ERROR, f"PRIORITY of {end - start} bytes", survives=True, status=400)
            if id not in self._streams:
                raise Violation(FRAME_SIZE_ERROR, str(error))  # RST_STREAM may not be sent for what is not open
            self._break_stream(id, error)
        elif frames.read_word(data, start) & 0x7FFFFFFF == id:
            self._depends_on_itself(id)

    def _depends_on_itself(self, id: int) -> None:
        if id not in self._streams:
            raise Violation(PROTOCOL_ERROR, "a stream that depends on itself")
        self._break_stream(id, Violation(PROTOCOL_ERROR, "a stream that depends on itself", survives=True, status=400))

    def _on_rst_stream(self, data: bytes, start: int, end: int, flags: int, id: int) -> None:
        stream = self._streams.get(id)
        if stream is None:
            self._stray(frames.RST_STREAM, id)
            if self._gone.state(id) == RESET:
                self._gone.add(id, CUT)  # nothing more can be on its way
            return
        code = frames.read_word(data, start)
        body = stream.body()
        if body:
            self._events.append(Data(body, False, id))
        stream.event = None
        answered = stream.answered
        self._remove(stream, CUT)
        self._events.append(Reset(errors.name_of(code).lower(), id, code == REFUSED_STREAM))
        self._count_closed(not answered)

    def _on_window_update(self, data: bytes, start: int, end: int, flags: int, id: int) -> None:
        self._window_updates += 1
        allowed = self._options.max_inbound_window_update_frames_per_data_frame_sent
        if self._window_updates > 5 + 2 * (self._opened + allowed * self._data_frames):
            raise Violation(ENHANCE_YOUR_CALM, "too many WINDOW_UPDATE frames", "inbound_window_update_frames_flood")
        increment = frames.read_word(data, start) & 0x7FFFFFFF
        if not id:
            self._events += self._widen(increment)
            return
        stream = self._streams.get(id)
        if stream is None:
            self._stray(frames.WINDOW_UPDATE, id)
            return
        try:
            self._events += self._widen_stream(stream, increment)
        except Violation as error:
            self._break_stream(id, error)

    # frames about the connection

    def _on_settings(self, data: bytes, start: int, end: int, flags: int, id: int) -> None:
        if flags & frames.ACK:
            if start != end:
                raise Violation(FRAME_SIZE_ERROR, "SETTINGS with an acknowledgement and settings")
            self._on_settings_ack()
            return
        window = self._apply(frames.read_settings(data, start, end))
        first = not self._greeted
        self._greeted = True
        self._odd = False
        self._on_greeted(first)
        # What the new windows let out follows the acknowledgement: the peer counts it as they are from there on.
        self._put(frames.SETTINGS_ACK)
        if window >= 0:
            self._events += self._set_peer_window(window)

    def _apply(self, settings: Iterable[tuple[int, int]]) -> int:
        """Settings of the peer, but for the window of streams, which is returned (-1: not among them)."""
        window = -1
        for identifier, value in settings:
            if identifier == frames.INITIAL_WINDOW_SIZE:
                if value > frames.LARGEST_WINDOW:
                    raise Violation(FLOW_CONTROL_ERROR, f"initial window size {value}")
                window = value
            else:
                self._apply_one(identifier, value)
        return window

    def _apply_one(self, identifier: int, value: int) -> None:
        if identifier == frames.MAX_FRAME_SIZE:
            if not frames.DEFAULT_FRAME_SIZE <= value < 1 << 24:
                raise Violation(PROTOCOL_ERROR, f"max frame size {value}")
            self._frame_limit = min(value, 1 << 16)  # larger ones would keep other streams waiting
        elif identifier == frames.HEADER_TABLE_SIZE:
            if value < 4096:
                self._table_update = NO_TABLE
        elif identifier == frames.MAX_HEADER_LIST_SIZE:
            self._peer_header_limit = value
        elif identifier == frames.ENABLE_PUSH:
            self._check_push(value)
        elif identifier == frames.ENABLE_CONNECT_PROTOCOL:
            if value > 1 or (self._peer_connects and not value):
                raise Violation(PROTOCOL_ERROR, f"enable connect protocol {value}")
            self._peer_connects = bool(value)
        elif identifier == frames.MAX_CONCURRENT_STREAMS:
            self._limit_streams(value)

    def _check_push(self, value: int) -> None:
        if value > 1:
            raise Violation(PROTOCOL_ERROR, f"enable push {value}")

    def _limit_streams(self, value: int) -> None:
        """How many streams the peer lets us begin: a server begins none."""

    def _on_greeted(self, first: bool) -> None:
        """The peer's settings hold from here on; its acknowledgement is not yet sent."""

    def _on_settings_ack(self) -> None:
        if self._acknowledged:
            return
        self._acknowledged = True
        self._decoder.allow(self._options.hpack_table_size)
        size = self._options.initial_stream_window_size
        change = size - self._stream_window
        self._stream_window = size
        if change:
            for stream in self._streams.values():
                stream.window += change

    def _on_push_promise(self, data: bytes, start: int, end: int, flags: int, id: int) -> None:
        raise Violation(PROTOCOL_ERROR, "PUSH_PROMISE, which nobody may send us")

    def _on_ping(self, data: bytes, start: int, end: int, flags: int, id: int) -> None:
        payload = data[start:end]
        if not flags & frames.ACK:
            self._put(frames.PING_ACK + payload)
            self._events.append(Ping(False))
        elif not self._on_pong(payload) and self._pings:
            self._pings -= 1
            self._events.append(Ping(True))

    def _on_pong(self, payload: bytes) -> bool:
        """Whether an answered ping is one that nobody else is to know of."""
        return False

    def encode_ping(self) -> bytes:
        """A heartbeat."""
        self._pings += 1
        return self._ordered(frames.ping(_HEARTBEAT))

    def _on_goaway(self, data: bytes, start: int, end: int, flags: int, id: int) -> None:
        last_id = frames.read_word(data, start) & 0x7FFFFFFF
        code = frames.read_word(data, start + 4)
        self._events.append(GoAway(last_id, errors.name_of(code).lower()))
        self._on_going(last_id)

    def _on_going(self, last_id: int) -> None:
        """The peer takes no new streams above ``last_id``."""


_Handler = Callable[[Connection, bytes, int, int, int, int], None]
_HANDLERS: tuple[_Handler, ...] = (
    Connection._on_data,
    Connection._on_headers,
    Connection._on_priority,
    Connection._on_rst_stream,
    Connection._on_settings,
    Connection._on_push_promise,
    Connection._on_ping,
    Connection._on_goaway,
    Connection._on_window_update,
    Connection._on_continuation,
)
