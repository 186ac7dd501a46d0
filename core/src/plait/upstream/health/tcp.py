"""A host is well that takes a connection and, where there is something to expect, answers with it."""

from __future__ import annotations

from collections.abc import Sequence

from plait.api.config import TcpHealthCheck
from plait.upstream.cluster import Host
from plait.upstream.health.probe import Connection, Probe

LIMIT_BYTES = 64 * 1024
"""How much of an answer is looked at; what is older is forgotten."""


def in_order(expected: Sequence[bytes], data: bytes) -> bool:
    """Whether every block is in ``data``, each behind the one before; what is in between does not matter."""
    at = 0
    for block in expected:
        found = data.find(block, at)
        if found < 0:
            return False
        at = found + len(block)
    return True


class _Gathering(Connection):
    """Gathers what comes until all that is expected is in it."""

    def __init__(self, expected: Sequence[bytes]) -> None:
        super().__init__()
        self._expected = expected
        self._data = b""

    def data_received(self, data: bytes) -> None:
        self._data = (self._data + data)[-LIMIT_BYTES:]
        if in_order(self._expected, self._data):
            self._data = b""
            self.answered()


class TcpProbe(Probe[_Gathering]):
    """Connects, and where there is something to expect, sends and waits for it."""

    def __init__(self, kind: TcpHealthCheck, target: Host, reuse: bool) -> None:
        super().__init__(target, reuse and bool(kind.receive))
        self._kind = kind

    def _new(self) -> _Gathering:
        return _Gathering(self._kind.receive)

    async def _ask(self, connection: _Gathering) -> None:
        answer = connection.expect() if self._kind.receive else None
        if self._kind.send and connection.transport is not None and not connection.lost:
            connection.transport.write(self._kind.send)
        if answer is not None:
            await answer

    def _judge(self, connection: _Gathering) -> None:
        """There is nothing to judge: what came is what was expected."""
