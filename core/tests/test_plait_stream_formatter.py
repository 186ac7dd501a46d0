"""Envoy's format strings over a stream and over a connection."""

import json
import time
from collections.abc import Mapping
from typing import Any, cast

import pytest

from plait.api import CONTINUE, ConfigError, Connection, Headers, Request, Response, Route, RouteMatch, Stream, Verdict
from plait.api.config import DirectResponse
from plait.stream.clock_format import compile_time_format
from plait.stream.formatter import compile_format, compile_json_format


class Call(Stream):
    """A finished stream with a value in every field."""

    upstream_host = "127.0.0.1:80"
    upstream_local = "127.0.0.1:5555"

    def __init__(self) -> None:
        request = Request(Headers([(b"user-agent", b"ua/1"), (b"x-bad", b"\xff")]), 7)
        request.raw_method, request.raw_path, request.raw_authority = b"GET", b"/p?q=1&r=", b"host.example"
        request.raw_scheme, request.protocol = b"http", "HTTP/1.1"
        super().__init__(request, Connection(cast("Any", None)), 1000.0)
        self.connection.peer = "10.0.0.9:4711"
        self.connection.local = "[::1]:8080"
        self.connection.server_name = "a.example"
        self.response = Response(200, Headers([(b"content-type", b"text/plain"), (b"grpc-status", b"5")]))
        self.request_ended, self.response_started = self.started + 0.25, self.started + 0.5
        self.ended = self.started + 1.0
        self.bytes_received, self.bytes_sent, self.attempts = 12, 345, 2
        self.upstream_cluster = "web"
        self.flags = ("UF", "URX")
        self.details = "via upstream"
        self.attributes["auth"] = {"user": {"name": "ann"}}
        self.attributes["mixer.status"] = 3

    @property
    def route(self) -> Route | None:
        return Route(RouteMatch(), DirectResponse(200), name="first")

    def clear_route(self) -> None: ...

    def route_settings(self, name: str) -> object | None:
        return None

    def reply(
        self,
        status: int,
        body: str | bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
        details: str = "",
        flag: str = "",
    ) -> Verdict:
        return CONTINUE

    def reset(self, reason: str, *, flag: str = "") -> None: ...

    def resume(self) -> None: ...

    async def request_body(self, limit_bytes: int = 1 << 20) -> bytes:
        return b""

    async def response_body(self, limit_bytes: int = 1 << 20) -> bytes:
        return b""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no operators, 100%% sure", "no operators, 100% sure"),
        ("%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%", "GET /p?q=1&r= HTTP/1.1"),
        ("%REQ(:AUTHORITY)%|%REQ(host)%|%REQ(:SCHEME)%", "host.example|host.example|http"),
        ("%REQ(user-agent):2%", "ua"),
        ("%REQ(absent)%", "-"),
        ("%RESP(Content-Type)% %RESP(:STATUS)%", "text/plain 200"),
        ("%TRAILER(grpc-status)%", "-"),
        ("%RESPONSE_CODE% %RESPONSE_FLAGS%", "200 UF,URX"),
        ("%RESPONSE_FLAGS_LONG%", "UpstreamConnectionFailure,UpstreamRetryLimitExceeded"),
        ("%RESPONSE_CODE_DETAILS%", "via_upstream"),
        ("%RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)%", "via upstream"),
        ("%DURATION% %REQUEST_DURATION% %RESPONSE_DURATION% %RESPONSE_TX_DURATION%", "1000 250 500 500"),
        ("%COMMON_DURATION(DS_RX_BEG:DS_TX_END:ms)%", "1000"),
        ("%BYTES_RECEIVED%/%BYTES_SENT%", "12/345"),
        ("%REQUEST_HEADERS_BYTES%", "20"),
        ("%UPSTREAM_CLUSTER% %UPSTREAM_HOST% %UPSTREAM_REMOTE_PORT%", "web 127.0.0.1:80 80"),
        ("%UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% %UPSTREAM_TRANSPORT_FAILURE_REASON%", "127.0.0.1 -"),
        ("%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "10.0.0.9:4711 10.0.0.9"),
        ("%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_LOCAL_PORT%", "::1 8080"),
        ("%REQUESTED_SERVER_NAME% %ROUTE_NAME% %STREAM_ID%", "a.example first 7"),
        ("%UPSTREAM_REQUEST_ATTEMPT_COUNT%", "2"),
        ("%GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS_NUMBER%", "NotFound NOT_FOUND 5"),
        ("%QUERY_PARAM(q)% %QUERY_PARAM(r)% %QUERY_PARAM(s)%", "1  -"),
        ("%PATH% %PATH(NQ)% %PATH(WQ:ORIG)%", "/p?q=1&r= /p -"),
        ("%METHOD% %HOST% %GENERIC_RESPONSE_CODE%", "GET host.example 200"),
        ("%REQUEST_PROPERTY(User-Agent)% %REQUEST_PROPERTY(:scheme)% %REQUEST_PROPERTY(:other)%", "ua/1 http -"),
        ("%RESPONSE_PROPERTY(content-type)% %RESPONSE_PROPERTY(:other)%", "text/plain -"),
        ("%DYNAMIC_METADATA(auth:user:name)% %DYNAMIC_METADATA(auth:user)%", 'ann {"name":"ann"}'),
        ("%DYNAMIC_METADATA(mixer:status)% %FILTER_STATE(mixer.status:PLAIN)%", "3 3"),
    ],
)
def test_operator_gives_the_stream_s_value(text: str, expected: str) -> None:
    assert compile_format(text)(Call()) == expected


def test_bytes_that_are_no_utf8_survive() -> None:
    assert compile_format("%REQ(x-bad)%")(Call()).encode("utf-8", "surrogateescape") == b"\xff"


def test_missing_text_can_be_chosen() -> None:
    assert compile_format("<%REQ(absent)%>", missing="")(Call()) == "<>"


def test_address_out_of_a_header_wins_over_the_peer() -> None:
    call = Call()
    call.attributes["plait.remote_address"] = "203.0.113.7"
    text = compile_format("%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS%")(call)
    assert text == "203.0.113.7:0 10.0.0.9:4711"


def test_connection_without_streams_has_what_a_connection_has() -> None:
    connection = Call().connection
    connection.bytes_sent, connection.upstream_cluster, connection.flags = 9, "tcp", ("UF",)
    connection.started = time.monotonic() - 0.5
    text = compile_format(
        "%REQ(:METHOD)% %RESPONSE_CODE% %BYTES_SENT% %UPSTREAM_CLUSTER% %RESPONSE_FLAGS% %DOWNSTREAM_REMOTE_PORT%"
    )(connection)
    assert text == "- 0 9 tcp UF 4711"
    assert int(compile_format("%DURATION%")(connection)) >= 500


def test_unknown_operator_is_named_with_its_neighbours() -> None:
    with pytest.raises(ConfigError, match=r"%RESPONSE_COD% is unknown.*did you mean %RESPONSE_CODE%"):
        compile_format("%RESPONSE_COD%")


@pytest.mark.parametrize(
    "text", ["50% off", "%REQ(x", "%DURATION(3)%", "%REQ()%", "%GRPC_STATUS(LOUD)%", "%COMMON_DURATION(A:B)%"]
)
def test_malformed_format_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        compile_format(text)


def test_json_keeps_types_and_shape() -> None:
    made = compile_json_format(
        {
            "code": "%RESPONSE_CODE%",
            "path": "%REQ(:PATH)%",
            "absent": "%REQ(absent)%",
            "mixed": "a %REQ(absent)% b",
            "nested": {"fixed": 1, "list": ["%PROTOCOL%", True]},
        }
    )(Call())
    assert "\n" not in made
    assert json.loads(made) == {
        "code": 200,
        "path": "/p?q=1&r=",
        "absent": None,
        "mixed": "a - b",
        "nested": {"fixed": 1, "list": ["HTTP/1.1", True]},
    }


def test_json_can_leave_empty_values_out() -> None:
    made = compile_json_format({"a": "%REQ(absent)%", "b": "%PROTOCOL%"}, omit_empty_values=True)(Call())
    assert json.loads(made) == {"b": "HTTP/1.1"}


def test_start_time_is_the_wall_clock_of_the_start() -> None:
    call = Call()
    call.started = time.monotonic() - 2
    text = compile_format("%START_TIME(%s)%")(call)
    assert abs(int(text) - (time.time() - 2)) <= 2


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (None, "2016-06-15T20:17:00.310Z"),
        ("%Y/%m/%d %H:%M:%S", "2016/06/15 20:17:00"),
        ("%s %3s", "1466021820 1466021820310"),
        ("%H:%M:%E3S%Ez", "20:17:00.310+00:00"),
        ("%H.%1f.%f", "20.3.310000000"),
        ("100%%", "100%"),
    ],
)
def test_time_format(pattern: str | None, expected: str) -> None:
    moment = 1466021820.3100001
    text = compile_time_format(pattern, local=False)
    assert text(moment) == expected
    assert text(moment) == expected, "the second time from what is kept for the second"
