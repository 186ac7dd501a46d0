"""The sniffer, the local answer and the plugin's hook."""

from __future__ import annotations

import pytest

from plait.api import Headers, PoolMode, Request, Sniff
from plait_protocol_http2 import Http2Client, Http2Options, Http2Server, local_response, plait_protocols, sniff
from plait_protocol_http2.options import PREFACE


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


def test_hook_registers_the_protocol() -> None:
    (protocol,) = plait_protocols()
    assert (protocol.name, protocol.pool_mode, protocol.options) == ("http2", PoolMode.MULTIPLEXED, Http2Options)
    assert isinstance(protocol.server_codec(), Http2Server)
    assert isinstance(protocol.client_codec(Http2Options()), Http2Client)
