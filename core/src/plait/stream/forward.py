"""Sending a request upstream: timeouts, retries, circuit breakers; every router ends here.

``forward`` is called once a route is found. A ``Forward`` is the stream's sink: it picks a host, gets a connection from
the pool, sends the request and passes the response back; where that fails before the response began, the retry rule
(``plait.stream.retries``) says whether to try again. A request whose body is still coming is kept for a retry up to the
buffer limit.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from plait.api.config import RetryPolicy
from plait.api.headers import Headers
from plait.api.message import Request, Response
from plait.api.stream import STOP, Stream, Verdict
from plait.net.wheel import Timed, ticks
from plait.stream.exchange import ServerStream
from plait.stream.mirror import Mirror, chosen
from plait.stream.pool import Pool, pool_of
from plait.stream.retries import RetryRule, Tries
from plait.stream.sink import Sink
from plait.upstream.cluster import Cluster, Host

if TYPE_CHECKING:
    from plait.stream.client import ClientConnection

_now = time.monotonic


class ForwardOptions:
    """How to forward the requests of one route; made when the route table is compiled."""

    def __init__(
        self,
        timeout_s: float = 15.0,
        idle_timeout_s: float | None = None,
        retry: RetryPolicy | None = None,
        auto_host_rewrite: bool = False,
        buffer_limit_bytes: int = 1 << 20,
        attempt_header: bool = False,
        mirrors: Sequence[tuple[str, int]] = (),
    ) -> None:
        """``mirrors`` are clusters that get a copy of some of the requests, each with its share in millionths."""
        self.timeout_s = timeout_s
        self.timeout_ticks = ticks(timeout_s) if timeout_s else 0
        self.idle_timeout_s = idle_timeout_s
        self.retry = RetryRule(retry) if retry is not None and retry.retry_on else None
        self.auto_host_rewrite = auto_host_rewrite
        self.buffer_limit_bytes = buffer_limit_bytes
        self.attempt_header = attempt_header
        self.mirrors = tuple(mirrors)
        # the request depends on the host or the attempt, or is watched by a clock of its own
        self.shapes = auto_host_rewrite or attempt_header or bool(idle_timeout_s)


def forward(stream: Stream, cluster: Cluster, options: ForwardOptions) -> Verdict:
    """Send the stream's request to ``cluster`` and its response back; returns STOP."""
    made = Forward(stream, cluster, options)  # type: ignore[arg-type]  # every stream with a router is one
    if options.mirrors:
        _mirror(made)
    made.start()
    return STOP


def _mirror(forward: Forward) -> None:
    """Send copies of the request to the clusters that the route names for that, where they exist."""
    stream, options = forward.stream, forward.options
    context = stream.owner.proxy.context
    for name, fraction in options.mirrors:
        cluster = context.cluster(name)
        if cluster is None or not chosen(fraction):
            continue
        mirror = Mirror(stream)
        if not stream.request_done:
            forward.mirrors.append(mirror)
        Forward(mirror, cluster, ForwardOptions(options.timeout_s)).start()  # type: ignore[arg-type]  # as good as one


class _Body:
    """A request's body while it comes: what no connection has taken yet, or all of it while a retry may need it."""

    __slots__ = ("kept", "pieces", "size", "trailers")

    def __init__(self, kept: bool) -> None:
        self.kept = kept  # for a retry
        self.pieces: list[bytes] = []
        self.size = 0
        self.trailers: Headers | None = None


class Forward(Sink, Timed):
    """One request on its way upstream, over all its attempts."""

    __slots__ = (
        "_body",
        "_paused",
        "_tries",
        "answered",
        "closed",
        "cluster",
        "connection",
        "host",
        "id",
        "mirrors",
        "options",
        "pool",
        "request",
        "request_ended",
        "sent_at",
        "stream",
        "waiting",
    )

    def __init__(self, stream: ServerStream, cluster: Cluster, options: ForwardOptions) -> None:
        self.slot = None
        self.stream = stream
        self.cluster = cluster
        self.options = options
        self.request: Request = stream.request
        self.connection: ClientConnection | None = None
        self.id = 0
        self.host: Host | None = None
        self.pool: Pool | None = None
        self.sent_at = 0.0
        self.answered = False  # a response has begun downstream
        self.closed = False
        self.mirrors: list[Mirror] = _NO_MIRRORS if not options.mirrors else []
        self.request_ended = False
        self.waiting = False  # in the pool's queue
        self._paused = False
        self._body: _Body | None = None  # of a request that did not come in one piece
        self._tries: Tries | None = None  # what a retry policy has to remember

    # the way out

    def start(self) -> None:
        """Count the request in and make the first attempt."""
        stream, cluster, options = self.stream, self.cluster, self.options
        stream.upstream_cluster = cluster.name
        if cluster.requests_active >= cluster.max_requests:
            cluster.stats.rq_pending_overflow.value += 1
            stream.reply(503, _OVERFLOW, details="overflow", flag="UO", headers=_OVERLOADED)
            return
        cluster.requests_active += 1
        stream.sink = self
        if options.retry is not None:
            self._tries = Tries(options.retry, cluster)
        if self.request.end:
            self.request_ended = True
            if options.timeout_ticks or self.request.timeout_s:
                self._start_clock()
        else:
            self._body = _Body(options.retry is not None)
            if self.request.timeout_s:
                self.stream.owner.proxy.wheel.add(self, self._caller_ticks())
        self._attempt()

    def _attempt(self) -> None:
        stream, cluster, tries = self.stream, self.cluster, self._tries
        stream.attempts += 1
        host = cluster.pick() if tries is None else cluster.pick_other(tries.tried)
        if host is None:
            self._fail(503, "no healthy upstream", "UH", "no_healthy_upstream")
            return
        self.host = host
        host.requests += 1
        cluster.stats.rq_total.value += 1
        proxy = stream.owner.proxy
        pool = host.pools.get(cluster.protocol or proxy.upstream_name)
        if pool is None:
            pool = pool_of(host, proxy.upstream_protocol(cluster), proxy.context)
        self.pool = pool  # type: ignore[assignment]  # only plait.stream.pool fills Host.pools
        connection = pool.take(self)  # type: ignore[attr-defined]
        if connection is not None and not self.connected(connection):
            pool.done(connection)  # type: ignore[attr-defined]

    def connected(self, connection: ClientConnection) -> bool:
        """A connection is ours for this request; False when the request could not be sent and it is free again."""
        stream, options, host = self.stream, self.options, connection.host
        self.waiting = False
        self.connection = connection
        host.active += 1
        stream.upstream_host = host.name
        stream.upstream_local = connection.local
        request = self.request
        if options.shapes:
            self._shape(request, host)
        self.sent_at = _now()
        if self._tries is not None:
            self._time_try(self._tries)
        if not connection.open(self, request):
            return False
        if request.oneway and self._body is None:
            self._sent(connection)
            return True
        if self._body is not None:
            self._send_body(self._body)
        if connection.write_paused:
            stream.owner.pause_reading(stream)
        if stream.owner.write_paused and self.connection is not None:
            self.pause()
        return True

    def _time_try(self, tries: Tries) -> None:
        limit_s = tries.rule.per_try_timeout_s
        if limit_s:
            tries.per_try = self.stream.owner.proxy.context.call_later(limit_s, self._try_timed_out)

    def _shape(self, request: Request, host: Host) -> None:
        """What of the request depends on the host, the attempt or the route's own clock."""
        if self.options.idle_timeout_s:
            owner = self.stream.owner
            owner.proxy.look_within(owner, self.options.idle_timeout_s)
        if self.options.auto_host_rewrite and host.endpoint.hostname:
            request.raw_authority = host.endpoint.hostname.encode()
            request.headers.changed = True
        if self.options.attempt_header:
            request.headers.put(b"x-envoy-attempt-count", str(self.stream.attempts).encode())

    def _send_body(self, body: _Body) -> None:
        """Send what came before this connection was there: on a retry that is all there is."""
        connection = self.connection
        if connection is None:
            return
        data = b"".join(body.pieces)
        if not body.kept:
            body.pieces.clear()
        last = self.request_ended and body.trailers is None
        if data or last:
            connection.send_data(self, data, last)
        if body.trailers is not None:
            connection.send_trailers(self, body.trailers)
        if self.request_ended and self.request.oneway:
            self._sent(connection)
            return
        if not connection.full(self):
            self.stream.owner.resume_reading(self.stream)

    def send_data(self, data: bytes, end: bool) -> None:
        if end:
            self._body_ended()
        for mirror in self.mirrors:
            mirror.copy_data(data, end)
        connection, body = self.connection, self._body
        if body is not None and (body.kept or connection is None):
            body.pieces.append(data)
            body.size += len(data)
            if body.kept and body.size > self.options.buffer_limit_bytes:
                body.kept = False  # too long to send twice: no retry from here on
                if connection is not None:
                    body.pieces.clear()
        if connection is not None:
            connection.send_data(self, data, end)
            if end and self.request.oneway:
                self._sent(connection)
        elif body is not None and body.size > self.options.buffer_limit_bytes:
            self.stream.owner.pause_reading(self.stream)

    def send_trailers(self, trailers: Headers) -> None:
        self._body_ended()
        for mirror in self.mirrors:
            mirror.copy_trailers(trailers)
        if self._body is not None:
            self._body.trailers = trailers
        if self.connection is not None:
            self.connection.send_trailers(self, trailers)
            if self.request.oneway:
                self._sent(self.connection)

    def _sent(self, connection: ClientConnection) -> None:
        """A request that gets no response is on its way, and nothing else will be heard of it."""
        if self.connection is not connection:  # it could not be sent
            return
        self._close(True)
        connection.sent(self)
        self.stream.end()

    def _body_ended(self) -> None:
        self.request_ended = True
        if not self.closed and not self.answered:
            self._start_clock()

    def _start_clock(self) -> None:
        """The route's timeout, from the end of the request on; or the caller's own where that is over first."""
        limit, wheel = self.options.timeout_ticks, self.stream.owner.proxy.wheel
        if self.request.timeout_s:
            wanted = self._caller_ticks()
            if not limit or wanted < limit:
                limit = wanted
            if self.slot is not None:
                wheel.remove(self)  # it has been waiting since the request began, which came in pieces
        if limit:
            wheel.add(self, limit)

    def _caller_ticks(self) -> int:
        """How much of the caller's own timeout is left; it counts from the beginning of the request."""
        if self.request.timeout_s < 0:
            return _LOOK_TICKS
        return ticks(max(0.0, self.stream.started + self.request.timeout_s - _now()))

    # the way back

    def on_response(self, response: Response) -> None:
        """The head of the response (with its body, if ``end``)."""
        status = response.status
        if self._tries is not None and self._tries_again(self._tries, response):
            return
        codes = self.cluster.stats.codes
        if status in codes:
            codes[status].value += 1
        else:
            self.cluster.stats.code(status).value += 1
        self.answered = True
        if response.end:
            self._close(True)
        stream = self.stream
        if not stream.replied:
            stream.respond(response)

    def _tries_again(self, tries: Tries, response: Response) -> bool:
        status = response.status
        if tries.rule.on_response(response) and self._may_retry(tries):
            self.cluster.stats.retried(status).value += 1
            self._retry(tries)
            return True
        if tries.count and status < 500:
            self.cluster.stats.rq_retry_success.value += 1
        if tries.per_try is not None:
            tries.per_try.cancel()
        return False

    def on_interim(self, status: int, headers: Headers) -> None:
        """An informational head."""
        self.stream.send_interim(status, headers)

    def on_data(self, data: bytes, end: bool) -> None:
        """A piece of the response's body."""
        if end:
            self._close(True)
        self.stream.send_data(data, end)

    def on_trailers(self, trailers: Headers) -> None:
        """Trailers; they end the response."""
        self._close(True)
        self.stream.send_trailers(trailers)

    def on_failure(
        self, reason: str, flag: str, details: str, refused: bool = False, status: int = 503, failure: str = ""
    ) -> None:
        """This attempt is lost: the connection could not be had, or broke, or the upstream reset the stream.

        ``reason`` is for the caller; ``failure``, what the transport said, for the log alone.
        """
        self._leave_connection()
        if self.closed:
            return
        if self.answered:
            self._close(False)
            if self.stream.begun:
                details = details.replace("before_response", "after_response")
            self.stream.reply(status, reason, details=details, flag=flag)
            return
        host = self.host
        if host is not None:
            host.failures += 1
        self.stream.upstream_failure = failure
        tries = self._tries
        if tries is not None and tries.rule.on_failure(flag, refused) and self._may_retry(tries):
            self._retry(tries)
            return
        if tries is not None and tries.count:
            reason = reason.replace("headers. reset", "headers. retried and the latest reset")
        self._fail(status, reason, flag, details)

    def _fail(self, status: int, reason: str, flag: str, details: str) -> None:
        self.cluster.stats.code(status).value += 1
        self._close(False)
        headers = _OVERLOADED if flag == "UO" else None
        self.stream.reply(status, reason, details=details, flag=flag, headers=headers)

    # retries

    def _may_retry(self, tries: Tries) -> bool:
        if self.answered or (self._body is not None and not self._body.kept):
            return False
        return tries.allowed(self.stream)

    def _retry(self, tries: Tries) -> None:
        tries.add(self.host)
        connection = self.connection
        if connection is not None:
            self._leave_connection()
            connection.abandon(self, "retry")
        later = self.stream.owner.proxy.context.call_later
        tries.back_off = later(tries.rule.back_off_s(tries.count), self._try_again)

    def _try_again(self) -> None:
        if self._tries is not None:
            self._tries.back_off = None
        if not self.closed:
            self.stream.owner.resume_reading(self.stream)  # the last connection may have been slow
            self._attempt()

    # ends and clocks

    def expire(self) -> None:
        """The route's timeout, or the caller's."""
        if self.closed or (self.request.timeout_s < 0 and self._waits_on()):
            return
        self.cluster.stats.rq_timeout.value += 1
        connection = self.connection
        self._leave_connection()
        if connection is not None:
            connection.abandon(self, "timeout")
            self.cluster.stats.rq_tx_reset.value += 1
        if self.answered:
            self._close(False)
            self.stream.reply(504, "upstream request timeout", details="response_timeout", flag="UT")
        else:
            self._fail(504, "upstream request timeout", "UT", "response_timeout")

    def _waits_on(self) -> bool:
        """Look what the caller's timeout is, now that the answer takes its time, and wait for what is left of it."""
        limit, route = 0, self.options.timeout_ticks if self.request_ended else 0
        if route:
            limit = route - _LOOK_TICKS
            if limit <= 0:
                return False
        if self.request.caller_timeout_s():
            wanted = self._caller_ticks()
            limit = min(limit, wanted) if limit else wanted
        if limit:
            self.stream.owner.proxy.wheel.add(self, limit)
        return True

    def _try_timed_out(self) -> None:
        if self._tries is not None:
            self._tries.per_try = None
        if self.closed or self.answered:
            return
        self.cluster.stats.rq_per_try_timeout.value += 1
        connection = self.connection
        if connection is not None:
            self._leave_connection()
            connection.abandon(self, "per_try_timeout")
            self.on_failure("upstream request timeout", "UT", "upstream_per_try_timeout", status=504)

    def cancel(self, reason: str) -> None:
        if self.closed:
            return
        stats = self.cluster.stats
        connection = self.connection
        self._close(False)
        if connection is not None:
            connection.abandon(self, reason)
            stats.rq_tx_reset.value += 1
        else:
            stats.rq_cancelled.value += 1

    def _leave_connection(self) -> None:
        connection = self.connection
        if connection is not None:
            if self._paused:
                self._paused = False
                connection.resume_stream(self)
            self.connection = None
            connection.host.active -= 1
            tries = self._tries
            if tries is not None and tries.per_try is not None:
                tries.per_try.cancel()
                tries.per_try = None

    def _close(self, complete: bool) -> None:
        """Everything is said, or nothing will be: give back what the request holds."""
        self.closed = True
        if self.mirrors and not self.request_ended:
            for mirror in self.mirrors:
                mirror.give_up()  # the rest of the request will not come
        stream, cluster, connection = self.stream, self.cluster, self.connection
        if connection is None:
            if self.waiting and self.pool is not None:
                self.pool.forget(self)
        elif self._paused or self._tries is not None:
            self._leave_connection()
        else:
            self.connection = None
            connection.host.active -= 1
        if stream.sink is self:
            stream.sink = None
        cluster.requests_active -= 1
        slot = self.slot
        if slot is not None:
            slot.discard(self)
            self.slot = None
        if self._tries is not None:
            self._tries.end()
        if complete:
            cluster.stats.rq_time.values.append((_now() - self.sent_at) * 1000)

    # back-pressure

    def pause(self) -> None:
        if not self._paused and self.connection is not None:
            self._paused = True
            self.connection.pause_stream(self)

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            if self.connection is not None:
                self.connection.resume_stream(self)

    def idle_timeout_s(self, default_s: float) -> float:
        own_s = self.options.idle_timeout_s
        return default_s if own_s is None else own_s

    def full(self) -> bool:
        connection = self.connection
        if connection is not None:
            return connection.full(self)
        return self._body is not None and self._body.size > self.options.buffer_limit_bytes

    def held_bytes(self) -> int:
        """How much of the request, and of the others on its connection, waits to be written."""
        connection = self.connection
        return (
            connection.held_bytes(self) if connection is not None else self._body.size if self._body is not None else 0
        )

    def upstream_slow(self, slow: bool) -> None:
        """The upstream connection takes no more for now, or takes it again."""
        owner = self.stream.owner
        if not slow:
            owner.resume_reading(self.stream)
        elif not self.request_ended:
            owner.pause_reading(self.stream)


_LOOK_TICKS = ticks(0.2)
"""When a timeout is looked for that costs something to read: few answers take as long, and no caller is in a hurry for
the word that it has waited long enough."""
_NO_MIRRORS: list[Mirror] = []
_OVERLOADED = {"x-envoy-overloaded": "true"}
_OVERFLOW = "upstream connect error or disconnect/reset before headers. reset reason: overflow"
