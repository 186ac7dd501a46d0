"""A strict sans-IO HTTP/1.1 codec for Plait."""

from __future__ import annotations

import plait
from plait_protocol_http1.client import Http1Client
from plait_protocol_http1.options import Http1Options, expects_continue, local_response, sniff
from plait_protocol_http1.server import Http1Server

__all__ = ["Http1Client", "Http1Options", "Http1Server", "expects_continue", "local_response", "sniff"]


@plait.hookimpl
def plait_protocols() -> list[plait.ProtocolType]:
    """HTTP/1.1: one exchange after the other on a connection."""
    return [
        plait.ProtocolType(
            "http1",
            Http1Server,
            Http1Client,
            local_response,
            plait.PoolMode.ONE_AT_A_TIME,
            sniff,
            Http1Options,
            "http/1.1",
        )
    ]
