"""Certificates, configurations, callers and servers for tests of TLS on real sockets."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from plait.testing import RunningPlane
from plait.testing.peers import Server

CA = trustme.CA()
STRANGER = trustme.CA()
SERVER = CA.issue_cert("shop.example", "127.0.0.1")


def issue(ca: trustme.CA, *names: x509.GeneralName, common_name: str = "buyer") -> trustme.LeafCert:
    """A certificate with names of any kind, of which trustme knows only some."""
    issuer = x509.load_pem_x509_certificate(ca.cert_pem.bytes())
    signer: Any = serialization.load_pem_private_key(ca.private_key_pem.bytes(), None)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(signer, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    return trustme.LeafCert(key.private_bytes(encoding, *plain), certificate.public_bytes(encoding), [])


def service(name: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(f"spiffe://{name}")


CLIENT = issue(CA, service("mesh/shop"), x509.RFC822Name("buyer@shop.example"))
PATTERN = bytes(range(251)) * 400


class Files:
    """Certificates as files; what is not there yet is written when it is asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, name: str, *blobs: trustme.Blob) -> str:
        path = self._folder / name
        path.write_bytes(b"".join(blob.bytes() for blob in blobs))
        return str(path)

    def pair(self, certificate: trustme.LeafCert, name: str) -> str:
        """A TlsCertificate."""
        chain = self.of(f"{name}.pem", *certificate.cert_chain_pems)
        key = self.of(f"{name}.key", certificate.private_key_pem)
        return f"{{certificate_chain: {{filename: {chain}}}, private_key: {{filename: {key}}}}}"

    def trust(self, ca: trustme.CA = CA) -> str:
        """A DataSource with a CA."""
        return f"{{filename: {self.of('ca.pem', ca.cert_pem)}}}"


_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3."
_TCP = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
_HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"


def downstream(common: str, more: str = "") -> str:
    """The transport socket of a filter chain."""
    config = f'{{"@type": {_TLS}DownstreamTlsContext, common_tls_context: {{{common}}}, {more}}}'
    return f"transport_socket: {{name: tls, typed_config: {config}}}"


def upstream(common: str = "", more: str = "") -> str:
    """The transport socket of a cluster."""
    config = f'{{"@type": {_TLS}UpstreamTlsContext, common_tls_context: {{{common}}}, {more}}}'
    return f"transport_socket: {{name: tls, typed_config: {config}}}"


def tcp(cluster: str = "up") -> str:
    return f'{{name: tcp, typed_config: {{"@type": {_TCP}, stat_prefix: tcp, cluster: {cluster}}}}}'


_ROUTES = "virtual_hosts: [{name: all, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: up}}]}]"
HTTP = (
    f'{{name: hcm, typed_config: {{"@type": {_HCM}, stat_prefix: http, codec_type: HTTP1, '
    f'route_config: {{{_ROUTES}}}, http_filters: [{{name: router, typed_config: {{"@type": {_ROUTER}}}}}]}}}}'
)


def listener(*chains: str, filters: str = "", more: str = "", name: str = "l") -> str:
    made = ", ".join(f"{{filters: [{filters or tcp()}], {chain}}}" for chain in chains)
    address = "{socket_address: {address: 127.0.0.1, port_value: 0}}"
    return f"{{name: {name}, address: {address}, filter_chains: [{made}], {more}}}"


def cluster(port: int, more: str = "", name: str = "up", hostname: str = "") -> str:
    address = f"{{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}"
    endpoint = f"{{endpoint: {{address: {address}, hostname: '{hostname}'}}}}"
    assignment = f"{{cluster_name: {name}, endpoints: [{{lb_endpoints: [{endpoint}]}}]}}"
    return f"{{name: {name}, connect_timeout: 2s, load_assignment: {assignment}, {more}}}"


def mesh(listeners: str, clusters: str) -> RunningPlane:
    return RunningPlane.of(f"{{static_resources: {{listeners: [{listeners}], clusters: [{clusters}]}}}}")


def client_context(
    certificate: trustme.LeafCert | None = None, *, alpn: tuple[str, ...] = (), ca: trustme.CA = CA
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ca.configure_trust(context)
    if certificate is not None:
        certificate.configure_cert(context)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def server_context(certificate: trustme.LeafCert = SERVER, *, mutual: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    if mutual:
        context.verify_mode = ssl.CERT_REQUIRED
        CA.configure_trust(context)
    return context


async def call(
    running: RunningPlane, context: ssl.SSLContext, name: str = "shop.example", at: str = "l"
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = running.address(at)
    return await asyncio.open_connection(host, port, ssl=context, server_hostname=name, limit=1 << 20)


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        await writer.wait_closed()
    except (ConnectionError, ssl.SSLError):
        pass


class TlsServer(Server):
    """A ``Server`` that speaks TLS."""

    def __init__(self, handler: Callable[..., Awaitable[None]], context: ssl.SSLContext | None = None) -> None:
        super().__init__(handler)
        self._context = context or server_context()
        self.names: list[str | None] = []
        self._context.sni_callback = lambda _, name, __: self.names.append(name)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]
        return self
