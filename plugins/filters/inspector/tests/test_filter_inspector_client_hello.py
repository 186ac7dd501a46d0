"""ClientHellos of OpenSSL and of our own making: read in whatever pieces they come, and never trusted."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait import Sniff
from plait_filter_inspector.client_hello import MALFORMED, TOO_LARGE, ClientHello, read_client_hello


def openssl_hello(name: str = "", alpn: tuple[str, ...] = (), newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bytes:
    """What OpenSSL says first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.maximum_version = newest
    if alpn:
        context.set_alpn_protocols(list(alpn))
    outgoing = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name or None).do_handshake()
    return outgoing.read()


def vector(size: int, data: bytes) -> bytes:
    return len(data).to_bytes(size, "big") + data


def extension(kind: int, data: bytes) -> bytes:
    return kind.to_bytes(2, "big") + vector(2, data)


def body(*extensions: bytes, session: bytes = b"") -> bytes:
    """A ClientHello by hand (RFC 8446 section 4.1.2)."""
    fixed = b"\x03\x03" + bytes(32) + vector(1, session) + vector(2, b"\x13\x01") + vector(1, b"\0")
    return fixed + (vector(2, b"".join(extensions)) if extensions else b"")


def records(message: bytes, size: int = 1 << 14) -> bytes:
    """Handshake records with pieces of that size."""
    return b"".join(b"\x16\x03\x01" + vector(2, message[i : i + size]) for i in range(0, len(message), size))


def hello(*extensions: bytes, size: int = 1 << 14) -> bytes:
    return records(b"\x01" + vector(3, body(*extensions)), size)


NAME = extension(0, vector(2, b"\0" + vector(2, b"Shop.Example")))
ALPN = extension(16, vector(2, vector(1, b"h2") + vector(1, b"http/1.1")))
WHOLE = ClientHello("shop.example", ("h2", "http/1.1"))


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_what_openssl_asks_for_is_read(newest: ssl.TLSVersion) -> None:
    assert read_client_hello(openssl_hello("shop.example", ("h2", "http/1.1"), newest)) == WHOLE
    assert read_client_hello(openssl_hello(newest=newest)) == ClientHello()


@pytest.mark.parametrize("prefix", [openssl_hello("shop.example", ("h2", "http/1.1")), hello(NAME, ALPN, size=7)])
def test_every_prefix_wants_more_until_all_is_there(prefix: bytes) -> None:
    for length in range(len(prefix)):
        assert read_client_hello(prefix[:length]) is Sniff.MORE, length
    assert read_client_hello(prefix) == WHOLE
    assert read_client_hello(prefix + b"early data") == WHOLE


@pytest.mark.parametrize("size", [3, 4, 5, 40, 1000])
def test_a_message_may_be_cut_over_records(size: int) -> None:
    assert read_client_hello(hello(NAME, ALPN, size=size)) == WHOLE


def test_a_hello_may_go_without_extensions() -> None:
    assert read_client_hello(hello()) == ClientHello()


@pytest.mark.parametrize(
    "prefix", [b"GET / HTTP/1.1\r\n", b"\x16\x02", b"\x16\x04", b"\x01\x16\x03", b"\xda\xbb", b"\x80"]
)
def test_what_does_not_begin_as_tls_is_none(prefix: bytes) -> None:
    assert read_client_hello(prefix) is Sniff.NO


@pytest.mark.parametrize(
    "prefix",
    [
        b"\x16\x03\x01\x00\x00",  # an empty record
        b"\x16\x03\x01\x40\x01",  # one that is too long
        records(b"\x02" + vector(3, body())),  # a ServerHello
        records(b"\x01\0\0\0"),
        records(b"\x01" + vector(3, b"\x03\x03")),
        records(b"\x01" + vector(3, bytes(34) + b"\xff")),
        records(b"\x01\0\0\x05" + bytes(5)),
        hello(extension(0, b"\0\xff\0")),
        hello(extension(0, vector(2, b"\0\0\xff"))),
        hello(extension(16, vector(2, b"\x05h2"))),
        hello(extension(16, vector(2, b"\0"))),
        hello(extension(16, b"\0\x09\x02h2")),
        hello(b"\0\0\0\xff"),
        hello(b"\0"),
        b"\x16\x03\x01\x00\x01\x01\x17\x03",  # another kind of record in the middle
        hello(NAME, size=1),  # more records than anybody needs
    ],
)
def test_what_begins_as_tls_and_is_none_is_said_so(prefix: bytes) -> None:
    assert read_client_hello(prefix) == ClientHello(problem=MALFORMED)


def test_a_hello_beyond_the_limit_is_known_by_its_declared_length() -> None:
    assert read_client_hello(b"\x16\x03\x01\x40\x00\x01\x00\x40\x00") == ClientHello(problem=TOO_LARGE)
    assert read_client_hello(hello(NAME), 60) == ClientHello(problem=TOO_LARGE)
    assert read_client_hello(hello(NAME), 100) == ClientHello("shop.example")


def test_a_name_that_is_no_ascii_is_none() -> None:
    for name in (b"sh\xc3\xb6p", b"shop\0.example"):
        assert read_client_hello(hello(extension(0, vector(2, b"\0" + vector(2, name))))) == ClientHello()
    other_type = extension(0, vector(2, b"\x01" + vector(2, b"x") + b"\0" + vector(2, b"a.example")))
    assert read_client_hello(hello(other_type)) == ClientHello("a.example")


@given(st.binary(max_size=400))
def test_anything_is_judged(data: bytes) -> None:
    assert isinstance(read_client_hello(data), ClientHello | Sniff)
    assert isinstance(read_client_hello(b"\x16\x03\x01" + data), ClientHello | Sniff)
    assert isinstance(read_client_hello(records(b"\x01" + vector(3, bytes(34) + data))), ClientHello | Sniff)


@given(st.integers(0, 300), st.binary(min_size=1, max_size=8))
def test_a_hello_with_wrong_bytes_is_judged(at: int, wrong: bytes) -> None:
    good = hello(NAME, ALPN, size=30)
    broken = good[: at % len(good)] + wrong + good[at % len(good) + len(wrong) :]
    assert isinstance(read_client_hello(broken), ClientHello | Sniff)


names = st.from_regex(r"[a-z0-9-]{1,20}(\.[a-z]{2,5}){1,3}", fullmatch=True)


@given(
    names, st.lists(st.text(st.characters(codec="ascii"), min_size=1, max_size=20), max_size=5), st.integers(16, 400)
)
def test_what_is_written_is_read(name: str, alpn: list[str], size: int) -> None:
    asked = extension(0, vector(2, b"\0" + vector(2, name.encode())))
    offered = [extension(16, vector(2, b"".join(vector(1, one.encode()) for one in alpn)))] if alpn else []
    assert read_client_hello(hello(asked, *offered, size=size)) == ClientHello(name, tuple(alpn))
