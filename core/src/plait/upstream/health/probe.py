"""What all ways of asking a host have in common: a connection of their own, kept from one check to the next.

Connections are made like those of traffic, transport socket and all, but are in nobody's statistics and no pool.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Generic, TypeVar, cast

from plait.api.errors import UpstreamError
from plait.upstream.cluster import Host
from plait.upstream.connect import dial

_C = TypeVar("_C", bound="Connection")


class CheckFailed(UpstreamError):
    """The host is not well.

    ``network``: there was no answer to judge. ``at_once``: the host said so itself, so that nobody need ask again to
    believe it.
    """

    def __init__(self, message: str, *, network: bool = False, at_once: bool = False) -> None:
        super().__init__(message, flag="UH")
        self.network = network
        self.at_once = at_once


class Connection(asyncio.Protocol):
    """A connection on which one question at a time waits for its answer."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.lost = False
        self._answer: asyncio.Future[None] | None = None

    @property
    def usable(self) -> bool:
        """Whether another question may follow."""
        return not self.lost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.fail("the connection was closed")

    def expect(self) -> asyncio.Future[None]:
        """Done with the next ``answered``; raises CheckFailed when something comes in between."""
        self._answer = waiter = asyncio.get_running_loop().create_future()
        if self.lost:
            self.fail("the connection was closed")
        return waiter

    def answered(self) -> None:
        """The answer is complete."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(None)

    def fail(self, message: str) -> None:
        """There will be no answer."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(CheckFailed(message, network=True))


class Probe(ABC, Generic[_C]):
    """The checks of one host; ``target`` is where it is asked."""

    def __init__(self, target: Host, reuse: bool) -> None:
        self.target = target
        self._reuse = reuse
        self._connection: _C | None = None

    @abstractmethod
    def _new(self) -> _C:
        """A connection that is to be opened."""

    @abstractmethod
    async def _ask(self, connection: _C) -> None:
        """Ask, and wait for all of the answer; raises CheckFailed when there is none."""

    @abstractmethod
    def _judge(self, connection: _C) -> None:
        """Raises CheckFailed where the answer says that the host is not well."""

    async def check(self) -> None:
        """Ask once; raises CheckFailed. Who calls it limits the time: a cancelled check drops its connection."""
        connection = self._connection
        try:
            if connection is None or not connection.usable:
                self.close()
                connection = self._connection = self._new()
                await self._open(connection)
            await self._ask(connection)
        except BaseException:
            self.drop()
            raise
        if not self._reuse or not connection.usable:
            self.close()
        self._judge(connection)

    async def _open(self, connection: _C) -> None:
        try:
            await dial(self.target, lambda: connection)
        except UpstreamError as error:  # of the transport socket
            raise CheckFailed(f"connecting failed: {error}", network=True) from error
        except OSError as error:
            raise CheckFailed(f"connecting failed: {error.strerror or error}", network=True) from error

    def close(self) -> None:
        """Let go of the connection; what was written still goes out."""
        connection, self._connection = self._connection, None
        if connection is not None and connection.transport is not None:
            connection.transport.close()

    def drop(self) -> None:
        """Let go of the connection at once."""
        connection, self._connection = self._connection, None
        if connection is not None and connection.transport is not None:
            connection.transport.abort()
