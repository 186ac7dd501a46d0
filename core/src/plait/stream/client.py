"""The upstream side: one connection to a host, its codec, and the requests that wait for their responses on it."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from plait.api.errors import LocalProtocolError
from plait.api.headers import Headers
from plait.api.message import (
    DATA,
    FAULT,
    GOAWAY,
    INTERIM,
    PING,
    RESET,
    RESPONSE,
    TRAILERS,
    WINDOW,
    Fault,
    GoAway,
)
from plait.api.protocol import ClientCodec
from plait.net.wheel import Timed, ticks
from plait.stream.exchange import HELD_BYTES
from plait.stream.writing import Direct, Joined, Writing
from plait.upstream.cluster import Host
from plait.upstream.connect import closed

if TYPE_CHECKING:
    from plait.stream.onward import OnwardStream
    from plait.stream.pool import Pool

_log = logging.getLogger("plait.stream")
_now = time.monotonic

_NO_LINGER = struct.pack("ii", 1, 0)
_RESET_TEXT = "upstream connect error or disconnect/reset before headers. reset reason: "


class ClientConnection(asyncio.Protocol, Timed):
    """A connection of a ``Pool``. ``streams`` maps the ids on this connection to the requests under way."""

    transport: asyncio.Transport
    writing: Writing
    write: Callable[[bytes], None]
    """Where every frame goes: the method of ``writing``."""

    def __init__(self, pool: Pool, codec: ClientCodec) -> None:
        self.slot = None
        self.local = ""
        self.requests = 0
        self.heard = False  # since somebody last asked
        self._pinged = False
        self.idle_since = 0.0
        self.draining = False
        self.lost = False
        self.write_paused = False  # the upstream is slower than what we write
        self.pool = pool
        self.host: Host = pool.host
        self.codec = codec
        self.flow_controlled = codec.flow_controlled
        self.streams: dict[int, OnwardStream] = {}
        self.paused = 0  # streams whose downstream takes no more
        self.paused_at = 0.0  # when the first of them stopped
        stats = pool.host.cluster.stats
        self._unmatched = stats.rx_unmatched
        self._rx = stats.cx_rx_bytes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        sent = self.host.cluster.stats.cx_tx_bytes
        self.writing = (Joined if self.pool.multiplexed else Direct)(self.transport, sent)
        self.write = self.writing.write
        name = transport.get_extra_info("sockname")
        self.local = f"{name[0]}:{name[1]}" if isinstance(name, tuple) else "unix"
        self._flush()
        if self.codec.heartbeat_s:
            self.pool.wheel.add(self, ticks(self.codec.heartbeat_s))

    # heartbeats

    def expire(self) -> None:
        """Look whether the peer is alive: after a silence ask it, and close when it does not answer that."""
        codec = self.codec
        if self.lost or self.transport.is_closing():
            return
        wait_s = codec.heartbeat_s
        if self.heard or self.paused:  # what we do not read, we cannot hear
            self._pinged = False
        elif self._pinged:
            self.host.cluster.stats.cx_heartbeat_timeout.value += 1
            _log.info("%s is silent, also when asked: its connection is closed", self.host.name)
            codec.reusable = False
            self.transport.abort()
            return
        else:
            frame = codec.encode_ping()
            if frame:
                self._pinged = True
                wait_s = codec.heartbeat_timeout_s or wait_s
                self.write(frame)
            self._flush()
        self.heard = False
        self.pool.wheel.add(self, ticks(wait_s))

    # requests

    def full(self, stream: OnwardStream) -> bool:
        """Whether no more of the request should come for now."""
        return self.write_paused or (self.flow_controlled and self.codec.unsent(stream.upstream_id) > HELD_BYTES)

    def held_bytes(self, stream: OnwardStream) -> int:
        """How much waits to be written: on the connection, and of the request behind its window."""
        unsent = self.codec.unsent(stream.upstream_id) if self.flow_controlled else 0
        return unsent + self.transport.get_write_buffer_size()

    def check_window(self, stream: OnwardStream) -> None:
        """Ask for no more of a request of which the peer's window keeps much back."""
        if not stream.request_sent and self.codec.unsent(stream.upstream_id) > HELD_BYTES:
            stream.upstream_slow(True)

    def send_data(self, stream: OnwardStream, data: bytes, end: bool) -> None:
        """A piece of a request's body."""
        try:
            frame = self.codec.encode_data(stream.upstream_id, data, end)
        except LocalProtocolError as error:
            self.cannot_send(stream, error)
            return
        if frame:
            self.write(frame)
        if self.flow_controlled:
            self.check_window(stream)
        if end:
            if self.codec.half_closes and self.transport.can_write_eof():
                self.transport.write_eof()
            if self.pool.multiplexed:
                self.pool.widened(self)  # nothing came between the pieces of this one

    def cannot_send(self, stream: OnwardStream, error: LocalProtocolError) -> None:
        """What a filter made of a request cannot be written: it is answered with 500."""
        _log.error("the request to %s cannot be sent: %s", self.host.name, error)
        self.abandon(stream, "local_protocol_error")
        stream.on_failure("Internal Server Error", "LR", "local_protocol_error", status=500)

    def send_trailers(self, stream: OnwardStream, trailers: Headers) -> None:
        """Trailers of a request."""
        try:
            frame = self.codec.encode_trailers(stream.upstream_id, trailers)
        except LocalProtocolError as error:
            self.cannot_send(stream, error)
            return
        if frame:
            self.write(frame)

    def abandon(self, stream: OnwardStream, reason: str) -> None:
        """Nobody waits for this response any more."""
        if self.streams.pop(stream.upstream_id, None) is None:
            return
        frame = self.codec.encode_reset(stream.upstream_id, reason)
        if frame is None:
            self.codec.reusable = False
            if not self.codec.half_closes:
                self._linger_not()
            self.close(local=True)
            return
        if frame:
            self.write(frame)
        self.pool.done(self)

    def _linger_not(self) -> None:
        """Let the connection end with RST.

        An end says no more than that nothing follows the request: a peer with nothing to write would go on working for
        nobody. A tunnel ends with an end all the same, because that delivers what it carries.
        """
        sock = self.transport.get_extra_info("socket")
        if sock is not None and not self.lost and not self.transport.is_closing():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)

    def sent(self, stream: OnwardStream) -> None:
        """All of a request that gets no response is written."""
        del self.streams[stream.upstream_id]
        self.pool.done(self)

    # responses

    def data_received(self, data: bytes) -> None:
        self._rx.value += len(data)
        self.heard = True
        streams = self.streams
        pool = self.pool
        shared = pool.multiplexed
        over = False  # a stream for which nobody waits: the pool hears of those together
        now = _now()
        for event in self.codec.feed(data):
            kind = event.kind
            if kind == RESPONSE:
                if event.end:  # type: ignore[attr-defined]  # the kind says that it is a Response
                    stream = streams.pop(event.id, None)
                    if stream is not None:
                        if self.flow_controlled or not stream.request_sent:
                            self._cut_request(event.id, stream)
                        if shared and not pool.waiting:
                            over = True
                        else:
                            pool.done(self)  # free for the next stream before this one is even told
                else:
                    stream = streams.get(event.id)
                if stream is not None:
                    stream.on_response(event, now)  # type: ignore[arg-type]
                else:
                    self._unmatched.value += 1
            elif kind == DATA:
                end = event.end  # type: ignore[attr-defined]
                stream = streams.pop(event.id, None) if end else streams.get(event.id)
                if stream is not None:
                    if end:
                        self._complete(event.id, stream)
                    stream.on_data(event.data, end)  # type: ignore[attr-defined]
            else:
                self._other(event, kind)
        if over:
            pool.done(self)
        if self.codec.output:
            self._flush()

    def _complete(self, id: int, stream: OnwardStream) -> None:
        """The response has ended: the connection is free for the next stream before this one is even told."""
        self._cut_request(id, stream)
        self.pool.done(self)

    def _cut_request(self, id: int, stream: OnwardStream) -> None:
        """Give up what is left of a request that is answered, if anything is."""
        if not stream.request_sent or (self.flow_controlled and self.codec.unsent(id)):
            frame = self.codec.encode_reset(id, "response_complete")
            if frame is None:  # the server answered before it had the whole request
                self.codec.reusable = False
            elif frame:
                self.write(frame)

    def _other(self, event: Any, kind: int) -> None:
        if kind == TRAILERS:
            stream = self.streams.pop(event.id, None)
            if stream is not None:
                self._complete(event.id, stream)
                stream.on_trailers(event.headers)
        elif kind == INTERIM:
            stream = self.streams.get(event.id)
            if stream is not None:
                stream.on_interim(event.status, event.headers)
        elif kind == RESET:
            stream = self.streams.pop(event.id, None)
            if stream is not None:
                self.pool.done(self)
                self._reset(stream, event.refused)
        elif kind == GOAWAY:
            self._going(event)
        elif kind == WINDOW:
            stream = self.streams.get(event.id)
            if stream is not None:
                if not self.full(stream):
                    stream.upstream_slow(False)
            elif not event.id:
                self.pool.widened(self)
        elif kind == PING:
            if event.ack and self._pinged:  # alive: the next silence begins here
                self._pinged = False
                self.pool.wheel.remove(self)
                self.pool.wheel.add(self, ticks(self.codec.heartbeat_s))
                self.heard = False
        elif kind == FAULT:
            self._fault(cast("Fault", event))

    def _reset(self, stream: OnwardStream, refused: bool) -> None:
        self.host.cluster.stats.rq_rx_reset.value += 1
        stream.on_failure(
            _RESET_TEXT + "remote reset", "UR", "upstream_reset_before_response_started{remote_reset}", refused
        )

    def _going(self, event: GoAway) -> None:
        """The peer takes no new streams; those that it has not begun may be tried elsewhere."""
        self.codec.reusable = False
        self.draining = True
        if event.last_id >= 0:
            for stream in [self.streams.pop(id) for id in tuple(self.streams) if id > event.last_id]:
                self._reset(stream, True)
        if not self.streams:
            self.close(local=True)

    def _fault(self, fault: Fault) -> None:
        stats = self.host.cluster.stats
        stats.cx_protocol_error.value += 1
        stats.protocol_error(fault.error.counter).value += 1
        if fault.error.survives:
            hurt = self.streams.pop(fault.id, None)
            if hurt is not None:
                self.pool.done(self)
                hurt.on_failure(
                    _RESET_TEXT + "protocol error",
                    "UPE",
                    "upstream_reset_before_response_started{protocol_error}",
                    status=502,
                    failure=str(fault.error),
                )
            return
        self.codec.reusable = False
        if not self.streams and self.requests:
            _log.debug("%s broke the protocol on an idle connection: %s", self.host.name, fault.error)
        self._fail_all(
            f"{_RESET_TEXT}protocol error", "UPE", "upstream_reset_before_response_started{protocol_error}", 502
        )
        self.close(local=True)

    def _fail_all(self, reason: str, flag: str, details: str, status: int) -> None:
        streams, self.streams = self.streams, {}
        if streams:
            self.host.cluster.stats.cx_destroy_with_active_rq.value += 1
        for stream in streams.values():
            stream.on_failure(reason, flag, details, status=status)

    def eof_received(self) -> bool:
        self.codec.reusable = False
        for event in self.codec.eof():
            if event.kind == FAULT:
                break  # an early close; connection_lost says so
            if event.kind == DATA:
                stream = self.streams.pop(event.id, None)
                if stream is not None:
                    self._complete(event.id, stream)
                    stream.on_data(event.data, event.end)  # type: ignore[attr-defined]
            else:
                self._other(event, event.kind)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.pool.wheel.remove(self)
        self.codec.reusable = False
        stats = self.host.cluster.stats
        closed(self.host)
        if not self.draining:
            stats.cx_destroy_remote.value += 1
        self._fail_all(
            f"{_RESET_TEXT}connection termination",
            "UC",
            "upstream_reset_before_response_started{connection_termination}",
            503,
        )
        self.pool.lost(self)

    def close(self, local: bool) -> None:
        """Close now; requests still on the connection fail."""
        if not self.lost and not self.transport.is_closing():
            self.draining = True
            if local:
                self.host.cluster.stats.cx_destroy_local.value += 1
            self.writing.flush()
            if self.transport.get_write_buffer_size():
                self.transport.abort()  # nobody waits for what is left, and a stalled peer may never take it
            else:
                self.transport.close()
            self.pool.lost(self)

    # back-pressure: without windows of their own, all streams of a connection pause while any of their readers is slow

    def pause_stream(self, stream: OnwardStream) -> None:
        """The caller behind ``stream`` takes no more for now."""
        if self.flow_controlled:
            self.codec.pause(stream.upstream_id)
            return
        self.paused += 1
        if self.paused == 1 and not self.lost:
            self.paused_at = time.monotonic()
            self.transport.pause_reading()

    def resume_stream(self, stream: OnwardStream) -> None:
        """The caller behind ``stream`` takes data again."""
        if self.flow_controlled:
            if not self.lost:
                self.codec.resume(stream.upstream_id)
                self._flush()
        elif self.paused:
            self.paused -= 1
            if not self.paused and not self.lost:
                self.transport.resume_reading()

    def pause_writing(self) -> None:
        self.write_paused = True
        self.codec.congested = True
        for stream in tuple(self.streams.values()):
            stream.upstream_slow(True)

    def resume_writing(self) -> None:
        self.write_paused = False
        self.codec.congested = False
        for stream in tuple(self.streams.values()):
            if not self.full(stream):
                stream.upstream_slow(False)

    def _flush(self) -> None:
        output = self.codec.output
        if output:
            self.write(b"".join(output))
            output.clear()
