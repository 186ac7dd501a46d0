"""A connection under TLS: to its socket it is a protocol, to what is spoken on it a transport.

OpenSSL does no I/O here: what is read goes into a memory BIO, what is to be written comes out of one. Watermarks are
those of the socket's transport, since nothing waits between the two; while the inner protocol has paused reading,
nothing is decrypted, and the socket is not read either.

``close_notify`` is TLS's end of stream. Received, it is the inner protocol's ``eof_received``; ``write_eof`` sends it
and goes on reading (RFC 8446 section 6.1). A socket that ends without it may have been cut by anybody: the inner
protocol then hears of a lost connection, and of no end of stream.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from abc import abstractmethod
from typing import Any, cast

from plait import Tls
from plait_transport_tls.certificate import Read, read
from plait_transport_tls.stats import TlsStats, reason_of

_log = logging.getLogger("plait.tls")

_RECORD_BYTES = 1 << 14  # the most that one record holds

Buffer = bytes | bytearray | memoryview


class TlsTransport(asyncio.Transport, asyncio.Protocol):
    """See the module. Subclasses are the two sides: they say what happens when the handshake is over."""

    _raw: asyncio.Transport
    _ssl: ssl.SSLObject
    _protocol: asyncio.Protocol

    def __init__(self, stats: TlsStats) -> None:
        super().__init__()
        self.stats = stats
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._open = False  # a protocol is attached: the handshake is over
        self._paused = False
        self._closing = False
        self._sent_end = False
        self._held: list[bytes] = []  # decrypted, and not handed on yet
        self._got_end = False
        self._told_end = False
        self._raw_ended = False
        self._broken: ssl.SSLError | None = None

    # what a side says

    @abstractmethod
    def _make_ssl(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> ssl.SSLObject:
        """The TLS of this connection; raises ValueError."""

    @abstractmethod
    def _shaken(self, peer: Read | None) -> str:
        """The handshake went well: the counter of what is wrong with the peer, or "" where a protocol was attached."""

    @abstractmethod
    def _refused(self, reason: str) -> None:
        """There will be no protocol; the socket is about to close."""

    @abstractmethod
    def _lost(self) -> None:
        """The socket is gone, and no protocol had been attached."""

    # the handshake

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._raw = cast("asyncio.Transport", transport)
        try:
            self._ssl = self._make_ssl(self._incoming, self._outgoing)
        except ValueError as error:
            self._refuse(str(error))
            return
        self._shake()

    def _shake(self) -> None:
        if self._closing:
            return
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except ssl.SSLError as error:
            self.stats.failed(error)
            self._flush()  # the alert
            self._refuse(reason_of(error))
            return
        self._flush()
        try:
            der = self._ssl.getpeercert(binary_form=True)
            peer = read(der) if der else None
        except ValueError as error:
            self.stats.fail_verify_error.value += 1
            self._refuse(f"the peer's certificate cannot be read: {error}")
            return
        self.stats.shaken(self._ssl, peer is not None)
        failure = self._shaken(peer)
        if failure:
            self.stats.counter(failure).value += 1
            self._refuse(f"certificate not accepted: {failure}")
        elif self._open and not self._paused:
            self._read()  # what came with the peer's last words of the handshake

    def _refuse(self, reason: str) -> None:
        self._closing = True
        _log.debug("TLS with %s failed: %s", self._raw.get_extra_info("peername"), reason)
        self._refused(reason)
        self._raw.close()

    def _describe(self, server_name: str, peer: Read | None, local: Read | None, verified: bool) -> Tls:
        cipher = self._ssl.cipher()
        return Tls(
            version=self._ssl.version() or "",
            cipher=cipher[0] if cipher is not None else "",
            alpn=self._ssl.selected_alpn_protocol() or "",
            server_name=server_name,
            peer=peer.certificate if peer is not None else None,
            local=local.certificate if local is not None else None,
            verified=verified and peer is not None,
            resumed=bool(self._ssl.session_reused),
        )

    # the protocol of the socket

    def data_received(self, data: bytes) -> None:
        self._incoming.write(data)
        if not self._open:
            self._shake()
        elif not self._paused:
            self._read()

    def _read(self) -> None:
        """Decrypt all there is and hand it on in one piece; then say what came behind it."""
        if self._closing or self._told_end:
            return
        self._decrypt()
        self._flush()  # what TLS has to answer
        if self._held:
            held, self._held = self._held, []
            self._protocol.data_received(held[0] if len(held) == 1 else b"".join(held))
            if self.is_closing() or self._paused:
                return
        if self._got_end:
            self._told_end = True
            if not self._protocol.eof_received():
                self.close()
        elif self._broken is not None:
            self._break(self._broken)
        elif self._raw_ended:
            self._cut()

    def _decrypt(self) -> None:
        decrypt, held = self._ssl.read, self._held
        try:
            while piece := decrypt(_RECORD_BYTES):
                held.append(piece)
            self._got_end = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._got_end = True
        except ssl.SSLError as error:
            self._broken = error

    def _break(self, error: ssl.SSLError) -> None:
        """The peer broke TLS, or told us that we did."""
        self.stats.connection_error.value += 1
        self._closing = True
        self._broken = error
        _log.debug("TLS with %s broke: %s", self._raw.get_extra_info("peername"), reason_of(error))
        if self._raw.get_write_buffer_size():
            self._raw.abort()  # nobody waits for what is left
        else:
            self._flush()
            self._raw.close()

    def _cut(self) -> None:
        """The socket ended, and TLS had not."""
        self._closing = True
        if self._raw.get_write_buffer_size():
            self._raw.abort()
        else:
            self._raw.close()

    def eof_received(self) -> bool:
        self._raw_ended = True
        if not self._open:
            if not self._closing:
                self.stats.connection_error.value += 1
                self._refuse("the peer ended the connection during the handshake")
            return False
        if self._told_end or self._paused:
            return True  # the inner protocol may still write, or has not read all of it yet
        self._read()
        return not self._closing

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        if self._open:
            self._protocol.connection_lost(exc or self._broken)
        else:
            self._lost()

    def pause_writing(self) -> None:
        if self._open:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        if self._open:
            self._protocol.resume_writing()

    # the transport of what is spoken

    def write(self, data: Buffer) -> None:
        if self._closing or self._sent_end or not data:
            return
        encrypt = self._ssl.write
        try:
            done = encrypt(data)
            while done < len(data):
                data = memoryview(data)[done:]
                done = encrypt(data)
        except ssl.SSLError as error:
            self._break(error)
            return
        self._raw.write(self._outgoing.read())

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if self._closing or self._sent_end:
            return
        if self._incoming.pending:  # the reader has paused
            # Once our end is out, OpenSSL takes what it has not decrypted by then for a mistake of the peer.
            self._decrypt()
        self._end()

    def _end(self) -> None:
        self._sent_end = True
        try:
            self._ssl.unwrap()
        except ssl.SSLError:
            pass  # it waits for the peer's
        self._flush()

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        if self._open and not self._sent_end:
            self._end()
        self._raw.close()

    def abort(self) -> None:
        self._closing = True
        self._raw.abort()

    def is_closing(self) -> bool:
        return self._closing or self._raw.is_closing()

    def pause_reading(self) -> None:
        if not self._paused and not self._closing:
            self._paused = True
            self._raw.pause_reading()

    def resume_reading(self) -> None:
        if self._paused and not self._closing:
            self._paused = False
            self._raw.resume_reading()
            if self._held or self._incoming.pending or self._got_end or self._broken or self._raw_ended:
                asyncio.get_running_loop().call_soon(self._resumed)

    def _resumed(self) -> None:
        if not self._paused:
            self._read()

    def is_reading(self) -> bool:
        return not self._paused and not self._closing

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = cast("asyncio.Protocol", protocol)
        self._open = True

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "ssl_object":
            return self._ssl
        return self._raw.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        return self._raw.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._raw.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._raw.set_write_buffer_limits(high, low)

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._raw.write(self._outgoing.read())
