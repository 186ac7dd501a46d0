"""Request mirroring: a copy of a request goes to another cluster, and its answer is thrown away.

A ``Mirror`` is the copy's stream: it goes upstream as any other, and what comes back has no effect. The request it
copies never waits for it: a copy that its cluster takes so slowly that some megabytes wait for it is given up.
Source: Envoy, RouteAction.RequestMirrorPolicy.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from plait.api.headers import Headers
from plait.api.message import Request, Response
from plait.api.stream import STOP, Verdict
from plait.net.wheel import Timed
from plait.stream.exchange import NEVER
from plait.stream.onward import OnwardStream

if TYPE_CHECKING:
    from plait.stream.server import ServerConnection

MILLION = 1_000_000
_HELD_AT_MOST = 4 << 20  # a loop may read 2 MiB in one turn, in which no other peer can take anything


def copy_of(request: Request) -> Request:
    """A request of its own with the same parts. HTTP's host gets ``-shadow``, as Envoy does it."""
    copy: Request = type(request).__new__(type(request))
    for cls in type(request).__mro__:
        for name in getattr(cls, "__slots__", ()):
            if hasattr(request, name):
                setattr(copy, name, getattr(request, name))
    copy.headers = request.headers.copy()
    copy.headers.changed = request.headers.changed  # a codec may not send what came, but what filters made of it
    if request.raw_method:
        host, colon, port = request.raw_authority.partition(b":")
        copy.raw_authority = host + b"-shadow" + colon + port
        copy.headers.changed = True
    return copy


def chosen(fraction: int) -> bool:
    """Whether one of ``fraction`` millionths of all requests is this one."""
    return fraction >= MILLION or random.random() * MILLION < fraction


class _Owner(Timed):
    """The connection that a mirror has not got: nobody pauses, and there is nothing to resume."""

    __slots__ = ("look_at", "mirror", "protocol", "proxy", "write_paused")

    def __init__(self, owner: ServerConnection, mirror: Mirror) -> None:
        self.slot = None
        self.look_at = NEVER
        self.proxy = owner.proxy
        self.protocol = owner.protocol
        self.mirror = mirror
        self.write_paused = False

    def expire(self) -> None:
        """The one clock that a mirror has is over."""
        self.look_at = NEVER
        self.mirror.expire()

    def pause_reading(self, stream: object) -> None:
        self.mirror.slow = True
        self.mirror.look()

    def resume_reading(self, stream: object) -> None:
        self.mirror.slow = False


class Mirror(OnwardStream):
    """The copy's stream: its way upstream, with nobody at the other end."""

    __slots__ = ("slow",)

    def __init__(self, stream: OnwardStream) -> None:
        # What the way upstream needs of a stream; the rest is never asked for.
        self.owner = _Owner(stream.owner, self)  # type: ignore[assignment]  # as good as one
        self.request = copy_of(stream.request)
        self.started = stream.started
        self.touched = time.monotonic()
        self.waiting = None
        self.forwarded = False
        self.deadline = NEVER
        self.details = ""
        self.attempts = 0
        self.replied = False
        self.begun = False
        self.flags = ()
        self.upstream_cluster = self.upstream_failure = ""
        self.slow = False  # its cluster takes no more for now

    def look(self) -> None:
        """Give the copy up where too much waits for its cluster."""
        if self.forwarded and self.held_bytes() > _HELD_AT_MOST:
            self.give_up()

    def copy_data(self, data: bytes, end: bool) -> None:
        """A piece of the request's body."""
        if self.slow:
            self.look()
        if self.forwarded:
            self.send_up(data, end)

    def copy_trailers(self, trailers: Headers) -> None:
        """The request's trailers."""
        if self.forwarded:
            self.send_trailers_up(trailers)

    def give_up(self) -> None:
        """The cluster does not keep up, or the request that is copied was given up."""
        if self.forwarded:
            self.cancel_upstream("mirror_given_up")

    def upstream_over(self, completed: float = 0.0) -> None:
        """As every stream's; and nobody looks at its clock any more."""
        super().upstream_over(completed)
        self.owner.proxy.wheel.remove(self.owner)

    def reply(
        self,
        status: int,
        body: str | bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
        details: str = "",
        flag: str = "",
    ) -> Verdict:
        """There is nobody to answer."""
        return STOP

    def respond(self, response: Response, now: float) -> None:
        """The answer's head; thrown away like the rest."""
        self.replied = True

    def send_data(self, data: bytes, end: bool) -> None:
        """A piece of the answer."""

    def send_trailers(self, trailers: Headers) -> None:
        """The answer's trailers."""

    def send_interim(self, status: int, headers: Headers) -> None:
        """An informational head of the answer."""

    def end(self) -> None:
        """The copy went on its way, and there is no answer to wait for."""
