"""The way upstream as a stream sees it: what takes the request's body, and is told when nobody waits any more.

``plait.stream.forward`` is the one that sends requests to hosts; ``plait.stream.exchange`` is who calls it.
"""

from __future__ import annotations

from plait.api.headers import Headers

HELD_BYTES = 64 * 1024  # what a stream may have waiting for its peer's window before the other side is paused


class Sink:
    """Where a request goes. A stream has one from when the router took it until the response has all come."""

    __slots__ = ("deadline",)
    deadline: float
    """When to give up, in ``time.monotonic()`` seconds; 0 for never."""

    def expire(self) -> None:
        """The deadline is over."""

    def send_data(self, data: bytes, end: bool) -> None:
        """A piece of the request's body."""

    def send_trailers(self, trailers: Headers) -> None:
        """Trailers of the request; they end it."""

    def cancel(self, reason: str) -> None:
        """The stream ended: nobody waits for the response any more."""

    def pause(self) -> None:
        """Downstream takes no more for now: stop reading the response."""

    def resume(self) -> None:
        """Downstream takes data again."""

    def idle_timeout_s(self, default_s: float) -> float:
        """How long nothing may pass on the stream; ``default_s`` is the connection manager's."""
        return default_s

    def full(self) -> bool:
        """Whether the upstream takes no more of the request for now."""
        return False
