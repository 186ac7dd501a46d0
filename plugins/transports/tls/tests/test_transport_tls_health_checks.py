"""Health checks go through the transport socket of their cluster."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Self

import pytest
import trustme

from plait.testing import RunningPlane, on_every_loop, until
from plait.testing.peers import Handler, Server

CA = trustme.CA()
STRANGER = trustme.CA()
_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
HTTP = "http_health_check: {path: /healthz}"
TCP = "tcp_health_check: {receive: [{text: '6869'}]}"


async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every request with 200."""
    while await reader.readuntil(b"\r\n\r\n"):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


async def greeting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say hi, and wait for the end."""
    writer.write(b"hi")
    await reader.read()


class TlsServer(Server):
    """A ``Server`` that speaks TLS, with a certificate of ``CA``."""

    async def __aenter__(self) -> Self:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        CA.issue_cert("shop.example", "127.0.0.1").configure_cert(context)
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self


def checking(port: int, kind: str, trusted: trustme.CA, folder: Path) -> RunningPlane:
    """A data plane with one cluster, over TLS, that is checked."""
    file = folder / "ca.pem"
    trusted.cert_pem.write_to_path(str(file))
    return RunningPlane.of(f"""
static_resources:
  clusters:
  - name: up
    load_assignment:
      cluster_name: up
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}
    health_checks:
    - {{timeout: 5s, interval: 1s, no_traffic_interval: 0.02s, unhealthy_threshold: 1, healthy_threshold: 1, {kind}}}
    transport_socket:
      name: tls
      typed_config:
        "@type": {_TLS}
        sni: shop.example
        common_tls_context: {{validation_context: {{trusted_ca: {{filename: {file}}}}}}}
""")


@pytest.mark.parametrize(("kind", "handler"), [(HTTP, answering), (TCP, greeting)], ids=["http", "tcp"])
@on_every_loop
async def test_a_host_is_asked_over_tls(kind: str, handler: Handler, tmp_path: Path) -> None:
    async with TlsServer(handler) as server, checking(server.port, kind, CA, tmp_path) as running:
        assert running.gauge("cluster.up.membership_healthy") == 1
        assert running.counter("cluster.up.ssl.handshake") >= 1
        assert not running.counter("cluster.up.health_check.failure")


@on_every_loop
async def test_a_host_with_a_certificate_of_others_is_not_well(tmp_path: Path) -> None:
    async with TlsServer(answering) as server, checking(server.port, HTTP, STRANGER, tmp_path) as running:
        await until(lambda: running.counter("cluster.up.health_check.network_failure") > 1, "some checks")
        assert running.gauge("cluster.up.membership_healthy") == 0
