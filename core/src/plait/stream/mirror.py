"""Request mirroring: a copy of a request goes to another cluster, and its answer is thrown away.

A ``Mirror`` is what ``plait.stream.forward`` takes for the copy's stream: it has a stream's attributes and none of its
effects. The request it copies never waits for it: a copy that its cluster takes so slowly that some megabytes wait
for it is given up.
Source: Envoy, RouteAction.RequestMirrorPolicy.
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

from plait.api.headers import Headers
from plait.api.message import Request, Response
from plait.net.wheel import Timed

if TYPE_CHECKING:
    from plait.stream.exchange import ServerStream
    from plait.stream.forward import Forward
    from plait.stream.proxy import StreamProxy

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

    __slots__ = ("look_at", "mirror", "proxy", "write_paused")

    def __init__(self, proxy: StreamProxy, mirror: Mirror) -> None:
        self.slot = None
        self.look_at = math.inf
        self.proxy = proxy
        self.mirror = mirror
        self.write_paused = False

    def expire(self) -> None:
        """The one clock that a mirror has is over."""
        if self.mirror.sink is not None:
            self.mirror.sink.expire()

    def pause_reading(self, stream: object) -> None:
        self.mirror.slow = True
        self.mirror.look()

    def resume_reading(self, stream: object) -> None:
        self.mirror.slow = False


class Mirror:
    """The copy's stream."""

    __slots__ = (
        "_sink",
        "attempts",
        "begun",
        "details",
        "flags",
        "owner",
        "replied",
        "request",
        "slow",
        "started",
        "touched",
        "upstream_cluster",
        "upstream_failure",
        "upstream_host",
        "upstream_local",
    )

    def __init__(self, stream: ServerStream) -> None:
        self.owner = _Owner(stream.owner.proxy, self)
        self.request = copy_of(stream.request)
        self.started = stream.started
        self.touched = stream.touched
        self._sink: Forward | None = None
        self.details = ""
        self.slow = False  # its cluster takes no more for now
        self.attempts = 0
        self.replied = False
        self.begun = False
        self.flags: tuple[str, ...] = ()
        self.upstream_cluster = self.upstream_host = self.upstream_local = self.upstream_failure = ""

    @property
    def sink(self) -> Forward | None:
        """Where the copy goes, as long as it is under way."""
        return self._sink

    @sink.setter
    def sink(self, sink: Forward | None) -> None:
        self._sink = sink
        if sink is None:
            self.owner.proxy.wheel.remove(self.owner)

    def look(self) -> None:
        """Give the copy up where too much waits for its cluster."""
        sink = self.sink
        if sink is not None and sink.held_bytes() > _HELD_AT_MOST:
            self.give_up()

    def copy_data(self, data: bytes, end: bool) -> None:
        """A piece of the request's body."""
        if self.slow:
            self.look()
        if self.sink is not None:
            self.sink.send_data(data, end)

    def copy_trailers(self, trailers: Headers) -> None:
        """The request's trailers."""
        if self.sink is not None:
            self.sink.send_trailers(trailers)

    def give_up(self) -> None:
        """The cluster does not keep up, or the request that is copied was given up."""
        sink = self.sink
        if sink is not None:
            self.sink = None
            sink.cancel("mirror_given_up")

    def reply(self, status: int, body: str | bytes = b"", **_: object) -> None:
        """There is nobody to answer."""

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
