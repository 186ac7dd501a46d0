"""The filter: the status of a call moves from the trailers to the head, where clients of HTTP/1.1 can see it.

For that the whole response is waited for: this is for unary calls. What such a call failed with is a 503 whose head has
``grpc-status`` and ``grpc-message``. Requests with bare protobuf can be framed on their way, and their responses
unframed::

    offset  size  what ("gRPC over HTTP2", Length-Prefixed-Message)
    0       1     whether the message is compressed: 0
    1       4     its length, big-endian
    5       …     the message
"""

from __future__ import annotations

from collections.abc import Awaitable

import attrs

from plait import CONTINUE, Context, Response, Stream, StreamFilter, Verdict
from plait.stream import grpc

NAME = "envoy.filters.http.grpc_http1_bridge"

LIMIT_BYTES = 1 << 20
"""How long a response, or a request that is to be framed, may be: Envoy's default for buffers."""

_PROTOBUF = b"application/x-protobuf"
_FRAMED = "plait.grpc_http1_bridge.framed"
_BRIDGED = "plait.grpc_http1_bridge.bridged"
_PREFIX_BYTES = 5


@attrs.frozen
class BridgeSettings:
    """envoy.extensions.filters.http.grpc_http1_bridge.v3.Config."""

    upgrade_protobuf_to_grpc: bool = False
    ignore_query_parameters: bool = False


class GrpcHttp1Bridge(StreamFilter):
    """One per chain and worker."""

    def __init__(self, settings: BridgeSettings, context: Context) -> None:
        self._upgrades = settings.upgrade_protobuf_to_grpc
        self._drops_query = settings.ignore_query_parameters

    # the way in

    def on_request(self, stream: Stream) -> Verdict | Awaitable[Verdict]:
        """Note whose trailers nobody would see; frame bare protobuf."""
        request = stream.request
        headers = request.headers
        if self._upgrades and headers.find(b"content-type") == _PROTOBUF:
            return self._frame(stream)
        if grpc.is_grpc(headers) and request.protocol.startswith("HTTP/1"):
            stream.attributes[_BRIDGED] = True
            headers.put(b"te", b"trailers")  # as every call of gRPC says; gRPC's own servers reset those that do not
        return CONTINUE

    async def _frame(self, stream: Stream) -> Verdict:
        request = stream.request
        body = await stream.request_body(LIMIT_BYTES)
        stream.attributes[_BRIDGED] = stream.attributes[_FRAMED] = True
        headers = request.headers
        headers.put(b"content-type", grpc.CONTENT_TYPE)
        headers.put(b"te", b"trailers")
        headers.delete(b"content-length")
        headers.changed = True
        request.body = b"\0" + len(body).to_bytes(4, "big") + body
        path, mark, _ = request.raw_path.partition(b"?")
        if mark and self._drops_query:
            request.raw_path = path
            stream.clear_route()
        return CONTINUE

    # the way back

    def on_response(self, stream: Stream) -> Verdict | Awaitable[Verdict]:
        """Wait for the trailers, unless the head says all there is."""
        response = stream.response
        if response is None or stream.attributes.get(_BRIDGED) is None:
            return CONTINUE
        if response.end:
            self._bridge(stream, response)
            return CONTINUE
        return self._gather(stream, response)

    async def _gather(self, stream: Stream, response: Response) -> Verdict:
        await stream.response_body(LIMIT_BYTES)
        self._bridge(stream, response)
        return CONTINUE

    def _bridge(self, stream: Stream, response: Response) -> None:
        headers = response.headers
        is_grpc = grpc.is_grpc(headers)
        if is_grpc:
            code = grpc.status_of(response)
            for name in (grpc.STATUS, grpc.MESSAGE):
                value = None if response.trailers is None else response.trailers.find(name)
                if value is not None:
                    headers.put(name, value)
            if code is None:  # what has no status failed, whatever it looks like
                code = grpc.UNKNOWN
                headers.put(grpc.STATUS, b"%d" % code)
            if code != grpc.OK:
                response.status = 503
            response.trailers = None
        if stream.attributes.get(_FRAMED) is not None and is_grpc:
            headers.put(b"content-type", _PROTOBUF)
            response.body = _unframed(response.body)
        headers.put(b"content-length", b"%d" % len(response.body))


def _unframed(body: bytes) -> bytes:
    """The message of a body with one; empty where there is none."""
    return body[_PREFIX_BYTES:] if len(body) >= _PREFIX_BYTES else b""
