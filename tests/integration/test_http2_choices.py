"""Which version of HTTP is spoken: agreed on with TLS, as the caller does, or as the cluster says."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.integration.harness import Json, Mesh, Peer, cluster, configuration, get, live, status_of, until
from tests.integration.http2 import Http2Upstream, Session, between, echo
from tests.integration.test_http2_exchange import ask, echo_http1
from tests.integration.test_http2_switch import OFFER, SETTINGS

CA = trustme.CA()
SERVER = CA.issue_cert("up.example", "127.0.0.1")
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3."


def chosen(**choice: Any) -> Json:
    """For a cluster: a choice of HttpProtocolOptions."""
    return {"typed_extension_protocol_options": {OPTIONS: {"@type": f"type.googleapis.com/{OPTIONS}", **choice}}}


BY_CALLER = chosen(use_downstream_protocol_config={"http2_protocol_options": {"max_concurrent_streams": 7}})
BY_ALPN = chosen(auto_config={"http2_protocol_options": {"max_concurrent_streams": 100}})


def secured(directory: Path) -> Json:
    """For a cluster: TLS, with whoever CA vouches for."""
    CA.cert_pem.write_to_path(str(directory / "ca.pem"))
    trust = {"trusted_ca": {"filename": str(directory / "ca.pem")}}
    context = {"@type": TLS + "UpstreamTlsContext", "common_tls_context": {"validation_context": trust}}
    return {"transport_socket": {"name": "tls", "typed_config": context}}


class TlsUpstream:
    """A server that agrees on one of ``protocols``, which may change, and speaks that."""

    def __init__(self, protocols: Sequence[str]) -> None:
        self.protocols = protocols
        self.agreed: list[str | None] = []
        self.offered: list[list[str]] = []
        self.http2 = Http2Upstream(echo)
        self.peers: set[Peer] = set()

    def context(self) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        SERVER.configure_cert(made)
        if self.protocols:
            made.set_alpn_protocols(list(self.protocols))
        return made

    @asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[int]:
        """Its port."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", port, ssl=self.context())
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for peer in tuple(self.peers):
                peer.writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        self.peers.add(peer)
        agreed = writer.get_extra_info("ssl_object").selected_alpn_protocol()
        self.agreed.append(agreed)
        try:
            await (self.http2 if agreed == "h2" else echo_http1)(peer, len(self.agreed))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.peers.discard(peer)
            writer.close()


# as the caller does


@live
@pytest.mark.parametrize("up", [BY_CALLER, {"protocol_selection": "USE_DOWNSTREAM_PROTOCOL"}])
@pytest.mark.parametrize("version", [1, 2])
async def test_cluster_is_spoken_to_as_the_caller_speaks(version: int, up: Json) -> None:
    upstream = Http2Upstream(echo)
    async with between(upstream if version == 2 else echo_http1, up=up) as (mesh, _):
        for body in (b"one", b"two"):
            assert await ask(mesh, version, body) == (200, body)
        assert mesh.counter(f"cluster.up.upstream_cx_http{version}_total") == 1
        assert mesh.counter(f"cluster.up.upstream_cx_http{3 - version}_total") == 0


@live
async def test_older_field_of_a_cluster_says_http2_too() -> None:
    up: Json = {"http2_protocol_options": {"max_concurrent_streams": 5}}
    async with between(Http2Upstream(echo), up=up) as (mesh, _):
        assert await ask(mesh, 1, b"body") == (200, b"body")


@live
async def test_cluster_of_no_choice_is_spoken_to_in_http1() -> None:
    async with between(echo_http1, up={}) as (mesh, _):
        assert await ask(mesh, 2, b"body") == (200, b"body")


@live
async def test_caller_s_protocol_is_offered_to_an_upstream_with_tls(tmp_path: Path) -> None:
    upstream = TlsUpstream(["h2", "http/1.1"])
    async with upstream.serving() as port:
        config = configuration([cluster("up", port, **BY_CALLER, **secured(tmp_path))], codec_type="AUTO")
        async with Mesh(config) as mesh:
            for version in (1, 2, 1, 2):
                assert await ask(mesh, version, b"body") == (200, b"body")
            assert upstream.agreed == ["http/1.1", "h2"]


# as TLS agrees


@live
@pytest.mark.parametrize("caller", [1, 2])
@pytest.mark.parametrize(("protocols", "version"), [(["h2"], 2), (["http/1.1"], 1), ([], 1), (["h2", "http/1.1"], 2)])
async def test_upstream_chooses_with_alpn(tmp_path: Path, protocols: list[str], version: int, caller: int) -> None:
    upstream = TlsUpstream(protocols)
    async with upstream.serving() as port:
        config = configuration([cluster("up", port, **BY_ALPN, **secured(tmp_path))], codec_type="AUTO")
        async with Mesh(config) as mesh:
            bodies = [b"%d" % number for number in range(20)]
            answers = await asyncio.gather(*(ask(mesh, caller, body) for body in bodies))
            assert answers == [(200, body) for body in bodies]
            assert await ask(mesh, caller, b"late") == (200, b"late")
            assert len(upstream.agreed) == (1 if version == 2 else len(upstream.agreed))
            assert mesh.counter(f"cluster.up.upstream_cx_http{version}_total") == len(upstream.agreed)
            assert mesh.counter(f"cluster.up.upstream_cx_http{3 - version}_total") == 0


@live
async def test_upstream_may_choose_otherwise_with_the_next_connection(tmp_path: Path) -> None:
    async with TlsUpstream([]).serving() as port:
        pass
    config = configuration([cluster("up", port, **BY_ALPN, **secured(tmp_path))], codec_type="AUTO")
    async with Mesh(config) as mesh:
        for protocol in ("http/1.1", "h2", "http/1.1"):
            upstream = TlsUpstream([protocol])
            async with upstream.serving(port):
                bodies = [b"%d" % number for number in range(5)]
                answers = await asyncio.gather(*(ask(mesh, 1, body) for body in bodies))
                assert answers == [(200, body) for body in bodies]
                assert set(upstream.agreed) == {protocol}
            await until(lambda: "cluster.up.upstream_cx_active" not in mesh.gauges(), "the end of its connections")
        assert mesh.counter("cluster.up.upstream_cx_http2_total") >= 1


@live
async def test_upstream_that_cannot_be_reached_fails_who_waits_for_its_choice(tmp_path: Path) -> None:
    async with TlsUpstream([]).serving() as port:
        pass
    config = configuration([cluster("up", port, **BY_ALPN, **secured(tmp_path))], codec_type="AUTO")
    async with Mesh(config) as mesh:
        assert {status for status, _ in await asyncio.gather(*(ask(mesh, 2, b"") for _ in range(3)))} == {503}


# with callers


@asynccontextmanager
async def tls_listener(directory: Path, **hcm: Any) -> AsyncIterator[Mesh]:
    """A mesh whose listener has TLS and offers both, in front of an upstream that speaks HTTP/1."""
    (certificate,) = SERVER.cert_chain_pems
    certificate.write_to_path(str(directory / "server.pem"))
    SERVER.private_key_pem.write_to_path(str(directory / "server.key"))
    pair = {
        "certificate_chain": {"filename": str(directory / "server.pem")},
        "private_key": {"filename": str(directory / "server.key")},
    }
    common = {"tls_certificates": [pair], "alpn_protocols": ["h2", "http/1.1"]}
    context = {"@type": TLS + "DownstreamTlsContext", "common_tls_context": common}
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    config = configuration([cluster("up", server.sockets[0].getsockname()[1])], codec_type="AUTO", **hcm)
    (listener,) = config["static_resources"]["listeners"]
    listener["filter_chains"][0]["transport_socket"] = {"name": "tls", "typed_config": context}
    async with server, Mesh(config) as mesh:
        yield mesh


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await echo_http1(Peer(reader, writer), 0)
    writer.close()


async def call(mesh: Mesh, *protocols: str) -> Peer:
    """A connection with TLS that offers these."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    CA.configure_trust(context)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return Peer(*await asyncio.open_connection("127.0.0.1", mesh.port, ssl=context))


@live
@pytest.mark.parametrize("offered", [("h2",), ("http/1.1", "h2"), ()])
async def test_caller_that_agreed_on_http2_or_begins_with_it_is_understood(
    tmp_path: Path, offered: tuple[str, ...]
) -> None:
    async with tls_listener(tmp_path) as mesh:
        session = Session(await call(mesh, *offered), client=True)
        await session.begin()
        message = await session.ask(b"GET", b"/p")
        await session.done(message)
        assert (message.status, bytes(message.body)) == (200, b"/p")
        session.peer.close()


@live
@pytest.mark.parametrize("offered", [("http/1.1",), ()])
async def test_offer_to_go_on_in_http2_means_nothing_with_tls(tmp_path: Path, offered: tuple[str, ...]) -> None:
    async with tls_listener(tmp_path) as mesh:
        client = await call(mesh, *offered)
        await client.send(get(b"/p", *OFFER, SETTINGS))
        head, body = await client.message()
        assert (status_of(head), body) == (200, b"/p")
        client.close()
