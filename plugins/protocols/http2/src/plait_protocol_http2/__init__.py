"""A sans-IO HTTP/2 codec for Plait."""

from __future__ import annotations

import plait
from plait_protocol_http2.client import Http2Client
from plait_protocol_http2.options import Http2Options, local_response, sniff
from plait_protocol_http2.server import Http2Server

__all__ = ["Http2Client", "Http2Options", "Http2Server", "local_response", "sniff"]


@plait.hookimpl
def plait_protocols() -> list[plait.ProtocolType]:
    """HTTP/2: many streams on a connection, each with windows of its own."""
    return [
        plait.ProtocolType(
            "http2",
            Http2Server,
            Http2Client,
            local_response,
            plait.PoolMode.MULTIPLEXED,
            sniff,
            Http2Options,
            "h2",
            b"h2c",
        )
    ]
