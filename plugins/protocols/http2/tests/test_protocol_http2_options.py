"""The sniffer, the local answer and the plugin's hook."""

from __future__ import annotations

import pytest
from envoy.config.core.v3.protocol_pb2 import KeepaliveSettings

from plait.api import ConfigError, Headers, PoolMode, Request, Sniff
from plait_protocol_http2 import Http2Client, Http2Options, Http2Server, local_response, plait_protocols, sniff
from plait_protocol_http2.options import PREFACE, Keepalive


@pytest.mark.parametrize(
    ("prefix", "answer"),
    [
        (b"", Sniff.MORE),
        (b"P", Sniff.MORE),
        (PREFACE[:-1], Sniff.MORE),
        (PREFACE, Sniff.YES),
        (PREFACE + b"\0\0", Sniff.YES),
        (b"PUT /", Sniff.NO),
        (b"PRI * HTTP/2.0\n", Sniff.NO),
        (b"GET / HTTP/1.1\r\n", Sniff.NO),
        (b"\x16\x03\x01", Sniff.NO),
    ],
)
def test_sniffer_knows_the_preface(prefix: bytes, answer: Sniff) -> None:
    assert sniff(prefix) is answer


def test_local_answers_are_plain_text() -> None:
    request = Request(Headers([]), 3, b"GET", b"/", b"a")
    response = local_response(request, 503, b"no healthy upstream", "no_healthy_upstream")
    assert (response.status, response.id, response.body) == (503, 3, b"no healthy upstream")
    assert response.headers.raw == [(b"content-length", b"19"), (b"content-type", b"text/plain")]
    request.raw_method = b"HEAD"
    assert not local_response(request, 503, b"no healthy upstream", "").body
    assert not local_response(request, 404, b"", "").headers.raw


def test_keepalive_of_a_configuration_is_read() -> None:
    message = KeepaliveSettings(interval={"seconds": 30}, timeout={"seconds": 1, "nanos": 500000000})
    options = Http2Options(connection_keepalive=message)
    assert options.connection_keepalive == Keepalive(30.0, 1.5)
    client = Http2Client(options)
    assert (client.heartbeat_s, client.heartbeat_timeout_s) == (30.0, 1.5)
    assert Http2Client().heartbeat_s == 0
    idle = KeepaliveSettings(connection_idle_interval={"seconds": 3}, timeout={"seconds": 1})
    assert Http2Options(connection_keepalive=idle).connection_keepalive == Keepalive(3.0, 1.0)
    jitter = KeepaliveSettings(interval={"seconds": 3}, timeout={"seconds": 1}, interval_jitter={"value": 10})
    with pytest.raises(ConfigError, match="jitter"):
        Http2Options(connection_keepalive=jitter)


def test_hook_registers_the_protocol() -> None:
    (protocol,) = plait_protocols()
    assert (protocol.name, protocol.pool_mode, protocol.options) == ("http2", PoolMode.MULTIPLEXED, Http2Options)
    assert protocol.alpn == "h2"
    assert isinstance(protocol.server_codec(), Http2Server)
    assert isinstance(protocol.client_codec(Http2Options()), Http2Client)
