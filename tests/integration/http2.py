"""Peers that speak HTTP/2 (the library ``h2``) for tests, and a ``Mesh`` between any mix of HTTP/1.1 and HTTP/2.

``Session`` is one end of a connection. Nothing reads in the background: whoever waits for something reads, unless
somebody else does already (an upstream's handler, in ``serve``).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import h2.events as happened
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError, StreamClosedError
from h2.settings import SettingCodes, Settings
from hyperframe.frame import Frame, GoAwayFrame

from plait import CONTINUE, Stream, StreamFilter, Verdict
from tests.integration.harness import DEADLINE_S, Handler, Json, Mesh, Peer, Upstream, cluster, configuration

Fields = Sequence[tuple[bytes, bytes]]
Serve = Callable[["Session", "Message"], Awaitable[None]]

_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
LARGE_WINDOW = 1 << 20
_SETTINGS = {SettingCodes.MAX_CONCURRENT_STREAMS: 2000, SettingCodes.MAX_HEADER_LIST_SIZE: 1 << 16}


class Message:
    """What has come on one stream."""

    def __init__(self, id: int) -> None:
        self.id = id
        self.fields: list[tuple[bytes, bytes]] = []
        self.interims: list[list[tuple[bytes, bytes]]] = []
        self.body = bytearray()
        self.trailers: list[tuple[bytes, bytes]] = []
        self.ended = False
        self.reset: int | None = None
        self.uncredited = 0

    def field(self, name: bytes) -> bytes | None:
        """The first value of a field."""
        return next((value for key, value in self.fields if key == name), None)

    @property
    def status(self) -> int:
        """Of a response; 0 before its head."""
        return int(self.field(b":status") or 0)

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.ended or self.reset is not None


class _Lasting(H2Connection):
    """Goes on with the streams that a GOAWAY leaves; the library itself would refuse to."""

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[happened.Event]]:
        event = happened.ConnectionTerminated()
        event.error_code, event.last_stream_id = frame.error_code, frame.last_stream_id
        return [], [event]


class Session:
    """One end. ``held`` are streams whose window is not given back, for a reader that is slow; None stands for all."""

    def __init__(self, peer: Peer, *, client: bool, settings: Mapping[SettingCodes, int] | None = None) -> None:
        self.peer = peer
        config = H2Configuration(
            client_side=client, header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False
        )
        self.h2 = _Lasting(config)
        if settings:
            self.h2.local_settings = Settings(client=client, initial_values={**_SETTINGS, **settings})
        self.messages: dict[int, Message] = {}
        self.held: set[int | None] = set()
        self.holds = b""
        self.goaways: list[tuple[int, int]] = []
        self.pings = 0
        self.answers_pings = True
        self.acknowledged = False
        """The peer knows our settings."""
        self.closed = False
        self.begun: list[Message] = []
        self._moved = asyncio.Event()
        self._reading = False

    async def begin(self, window: int = LARGE_WINDOW) -> None:
        """Say hello, with a window of the connection that does not come in the way."""
        self.h2.initiate_connection()
        if window > 65535:
            self.h2.increment_flow_control_window(window - 65535)
        await self.flush()

    async def flush(self) -> None:
        """Send what is to be sent."""
        data = self.h2.data_to_send()
        if data:
            await self.peer.send(data)

    # reading

    async def read(self) -> bool:
        """Work off what comes next; False at the end."""
        if self._reading:
            self._moved.clear()
            await self._moved.wait()
            return not self.closed
        self._reading = True
        try:
            data = await self.peer.reader.read(1 << 16)
        finally:
            self._reading = False
            self._moved.set()
        self.closed = not data
        if data:
            for event in self.h2.receive_data(data):
                self._note(event)
            await self.flush()
        return bool(data)

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Read until ``condition``; AssertionError when the connection ends before, or nothing comes for too long."""
        try:
            async with asyncio.timeout(DEADLINE_S / 2):
                while not condition():
                    alive = True
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(0.05):  # what is sent meanwhile may be what is waited for
                            alive = await self.read()
                    assert alive, f"the connection ended before {what}"
        except TimeoutError:
            raise AssertionError(f"gave up waiting for {what}") from None

    def _note(self, event: happened.Event) -> None:
        id = getattr(event, "stream_id", None)
        message = self.messages.setdefault(id, Message(id)) if id else None
        if isinstance(event, happened.ConnectionTerminated):
            self.goaways.append((event.last_stream_id or 0, int(event.error_code or 0)))
        elif isinstance(event, happened.PingReceived):
            self.pings += 1
            if not self.answers_pings:
                self.h2.clear_outbound_data_buffer()
        elif isinstance(event, happened.SettingsAcknowledged):
            self.acknowledged = True
        elif message is None:
            pass
        elif isinstance(event, happened.RequestReceived | happened.ResponseReceived):
            message.fields = list(event.headers)
            if isinstance(event, happened.RequestReceived):
                self.begun.append(message)
                if self.holds and message.field(b":path") == self.holds:
                    self.held.add(message.id)
        elif isinstance(event, happened.InformationalResponseReceived):
            message.interims.append(list(event.headers))
        elif isinstance(event, happened.TrailersReceived):
            message.trailers = list(event.headers)
        elif isinstance(event, happened.DataReceived):
            message.body += event.data
            self._credit(message, event.flow_controlled_length)
        elif isinstance(event, happened.StreamEnded):
            message.ended = True
        elif isinstance(event, happened.StreamReset):
            message.reset = int(event.error_code)

    def _credit(self, message: Message, size: int) -> None:
        if not size or None in self.held:
            return
        self.h2.increment_flow_control_window(size)
        if message.id in self.held:
            message.uncredited += size
        else:
            with contextlib.suppress(StreamClosedError):
                self.h2.increment_flow_control_window(size, message.id)

    async def release(self, message: Message) -> None:
        """Read a held stream again."""
        self.held.discard(message.id)
        size, message.uncredited = message.uncredited, 0
        if size and not message.over:
            self.h2.increment_flow_control_window(size, message.id)
        await self.flush()

    # writing

    async def ask(
        self, method: bytes = b"GET", path: bytes = b"/", *fields: tuple[bytes, bytes], end: bool = True
    ) -> Message:
        """Send the head of a request."""
        pseudo = [(b":method", method), (b":scheme", b"http"), (b":authority", b"test"), (b":path", path)]
        return await self.send_head([*pseudo, *fields], end)

    async def send_head(self, fields: Fields, end: bool) -> Message:
        """Send the head of a request, as it is."""
        id = self.h2.get_next_available_stream_id()
        message = self.messages[id] = Message(id)
        self.h2.send_headers(id, list(fields), end_stream=end)
        await self.flush()
        return message

    async def answer(
        self, message: Message, status: int = 200, body: bytes = b"", *fields: tuple[bytes, bytes]
    ) -> None:
        """Send a whole response."""
        self.h2.send_headers(message.id, [(b":status", b"%d" % status), *fields], end_stream=not body)
        await self.flush()
        if body:
            await self.send(message, body)

    async def send(self, message: Message, data: bytes, end: bool = True) -> None:
        """Send data, as the windows allow."""
        left = memoryview(data)
        while left or end:
            size = min(len(left), self.h2.max_outbound_frame_size)
            if size:
                size = min(size, self.h2.local_flow_control_window(message.id))
                if not size:
                    assert await self.read(), "the connection ended inside a message"
                    continue
            last = size == len(left)
            self.h2.send_data(message.id, bytes(left[:size]), end_stream=end and last)
            left = left[size:]
            await self.flush()
            if last:
                return

    async def send_trailers(self, message: Message, *fields: tuple[bytes, bytes]) -> None:
        """End a message with trailers."""
        self.h2.send_headers(message.id, list(fields), end_stream=True)
        await self.flush()

    async def reset(self, message: Message, code: ErrorCodes = ErrorCodes.CANCEL) -> None:
        """Give a stream up."""
        self.h2.reset_stream(message.id, code)
        await self.flush()

    async def go_away(self, last_id: int) -> None:
        """Say that streams above ``last_id`` are not served; those up to it go on."""
        await self.peer.send(b"\0\0\x08\x07\0\0\0\0\0" + last_id.to_bytes(4, "big") + bytes(4))

    async def done(self, *messages: Message) -> None:
        """Until nothing more comes on these streams."""
        await self.until(lambda: all(one.over for one in messages), "the end of streams")


class Http2Upstream:
    """A handler for ``Upstream``: calls ``serve`` once a request's head is there, or once all of it is (``whole``).

    Requests of the path ``holds`` are read slowly: their window is not given back before ``release``.
    """

    def __init__(
        self,
        serve: Serve,
        *,
        settings: Mapping[SettingCodes, int] | None = None,
        whole: bool = True,
        holds: bytes = b"",
    ) -> None:
        self.sessions: list[Session] = []
        self.asked: list[Message] = []
        """All requests, in the order in which their heads came."""
        self._serve = serve
        self._settings = settings
        self._whole = whole
        self._holds = holds

    async def __call__(self, peer: Peer, number: int) -> None:
        session = Session(peer, client=False, settings=self._settings)
        session.holds = self._holds
        self.sessions.append(session)
        await session.begin()
        waiting: list[Message] = []
        async with asyncio.TaskGroup() as group:
            while await self._more(session):
                self.asked += session.begun
                waiting += session.begun
                session.begun.clear()
                for message in tuple(waiting):
                    if message.ended or not self._whole:
                        waiting.remove(message)
                        group.create_task(self._guarded(session, message))
            for task in tuple(group._tasks):
                task.cancel()

    async def _more(self, session: Session) -> bool:
        try:
            return await session.read()
        except ConnectionError:  # who asked did not wait for the end of the answer
            return False

    async def _guarded(self, session: Session, message: Message) -> None:
        try:
            await self._serve(session, message)
        except (ConnectionError, ProtocolError, KeyError):
            if message.reset is None and not session.closed:
                raise


async def echo(session: Session, message: Message) -> None:
    """Answers with the request's body, or its path."""
    await session.answer(message, 200, bytes(message.body) or message.field(b":path") or b"")


async def stay(session: Session, message: Message) -> None:
    """Leaves the answer to the test."""


def http2_options(**fields: Any) -> Json:
    """For a cluster: HTTP/2 with these options."""
    config = {"@type": f"type.googleapis.com/{_OPTIONS}", "explicit_http_config": {"http2_protocol_options": fields}}
    return {"typed_extension_protocol_options": {_OPTIONS: config}}


class Watch(StreamFilter):
    """Keeps the streams, for a look at what their connections hold."""

    def __init__(self) -> None:
        self.streams: list[Any] = []

    def on_request(self, stream: Stream) -> Verdict:
        self.streams.append(stream)
        return CONTINUE


@contextlib.asynccontextmanager
async def between(
    handler: Handler,
    filters: Sequence[StreamFilter] = (),
    *,
    up: Json | None = None,
    routes: Sequence[Json] | None = None,
    **hcm: Any,
) -> AsyncIterator[tuple[Mesh, Upstream]]:
    """A mesh that takes either HTTP, in front of one upstream that speaks HTTP/2 unless ``up`` says other."""
    fields = http2_options() if up is None else up
    hcm = {"codec_type": "AUTO", **hcm}
    async with (
        Upstream(handler) as upstream,
        Mesh(configuration([cluster("up", upstream.port, **fields)], routes, **hcm), filters) as mesh,
    ):
        yield mesh, upstream


async def dial(
    mesh: Mesh, *, window: int = LARGE_WINDOW, settings: Mapping[SettingCodes, int] | None = None
) -> Session:
    """A client."""
    session = Session(await mesh.connect(), client=True, settings=settings)
    await session.begin(window)
    return session
