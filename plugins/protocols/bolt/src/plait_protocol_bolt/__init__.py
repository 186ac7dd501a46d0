"""A sans-IO codec for SOFABolt v1 and v2."""

from __future__ import annotations

import plait
from plait_protocol_bolt.answers import local_response
from plait_protocol_bolt.client import BoltClient
from plait_protocol_bolt.frame import BoltFrame
from plait_protocol_bolt.options import BoltOptions, sniff
from plait_protocol_bolt.server import BoltServer

__all__ = ["BoltClient", "BoltFrame", "BoltOptions", "BoltServer", "local_response", "sniff"]


@plait.hookimpl
def plait_protocols() -> list[plait.ProtocolType]:
    """SOFABolt: many requests at once on a connection."""
    return [
        plait.ProtocolType(
            "bolt",
            BoltServer,
            BoltClient,
            local_response,
            plait.PoolMode.MULTIPLEXED,
            sniff,
            BoltOptions,
        )
    ]
