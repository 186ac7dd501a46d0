"""Large messages that a filter gathered: their attachments are read and written like those of any other."""

from __future__ import annotations

import pytest

from plait.api import Data, Headers, Request, Response
from plait_protocol_dubbo import DubboCall, DubboClient, DubboOptions, DubboResult, DubboServer, read_whole
from plait_protocol_dubbo.forms import FORMS
from plait_protocol_dubbo.frame import HEAD, MAGIC

SMALL = DubboOptions(max_buffered_bytes=0)
SERIALIZATIONS = [2, 23]


def large(serialization: int) -> bytes:
    """A call of 10 kB with the attachments group, token and traceId."""
    form = FORMS[serialization]
    texts = (b"2.0.2", b"demo.Api", b"1.0.0", b"say", b"Ljava/lang/String;", b"x" * 10_000)
    entries = [form.encode_entry(*pair) for pair in ((b"group", b"g1"), (b"token", b"secret"), (b"traceId", b"7"))]
    body = b"".join([*map(form.encode_str, texts), form.encode_map(entries)])
    return HEAD.pack(MAGIC, 0xC0 | serialization, 0, 7, len(body)) + body


def gathered(frame: bytes) -> Request:
    """The request as it is when a filter has waited for its body."""
    request, *pieces = DubboServer(SMALL).feed(frame)
    assert isinstance(request, Request)
    assert not request.end
    assert not read_whole(request), "not before it is there"
    assert "token" not in request.headers
    request.body += b"".join(piece.data for piece in pieces if isinstance(piece, Data))
    request.end = True
    return request


def sent(request: Request) -> DubboCall:
    """What the server gets."""
    (received,) = DubboServer().feed(DubboClient().encode_request(request, 1))
    assert isinstance(received, Request)
    assert isinstance(received.native, DubboCall)
    return received.native


@pytest.mark.parametrize("serialization", SERIALIZATIONS)
def test_unchanged_it_is_sent_as_it_came(serialization: int) -> None:
    frame = large(serialization)
    request = gathered(frame)
    assert read_whole(request)
    assert read_whole(request), "it is whole now"
    assert DubboClient().encode_request(request, 7) == frame
    assert request.headers.get("token") == "secret"
    assert isinstance(request.native, DubboCall)
    assert request.native.arguments() == ["x" * 10_000]


@pytest.mark.parametrize("serialization", SERIALIZATIONS)
def test_attachments_are_changed(serialization: int) -> None:
    request = gathered(large(serialization))
    assert read_whole(request)
    request.headers.remove("token")
    request.headers.set("traceid", "8")
    request.headers.set("zone", "a")
    call = sent(request)
    assert call.attachments == {"group": "g1", "traceId": "8", "zone": "a"}
    assert call.arguments() == ["x" * 10_000]


@pytest.mark.parametrize("serialization", SERIALIZATIONS)
def test_what_was_done_before_is_done_again(serialization: int) -> None:
    request = gathered(large(serialization))
    request.headers.set("zone", "a")
    request.headers.remove("interface")  # which only stood for the service
    request.authority = "demo.Other"
    assert read_whole(request)
    call = sent(request)
    assert call.interface == "demo.Other"
    assert call.attachments == {"group": "g1", "token": "secret", "traceId": "7", "zone": "a"}


@pytest.mark.parametrize("serialization", SERIALIZATIONS)
def test_a_body_that_a_filter_wrote_has_its_own(serialization: int) -> None:
    request = gathered(large(serialization))
    request.body = request.body.replace(b"secret", b"public")
    assert read_whole(request)
    assert request.headers.get("token") == "public"
    assert sent(request).attachments["token"] == "public"


@pytest.mark.parametrize("serialization", SERIALIZATIONS)
def test_attachments_of_a_large_response_are_changed(serialization: int) -> None:
    form = FORMS[serialization]
    entries = [form.encode_entry(b"dubbo", b"2.0.2")]
    body = b"".join([form.encode_kind(4), form.encode_str(b"y" * 10_000), form.encode_map(entries)])
    response, *pieces = DubboClient(SMALL).feed(HEAD.pack(MAGIC, serialization, 20, 7, len(body)) + body)
    assert isinstance(response, Response)
    response.body += b"".join(piece.data for piece in pieces if isinstance(piece, Data))
    response.end = True
    assert list(response.headers) == []
    assert read_whole(response)
    assert list(response.headers) == [("dubbo", "2.0.2")]
    response.headers.set("served-in", "a")
    (request,) = DubboServer().feed(large(serialization))
    assert isinstance(request, Request)
    (received,) = DubboClient().feed(DubboServer().encode_response(request, response))
    assert isinstance(received, Response)
    assert isinstance(received.native, DubboResult)
    assert received.native.attachments == {"dubbo": "2.0.2", "served-in": "a"}
    assert received.native.value() == "y" * 10_000


def test_a_message_of_another_protocol_is_left_alone() -> None:
    assert not read_whole(Request(Headers([])))
