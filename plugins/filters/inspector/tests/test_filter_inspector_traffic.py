"""One port for several protocols: the first bytes of each connection choose its filter chain."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme

from plait import ConfigError
from plait.plugins import Catalogue, discover
from plait.testing import RunningPlane, on_every_loop
from plait.testing.peers import Client, Server, saying
from plait.xds import load_bootstrap

_TCP = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
_INSPECTORS = "type.googleapis.com/envoy.extensions.filters.listener."
_STRUCT = "type.googleapis.com/xds.type.v3.TypedStruct"
TLS_INSPECTOR = f'{{name: tls, typed_config: {{"@type": {_INSPECTORS}tls_inspector.v3.TlsInspector}}}}'
HTTP_INSPECTOR = f'{{name: http, typed_config: {{"@type": {_INSPECTORS}http_inspector.v3.HttpInspector}}}}'
CA = trustme.CA()


def protocol_inspector(value: str = "{}") -> str:
    config = f'{{"@type": {_STRUCT}, type_url: plait.filters.listener.protocol_inspector, value: {value}}}'
    return f"{{name: any, typed_config: {config}}}"


def chain(cluster: str, match: str = "", more: str = "") -> str:
    proxy = f'{{name: tcp, typed_config: {{"@type": {_TCP}, stat_prefix: {cluster}, cluster: {cluster}}}}}'
    return f"{{filter_chain_match: {{{match}}}, filters: [{proxy}], {more}}}"


def tls(folder: Path, name: str) -> str:
    certificate = CA.issue_cert(name)
    pair = folder / f"{name}.pem"
    pair.write_bytes(certificate.private_key_and_cert_chain_pem.bytes())
    files = f"{{certificate_chain: {{filename: {pair}}}, private_key: {{filename: {pair}}}}}"
    config = f'{{"@type": {_TLS}, common_tls_context: {{tls_certificates: [{files}]}}}}'
    return f"transport_socket: {{name: tls, typed_config: {config}}}"


def bootstrap(inspectors: str, chains: list[str], ports: dict[str, int], more: str = "") -> str:
    clusters = ", ".join(
        f"{{name: {name}, load_assignment: {{cluster_name: {name}, endpoints: [{{lb_endpoints: [{{endpoint: {{address: "
        f"{{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}}}]}}]}}}}"
        for name, port in ports.items()
    )
    address = "{socket_address: {address: 127.0.0.1, port_value: 0}}"
    fields = f"listener_filters: [{inspectors}], filter_chains: [{', '.join(chains)}], {more}"
    listener = f"{{name: l, address: {address}, {fields}}}"
    return f"{{static_resources: {{listeners: [{listener}], clusters: [{clusters}]}}}}"


async def answer(running: RunningPlane, first: bytes) -> bytes:
    async with Client(running.address("l")) as client:
        if first:
            client.send(first)
        return await client.rest()


@on_every_loop
async def test_one_port_carries_http_tls_and_whatever_else(tmp_path: Path) -> None:
    chains = [
        chain("http", "application_protocols: [http/1.1]"),
        chain("secure", "transport_protocol: tls", tls(tmp_path, "shop.example")),
        chain("other"),
    ]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    CA.configure_trust(context)
    for inspectors in (protocol_inspector(), f"{TLS_INSPECTOR}, {HTTP_INSPECTOR}"):
        async with Server(saying(b"http")) as a, Server(saying(b"secure")) as b, Server(saying(b"other")) as c:
            text = bootstrap(inspectors, chains, {"http": a.port, "secure": b.port, "other": c.port})
            async with RunningPlane.of(text) as running:
                assert await answer(running, b"GET / HTTP/1.1\r\n\r\n") == b"http"
                assert await answer(running, b"\x10\x20") == b"other"
                assert await answer(running, b"SSH-2.0-OpenSSH_9.2\r\n") == b"other"
                host, port = running.address("l")
                reader, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname="shop.example")
                assert await reader.read() == b"secure"
                writer.close()


@on_every_loop
async def test_chains_of_several_names_share_a_port(tmp_path: Path) -> None:
    chains = [
        chain("exact", "server_names: [shop.example]", tls(tmp_path, "shop.example")),
        chain("wild", "server_names: ['*.example']", tls(tmp_path, "bank.example")),
        chain("plain", "transport_protocol: raw_buffer"),
    ]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    CA.configure_trust(context)
    async with Server(saying(b"exact")) as a, Server(saying(b"wild")) as b, Server(saying(b"plain")) as c:
        text = bootstrap(TLS_INSPECTOR, chains, {"exact": a.port, "wild": b.port, "plain": c.port})
        async with RunningPlane.of(text) as running:
            host, port = running.address("l")
            for name, said in (("shop.example", b"exact"), ("bank.example", b"wild")):
                reader, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=name)
                assert await reader.read() == said
                writer.close()
            assert await answer(running, b"hello") == b"plain"
            assert running.counter("tls_inspector.sni_found") == 2
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asyncio.open_connection(host, port, ssl=context, server_hostname="elsewhere.test")


@on_every_loop
async def test_a_client_that_waits_for_the_server_gets_the_chain_without_protocols() -> None:
    more = "listener_filters_timeout: 0.1s, continue_on_listener_filters_timeout: true"
    chains = [chain("http", "application_protocols: [http/1.1]"), chain("other")]
    async with Server(saying(b"http")) as a, Server(saying(b"other")) as b:
        text = bootstrap(protocol_inspector("{protocols: [http1]}"), chains, {"http": a.port, "other": b.port}, more)
        async with RunningPlane.of(text) as running:
            assert await answer(running, b"") == b"other"
            assert await answer(running, b"GET / HTTP/1.1\r\n\r\n") == b"http"


@pytest.mark.parametrize(
    ("inspectors", "said"),
    [
        (protocol_inspector("{protocols: [http1, nonsense]}"), "protocol 'nonsense' cannot be used"),
        (protocol_inspector("{protocol: [http1]}"), "unknown field 'protocol'"),
        (TLS_INSPECTOR.replace("TlsInspector}", "TlsInspector, max_client_hello_size: 20000}"), "16384"),
        (TLS_INSPECTOR.replace("TlsInspector}", "TlsInspector, enable_ja3_fingerprinting: true}"), "not supported yet"),
    ],
)
def test_settings_that_cannot_be_had_are_refused_at_their_place(inspectors: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_bootstrap("", bootstrap(inspectors, [chain("a")], {"a": 1}), Catalogue(discover()))
    assert said in str(caught.value)
    assert str(caught.value).startswith("--config-yaml:1:")
