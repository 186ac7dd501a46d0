"""Transport sockets in listeners and clusters, and the fields around them."""

from __future__ import annotations

import logging

import pytest

from plait.api import Bootstrap, ConfigError
from plait.plugins import Catalogue, discover
from plait.xds import load_bootstrap

_TCP = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
_RAW = (
    "{name: a, typed_config: {'@type': type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}"
)
_STRUCT = "type.googleapis.com/xds.type.v3.TypedStruct"


def load(chain: str = "", cluster: str = "", listener: str = "") -> Bootstrap:
    proxy = f"{{name: tcp, typed_config: {{'@type': {_TCP}, stat_prefix: a, cluster: up}}}}"
    address = "{socket_address: {address: 127.0.0.1, port_value: 1}}"
    made = f"{{name: l, address: {address}, filter_chains: [{{filters: [{proxy}], {chain}}}], {listener}}}"
    clusters = f"[{{name: up, load_assignment: {{cluster_name: up}}, {cluster}}}]"
    return load_bootstrap(
        "", f"{{static_resources: {{listeners: [{made}], clusters: {clusters}}}}}", Catalogue(discover())
    )


@pytest.mark.parametrize("socket", ["{name: envoy.transport_sockets.raw_buffer}", _RAW])
def test_raw_buffer_is_plain_tcp(socket: str) -> None:
    made = load(f"transport_socket: {socket}", f"transport_socket: {socket}")
    assert made.listeners[0].filter_chains[0].transport_socket is None
    assert made.clusters[0].transport_socket is None


def test_a_transport_socket_that_nobody_has_is_refused_on_both_sides() -> None:
    socket = f"transport_socket: {{name: a, typed_config: {{'@type': {_STRUCT}, type_url: acme.transports.knock}}}}"
    with pytest.raises(ConfigError, match="registers this DownstreamTransportSocketType"):
        load(chain=socket)
    with pytest.raises(ConfigError, match="registers this UpstreamTransportSocketType"):
        load(cluster=socket)


def test_what_is_something_else_is_called_so() -> None:
    socket = f"transport_socket: {{name: tcp, typed_config: {{'@type': {_TCP}, stat_prefix: a, cluster: up}}}}"
    with pytest.raises(ConfigError, match="is a network filter, expected a transport socket of clusters"):
        load(cluster=socket)


def test_the_clocks_of_a_listener_are_read() -> None:
    plain, timed = (
        load(),
        load("transport_socket_connect_timeout: 3s", listener="continue_on_listener_filters_timeout: true"),
    )
    assert plain.listeners[0].filter_chains[0].transport_socket_connect_timeout_s == 15.0
    assert timed.listeners[0].filter_chains[0].transport_socket_connect_timeout_s == 3.0
    assert not plain.listeners[0].continue_on_listener_filters_timeout
    assert timed.listeners[0].continue_on_listener_filters_timeout


@pytest.mark.parametrize(
    ("match", "field"),
    [
        ("server_names: [a.example]", "server_names"),
        ("transport_protocol: tls", "transport_protocol"),
        ("application_protocols: [h2]", "application_protocols"),
        ("transport_protocol: raw_buffer", ""),
        ("destination_port: 80", ""),
    ],
)
def test_a_match_that_only_an_inspector_makes_true_is_warned_about(
    caplog: pytest.LogCaptureFixture, match: str, field: str
) -> None:
    caplog.set_level(logging.WARNING)
    load(f"filter_chain_match: {{{match}}}")
    assert (f"no connection has {field} without listener filters" in caplog.text) is bool(field)
