"""TLS of callers on real sockets: who gets in, by which certificate, and what is counted."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from plait.testing import RunningPlane, on_every_loop, until
from plait.testing.peers import Client, RecordingLog, Server, echo, saying
from tests.integration.tls import (
    CA,
    CLIENT,
    HTTP,
    PATTERN,
    SERVER,
    STRANGER,
    Files,
    call,
    client_context,
    cluster,
    downstream,
    hang_up,
    issue,
    listener,
    mesh,
    service,
    upstream,
)

LISTENER = "listener.127.0.0.1_0."


async def ask(running: RunningPlane, context: ssl.SSLContext, question: bytes) -> bytes:
    """An answer as long as the question."""
    reader, writer = await call(running, context)
    writer.write(question)
    try:
        return await reader.readexactly(len(question))
    finally:
        await hang_up(writer)


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
