"""The sniffer and the plugin's hook."""

from __future__ import annotations

import pytest

from plait.api import PoolMode, Sniff
from plait_protocol_http1 import Http1Client, Http1Options, Http1Server, plait_protocols, sniff


@pytest.mark.parametrize(
    ("prefix", "answer"),
    [
        (b"", Sniff.MORE),
        (b"G", Sniff.MORE),
        (b"GET ", Sniff.MORE),
        (b"GET /path", Sniff.MORE),
        (b"GET /path HTT", Sniff.MORE),
        (b"GET /path HTTP/1.1\r", Sniff.MORE),
        (b"GET /path HTTP/1.1\r\n", Sniff.YES),
        (b"OPTIONS * HTTP/1.0\r\nHost", Sniff.YES),
        (b"GET /path HTTP/2.0\r\n", Sniff.NO),
        (b"PRI * HTTP/2", Sniff.NO),
        (b"\x16\x03\x01", Sniff.NO),
        (b"hello\n", Sniff.NO),
        (b"\xda\xbb\xc2\x00", Sniff.NO),
        (b"GET /" + b"x" * 9000, Sniff.NO),
    ],
)
def test_sniffer_knows_a_request_line(prefix: bytes, answer: Sniff) -> None:
    assert sniff(prefix) is answer


def test_hook_registers_the_protocol() -> None:
    (protocol,) = plait_protocols()
    assert (protocol.name, protocol.pool_mode, protocol.options) == ("http1", PoolMode.ONE_AT_A_TIME, Http1Options)
    assert isinstance(protocol.server_codec(), Http1Server)
    assert isinstance(protocol.client_codec(Http1Options()), Http1Client)
