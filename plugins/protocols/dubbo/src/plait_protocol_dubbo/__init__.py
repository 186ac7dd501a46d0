"""A sans-IO codec of the Dubbo 2 wire protocol."""

from __future__ import annotations

import plait
from plait_protocol_dubbo.call import DubboCall, DubboResult
from plait_protocol_dubbo.client import DubboClient
from plait_protocol_dubbo.dubbo_proxy import DUBBO_PROXY
from plait_protocol_dubbo.local import local_response
from plait_protocol_dubbo.options import DubboOptions, sniff
from plait_protocol_dubbo.server import DubboServer
from plait_protocol_dubbo.whole import read_whole

__all__ = [
    "DubboCall",
    "DubboClient",
    "DubboOptions",
    "DubboResult",
    "DubboServer",
    "local_response",
    "read_whole",
    "sniff",
]


@plait.hookimpl
def plait_protocols() -> list[plait.ProtocolType | plait.NetworkFilterType]:
    """Dubbo 2: many calls at once on a connection; and dubbo_proxy."""
    return [
        plait.ProtocolType(
            "dubbo",
            DubboServer,
            DubboClient,
            local_response,
            plait.PoolMode.MULTIPLEXED,
            sniff,
            DubboOptions,
        ),
        DUBBO_PROXY,
    ]
