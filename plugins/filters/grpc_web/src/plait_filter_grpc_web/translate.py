"""From Envoy's GrpcWeb, which has no fields. Imported where configuration is read, never in a worker."""

from __future__ import annotations

from typing import Any

from plait.xds import Translator, Where
from plait_filter_grpc_web.filter import GrpcWebSettings


def grpc_web(message: Any, where: Where, translator: Translator) -> GrpcWebSettings:
    """The settings, which say nothing."""
    return GrpcWebSettings()
