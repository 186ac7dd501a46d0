"""Local answers as a caller of gRPC understands them, whichever codec carries them.

To such a request every answer of our own is trailers-only: status 200, and what went wrong in ``grpc-status`` and
``grpc-message``. The connection manager puts this in front of each codec's own ``local_response``.
"""

from __future__ import annotations

import attrs

from plait import Headers, ProtocolType, Request, Response
from plait.stream import grpc

_TIMEOUTS = frozenset(("response_timeout", "upstream_per_try_timeout", "request_overall_timeout"))


def with_grpc(protocol: ProtocolType) -> ProtocolType:
    """The protocol, with answers to gRPC requests in gRPC's terms."""
    plain = protocol.local_response

    def local_response(request: Request, status: int, body: bytes, details: str) -> Response:
        if not grpc.is_grpc(request.headers):
            return plain(request, status, body, details)
        return _trailers_only(plain(request, 200, b"", details), status, body, details)

    return attrs.evolve(protocol, local_response=local_response)


def _trailers_only(response: Response, status: int, body: bytes, details: str) -> Response:
    """Timeouts are DEADLINE_EXCEEDED, where Envoy says UNAVAILABLE as for any other 504."""
    code = grpc.DEADLINE_EXCEEDED if details in _TIMEOUTS else grpc.code_of_http(status)
    fields = [(b"content-type", grpc.CONTENT_TYPE), (grpc.STATUS, b"%d" % code)]
    if body:
        fields.append((grpc.MESSAGE, grpc.percent_encode(body)))
    response.headers = Headers(fields)
    return response
