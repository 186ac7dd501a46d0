"""Any protocol that a plugin speaks is recognized, and TLS is."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any, cast

import pytest

from plait import Connection, ProtocolType, Sniff
from plait.testing import FakeContext
from plait_filter_inspector import ProtocolInspection, ProtocolInspector, TlsInspection, TlsInspector


class Transport:
    closed = False

    def close(self) -> None:
        self.closed = True


def peer() -> Connection:
    return Connection(cast("Any", Transport()))


def beginning(magic: bytes) -> Callable[[bytes], Sniff]:
    def sniff(prefix: bytes) -> Sniff:
        if prefix.startswith(magic):
            return Sniff.YES
        return Sniff.MORE if magic.startswith(prefix) else Sniff.NO

    return sniff


def protocol(name: str, magic: bytes) -> ProtocolType:
    unused: Any = None
    return ProtocolType(name, lambda: unused, lambda: unused, lambda *_: unused, sniff=beginning(magic))


PROTOCOLS = {
    one.name: one
    for one in (
        protocol("bolt", b"\x01"),
        protocol("dubbo", b"\xda\xbb"),
        protocol("http1", b"GET "),
        protocol("http2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    )
}


def client_hello() -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["h2"])
    outgoing = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="shop.example").do_handshake()
    return outgoing.read()


@pytest.fixture
def context() -> FakeContext:
    return FakeContext(protocols=PROTOCOLS)


@pytest.mark.parametrize(
    ("first", "names"),
    [
        (b"\x01\x00", ("bolt",)),
        (b"\xda\xbb\xc2", ("dubbo",)),
        (b"GET / HTTP/1.1\r\n", ("http/1.1", "http1")),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ("h2c", "http2")),
        (b"\x00\x00", ()),
    ],
)
def test_the_protocol_that_says_yes_has_the_connection(
    context: FakeContext, first: bytes, names: tuple[str, ...]
) -> None:
    connection = peer()
    assert ProtocolInspector(ProtocolInspection(), context).peek(connection, first)
    assert connection.application_protocols == names
    assert connection.transport_protocol == "raw_buffer"
    counted = f"protocol_inspector.{names[-1]}_found" if names else "protocol_inspector.not_found"
    assert context.fake_stats.values() == {counted: 1}


def test_it_waits_while_one_may_still_say_yes(context: FakeContext) -> None:
    inspector = ProtocolInspector(ProtocolInspection(), context)
    for prefix in (b"", b"\xda", b"GE", b"PRI * HTTP", b"\x16", b"\x16\x03\x01"):
        assert not inspector.peek(peer(), prefix)
    assert context.fake_stats.values() == {}


def test_tls_is_recognized_with_its_names(context: FakeContext) -> None:
    connection = peer()
    hello = client_hello()
    inspector = ProtocolInspector(ProtocolInspection(), context)
    assert not inspector.peek(connection, hello[:-1])
    assert inspector.peek(connection, hello)
    assert connection.transport_protocol == "tls"
    assert connection.server_name == "shop.example"
    assert connection.application_protocols == ("h2",)
    assert context.fake_stats.values() == {"protocol_inspector.tls_found": 1}
    assert inspector.peek(connection, b"")  # known to be TLS already


def test_only_what_is_named_is_asked_for(context: FakeContext) -> None:
    inspector = ProtocolInspector(ProtocolInspection(("dubbo", "dubbo"), tls=False), context)
    for first in (b"\x01", b"GET / HTTP/1.1\r\n", client_hello()):
        connection = peer()
        assert inspector.peek(connection, first)
        assert connection.application_protocols == ()
        assert connection.transport_protocol == "raw_buffer"
    assert inspector.peek(connection, b"\xda\xbb")
    assert connection.application_protocols == ("dubbo",)


# tls_inspector


def test_the_tls_inspector_fills_in_and_counts(plait_context: FakeContext) -> None:
    inspector = TlsInspector(TlsInspection(), plait_context)
    connection = peer()
    hello = client_hello()
    assert not inspector.peek(connection, hello[:50])
    assert inspector.peek(connection, hello)
    assert (connection.transport_protocol, connection.server_name) == ("tls", "shop.example")
    assert connection.application_protocols == ("h2",)
    assert inspector.peek(plain := peer(), b"GET / ")
    assert plain.transport_protocol == "raw_buffer"
    assert plait_context.fake_stats.values() == {
        "tls_inspector.tls_found": 1,
        "tls_inspector.alpn_found": 1,
        "tls_inspector.sni_found": 1,
        "tls_inspector.tls_not_found": 1,
    }


def test_a_client_hello_that_is_too_large_closes_its_connection(plait_context: FakeContext) -> None:
    inspector = TlsInspector(TlsInspection(256), plait_context)
    connection = peer()
    assert not inspector.peek(connection, client_hello())
    assert cast("Any", connection.transport).closed
    assert connection.details == "client_hello_too_large"
    assert plait_context.fake_stats.values() == {"tls_inspector.client_hello_too_large": 1}


@pytest.mark.parametrize("close", [True, False])
def test_a_broken_client_hello_closes_its_connection_where_that_is_wanted(
    plait_context: FakeContext, close: bool
) -> None:
    connection = peer()
    inspector = TlsInspector(TlsInspection(close_on_error=close), plait_context)
    assert inspector.peek(connection, b"\x16\x03\x01\x00\x00") is not close
    assert cast("Any", connection.transport).closed is close
    assert plait_context.fake_stats.values() == {"tls_inspector.tls_not_found": 1}
