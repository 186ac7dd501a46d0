"""From Envoy's Config to the settings. Imported where configuration is read, never in a worker."""

from __future__ import annotations

from typing import Any

from plait.xds import Translator, Where
from plait_filter_grpc_http1_bridge.filter import BridgeSettings


def bridge(message: Any, where: Where, translator: Translator) -> BridgeSettings:
    """Settings of the filter."""
    return BridgeSettings(message.upgrade_protobuf_to_grpc, message.ignore_query_parameters)
