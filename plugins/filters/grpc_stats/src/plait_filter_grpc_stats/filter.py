"""The filter: counts calls and messages under ``cluster.<cluster>.grpc.``.

Which cluster a call goes to is known once the router has sent it there; what came before that is counted then. Names
are made of what callers send, so only methods that the settings allow have statistics of their own.
"""

from __future__ import annotations

import time

from plait import CONTINUE, Context, Headers, Request, Stats, Stream, StreamFilter, Verdict
from plait.stream import grpc
from plait_filter_grpc_stats.counting import MessageCounter
from plait_filter_grpc_stats.settings import NAME, GrpcStatsSettings

_CALL = "plait.grpc_stats.call"


class _Call:
    """One call under way."""

    __slots__ = ("answered", "charged_requests", "charged_responses", "method", "requests", "responses", "told")

    def __init__(self, method: str) -> None:
        self.method = method  # ``service.method.``, or empty where it has no statistics of its own
        self.requests = MessageCounter()
        self.responses = MessageCounter()
        self.charged_requests = 0
        self.charged_responses = 0
        self.answered = False  # in gRPC
        self.told = False  # how it ended


class GrpcStatsFilter(StreamFilter):
    """One per chain and worker."""

    def __init__(self, settings: GrpcStatsSettings, context: Context) -> None:
        self._stats: Stats = context.stats
        self._settings = settings
        self._allowed = settings.allowlist

    def on_request(self, stream: Stream) -> Verdict:
        """Note which method is called."""
        if grpc.is_grpc(stream.request.headers):
            stream.attributes[_CALL] = _Call(self._method(stream.request))
        return CONTINUE

    def on_request_data(self, stream: Stream, data: bytes, end: bool) -> bytes:
        """Count messages."""
        call = self._of(stream)
        if call is not None and call.requests.feed(data):
            self._charge(stream, call)
        return data

    def on_response(self, stream: Stream) -> Verdict:
        """Count what came before the cluster was known, and a response that is trailers-only."""
        call = self._of(stream)
        if call is not None:
            self._charge(stream, call)
            response = stream.response
            assert response is not None
            call.answered = grpc.is_grpc(response.headers)
            self._tell(stream, call, response.headers)
        return CONTINUE

    def on_response_data(self, stream: Stream, data: bytes, end: bool) -> bytes:
        """Count messages."""
        call = self._of(stream)
        if call is not None and call.answered and call.responses.feed(data):
            self._charge(stream, call)
        return data

    def on_response_trailers(self, stream: Stream) -> None:
        """Count the outcome."""
        call = self._of(stream)
        response = stream.response
        if call is not None and response is not None and response.trailers is not None:
            self._tell(stream, call, response.trailers)

    def on_end(self, stream: Stream) -> None:
        """Count what no later piece has counted."""
        call = self._of(stream)
        if call is not None:
            self._charge(stream, call)

    def _of(self, stream: Stream) -> _Call | None:
        found = stream.attributes.get(_CALL)
        return found if isinstance(found, _Call) else None

    def _method(self, request: Request) -> str:
        parts = request.path.partition("?")[0].split("/")
        if len(parts) != 3 or parts[0] or not parts[1] or not parts[2]:
            return ""
        _, service, method = parts
        if not self._settings.all_methods and (self._allowed is None or (service, method) not in self._allowed):
            return ""
        if self._settings.replace_dots:
            service = service.replace(".", "_")
        return f"{service}.{method}."

    def _name(self, stream: Stream, call: _Call) -> str:
        return f"cluster.{stream.upstream_cluster}.grpc.{call.method}"

    def _charge(self, stream: Stream, call: _Call) -> None:
        if self._settings.emit_filter_state:
            stream.attributes[NAME] = {
                "request_message_count": call.requests.count,
                "response_message_count": call.responses.count,
            }
        if not stream.upstream_cluster:
            return
        name, counter = self._name(stream, call), self._stats.counter
        new = call.requests.count - call.charged_requests
        if new:
            call.charged_requests += new
            counter(f"{name}request_message_count").value += new
        new = call.responses.count - call.charged_responses
        if new:
            call.charged_responses += new
            counter(f"{name}response_message_count").value += new

    def _tell(self, stream: Stream, call: _Call, headers: Headers) -> None:
        status = grpc.status_in(headers)
        if status is None or call.told or not stream.upstream_cluster:
            return
        call.told = True
        name, counter = self._name(stream, call), self._stats.counter
        if status < 17:  # others are nobody's, and as many as a peer likes
            counter(f"{name}{status}").value += 1
        counter(f"{name}{'failure' if status else 'success'}").value += 1
        counter(f"{name}total").value += 1
        if self._settings.upstream_stats and stream.upstream_host and stream.request_ended:
            took_ms = (time.monotonic() - stream.request_ended) * 1000
            self._stats.histogram(f"{name}upstream_rq_time").values.append(took_ms)
