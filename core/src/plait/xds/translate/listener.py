"""envoy.config.listener.v3.Listener."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from plait.api.config import Address, Extension, FilterChain, FilterChainMatch, Listener
from plait.api.extension import DownstreamTransportSocketType, ListenerFilterType, NetworkFilterType, UdpFilterType
from plait.xds.positions import Where
from plait.xds.translate.address import address
from plait.xds.translate.chain import check_terminal
from plait.xds.translate.chain_match import filter_chain_match
from plait.xds.translate.transport_socket import transport_socket
from plait.xds.translate.values import duration_s, enum_name, wrapped

if TYPE_CHECKING:
    from plait.xds.translator import Translator

_HANDLED = frozenset(
    (
        "name", "address", "stat_prefix", "filter_chains", "default_filter_chain", "per_connection_buffer_limit_bytes",
        "listener_filters", "listener_filters_timeout", "continue_on_listener_filters_timeout", "traffic_direction",
        "access_log", "tcp_backlog_size", "bind_to_port", "enable_reuse_port", "reuse_port", "udp_listener_config",
    )
)  # fmt: skip
_NO_EFFECT = {
    "metadata": "nothing reads it",
    "drain_type": "a listener drains when it is changed, removed or the process ends",
    "connection_balance_config": "the kernel spreads connections over the workers",
    "max_connections_to_accept_per_socket_event": "the event loop decides",
    "ignore_global_conn_limit": "there is no such limit",
    "bypass_overload_manager": "there is no overload manager yet",
}
_TERMINAL = "envoy.filters.network.tcp_proxy"


def listener(message: Any, where: Where, translator: Translator) -> Listener:
    """The listener; what is wrong is reported or raised."""
    translator.only(message, where, _HANDLED, _NO_EFFECT)
    if not message.HasField("address"):
        raise where.error("the listener has no address", expected="address: {socket_address: …}")
    place = address(message.address, where / "address", translator, ip="to listen on")
    limit = wrapped(message, "per_connection_buffer_limit_bytes", 1 << 20)
    if limit < 1:
        at = where / "per_connection_buffer_limit_bytes"
        translator.report(at.error(f"per_connection_buffer_limit_bytes is {limit}", expected="at least 1"))
    direction = enum_name(message, "traffic_direction")
    made = Listener(
        name=message.name or str(place),
        address=place,
        listener_filters_timeout_s=duration_s(message, "listener_filters_timeout", where, 15.0),
        continue_on_listener_filters_timeout=message.continue_on_listener_filters_timeout,
        access_log=translator.access_logs(message.access_log, where / "access_log"),
        per_connection_buffer_limit_bytes=limit,
        stat_prefix=message.stat_prefix,
        tcp_backlog_size=wrapped(message, "tcp_backlog_size", 1024),
        bind_to_port=wrapped(message, "bind_to_port", True),
        traffic_direction="" if direction == "unspecified" else direction,
    )
    if place.udp:
        return attrs.evolve(made, udp=_udp(message, where, translator))
    return attrs.evolve(
        made,
        filter_chains=_chains(message, where, translator),
        default_filter_chain=_default_chain(message, where, translator),
        listener_filters=_listener_filters(message, where, translator),
    )


def check_addresses(listeners: list[tuple[Listener, Where]], translator: Translator) -> None:
    """Report listeners that want the address of another one; port 0 is never the same."""
    taken: dict[tuple[bool, str], Listener] = {}
    for made, where in listeners:
        place: Address = made.address
        if not made.bind_to_port or (not place.path and place.port == 0):
            continue
        first = taken.setdefault((place.udp, str(place)), made)
        if first is not made:
            what = f"listener {made.name!r} has the address of {first.name!r}, {place}"
            translator.report((where / "address").error(what, expected="an address of its own"))


def _udp(message: Any, where: Where, translator: Translator) -> Extension | None:
    translator.only(message.udp_listener_config, where / "udp_listener_config", handled={"downstream_socket_config"})
    sizes = where / "udp_listener_config" / "downstream_socket_config"
    no_effect = {"max_rx_datagram_size": "datagrams of any size are taken", "prefer_gro": "they are read one by one"}
    translator.only(message.udp_listener_config.downstream_socket_config, sizes, (), no_effect)
    for field in ("filter_chains", "default_filter_chain"):
        if getattr(message, field) if field == "filter_chains" else message.HasField(field):
            what = f"a UDP listener has {field}"
            translator.report((where / field).error(what, expected="its filter in listener_filters"))
    found: list[Extension] = []
    for index, one in enumerate(message.listener_filters):
        at = where / "listener_filters" / index
        translator.only(one, at, handled={"name", "typed_config"})
        with translator.collect():
            found.append(translator.extension(UdpFilterType, one.name, one.typed_config, at / "typed_config"))
    if len(message.listener_filters) != 1:
        what = f"a UDP listener has {len(message.listener_filters)} filters in listener_filters"
        at = where / "listener_filters"
        translator.report(at.error(what, expected="one, such as envoy.filters.udp_listener.udp_proxy"))
    return found[0] if found else None


def _listener_filters(message: Any, where: Where, translator: Translator) -> tuple[Extension, ...]:
    found = []
    for index, one in enumerate(message.listener_filters):
        at = where / "listener_filters" / index
        translator.only(one, at, handled={"name", "typed_config"})
        with translator.collect():
            found.append(translator.extension(ListenerFilterType, one.name, one.typed_config, at / "typed_config"))
    return tuple(found)


def _chains(message: Any, where: Where, translator: Translator) -> tuple[FilterChain, ...]:
    if not message.filter_chains and not message.HasField("default_filter_chain"):
        translator.report(where.error("the listener has no filter_chains", expected="at least one"))
    if not message.listener_filters:
        _warn_unrecognized(message, where, translator)
    chains: list[FilterChain] = []
    matches: list[Any] = []
    for index, one in enumerate(message.filter_chains):
        at = where / "filter_chains" / index
        with translator.collect():
            chain = _chain(one, at, translator)
            if chain.match in matches:
                what = "this filter chain matches the same connections as an earlier one"
                translator.report((at / "filter_chain_match").error(what, expected="a match of its own"))
            matches.append(chain.match)
            chains.append(chain)
    return tuple(chains)


def _warn_unrecognized(message: Any, where: Where, translator: Translator) -> None:
    """Say which matches can never be true, because nobody looks at what a connection begins with."""
    for index, chain in enumerate(message.filter_chains):
        match, at = chain.filter_chain_match, where / "filter_chains" / index / "filter_chain_match"
        asked = {
            "server_names": bool(match.server_names),
            "transport_protocol": match.transport_protocol not in ("", "raw_buffer"),
            "application_protocols": bool(match.application_protocols),
        }
        for field in (field for field, wanted in asked.items() if wanted):
            what = f"no connection has {field} without listener filters such as envoy.filters.listener.tls_inspector"
            translator.warn(at / field, what)


def _default_chain(message: Any, where: Where, translator: Translator) -> FilterChain | None:
    if not message.HasField("default_filter_chain"):
        return None
    at = where / "default_filter_chain"
    made: FilterChain | None = None
    if message.default_filter_chain.HasField("filter_chain_match"):
        translator.warn(at / "filter_chain_match", "the match of the default filter chain has no effect")
    with translator.collect():
        made = attrs.evolve(_chain(message.default_filter_chain, at, translator), match=FilterChainMatch())
    return made


def _chain(message: Any, where: Where, translator: Translator) -> FilterChain:
    handled = {"filter_chain_match", "filters", "transport_socket", "transport_socket_connect_timeout", "name"}
    translator.only(message, where, handled, {"metadata": "nothing reads it"})
    match = filter_chain_match(message.filter_chain_match, where / "filter_chain_match", translator)
    filters: list[tuple[Extension, Any, Where]] = []
    for index, one in enumerate(message.filters):
        at = where / "filters" / index
        translator.only(one, at, handled={"name", "typed_config"})
        with translator.collect():
            made = translator.resolve(NetworkFilterType, one.name, one.typed_config, at / "typed_config")
            filters.append((*made, at))
    if len(filters) == len(message.filters):
        check_terminal(filters, where, translator, _TERMINAL)
    return FilterChain(
        name=message.name,
        match=match,
        filters=tuple(made for made, _, _ in filters),
        transport_socket=transport_socket(message, DownstreamTransportSocketType, where, translator),
        transport_socket_connect_timeout_s=duration_s(message, "transport_socket_connect_timeout", where, 15.0),
    )
