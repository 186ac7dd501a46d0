"""envoy.config.core.v3.TransportSocket: of filter chains and of clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.api.config import Extension
from plait.xds import messages
from plait.xds.positions import Where

if TYPE_CHECKING:
    from plait.xds.translator import Translator

_RAW_BUFFER = "envoy.transport_sockets.raw_buffer"
_RAW_BUFFER_PROTO = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"


def transport_socket(message: Any, category: type, where: Where, translator: Translator) -> Extension | None:
    """The transport socket of a FilterChain or Cluster at ``where``; None for plain TCP, or where it was reported.

    ``raw_buffer`` says plain TCP in as many words, and needs no plugin.
    """
    if not message.HasField("transport_socket"):
        return None
    socket, at = message.transport_socket, where / "transport_socket"
    translator.only(socket, at, handled={"name", "typed_config"})
    if (messages.type_name(socket.typed_config.type_url) or socket.name) in (_RAW_BUFFER, _RAW_BUFFER_PROTO):
        return None
    made: Extension | None = None
    with translator.collect():
        made = translator.extension(category, socket.name, socket.typed_config, at / "typed_config")
    return made
