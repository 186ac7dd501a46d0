"""TLS towards upstreams on real sockets: who is asked for what, and who gets nothing."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from plait.testing import on_every_loop
from plait.testing.peers import Server, never, saying
from tests.integration.tls import (
    CLIENT,
    SERVER,
    STRANGER,
    Files,
    TlsServer,
    cluster,
    listener,
    mesh,
    server_context,
    upstream,
)


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
