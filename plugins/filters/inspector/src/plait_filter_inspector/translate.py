"""From Envoy's messages, and from the mapping of our own inspector, to the settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plait.plugins import structure
from plait.xds import Translator, Where, wrapped
from plait_filter_inspector import plait_filters
from plait_filter_inspector.settings import MAX_CLIENT_HELLO_BYTES, HttpInspection, ProtocolInspection, TlsInspection

_SMALLEST = 256


def tls_inspection(message: Any, where: Where, translator: Translator) -> TlsInspection:
    """Of an envoy…tls_inspector.v3.TlsInspector."""
    handled = {"max_client_hello_size", "close_connection_on_client_hello_parsing_errors"}
    translator.only(message, where, handled, {"initial_read_buffer_size": "the event loop reads as much as there is"})
    limit = wrapped(message, "max_client_hello_size", MAX_CLIENT_HELLO_BYTES)
    if not _SMALLEST <= limit <= MAX_CLIENT_HELLO_BYTES:
        at = where / "max_client_hello_size"
        expected = f"{_SMALLEST} to {MAX_CLIENT_HELLO_BYTES}"
        translator.report(at.error(f"max_client_hello_size is {limit}", expected=expected))
    return TlsInspection(limit, message.close_connection_on_client_hello_parsing_errors)


def http_inspection(message: Any, where: Where, translator: Translator) -> HttpInspection:
    """Of an envoy…http_inspector.v3.HttpInspector, which has no fields."""
    translator.only(message, where, ())
    return HttpInspection()


def protocol_inspection(mapping: Mapping[str, Any], where: Where, translator: Translator) -> ProtocolInspection:
    """Of a TypedStruct; each protocol that it names is there."""
    registered = next(one for one in plait_filters() if one.settings is ProtocolInspection)
    made: ProtocolInspection = structure(registered, mapping)
    for index, name in enumerate(made.protocols):
        with translator.collect():
            translator.protocol(name, where / "protocols" / index)
    return made
