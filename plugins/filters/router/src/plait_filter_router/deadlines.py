"""How long a caller of gRPC waits (``grpc-timeout``), where its route lets it say so.

``max_stream_duration.grpc_timeout_header_max`` makes it the limit of the whole stream, beside the route's timeout. The
older ``max_grpc_timeout`` puts it in the place of the route's timeout, and the upstream is told what became of it.
Without either the header is passed on and means nothing here: the caller keeps its own deadline.
"""

from __future__ import annotations

import attrs

from plait.api import ForwardAction, Request
from plait.stream import grpc


def limited(action: ForwardAction, request: Request) -> ForwardAction:
    """``action`` with the timeout that the request asks for; the limit of the whole stream goes into the request."""
    asked_s = grpc.timeout_s(request.headers)
    most_s = action.grpc_timeout_header_max_s
    if most_s is not None and asked_s:
        request.timeout_s = _below(min(asked_s, most_s) if most_s else asked_s, action.grpc_timeout_header_offset_s)
    most_s = action.max_grpc_timeout_s
    if most_s is None or not grpc.is_grpc(request.headers):
        return action
    wanted_s = _below(asked_s or 0.0, action.grpc_timeout_offset_s)
    if most_s and not 0 < wanted_s <= most_s:
        wanted_s = most_s
    return attrs.evolve(action, timeout_s=wanted_s)


def _below(limit_s: float, offset_s: float) -> float:
    """An offset that would leave nothing is not taken off: 0 would be no limit at all."""
    return limit_s - offset_s if offset_s < limit_s else limit_s
