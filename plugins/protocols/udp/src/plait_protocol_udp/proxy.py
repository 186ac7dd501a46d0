"""udp_proxy at work: the datagrams of a listener, sorted into sessions.

A session belongs to a downstream address (with ``per_packet``: and a host). It lasts until nothing came either way for
the idle timeout, its host left the cluster or refused a datagram, or the listener goes. There are at most as many as
the cluster's ``max_connections``; a datagram that would need one more is dropped and counted.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from typing import Any, cast

import asyncio_dgram

from plait import Context, Timer, UdpFilter
from plait.upstream import Cluster, Host
from plait_protocol_udp.session import Session, errors_of
from plait_protocol_udp.settings import UdpProxySettings
from plait_protocol_udp.stats import DownstreamStats, UpstreamStats

_log = logging.getLogger("plait.protocol.udp")

REPLY_LIMIT_DATAGRAMS = 1024
LOOK_LONGEST_S = 1.0


class UdpProxy(UdpFilter):
    """The filter of one UDP listener."""

    local: Any = ""
    _stream: asyncio_dgram.DatagramServer | None = None
    _timer: Timer | None = None
    _closed: bool = False
    _upstream: tuple[Cluster, UpstreamStats] | None = None

    def __init__(self, settings: UdpProxySettings, context: Context) -> None:
        self.settings = settings
        self.context = context
        self.stats = DownstreamStats(context.stats, settings.stat_prefix)
        self.access_logs = tuple(context.build("telemetry", extension) for extension in settings.access_log)
        self._sessions: dict[Any, Session] = {}
        self._replies: asyncio.Queue[tuple[bytes, Any]] = asyncio.Queue(REPLY_LIMIT_DATAGRAMS)
        self._look_s = min(max(settings.idle_timeout_s / 4, 0.05), LOOK_LONGEST_S)

    async def serve(self, sock: socket.socket) -> None:
        """Take datagrams from ``sock`` until cancelled; its sessions end then."""
        stream = cast("asyncio_dgram.DatagramServer", await asyncio_dgram.from_socket(sock))
        self._stream = stream
        self.local = stream.sockname
        sender = self.context.spawn(self._send(stream), "udp_proxy replies")
        stats = self.stats
        try:
            while True:
                try:
                    data, peer = await stream.recv()
                except OSError:  # of a reply: a socket that is not connected learns nothing of its peers
                    stats.tx_errors.value += 1
                    continue
                stats.rx_datagrams.value += 1
                stats.rx_bytes.value += len(data)
                self.forward(data, peer)
        except asyncio_dgram.TransportClosed:
            _log.error("the socket of UDP listener %s was closed; it serves no more", self.local)
        finally:
            sender.cancel()
            stream.close()
            self._end_sessions()

    def forward(self, data: bytes, peer: Any) -> None:
        """Give a datagram from ``peer`` to its session, or to a new one."""
        if self._closed:
            return
        cluster: Cluster | None = self.context.cluster(self.settings.cluster)
        if cluster is None:
            self.stats.no_route.value += 1
            return
        session = self._balanced(cluster, peer) if self.settings.per_packet else self._sticky(cluster, peer)
        if session is not None:
            session.send(data)

    def reply(self, data: bytes, peer: Any) -> None:
        """A datagram of a session's host, for its downstream."""
        try:
            self._replies.put_nowait((data, peer))
        except asyncio.QueueFull:
            self.stats.tx_errors.value += 1

    def ended(self, session: Session) -> None:
        """A session is over."""
        self._sessions.pop(session.key, None)
        self.stats.active.value -= 1
        for log in self.access_logs:
            log.record_connection(session.connection)

    def close(self) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._end_sessions()
        for log in self.access_logs:
            log.close()

    # sessions

    def _sticky(self, cluster: Cluster, peer: Any) -> Session | None:
        session = self._sessions.get(peer)
        if session is not None:
            hosts = cluster.hosts
            if session.hosts is hosts:
                return session
            if session.host in hosts and session.host.healthy:
                session.hosts = hosts
                return session
            session.end("upstream_host_removed")
        return self._start(cluster, peer, peer, cluster.pick)

    def _balanced(self, cluster: Cluster, peer: Any) -> Session | None:
        host = cluster.pick()
        if host is None:
            return None
        key = (peer, host)
        return self._sessions.get(key) or self._start(cluster, key, peer, lambda: host)

    def _start(self, cluster: Cluster, key: Any, peer: Any, pick: Any) -> Session | None:
        if cluster.connections >= cluster.max_connections:
            cluster.stats.cx_overflow.value += 1
            return None
        host: Host | None = pick()
        if host is None:
            return None
        session = self._sessions[key] = Session(self, key, peer, host, self._stats_of(cluster))
        self.stats.total.value += 1
        self.stats.active.value += 1
        session.start()
        if self._timer is None:
            self._timer = self.context.call_later(self._look_s, self._look)
        return session

    def _stats_of(self, cluster: Cluster) -> UpstreamStats:
        if self._upstream is None or self._upstream[0] is not cluster:
            name = cluster.config.alt_stat_name or cluster.name
            self._upstream = cluster, UpstreamStats(self.context.stats, name)
        return self._upstream[1]

    def _look(self) -> None:
        """The clock of all sessions; it runs while there are any."""
        self._count_errors()
        now = time.monotonic()
        cluster: Cluster | None = self.context.cluster(self.settings.cluster)
        for session in tuple(self._sessions.values()):
            if cluster is None or session.host not in cluster.hosts:
                session.end("upstream_host_removed")
            else:
                session.look(now)
        self._timer = self.context.call_later(self._look_s, self._look) if self._sessions else None

    def _end_sessions(self) -> None:
        for session in tuple(self._sessions.values()):
            session.end("listener_closed")

    # the listener's socket

    async def _send(self, stream: asyncio_dgram.DatagramServer) -> None:
        stats = self.stats
        while True:
            data, peer = await self._replies.get()
            if not data:  # asyncio sends no empty datagrams
                stats.tx_errors.value += 1
                continue
            self._count_errors()  # ``send`` would raise them, and not send
            try:
                await stream.send(data, peer)
            except asyncio_dgram.TransportClosed:
                return
            if not self._count_errors():
                stats.tx_datagrams.value += 1
                stats.tx_bytes.value += len(data)

    def _count_errors(self) -> int:
        """Count errors of replies. On uvloop they come a turn late, which is why ``_look`` looks too."""
        failed = len(errors_of(self._stream)) if self._stream is not None else 0
        self.stats.tx_errors.value += failed
        return failed
