"""envoy.config.listener.v3.FilterChainMatch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.api.config import FilterChainMatch
from plait.xds.positions import Where
from plait.xds.translate.values import cidr, wrapped

if TYPE_CHECKING:
    from plait.xds.translator import Translator

_HANDLED = frozenset(
    (
        "destination_port", "prefix_ranges", "source_prefix_ranges", "source_ports", "server_names",
        "transport_protocol", "application_protocols",
    )
)  # fmt: skip
_PORTS = 65_535


def filter_chain_match(message: Any, where: Where, translator: Translator) -> FilterChainMatch:
    """Which connections a chain takes."""
    translator.only(message, where, _HANDLED)
    port = wrapped(message, "destination_port", 0)
    if message.HasField("destination_port"):
        _check_port(port, where / "destination_port", translator)
    for index, source_port in enumerate(message.source_ports):
        _check_port(source_port, where / "source_ports" / index, translator)
    for index, name in enumerate(message.server_names):
        if "*" in name.removeprefix("*.") or not name:
            what = f"server name {name!r} has a wildcard inside" if name else "the server name is empty"
            at = where / "server_names" / index
            translator.report(at.error(what, expected="a name, or '*.' and the end of names"))
    return FilterChainMatch(
        destination_port=port,
        prefix_ranges=_prefixes(message.prefix_ranges, where / "prefix_ranges", translator),
        source_prefix_ranges=_prefixes(message.source_prefix_ranges, where / "source_prefix_ranges", translator),
        source_ports=tuple(message.source_ports),
        server_names=tuple(message.server_names),
        transport_protocol=message.transport_protocol,
        application_protocols=tuple(message.application_protocols),
    )


def _check_port(port: int, where: Where, translator: Translator) -> None:
    if not 1 <= port <= _PORTS:
        translator.report(where.error(f"the port is {port}", expected=f"1 to {_PORTS}"))


def _prefixes(messages: Any, where: Where, translator: Translator) -> tuple[str, ...]:
    found = []
    for index, message in enumerate(messages):
        with translator.collect():
            found.append(cidr(message, where / index))
    return tuple(found)
