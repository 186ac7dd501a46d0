"""What is made of what a codec tells while a check waits for its answer, without sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from plait.api import Headers
from plait.api.config import Address, Endpoint, GrpcHealthCheck, HttpHealthCheck
from plait.api.config import Cluster as ClusterConfig
from plait.api.errors import LocalProtocolError, RemoteProtocolError
from plait.api.message import Data, Event, Fault, GoAway, Interim, Ping, Request, Reset, Response, Trailers
from plait.api.protocol import ClientCodec, ProtocolType
from plait.testing import FakeStats, on_every_loop
from plait.upstream import Cluster, ClusterStats, Host
from plait.upstream.health.grpc import GrpcProbe
from plait.upstream.health.http import Exchanges, HttpProbe
from plait.upstream.health.probe import CheckFailed


class Told(ClientCodec):
    """Reads events out of ``events``, one list for every read; streams are 1, 3, 5 …"""

    def __init__(self, options: object = None) -> None:
        super().__init__()
        self.options = options
        self.events: list[list[Event]] = []
        self.asked: list[Request] = []
        self.broken = False
        self._id = -1

    def feed(self, data: bytes) -> Sequence[Event]:
        return self.events.pop(0)

    def next_id(self) -> int:
        self._id += 2
        return self._id

    def encode_request(self, request: Request, id: int) -> bytes:
        if self.broken:
            raise LocalProtocolError("that cannot be said")
        self.asked.append(request)
        return b"request"

    def encode_data(self, id: int, data: bytes, end: bool) -> bytes:
        return b""


class Wire(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))


def response(status: int = 200, *, id: int = 1, end: bool = True) -> Response:
    made = Response(status, Headers([]), id)
    made.end = end
    return made


def fault(id: int, survives: bool) -> Fault:
    return Fault(RemoteProtocolError("broken", survives=survives), id)


async def asked(*reads: Sequence[Event], limit_bytes: int = 100) -> tuple[Exchanges, Told]:
    """Ask, and read this; raises CheckFailed."""
    codec = Told()
    codec.events = [list(read) for read in reads]
    connection = Exchanges(codec, limit_bytes)
    connection.connection_made(Wire())
    answer = connection.ask(Request(Headers([])))
    for _ in reads:
        assert not answer.done()
        connection.data_received(b"")
    assert answer.done()
    await answer
    return connection, codec


@on_every_loop
async def test_an_answer_is_complete_with_its_end() -> None:
    for reads in (
        [[response()]],
        [[response(end=False)], [Data(b"", True, 1)]],
        [[response(end=False), Data(b"a", False, 1)], [Trailers(Headers([]), 1)]],
        [[Interim(103, Headers([]), 1)], [response()]],
        [[response(500, id=7), Ping(True)], [Reset("gone", 7)], [response()]],
        [[fault(7, True)], [response()]],
        [[GoAway(1)], [response()]],
        [[GoAway()], [response()]],
    ):
        connection, _ = await asked(*reads)
        assert connection.response is not None
        assert connection.response.status == 200


@on_every_loop
async def test_a_body_is_kept_with_its_trailers_up_to_a_limit() -> None:
    pieces: list[Event] = [Data(b"x" * 60, False, 1) for _ in range(4)]
    connection, _ = await asked([response(end=False), *pieces, Trailers(Headers([(b"a", b"b")]), 1)])
    assert connection.response is not None
    assert connection.response.body == b"x" * 120
    assert connection.response.trailers is not None
    assert connection.response.trailers.find(b"a") == b"b"
    connection, _ = await asked([response(end=False), *pieces, Data(b"", True, 1)], limit_bytes=0)
    assert connection.response is not None
    assert connection.response.body == b""


@pytest.mark.parametrize(
    ("event", "usable"),
    [(Reset("gone", 1), True), (fault(1, True), True), (fault(0, False), False), (GoAway(0), False)],
    ids=["reset", "broken stream", "broken connection", "goaway"],
)
@on_every_loop
async def test_a_stream_that_ends_without_an_answer_is_a_failure_of_the_network(event: Event, usable: bool) -> None:
    for before in ([], [response(end=False)]):
        codec = Told()
        codec.events = [[*before, event]]
        connection = Exchanges(codec)
        connection.connection_made(Wire())
        answer = connection.ask(Request(Headers([])))
        connection.data_received(b"")
        with pytest.raises(CheckFailed) as caught:
            await answer
        assert caught.value.network
        assert not caught.value.at_once
        assert connection.usable is usable


@on_every_loop
async def test_a_connection_that_is_lost_answers_nothing_more() -> None:
    codec = Told()
    connection = Exchanges(codec)
    connection.connection_made(Wire())
    answer = connection.ask(Request(Headers([])))
    connection.connection_lost(None)
    for waiting in (answer, connection.ask(Request(Headers([])))):
        with pytest.raises(CheckFailed):
            await waiting
    assert not connection.usable


@on_every_loop
async def test_what_the_codec_has_to_say_goes_out_with_the_request() -> None:
    codec, wire = Told(), Wire()
    codec.output.append(b"hello")
    connection = Exchanges(codec)
    connection.connection_made(wire)
    connection.ask(Request(Headers([]))).cancel()
    codec.events = [[Ping(False)]]
    codec.output.append(b"pong")
    connection.data_received(b"")
    assert wire.written == [b"hello", b"request", b"pong"]


@on_every_loop
async def test_a_request_that_cannot_be_sent_is_a_failure() -> None:
    codec = Told()
    codec.broken = True
    connection = Exchanges(codec)
    connection.connection_made(Wire())
    with pytest.raises(CheckFailed, match="cannot be sent"):
        await connection.ask(Request(Headers([])))


# what is asked, and what an answer says


def _nothing(request: Request, status: int, body: bytes, details: str) -> Response:
    return response(status)


PROTOCOL = ProtocolType("http2", Told, Told, _nothing)  # type: ignore[arg-type]  # no server is made


def target(**endpoint: Any) -> Host:
    cluster = Cluster(
        ClusterConfig("up", protocol="http2", protocol_options="options"), ClusterStats(FakeStats(), "up")
    )
    return Host(cluster, Endpoint(Address("127.0.0.1", 1), **endpoint), ("127.0.0.1", 1))


def refused(judge: Callable[[Response], None], answer: Response) -> bool | None:
    """None for a host that is well, else whether that is believed at once."""
    try:
        judge(answer)
    except CheckFailed as error:
        return error.at_once and not error.network
    return None


@pytest.mark.parametrize(("status", "verdict"), [(200, None), (299, None), (300, True), (404, True), (503, False)])
def test_a_status_is_expected_may_pass_or_says_no(status: int, verdict: bool | None) -> None:
    kind = HttpHealthCheck("/", expected_statuses=((200, 300),), retriable_statuses=((500, 600),))
    assert refused(HttpProbe(kind, target(), True, PROTOCOL).judge, response(status)) is verdict


@pytest.mark.parametrize(
    ("endpoint", "host", "authority"),
    [("", "", "up"), ("", "shop", "shop"), ("mine", "shop", "mine"), ("mine", "", "mine")],
)
def test_the_endpoint_s_own_name_comes_first_and_the_cluster_s_last(endpoint: str, host: str, authority: str) -> None:
    where = target(health_check_hostname=endpoint)
    http = HttpProbe(HttpHealthCheck("/a?b", host, "HEAD", fields=((b"x", b"y"),)), where, True, PROTOCOL).request()
    assert (http.raw_method, http.raw_path, http.authority, http.raw_scheme) == (b"HEAD", b"/a?b", authority, b"http")
    assert http.headers.raw == [(b"x", b"y")]
    grpc = GrpcProbe(GrpcHealthCheck("s", host), where, True, PROTOCOL).request()
    assert (grpc.raw_method, grpc.path, grpc.authority) == (b"POST", "/grpc.health.v1.Health/Check", authority)
    assert grpc.body == b"\0\0\0\0\x03\x0a\x01s"


SERVING = b"\0\0\0\0\x02\x08\x01"


def grpc_answer(
    status: int = 200, body: bytes = SERVING, trailer: str | None = "0", in_head: str | None = None
) -> Response:
    made = response(status)
    if in_head is not None:
        made.headers.append(b"grpc-status", in_head.encode())
    made.body = body
    made.trailers = Headers([(b"grpc-status", trailer.encode())]) if trailer is not None else None
    return made


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (grpc_answer(), None),
        (grpc_answer(trailer=None, in_head="0"), None),
        (grpc_answer(body=b"\0\0\0\0\x02\x08\x02"), True),
        (grpc_answer(body=b""), True),
        (grpc_answer(trailer="5"), True),
        (grpc_answer(trailer=None), True),
        (grpc_answer(trailer=None, in_head="12"), True),
        (grpc_answer(503), True),
    ],
    ids=["serving", "in the head", "not serving", "no message", "not found", "no status", "unimplemented", "http"],
)
def test_a_service_is_well_that_says_serving(answer: Response, verdict: bool | None) -> None:
    assert refused(GrpcProbe(GrpcHealthCheck(), target(), True, PROTOCOL).judge, answer) is verdict


def test_the_codec_has_the_cluster_s_options_where_they_are_its_own() -> None:
    other = ProtocolType("http1", Told, Told, _nothing)  # type: ignore[arg-type]
    made = []
    for protocol in (PROTOCOL, other):
        connection = HttpProbe(HttpHealthCheck("/"), target(), True, protocol)._new()
        made.append(connection._codec.options)  # type: ignore[attr-defined]
    assert made == ["options", None]
