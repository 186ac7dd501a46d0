"""TLS on real sockets: who gets in, what is counted, and that bytes arrive whole, in order and within limits."""

from __future__ import annotations

import asyncio
import base64
import datetime
import hashlib
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from plait.testing import RunningPlane, on_every_loop, until
from plait.testing.peers import Client, RecordingLog, Server, echo, never, saying

LISTENER = "listener.127.0.0.1_0."
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


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


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


async def ask(running: RunningPlane, context: ssl.SSLContext, question: bytes) -> bytes:
    """An answer as long as the question."""
    reader, writer = await call(running, context)
    writer.write(question)
    try:
        return await reader.readexactly(len(question))
    finally:
        await hang_up(writer)


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


# callers


@on_every_loop
async def test_bytes_of_callers_arrive_decrypted_and_answers_encrypted(files: Files) -> None:
    chain = downstream(f"tls_certificates: [{files.pair(SERVER, 'server')}], alpn_protocols: [h2, http/1.1]")
    async with Server(echo) as server, mesh(listener(chain), cluster(server.port)) as running:
        reader, writer = await call(running, client_context(alpn=("http/1.1",)))
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        await hang_up(writer)
        await until(lambda: not running.gauge(LISTENER + "downstream_cx_active"), "the end")
        assert running.counter(LISTENER + "ssl.handshake") == 1
        assert running.counter(LISTENER + "ssl.no_certificate") == 1
        assert running.counter(LISTENER + "ssl.versions.TLSv1.3") == 1
        assert running.counter(LISTENER + "ssl.connection_error") == 0


@on_every_loop
async def test_certificates_may_stand_in_the_configuration_itself(files: Files) -> None:
    chain_text = b"".join(blob.bytes() for blob in SERVER.cert_chain_pems).decode().replace("\n", "\\n")
    key_text = SERVER.private_key_pem.bytes().decode().replace("\n", "\\n")
    pair = f'{{certificate_chain: {{inline_string: "{chain_text}"}}, private_key: {{inline_string: "{key_text}"}}}}'
    async with (
        Server(saying(b"hi")) as server,
        mesh(listener(downstream(f"tls_certificates: [{pair}]")), cluster(server.port)) as running,
    ):
        reader, _ = await call(running, client_context())
        assert await reader.read() == b"hi"


@on_every_loop
async def test_only_callers_whose_certificate_names_them_come_in(files: Files) -> None:
    validation = (
        f"validation_context: {{trusted_ca: {files.trust()}, match_typed_subject_alt_names: "
        "[{san_type: URI, matcher: {prefix: 'spiffe://mesh/'}}]}"
    )
    chain = downstream(
        f"tls_certificates: [{files.pair(SERVER, 'server')}], {validation}", "require_client_certificate: true"
    )
    other = issue(CA, service("elsewhere/shop"))
    stranger = issue(STRANGER, service("mesh/shop"))
    async with Server(echo) as server, mesh(listener(chain), cluster(server.port)) as running:
        reader, writer = await call(running, client_context(CLIENT))
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        await hang_up(writer)
        for certificate in (None, other, stranger):
            with pytest.raises((ConnectionError, ssl.SSLError, asyncio.IncompleteReadError)):
                await ask(running, client_context(certificate), b"hello")
        await until(lambda: not running.gauge(LISTENER + "downstream_cx_active"), "the end")
        assert server.accepted == 1
        assert running.counter(LISTENER + "ssl.fail_verify_no_cert") == 1
        assert running.counter(LISTENER + "ssl.fail_verify_san") == 1
        assert running.counter(LISTENER + "ssl.fail_verify_error") == 1
        assert running.counter(LISTENER + "ssl.connection_error") == 0


@on_every_loop
async def test_a_revoked_certificate_does_not_come_in(files: Files) -> None:
    issuer = x509.load_pem_x509_certificate(CA.cert_pem.bytes())
    signer: Any = serialization.load_pem_private_key(CA.private_key_pem.bytes(), None)
    now = datetime.datetime.now(datetime.UTC)
    revoked = x509.load_pem_x509_certificate(CLIENT.cert_chain_pems[0].bytes()).serial_number
    entry = x509.RevokedCertificateBuilder().serial_number(revoked).revocation_date(now).build()
    crl = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(now - datetime.timedelta(days=1))
        .next_update(now + datetime.timedelta(days=1))
        .add_revoked_certificate(entry)
        .sign(signer, hashes.SHA256())
    )
    listed = trustme.Blob(crl.public_bytes(serialization.Encoding.PEM))
    validation = (
        f"validation_context: {{trusted_ca: {files.trust()}, crl: {{filename: {files.of('crl.pem', listed)}}}}}"
    )
    chain = downstream(f"tls_certificates: [{files.pair(SERVER, 'server')}], {validation}")
    async with Server(echo) as server, mesh(listener(chain), cluster(server.port)) as running:
        with pytest.raises((ConnectionError, ssl.SSLError, asyncio.IncompleteReadError)):
            await ask(running, client_context(CLIENT), b"hello")
        assert await ask(running, client_context(issue(CA, service("mesh/shop"))), b"hello") == b"hello"
        assert running.counter(LISTENER + "ssl.fail_verify_error") == 1


@on_every_loop
async def test_a_session_is_resumed_and_its_certificate_still_checked(files: Files) -> None:
    validation = f"validation_context: {{trusted_ca: {files.trust()}}}"
    chain = downstream(
        f"tls_certificates: [{files.pair(SERVER, 'server')}], {validation}, "
        "tls_params: {tls_maximum_protocol_version: TLSv1_2}",
        "require_client_certificate: true",
    )
    context = client_context(CLIENT)
    async with Server(echo) as server, mesh(listener(chain), cluster(server.port)) as running:

        async def talk(session: ssl.SSLSession | None) -> ssl.SSLSession | None:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = context.wrap_bio(incoming, outgoing, server_hostname="shop.example", session=session)
            async with Client(running.address("l")) as client:
                while True:
                    try:
                        tls.do_handshake()
                        break
                    except ssl.SSLWantReadError:
                        client.send(outgoing.read())
                        incoming.write(await client.reader.read(1 << 16))
                tls.write(b"hello")
                client.send(outgoing.read())
                incoming.write(await client.reader.read(1 << 16))
                assert tls.read(100) == b"hello"
                return tls.session

        session = await talk(None)
        assert running.counter(LISTENER + "ssl.session_reused") == 0
        await talk(session)
        assert running.counter(LISTENER + "ssl.session_reused") == 1
        assert running.counter(LISTENER + "ssl.no_certificate") == 0


@on_every_loop
async def test_garbage_and_hesitation_cost_only_their_own_connection(files: Files) -> None:
    chain = downstream(f"tls_certificates: [{files.pair(SERVER, 'server')}]") + ", transport_socket_connect_timeout: 1s"
    async with Server(echo) as server, mesh(listener(chain), cluster(server.port)) as running:
        async with Client(running.address("l")) as slow, Client(running.address("l")) as gone:
            slow.send(b"\x16\x03\x01")
            for garbage in (b"GET / HTTP/1.1\r\n\r\n", bytes(100), b"\x16\x03\x01\x00\x05hello", b"\xff" * 70_000):
                async with Client(running.address("l")) as client:
                    client.send(garbage)
                    await client.rest()
            async with Client(running.address("l")) as client:
                client.half_close()
                assert await client.rest() == b""
            gone.send(b"\x16")
            gone.reset()
            reader, writer = await call(running, client_context())
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            await hang_up(writer)
            assert await slow.rest() == b""
        await until(lambda: not running.gauge(LISTENER + "downstream_cx_active"), "the end")
        assert running.counter(LISTENER + "ssl.connection_error") >= 5
        assert running.counter(LISTENER + "downstream_cx_transport_socket_connect_timeout") == 1


@on_every_loop
async def test_what_follows_the_handshake_in_small_pieces_is_understood(files: Files) -> None:
    """A client on memory BIOs, whose bytes come one at a time; the last of the handshake and data come together."""
    chain = downstream(f"tls_certificates: [{files.pair(SERVER, 'server')}]")
    async with Server(echo) as server, mesh(listener(chain), cluster(server.port)) as running:
        for at_once in (True, False):
            reader, writer = await asyncio.open_connection(*running.address("l"))
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = client_context().wrap_bio(incoming, outgoing, server_hostname="shop.example")
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    data = outgoing.read()
                    for one in [data] if at_once else [data[i : i + 1] for i in range(len(data))]:
                        writer.write(one)
                        await asyncio.sleep(0)
                    incoming.write(await reader.read(1 << 16))
            tls.write(b"first")
            tls.write(b"second")
            data = outgoing.read()
            for one in [data] if at_once else [data[i : i + 1] for i in range(len(data))]:
                writer.write(one)
                await asyncio.sleep(0)
            got = b""
            while len(got) < 11:
                incoming.write(await reader.read(1 << 16))
                try:
                    while True:
                        got += tls.read(100)
                except ssl.SSLWantReadError:
                    pass
            assert got == b"firstsecond"
            writer.close()


@on_every_loop
async def test_https_goes_through_two_sidecars_with_tls_between_them(files: Files) -> None:
    """The caller's sidecar originates mutual TLS, that of the service terminates it and says so in the request."""
    requests: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            requests.append(await reader.readuntil(b"\r\n\r\n"))
            body = await reader.readexactly(len(PATTERN))
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

    trust = f"validation_context: {{trusted_ca: {files.trust()}}}"
    inbound = downstream(
        f"tls_certificates: [{files.pair(SERVER, 'server')}], {trust}", "require_client_certificate: true"
    )
    outbound = upstream(f"tls_certificates: [{files.pair(CLIENT, 'client')}], {trust}", "sni: shop.example")
    edge = HTTP.replace("stat_prefix: http", "stat_prefix: http, use_remote_address: true")
    async with Server(answer) as server, mesh(listener(inbound, filters=edge), cluster(server.port)) as service:
        port = service.address("l")[1]
        async with mesh(listener("", filters=HTTP), cluster(port, outbound)) as caller:
            reader, writer = await asyncio.open_connection(*caller.address("l"), limit=1 << 20)
            for _ in range(3):
                writer.write(b"POST / HTTP/1.1\r\nhost: shop\r\ncontent-length: %d\r\n\r\n" % len(PATTERN) + PATTERN)
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200")
                assert await reader.readexactly(len(PATTERN)) == PATTERN
            writer.close()
            assert caller.counter("cluster.up.ssl.handshake") == 1  # the connection is kept
            assert service.counter(LISTENER + "ssl.no_certificate") == 0
    assert [b"\r\nx-forwarded-proto: https\r\n" in head for head in requests] == [True] * 3


# limits


async def _digest(reader: asyncio.StreamReader, size: int) -> str:
    digest = hashlib.sha256()
    while size:
        data = await reader.read(min(size, 1 << 16))
        assert data, f"{size} bytes are missing"
        digest.update(data)
        size -= len(data)
    return digest.hexdigest()


async def _pour(writer: asyncio.StreamWriter, times: int) -> None:
    for _ in range(times):
        writer.write(PATTERN)
        await writer.drain()


@on_every_loop
async def test_much_goes_both_ways_at_once_through_small_buffers(files: Files) -> None:
    times = 120  # of 100 kB
    expected = hashlib.sha256(PATTERN * times).hexdigest()

    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(_pour(writer, times))
            digest = group.create_task(_digest(reader, len(PATTERN) * times))
        assert digest.result() == expected

    seen: list[str] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await exchange(reader, writer)
        seen.append("whole")
        await reader.read()

    small = "per_connection_buffer_limit_bytes: 32768"
    chain = downstream(f"tls_certificates: [{files.pair(SERVER, 'server')}]")
    trust = f"validation_context: {{trusted_ca: {files.trust()}}}"
    async with (
        TlsServer(handler) as server,
        mesh(listener(chain, more=small), cluster(server.port, f"{upstream(trust)}, {small}")) as running,
    ):
        reader, writer = await call(running, client_context())
        await exchange(reader, writer)
        await until(lambda: seen, "the server")
        await hang_up(writer)
        assert running.counter("cluster.up.upstream_cx_rx_bytes_total") == len(PATTERN) * times


@on_every_loop
async def test_a_reader_that_stands_still_stops_the_writer(files: Files) -> None:
    poured = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal poured
        while True:
            writer.write(PATTERN)
            await writer.drain()
            await asyncio.sleep(0)  # asyncio's own TLS may go on for ever on a connection that was lost
            poured += len(PATTERN)

    small = "per_connection_buffer_limit_bytes: 65536"
    chain = downstream(f"tls_certificates: [{files.pair(SERVER, 'server')}]")
    async with (
        TlsServer(pour) as server,
        mesh(listener(chain, more=small), cluster(server.port, f"{upstream()}, {small}")) as running,
    ):
        reader, writer = await call(running, client_context())
        transport: Any = writer.transport
        transport.pause_reading()
        before = -1
        while poured != before:
            before = poured
            await asyncio.sleep(0.2)
        transport.resume_reading()
        size = poured + 20 * len(PATTERN)
        times = -(-size // len(PATTERN))
        expected = hashlib.sha256((PATTERN * times)[:size]).hexdigest()
        assert await _digest(reader, size) == expected
        writer.transport.abort()


# the end of a stream


@on_every_loop
async def test_the_end_of_one_direction_is_passed_on_and_the_other_goes_on(files: Files) -> None:
    """The client half closes: close_notify goes through both sidecars' TLS, and the answer comes back."""

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"%d bytes" % len(await reader.read()))

    chain = downstream(f"tls_certificates: [{files.pair(SERVER, 'server')}]")
    async with Server(count) as server, mesh(listener(chain), cluster(server.port)) as terminates:
        port = terminates.address("l")[1]
        async with mesh(listener(""), cluster(port, upstream())) as originates:
            reader, writer = await asyncio.open_connection(*originates.address("l"))
            writer.write(PATTERN)
            writer.write_eof()
            assert await reader.read() == b"%d bytes" % len(PATTERN)
            writer.close()


@on_every_loop
async def test_what_tls_did_not_end_is_no_whole_answer(files: Files) -> None:
    """A body that lasts until the end of the connection, whose connection is cut."""

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await writer.drain()
        if cutting:
            with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as raw:
                raw.shutdown(socket.SHUT_WR)
            await reader.read()
        else:
            writer.close()

    for cutting in (False, True):
        async with (
            TlsServer(cut) as server,
            mesh(listener("", filters=HTTP), cluster(server.port, upstream())) as running,
        ):
            reader, writer = await asyncio.open_connection(*running.address("l"))
            writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            answer = (
                await reader.readuntil(b"half") + await reader.read(100)
                if cutting
                else await reader.readuntil(b"0\r\n\r\n")
            )
            assert answer.startswith(b"HTTP/1.1 200")
            assert answer.endswith(b"0\r\n\r\n") is not cutting
            writer.close()


# upstreams


@on_every_loop
async def test_an_upstream_is_asked_for_a_name_and_shown_a_certificate(files: Files) -> None:
    shown: list[Any] = []

    async def show(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        shown.append(writer.get_extra_info("ssl_object").getpeercert())
        writer.write(b"hi")

    common = (
        f"tls_certificates: [{files.pair(CLIENT, 'client')}], validation_context: {{trusted_ca: {files.trust()}, "
        "match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: shop.example}}]}"
    )
    for how, hostname in (("sni: shop.example", ""), ("auto_host_sni: true", "shop.example")):
        async with (
            TlsServer(show, server_context(mutual=True)) as server,
            mesh(listener(""), cluster(server.port, upstream(common, how), hostname=hostname)) as running,
        ):
            reader, writer = await asyncio.open_connection(*running.address("l"))
            assert await reader.read() == b"hi"
            assert server.names == ["shop.example"]
            assert ("URI", "spiffe://mesh/shop") in shown[-1]["subjectAltName"]
            assert running.counter("cluster.up.ssl.handshake") == 1
            writer.close()


@pytest.mark.parametrize(
    ("validation", "counter"),
    [
        (
            "trusted_ca: {ca}, match_typed_subject_alt_names: [{{san_type: DNS, matcher: {{exact: bank.example}}}}]",
            "san",
        ),
        ("trusted_ca: {stranger}", "error"),
        ("verify_certificate_hash: ['" + "00" * 32 + "']", "cert_hash"),
        ("verify_certificate_spki: ['" + "A" * 43 + "=']", "cert_hash"),
    ],
)
@on_every_loop
async def test_an_upstream_that_is_somebody_else_gets_nothing(files: Files, validation: str, counter: str) -> None:
    filled = validation.format(
        ca=files.trust(), stranger=f"{{filename: {files.of('stranger.pem', STRANGER.cert_pem)}}}"
    )
    common = f"validation_context: {{{filled}}}"
    received: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read())

    async with (
        TlsServer(listen) as server,
        mesh(listener(""), cluster(server.port, upstream(common))) as running,
    ):
        reader, writer = await asyncio.open_connection(*running.address("l"))
        writer.write(b"secret")
        try:
            assert await reader.read() == b""
        except ConnectionError:
            pass
        writer.close()
        assert running.counter(f"cluster.up.ssl.fail_verify_{counter}") == 1
        assert running.counter("cluster.up.upstream_cx_connect_fail") == 1
        assert running.gauge("cluster.up.upstream_cx_active") == 0
    assert not any(received)


@on_every_loop
async def test_an_upstream_is_pinned_by_its_certificate_or_its_key(files: Files) -> None:
    certificate = x509.load_pem_x509_certificate(SERVER.cert_chain_pems[0].bytes())
    whole = hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()
    colons = ":".join(whole[i : i + 2] for i in range(0, 64, 2)).upper()
    info = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    spki = base64.b64encode(hashlib.sha256(info).digest()).decode()
    for pin in (f"verify_certificate_hash: ['{whole}']", f"verify_certificate_hash: ['{colons}']",
                f"verify_certificate_spki: ['{spki}']"):  # fmt: skip
        async with (
            TlsServer(saying(b"hi")) as server,
            mesh(listener(""), cluster(server.port, upstream(f"validation_context: {{{pin}}}"))) as running,
        ):
            reader, writer = await asyncio.open_connection(*running.address("l"))
            assert await reader.read() == b"hi"
            writer.close()


@on_every_loop
async def test_an_upstream_that_says_nothing_is_given_up_within_the_time_to_connect(files: Files) -> None:
    async with (
        Server(never) as server,
        mesh(listener(""), cluster(server.port, upstream()).replace("2s", "0.2s")) as running,
    ):
        reader, writer = await asyncio.open_connection(*running.address("l"))
        try:
            assert await reader.read() == b""
        except ConnectionError:
            pass
        writer.close()
        assert running.counter("cluster.up.upstream_cx_connect_timeout") == 1
        assert running.gauge("cluster.up.upstream_cx_active") == 0


@on_every_loop
async def test_an_upstream_that_speaks_no_tls_is_a_failed_connection(files: Files) -> None:
    async with (
        Server(saying(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server,
        mesh(listener(""), cluster(server.port, upstream())) as running,
    ):
        reader, writer = await asyncio.open_connection(*running.address("l"))
        try:
            assert await reader.read() == b""
        except ConnectionError:
            pass
        writer.close()
        assert running.counter("cluster.up.ssl.connection_error") == 1
        assert running.counter("cluster.up.upstream_cx_connect_fail") == 1


# certificates by name


@on_every_loop
async def test_the_name_asked_for_decides_which_certificate_is_shown(files: Files) -> None:
    wild, bank = CA.issue_cert("*.shop.example"), CA.issue_cert("bank.example")
    pairs = ", ".join(files.pair(one, name) for one, name in ((SERVER, "a"), (wild, "b"), (bank, "c")))
    chain = downstream(f"tls_certificates: [{pairs}]")
    async with Server(echo) as server, mesh(listener(chain), cluster(server.port)) as running:
        for name in ("shop.example", "eu.shop.example", "bank.example"):
            _, writer = await call(running, client_context(), name)  # its context checks the name
            writer.close()
        with pytest.raises(ssl.SSLCertVerificationError, match="elsewhere"):
            await call(running, client_context(), "elsewhere.example")


@on_every_loop
async def test_who_asks_for_no_name_may_be_refused(files: Files) -> None:
    chain = downstream(f"tls_certificates: [{files.pair(SERVER, 'server')}]", "require_sni: true")
    context = client_context()
    context.check_hostname = False
    async with Server(echo) as server, mesh(listener(chain), cluster(server.port)) as running:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await call(running, context, "")
        _, writer = await call(running, context, "any.example")
        writer.close()


@on_every_loop
async def test_what_is_known_of_a_caller_is_on_its_connection(files: Files) -> None:
    log = RecordingLog()
    validation = f"validation_context: {{trusted_ca: {files.trust()}}}"
    chain = downstream(f"tls_certificates: [{files.pair(SERVER, 'server')}], alpn_protocols: [h2], {validation}")
    text = listener(chain, more="access_log: [{name: log, typed_config: {'@type': "
                    "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog}}]")  # fmt: skip
    async with Server(saying(b"hi")) as server:
        bootstrap = f"{{static_resources: {{listeners: [{text}], clusters: [{cluster(server.port)}]}}}}"
        async with RunningPlane.of(bootstrap, objects={"log": log}) as running:
            reader, writer = await call(running, client_context(CLIENT, alpn=("h2",)))
            assert await reader.read() == b"hi"
            await hang_up(writer)
            await until(lambda: log.connections, "the log")
    [connection] = log.connections
    assert (connection.transport_protocol, connection.server_name, connection.alpn) == ("tls", "shop.example", "h2")
    tls = connection.tls
    assert tls is not None
    assert tls.verified
    assert tls.version == "TLSv1.3"
    assert tls.peer is not None
    assert tls.peer.subject == "CN=buyer"
    assert tls.peer.uris == ("spiffe://mesh/shop",)
    assert tls.peer.email_addresses == ("buyer@shop.example",)
    assert tls.local is not None
    assert tls.local.dns_names == ("shop.example",)
    assert tls.local.ip_addresses == ("127.0.0.1",)
