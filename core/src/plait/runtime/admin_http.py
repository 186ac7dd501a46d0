"""The admin server's HTTP: h11 over asyncio streams, small requests in, whole answers out; it knows no page."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl, unquote, urlsplit

import attrs
import h11

from plait.api.config import Address
from plait.api.errors import ConfigError

HEAD_LIMIT_BYTES = 16 * 1024
BODY_LIMIT_BYTES = 64 * 1024
CONNECTION_LIMIT = 100
READ_TIMEOUT_S = 30.0
WRITE_TIMEOUT_S = 30.0

_log = logging.getLogger("plait.admin")


@attrs.frozen
class Ask:
    """A request: ``query`` holds each parameter once, the last one given."""

    method: str
    path: str
    query: dict[str, str]


@attrs.frozen
class Answer:
    """A response, whole."""

    body: str | bytes
    status: int = 200
    content_type: str = "text/plain; charset=UTF-8"


class AdminServer:
    """Listens on one address and answers with what ``handler`` says. Its tasks live in ``group``."""

    def __init__(self, group: asyncio.TaskGroup, handler: Callable[[Ask], Awaitable[Answer]]) -> None:
        self._group = group
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.address = ""

    async def start(self, address: Address) -> None:
        """Listen. Raises ConfigError when the address cannot be had."""
        try:
            if address.path:
                self._server = await asyncio.start_unix_server(self._connected, address.path, limit=HEAD_LIMIT_BYTES)
                self.address = f"unix:{address.path}"
            else:
                host = address.host or "127.0.0.1"  # nobody else is let in unless the configuration says so
                self._server = await asyncio.start_server(
                    self._connected, host, address.port, limit=HEAD_LIMIT_BYTES, reuse_address=True
                )
                host, port = self._server.sockets[0].getsockname()[:2]
                self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise ConfigError(
                f"admin: cannot listen on {address}: {reason}", expected="an address that is free on this machine"
            ) from error

    async def close(self) -> None:
        """Stop listening and drop the connections there are."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= CONNECTION_LIMIT:
            writer.transport.abort()
            return
        task = self._group.create_task(self._serve(reader, writer), name="admin connection")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT_BYTES)
        try:
            while await self._serve_one(connection, reader, writer):
                connection.start_next_cycle()
        except (OSError, TimeoutError):
            pass
        finally:
            writer.close()

    async def _serve_one(
        self, connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """One request and its response; True when the connection may carry another."""
        request: h11.Request | None = None
        body_bytes = 0
        try:
            while True:
                event = connection.next_event()
                if event is h11.NEED_DATA:
                    if connection.they_are_waiting_for_100_continue:
                        self._write(connection, writer, h11.InformationalResponse(status_code=100, headers=[]))
                    async with asyncio.timeout(READ_TIMEOUT_S):
                        connection.receive_data(await reader.read(HEAD_LIMIT_BYTES))
                elif isinstance(event, h11.Request):
                    request = event
                elif isinstance(event, h11.Data):
                    body_bytes += len(event.data)
                    if body_bytes > BODY_LIMIT_BYTES:
                        await self._reply(connection, writer, Answer("body too large\n", 413), close=True)
                        return False
                elif isinstance(event, h11.EndOfMessage):
                    break
                else:
                    return False
        except h11.RemoteProtocolError as error:
            if connection.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                answer = Answer(f"{error}\n", error.error_status_hint)
                await self._reply(connection, writer, answer, close=True)
            return False
        assert request is not None
        await self._reply(connection, writer, await self._answer(request), head=request.method == b"HEAD")
        return connection.our_state is h11.DONE and connection.their_state is h11.DONE

    async def _answer(self, request: h11.Request) -> Answer:
        target = urlsplit(request.target.decode("latin-1"))
        query = dict(parse_qsl(target.query, keep_blank_values=True))
        ask = Ask(request.method.decode("ascii"), unquote(target.path), query)
        try:
            return await self._handler(ask)
        except Exception as error:  # noqa: BLE001 - a page that fails must not end the supervisor
            _log.error("the page %s failed", ask.path, exc_info=error)
            return Answer(f"{type(error).__name__}: {error}\n", 500)

    async def _reply(
        self,
        connection: h11.Connection,
        writer: asyncio.StreamWriter,
        answer: Answer,
        *,
        head: bool = False,
        close: bool = False,
    ) -> None:
        body = answer.body.encode() if isinstance(answer.body, str) else answer.body
        headers = [
            ("content-type", answer.content_type),
            ("cache-control", "no-cache, max-age=0"),
            ("x-content-type-options", "nosniff"),
            ("content-length", str(len(body))),
        ]
        if close:
            headers.append(("connection", "close"))
        self._write(connection, writer, h11.Response(status_code=answer.status, headers=headers))
        self._write(connection, writer, h11.Data(data=b"" if head else body))
        self._write(connection, writer, h11.EndOfMessage())
        async with asyncio.timeout(WRITE_TIMEOUT_S):
            await writer.drain()

    def _write(self, connection: h11.Connection, writer: asyncio.StreamWriter, event: h11.Event) -> None:
        data = connection.send(event)
        if data:
            writer.write(data)
