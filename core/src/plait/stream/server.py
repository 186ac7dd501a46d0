"""The downstream side: one connection, its codec, and a stream for each request on it.

Bytes come in, the codec makes events of them, and each event goes to its stream. A connection that broke the protocol
is answered in the protocol's own terms and closed once the peer could read that.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from plait.api.connection import Connection
from plait.api.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from plait.api.headers import Headers
from plait.api.message import DATA, FAULT, REQUEST, RESET, SWITCH, TRAILERS, WINDOW, Fault, Request, Reset, Switch
from plait.api.protocol import PoolMode, ProtocolType, ServerCodec
from plait.net.wheel import Timed
from plait.stream.exchange import HELD_BYTES, ServerStream
from plait.stream.onward import OnwardStream
from plait.stream.writing import Direct, Joined, Writing

if TYPE_CHECKING:
    from plait.stream.proxy import StreamProxy

_now = time.monotonic

DELAYED_CLOSE_S = 1.0  # how long a peer may take to read our answer before we close (Envoy: delayed_close_timeout)


class ServerConnection(asyncio.Protocol, Timed):
    """A downstream connection of a ``StreamProxy``."""

    transport: asyncio.Transport
    writing: Writing
    write: Callable[[bytes], None]
    """Where every frame goes: the method of ``writing``."""

    def __init__(self, proxy: StreamProxy, connection: Connection, protocol: ProtocolType, codec: ServerCodec) -> None:
        self.slot = None
        self.look_at = math.inf  # when somebody looks at the clocks of this connection and its streams
        self.proxy = proxy
        self.chain = proxy.chain
        self.connection = connection
        self.protocol = protocol
        self.codec = codec
        self.flow_controlled = codec.flow_controlled
        self.streams: dict[int, ServerStream] = {}
        self.last_active = connection.started
        self.heard_bytes = 0  # when somebody last looked
        self.write_paused = False  # downstream is slower than what we write
        self._stats = proxy.stats
        self._logs = proxy.access_logs
        self._requests_total = proxy.stats.requests[protocol.name]
        self._feeding = False
        self._paused = False
        self._full: set[ServerStream] = set()  # those that take no more for now
        self._partial_since = 0.0
        self._requests = 0
        self.draining = False
        self._lost = False
        self._broken = False  # the rest of what the peer sends is not read as requests
        self._lingering = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._begin_protocol()
        self.proxy.opened(self)

    def _begin_protocol(self) -> None:
        self._stats.cx_protocol[self.protocol.name].value += 1
        shared = self.protocol.pool_mode is PoolMode.MULTIPLEXED
        self.writing = (Joined if shared else Direct)(self.transport, self._stats.cx_tx_bytes)
        self.write = self.writing.write

    def data_received(self, data: bytes) -> None:
        size = len(data)
        self.connection.bytes_received += size
        self._stats.cx_rx_bytes.value += size
        codec = self.codec
        streams = self.streams
        limited = self.proxy.max_requests > 0
        self._feeding = True
        while True:
            events = codec.feed(data)
            if events:
                now = _now()
                for event in events:
                    kind = event.kind
                    if kind == REQUEST:
                        if event.id in streams:
                            self._refuse_duplicate(event)  # type: ignore[arg-type]  # the kind says so
                            continue
                        stream = OnwardStream(self, event, now)  # type: ignore[arg-type]
                        streams[event.id] = stream
                        self._requests_total.value += 1
                        if limited:
                            self._count_request()
                        stream.run()
                    elif kind == DATA:
                        found = streams.get(event.id)
                        if found is not None:
                            found.receive_data(event.data, event.end)  # type: ignore[attr-defined]
                    else:
                        self._other(event, kind)
                if self._partial_since:
                    self._partial_since = 0.0
            elif data and not streams and not self._partial_since and not self._broken:
                self._partial_since = _now()
            if codec.output:
                self._flush()
            if not codec.held:
                break
            if codec is not self.codec:  # what is held is the first of another protocol
                data, codec = codec.leave(), self.codec
                continue
            if streams or self._lost:
                self.pause_reading()
                break
            if codec.closing or not (data or events):
                break  # a stream was given up without an answer: what it held back stays there
            data = b""
        self._feeding = False
        if codec.closing and not streams:
            self._close()

    def _count_request(self) -> None:
        self._requests += 1
        if self._requests >= self.proxy.max_requests:
            self._stats.cx_max_requests.value += 1
            self.drain()

    def _refuse_duplicate(self, request: Request) -> None:
        """Answer a request whose id another one has; that one goes on."""
        error = RemoteProtocolError(f"request id {request.id} is in use", counter="duplicate_request_id")
        self.proxy.protocol_error(error)
        if request.oneway:
            return
        response = self.protocol.local_response(request, error.status, str(error).encode(), error.counter)
        try:
            frame = self.codec.encode_response(request, response)
        except LocalProtocolError:
            return  # too much waits for the peer already
        if frame:
            self.write(frame)

    def _other(self, event: Any, kind: int) -> None:
        if kind == TRAILERS:
            stream = self.streams.get(event.id)
            if stream is not None:
                stream.receive_trailers(event.headers)
        elif kind == WINDOW:
            stream = self.streams.get(event.id)
            if stream is not None:
                stream.window_opened()
        elif kind == RESET:
            stream = self.streams.get(event.id)
            if stream is not None:
                self.proxy.stats.rq_rx_reset.value += 1
                stream.request_done = True  # there is nothing left to reset
                stream.abandon(cast("Reset", event).reason, "DC")
        elif kind == FAULT:
            self._fault(cast("Fault", event).error, event.id)
        elif kind == SWITCH:
            self._switch(event)

    def _switch(self, offer: Switch) -> None:
        """Go on in another protocol if that is one of ours; the request is served, once, in whichever there is then."""
        request = offer.request
        found = self.proxy.offered(self.connection, offer.protocol)
        if found is not None and found[1].adopt(request, offer.settings):
            self.write(offer.answer)
            self.protocol, self.codec = found
            self.flow_controlled = self.codec.flow_controlled
            self.codec.congested = self.write_paused
            self._requests_total = self._stats.requests[self.protocol.name]
            self._begin_protocol()
            self._flush()
        stream = self.streams[request.id] = OnwardStream(self, request, _now())
        self._requests_total.value += 1
        if self.proxy.max_requests:
            self._count_request()
        stream.run()

    def _fault(self, error: ProtocolError, id: int) -> None:
        """Answer what broke the protocol with the protocol's own error, count it, and close where framing is lost."""
        self.proxy.protocol_error(error)
        self.connection.details = error.counter
        if error.survives and not error.status:
            return  # a frame that is no part of any request, whatever stream has its id
        stream = self.streams.get(id)
        shared = self.protocol.pool_mode is PoolMode.MULTIPLEXED
        if stream is None and not error.survives and self.streams and not shared:
            stream = next(iter(self.streams.values()))  # one at a time: the request under way is the broken one
        if not error.survives:
            self.codec.closing = True
            self._broken = True
        if stream is not None and not stream.replied:
            stream.request_done = True
            stream.reply(error.status, str(error), details=error.counter, flag="DPE")
        elif stream is not None:
            stream.reset(error.counter, flag="DPE")
        elif error.status:
            self._answer_unbegun(error, id)
        if not error.survives and self.streams and not self.connection.transport.is_closing():
            for left in tuple(self.streams.values()):
                if not (shared and left.request_done):  # those that came whole before that are still answered
                    left.reset(error.counter, flag="DPE")

    def _answer_unbegun(self, error: ProtocolError, id: int) -> None:
        """Answer a request whose head never came to be one: it is logged like any other."""
        request = Request(Headers([]), id)
        request.protocol = self.protocol.name
        stream = OnwardStream(self, request, _now())
        stream.request_done = True
        self.streams[id] = stream
        self._requests_total.value += 1
        stream.reply(error.status, str(error), details=error.counter, flag="DPE" if error.status != 408 else "")

    def finish(self, stream: ServerStream) -> None:
        """End a stream, once: tell its filters, count, log, and go on with what waited behind it."""
        stream.finished = True
        streams, stats, response = self.streams, self._stats, stream.response
        # an answer that came in one piece has just begun
        ended = stream.response_started if response is not None and response.end else _now()
        self.last_active = stream.ended = ended
        if stream.forwarded:
            stream.cancel_upstream(stream.details)
        if stream.waiting is not None:
            stream.waiting.cancel()
            stream.waiting = None
        if self.chain.on_end:
            stream.tell_end()
        streams.pop(stream.request.id, None)
        if response is None:
            stats.rq_unanswered.value += 1
        else:
            status = response.status
            stats.statuses[status].value += 1
            if stats.codes is not None:
                stats.codes[response.code or status].value += 1
        if stream.flags:
            stats.count_flags(stream.flags)
        stats.took((ended - stream.started) * 1000)
        if self._logs:
            self.proxy.record(stream)
        if self._lost:
            return
        codec = self.codec
        if not stream.request_done:
            frame = codec.encode_reset(stream.request, "response_complete_before_request")
            if frame is None:  # the rest of the request cannot be told from the next one
                codec.closing = True
                self._broken = True
            elif frame:
                self.write(frame)
        if self._full:
            self._full.discard(stream)
        if self._paused:
            self.resume_reading()
        if self._feeding:
            return
        if codec.closing:
            if not streams:
                self._close()
        elif codec.held:
            self.data_received(b"")

    def release(self) -> None:
        """A tunnel is open: what was held for it goes on, and so does reading."""
        if not self._feeding:
            self.data_received(b"")
            self.resume_reading()

    def eof_received(self) -> bool:
        """The peer sends no more. Answers under way are still written (half close) where they were asked in full."""
        for event in () if self._broken else self.codec.eof():
            if event.kind == DATA:
                found = self.streams.get(event.id)
                if found is not None:
                    found.receive_data(event.data, event.end)  # type: ignore[attr-defined]  # the kind says so
            else:
                self._other(event, event.kind)
        self.codec.closing = True
        for stream in tuple(self.streams.values()):
            if not stream.request_done:
                stream.abandon("downstream_remote_disconnect", "DC")
        return bool(self.streams)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        if self.streams:
            self._stats.cx_destroy_remote_active.value += 1
        for stream in tuple(self.streams.values()):
            stream.abandon("downstream_remote_disconnect", "DC")
        self.proxy.closed(self, exc)
        self.connection.ended()

    def pause_reading(self, stream: ServerStream | None = None) -> None:
        """Take nothing more from downstream for now, because ``stream`` (None: the codec) cannot."""
        if stream is not None:
            if stream.finished:
                return
            self._full.add(stream)
            if self.flow_controlled:  # the others of this connection go on
                self.codec.pause(stream.request.id)
                return
        if not self._paused and not self._lost and not self.transport.is_closing():
            self._paused = True
            self.proxy.stats.flow_paused.value += 1
            self.transport.pause_reading()

    def resume_reading(self, stream: ServerStream | None = None) -> None:
        """Read again, now that ``stream`` can; unless another cannot, or the codec still holds what was read."""
        if stream is not None:
            if stream.waiting is not None and stream.waiting.full():
                return
            if self.flow_controlled:
                if stream in self._full:
                    self._full.discard(stream)
                    if not self._lost and not stream.finished:
                        self.codec.resume(stream.request.id)
                        self._flush()
                return
            self._full.discard(stream)
        if self._paused and not self._full and not self._lost and not (self.codec.held and self.streams):
            self._paused = False
            if self.transport.is_closing():
                return
            self.proxy.stats.flow_resumed.value += 1
            self.transport.resume_reading()

    def pause_writing(self) -> None:
        self.write_paused = True
        self.codec.congested = True
        for stream in tuple(self.streams.values()):
            if stream.forwarded:
                stream.pause_upstream()

    def resume_writing(self) -> None:
        self.write_paused = False
        self.codec.congested = False
        for stream in tuple(self.streams.values()):
            held = stream.response_held and not (stream.waiting is not None and stream.waiting.gathers())
            if stream.forwarded and not held:
                if self.flow_controlled and self.codec.unsent(stream.request.id) > HELD_BYTES:
                    continue
                stream.resume_upstream()

    def drain(self) -> None:
        """End as soon as the streams under way are answered."""
        if self.draining or self._lost:
            return
        self.draining = True
        frame = self.codec.drain()
        if frame:
            self.write(frame)
        if not self.codec.closing:  # the peer may have sent something before it heard
            self.proxy.context.call_later(DELAYED_CLOSE_S, self._drained)
        elif not self.streams and not self._feeding:
            self._close()

    def _drained(self) -> None:
        """Whatever was on its way is there by now."""
        self.codec.closing = True
        if not self.streams:
            self._close()

    def write_output(self) -> None:
        """Write what an encoder left there instead of returning it: a head, and a long body that was not copied."""
        output, self.codec.output = self.codec.output, []  # the transport may hold on to the list
        self.writing.writelines(output)

    def _flush(self) -> None:
        output = self.codec.output
        if output:
            self.write(b"".join(output))
            output.clear()

    def abort(self) -> None:
        """Close at once: a stream could not be ended any other way."""
        self.codec.closing = True
        if not self._lost:
            self.transport.abort()

    def _close(self) -> None:
        """Close when what is written has gone out; where the peer still sends, let it read our answer first."""
        if self._lost or self._lingering or self.transport.is_closing():
            return
        self.writing.flush()
        if not self._broken:
            self.transport.close()
            left = self.transport.get_write_buffer_size()
            if left:
                self.proxy.context.call_later(DELAYED_CLOSE_S, partial(self._wait_out, left))
            return
        self._lingering = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.resume_reading()  # an unread byte would turn our close into a reset that overtakes the answer
        left = self.transport.get_write_buffer_size()
        self.proxy.context.call_later(DELAYED_CLOSE_S, partial(self._wait_out, left))

    def _wait_out(self, before: int) -> None:
        """Give up on a peer that takes none of our last bytes, or that lets us wait for its own end."""
        if self._lost:
            return
        left = self.transport.get_write_buffer_size()
        if not left:
            self.transport.close()
        elif left == before:
            self.transport.abort()
        else:
            self.proxy.context.call_later(DELAYED_CLOSE_S, partial(self._wait_out, left))

    def expire(self) -> None:
        """The regular look at this connection's clocks."""
        self.proxy.check_timeouts(self)

    def refuse_slow(self, status: int, details: str) -> None:
        """The head of a request takes too long to come."""
        self._partial_since = 0.0
        self.codec.closing = True
        self._broken = True
        self._answer_unbegun(RemoteProtocolError("request header timeout", status=status, counter=details), 0)

    def partial_for(self, now: float) -> float:
        """How long, in seconds, a head has been incomplete."""
        return now - self._partial_since if self._partial_since else 0.0
