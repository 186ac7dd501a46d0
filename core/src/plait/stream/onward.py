"""A stream's request on its way upstream: attempts, timeouts, retries, and the response's way back.

``OnwardStream`` adds the upstream half to a stream; the downstream half, ``plait.stream.exchange``, calls it by the
names that are declared there. It picks a host, gets a connection from the pool, sends the request and passes the
response back; where that fails before the response began, the retry rule (``plait.stream.retries``) says whether to try
again. A request whose body is still coming is kept for a retry up to the buffer limit.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from plait.api.errors import LocalProtocolError
from plait.api.headers import Headers
from plait.api.message import Request, Response
from plait.api.stream import STOP, Verdict
from plait.stream.agreeing import agreed_pool
from plait.stream.exchange import NEVER, ServerStream
from plait.stream.pool import Pool, pool_of
from plait.stream.retries import Tries
from plait.upstream.cluster import BY_ALPN, Cluster, ConnectionPool, Host

if TYPE_CHECKING:
    from plait.stream.client import ClientConnection
    from plait.stream.forward import ForwardOptions
    from plait.stream.mirror import Mirror

_now = time.monotonic

VIA_UPSTREAM = "via_upstream"
"""The details of a stream whose response is its upstream's."""

_OVERLOADED = {"x-envoy-overloaded": "true"}
_OVERFLOW = "upstream connect error or disconnect/reset before headers. reset reason: overflow"

_LOOK_S = 0.2
"""When a timeout is looked for that costs something to read: few answers take as long, and no caller is in a hurry for
the word that it has waited long enough."""


class _Body:
    """A request's body while it comes: what no connection has taken yet, or all of it while a retry may need it."""

    __slots__ = ("kept", "mirrors", "pieces", "size", "trailers")

    def __init__(self, kept: bool, mirrors: Sequence[Mirror]) -> None:
        self.kept = kept  # for a retry
        self.mirrors = mirrors  # they get the pieces too
        self.pieces: list[bytes] = []
        self.size = 0
        self.trailers: Headers | None = None


class OnwardStream(ServerStream):
    """A stream of a ``ServerConnection``, and its way upstream over all attempts from ``go_onward`` on."""

    __slots__ = (
        "_body",
        "_paused",
        "_tries",
        "cluster",
        "host",
        "options",
        "queued",
        "request_sent",
        "sent_at",
        "upstream",
        "upstream_id",
    )
    # These are there once the request is forwarded.
    cluster: Cluster
    options: ForwardOptions
    upstream: ClientConnection | None  # the connection of this attempt
    upstream_id: int  # of the stream there
    host: Host  # of the last attempt
    sent_at: float
    queued: Pool | None  # where it waits for a connection
    request_sent: bool  # its last byte has gone to the upstream, or is kept for it
    _paused: bool
    _body: _Body | None  # of a request that did not come in one piece
    _tries: Tries | None  # what a retry policy has to remember

    def go_onward(self, cluster: Cluster, options: ForwardOptions) -> Verdict:
        """Send the request to a host of ``cluster`` and the response back; returns STOP."""
        mirrors = options.mirror(self) if options.mirrors else ()
        self.upstream_cluster = cluster.name
        if cluster.requests_active >= cluster.max_requests:
            cluster.stats.rq_pending_overflow.value += 1
            return self.reply(503, _OVERFLOW, details="overflow", flag="UO", headers=_OVERLOADED)
        cluster.requests_active += 1
        self.forwarded = True
        self.cluster = cluster
        self.options = options
        self.upstream = None
        self.queued = None
        self._paused = False
        self.attempts = 1
        request, retry = self.request, options.retry
        self._tries = Tries(retry, cluster) if retry else None
        now = self.touched or self.started if self.waiting is None else _now()  # as good as now, unless somebody waited
        if request.end:
            self.request_sent = True
            self._body = None
            self.start_clock(now)
        else:
            self.request_sent = False
            self._body = _Body(retry is not None, mirrors)  # they get a copy of what is still to come
            if request.timeout_s:
                self.start_clock(now)
        self.attempt(now)
        return STOP

    def attempt(self, now: float) -> None:
        """Pick a host and send it the request when a connection is there."""
        cluster, tries = self.cluster, self._tries
        host = cluster.pick() if tries is None else cluster.pick_other(tries.tried)
        if host is None:
            self._fail(503, "no healthy upstream", "UH", "no_healthy_upstream")
            return
        self.host = host
        host.requests += 1
        cluster.stats.rq_total.value += 1
        owner = self.owner
        spoken = cluster.protocol or (owner.protocol.name if cluster.follows_caller else owner.proxy.upstream_name)
        pool = host.pools.get(spoken)
        if pool is None:
            pool = self._new_pool(host)
        connection = pool.take(self)  # type: ignore[attr-defined]  # only plait.stream.pool fills Host.pools
        if connection is not None and not self.connected(connection, now):
            pool.done(connection)  # type: ignore[attr-defined]

    def _new_pool(self, host: Host) -> ConnectionPool:
        owner, cluster = self.owner, self.cluster
        context = owner.proxy.context
        if cluster.protocol == BY_ALPN:
            return agreed_pool(host, [context.protocol(name) for name in cluster.config.protocol_choices], context)
        spoken = owner.protocol if cluster.follows_caller else owner.proxy.upstream_protocol(cluster)
        return pool_of(host, spoken, context)

    def connected(self, connection: ClientConnection, now: float) -> bool:
        """A connection is ours for this request; False when the request could not be sent and it is free again."""
        self.upstream = self.reached = connection
        connection.host.active += 1
        request = self.request
        if self.options.shapes:
            self._shape(request, connection.host)
        self.sent_at = now
        if self._tries is not None:
            self._time_try(self._tries)
        codec = connection.codec
        id = self.upstream_id = codec.next_id()
        try:
            frame = codec.encode_request(request, id)
        except LocalProtocolError as error:
            connection.cannot_send(self, error)
            return False
        connection.streams[id] = self
        connection.requests += 1
        connection.write(frame)
        if connection.flow_controlled:
            connection.check_window(self)
        body, owner = self._body, self.owner
        if body is not None:
            self._send_body(body)
        elif request.oneway:
            self._sent(connection)
            return True
        if connection.write_paused:
            owner.pause_reading(self)
        if owner.write_paused and self.upstream is not None:
            self.pause_upstream()
        return True

    def _time_try(self, tries: Tries) -> None:
        limit_s = tries.rule.per_try_timeout_s
        if limit_s:
            tries.per_try = self.owner.proxy.context.call_later(limit_s, self._try_timed_out)

    def _shape(self, request: Request, host: Host) -> None:
        """What of the request depends on the host, the attempt or the route's own clock."""
        if self.options.idle_timeout_s:
            owner = self.owner
            owner.proxy.look_within(owner, self.options.idle_timeout_s)
        if self.options.auto_host_rewrite and host.endpoint.hostname:
            request.raw_authority = host.endpoint.hostname.encode()
            request.headers.changed = True
        if self.options.attempt_header:
            request.headers.put(b"x-envoy-attempt-count", str(self.attempts).encode())

    def _send_body(self, body: _Body) -> None:
        """Send what came before this connection was there: on a retry that is all there is."""
        connection = self.upstream
        if connection is None:
            return
        data = b"".join(body.pieces)
        if not body.kept:
            body.pieces.clear()
        last = self.request_sent and body.trailers is None
        if data or last:
            connection.send_data(self, data, last)
        if body.trailers is not None:
            connection.send_trailers(self, body.trailers)
        if self.request_sent and self.request.oneway:
            self._sent(connection)
            return
        if not connection.full(self):
            self.owner.resume_reading(self)

    def send_up(self, data: bytes, end: bool) -> None:
        if end:
            self._body_ended()
        connection, body = self.upstream, self._body
        if body is not None:
            for mirror in body.mirrors:
                mirror.copy_data(data, end)
            if body.kept or connection is None:
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
            self.owner.pause_reading(self)

    def send_trailers_up(self, trailers: Headers) -> None:
        self._body_ended()
        body = self._body
        if body is not None:
            for mirror in body.mirrors:
                mirror.copy_trailers(trailers)
            body.trailers = trailers
        if self.upstream is not None:
            self.upstream.send_trailers(self, trailers)
            if self.request.oneway:
                self._sent(self.upstream)

    def _sent(self, connection: ClientConnection) -> None:
        """A request that gets no response is on its way, and nothing else will be heard of it."""
        if self.upstream is not connection:  # it could not be sent
            return
        self.upstream_over(_now())
        connection.sent(self)
        self.end()

    def _body_ended(self) -> None:
        self.request_sent = True
        if self.forwarded and not self.replied:
            self.start_clock(_now())

    def start_clock(self, now: float) -> None:
        """The route's timeout runs from the end of the request on, the caller's own from its beginning."""
        deadline = now + self.options.limit_s if self.request_sent else NEVER
        wanted_s = self.request.timeout_s
        if wanted_s:
            wanted = self.started + wanted_s if wanted_s > 0 else now + _LOOK_S
            if wanted < deadline:
                deadline = wanted
        self.deadline = deadline
        owner = self.owner
        if deadline < owner.look_at:
            owner.proxy.look_by(owner, deadline)

    # the way back

    def on_response(self, response: Response, now: float) -> None:
        """The head of the response (with its body, if ``end``), which came at ``now``."""
        status = response.status
        if self._tries is not None and self._tries_again(self._tries, response):
            return
        self.cluster.stats.codes[status].value += 1
        if response.end:
            self.upstream_over(now)
        if not self.details:
            self.details = VIA_UPSTREAM
        if not self.replied:
            self.respond(response, now)

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
        self.send_interim(status, headers)

    def on_data(self, data: bytes, end: bool) -> None:
        """A piece of the response's body."""
        if end:
            self.upstream_over(_now())
        self.send_data(data, end)

    def on_trailers(self, trailers: Headers) -> None:
        """Trailers; they end the response."""
        self.upstream_over(_now())
        self.send_trailers(trailers)

    def on_failure(
        self, reason: str, flag: str, details: str, refused: bool = False, status: int = 503, failure: str = ""
    ) -> None:
        """This attempt is lost: the connection could not be had, or broke, or the upstream reset the stream.

        ``reason`` is for the caller; ``failure``, what the transport said, for the log alone.
        """
        self._leave_connection()
        if not self.forwarded:
            return
        if self.replied:
            self.upstream_over()
            if self.begun:
                details = details.replace("before_response", "after_response")
            self.reply(status, reason, details=details, flag=flag)
            return
        self.host.failures += 1
        self.upstream_failure = failure
        tries = self._tries
        if tries is not None and tries.rule.on_failure(flag, refused) and self._may_retry(tries):
            self._retry(tries)
            return
        if tries is not None and tries.count:
            reason = reason.replace("headers. reset", "headers. retried and the latest reset")
        self._fail(status, reason, flag, details)

    def _fail(self, status: int, reason: str, flag: str, details: str) -> None:
        self.cluster.stats.codes[status].value += 1
        self.upstream_over()
        headers = _OVERLOADED if flag == "UO" else None
        self.reply(status, reason, details=details, flag=flag, headers=headers)

    # retries

    def _may_retry(self, tries: Tries) -> bool:
        if self.replied or (self._body is not None and not self._body.kept):
            return False
        return tries.allowed(self)

    def _retry(self, tries: Tries) -> None:
        tries.add(self.host)
        connection = self.upstream
        if connection is not None:
            self._leave_connection()
            connection.abandon(self, "retry")
        later = self.owner.proxy.context.call_later
        tries.back_off = later(tries.rule.back_off_s(tries.count), self._try_again)

    def _try_again(self) -> None:
        if self._tries is not None:
            self._tries.back_off = None
        if self.forwarded:
            self.owner.resume_reading(self)  # the last connection may have been slow
            self.attempts += 1
            self.attempt(_now())

    # ends and clocks

    def expire(self) -> None:
        """The route's timeout, or the caller's."""
        if not self.forwarded or (self.request.timeout_s < 0 and self._waits_on()):
            return
        self.cluster.stats.rq_timeout.value += 1
        connection = self.upstream
        self._leave_connection()
        if connection is not None:
            connection.abandon(self, "timeout")
            self.cluster.stats.rq_tx_reset.value += 1
        if self.replied:
            self.upstream_over()
            self.reply(504, "upstream request timeout", details="response_timeout", flag="UT")
        else:
            self._fail(504, "upstream request timeout", "UT", "response_timeout")

    def _waits_on(self) -> bool:
        """Look what the caller's timeout is, now that the answer takes its time, and wait for what is left of it."""
        if self.request_sent and self.options.limit_s <= _LOOK_S:
            return False
        began = self.deadline - _LOOK_S
        self.request.caller_timeout_s()
        self.start_clock(began)
        return True

    def _try_timed_out(self) -> None:
        if self._tries is not None:
            self._tries.per_try = None
        if not self.forwarded or self.replied:
            return
        self.cluster.stats.rq_per_try_timeout.value += 1
        connection = self.upstream
        if connection is not None:
            self._leave_connection()
            connection.abandon(self, "per_try_timeout")
            self.on_failure("upstream request timeout", "UT", "upstream_per_try_timeout", status=504)

    def cancel_upstream(self, reason: str) -> None:
        if not self.forwarded:
            return
        stats = self.cluster.stats
        connection = self.upstream
        self.upstream_over()
        if connection is not None:
            connection.abandon(self, reason)
            stats.rq_tx_reset.value += 1
        else:
            stats.rq_cancelled.value += 1

    def _leave_connection(self) -> None:
        connection = self.upstream
        if connection is not None:
            if self._paused:
                self._paused = False
                connection.resume_stream(self)
            self.upstream = None
            connection.host.active -= 1
            tries = self._tries
            if tries is not None and tries.per_try is not None:
                tries.per_try.cancel()
                tries.per_try = None

    def upstream_over(self, completed: float = 0.0) -> None:
        """Everything is said (when ``completed`` is given), or nothing will be: give back what the request holds."""
        self.forwarded = False
        cluster = self.cluster
        cluster.requests_active -= 1
        connection = self.upstream
        if connection is not None and not self._paused and self._tries is None:
            self.upstream = None
            connection.host.active -= 1
        else:
            if connection is not None:
                self._leave_connection()
            elif self.queued is not None:
                self.queued.forget(self)
            if self._tries is not None:
                self._tries.end()
        if not self.request_sent and self._body is not None:
            for mirror in self._body.mirrors:
                mirror.give_up()  # the rest of the request will not come
        if completed:
            cluster.stats.took((completed - self.sent_at) * 1000)

    # back-pressure

    def pause_upstream(self) -> None:
        if not self._paused and self.upstream is not None:
            self._paused = True
            self.upstream.pause_stream(self)

    def resume_upstream(self) -> None:
        if self._paused:
            self._paused = False
            if self.upstream is not None:
                self.upstream.resume_stream(self)

    def upstream_idle_timeout_s(self, default_s: float) -> float:
        own_s = self.options.idle_timeout_s
        return default_s if own_s is None else own_s

    def upstream_full(self) -> bool:
        connection = self.upstream
        if connection is not None:
            return connection.full(self)
        return self._body is not None and self._body.size > self.options.buffer_limit_bytes

    def held_bytes(self) -> int:
        """How much of the request, and of the others on its connection, waits to be written."""
        if self.upstream is not None:
            return self.upstream.held_bytes(self)
        return 0 if self._body is None else self._body.size

    def upstream_slow(self, slow: bool) -> None:
        """The upstream connection takes no more for now, or takes it again."""
        owner = self.owner
        if not slow:
            owner.resume_reading(self)
        elif not self.request_sent:
            owner.pause_reading(self)
