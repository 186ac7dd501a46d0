"""gRPC of Python's grpcio through sidecars, and what a sidecar says and does for callers of gRPC itself."""

from __future__ import annotations

import base64
import queue
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import grpc
import pytest

from tests.interop.http2_sidecars import Ways, bootstrap, cluster, listener, manager
from tests.interop.peers import proxy, tool
from tests.running import free_ports, running

pytestmark = pytest.mark.timeout(120)

SERVER = Path(__file__).parent / "programs" / "grpcio_echo.py"
SERVICE = "/plait.interop.Echo/"
LIMITS = [("grpc.max_receive_message_length", 32 << 20), ("grpc.max_send_message_length", 32 << 20)]
TYPE = "type.googleapis.com/envoy.extensions.filters.http."
WAYS = ["2", "2-2", "1-2"]  # the versions of HTTP between sidecars and behind them


class Caller:
    """A channel, and the methods of the service on it."""

    def __init__(self, port: int) -> None:
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=LIMITS)

    def unary(self, name: str) -> Any:
        return self.channel.unary_unary(SERVICE + name)

    def join(self) -> Any:
        return self.channel.stream_unary(SERVICE + "Join")

    def stream(self, name: str) -> Any:
        return self.channel.unary_stream(SERVICE + name)

    def talk(self) -> Any:
        return self.channel.stream_stream(SERVICE + "Talk")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    (port,) = free_ports(1)
    command: list[str | Path] = [sys.executable, SERVER, str(port)]
    with running(command, tmp_path_factory.mktemp("grpcio"), port):
        yield port


@pytest.fixture(scope="module")
def ways(server: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    directory = tmp_path_factory.mktemp("ways")
    near, far = Ways(), Ways()
    inner, *outer = free_ports(1 + len(WAYS))
    ports = dict(zip(WAYS, outer, strict=True))
    far.add("in", inner, server, 2)
    for way, port in ports.items():
        near.add(f"way-{way}", port, server if way == "2" else inner, int(way[0]))
    with ExitStack() as stack:
        for name, sidecar in (("far", far), ("near", near)):
            (admin,) = free_ports(1)
            stack.enter_context(proxy("plait", sidecar.config(admin), directory / name, *sidecar.ports))
        yield ports


@pytest.fixture(params=WAYS)
def caller(request: pytest.FixtureRequest, ways: dict[str, int]) -> Iterator[Caller]:
    made = Caller(ways[request.param])
    yield made
    made.channel.close()


def failure(call: Callable[[], object]) -> grpc.Call:
    """The error that a call ends with."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return cast("grpc.Call", caught.value)


def test_unary_call_with_metadata_both_ways(caller: Caller) -> None:
    answer, call = caller.unary("Unary").with_call(b"one", metadata=(("x-asked", "yes"),))
    assert answer == b"echo one"
    head = dict(call.initial_metadata())
    assert (head["x-head"], head["x-head-bin"]) == ("seen", b"\0\xff\n")
    assert ("x-trailer", "yes") in [tuple(pair) for pair in call.trailing_metadata()]
    assert call.code() is grpc.StatusCode.OK


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
@pytest.mark.parametrize("size", [0, 20_000_000])
def test_messages_of_any_size(caller: Caller, size: int, compression: grpc.Compression) -> None:
    message = (bytes(range(251)) * (size // 251 + 1))[:size]
    assert caller.unary("Unary")(message, compression=compression) == b"echo " + message


def test_streams_of_requests_and_of_responses(caller: Caller) -> None:
    assert caller.join()(iter([b"a", b"b", b"c"])) == b"a,b,c"
    assert list(caller.stream("Count")(b"500")) == [b"%d" % number for number in range(500)]


def test_messages_of_a_conversation_pass_one_by_one(caller: Caller) -> None:
    said: queue.Queue[bytes | None] = queue.Queue()
    heard = caller.talk()(iter(said.get, None))
    for number in range(50):
        said.put(b"%d" % number)
        assert next(heard) == b"echo %d" % number
    said.put(None)
    assert list(heard) == []
    assert heard.code() is grpc.StatusCode.OK


def test_errors_with_their_details(caller: Caller) -> None:
    call = failure(lambda: caller.unary("Fail")(b""))
    assert (call.code(), call.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "not now: ü")
    assert ("x-trailer", "seen") in [tuple(pair) for pair in call.trailing_metadata()]
    late = caller.stream("FailLate")(b"")
    assert next(late) == b"first"
    assert failure(lambda: next(late)).code() is grpc.StatusCode.DATA_LOSS
    assert failure(lambda: caller.unary("Missing")(b"")).code() is grpc.StatusCode.UNIMPLEMENTED


def test_deadline_of_the_caller_is_known_to_the_server_and_ends_its_work(
    caller: Caller, request: pytest.FixtureRequest
) -> None:
    name = request.node.name.encode()
    call = caller.stream("Wait")(name, timeout=1.0)
    assert 0 < float(next(call)) < 1.5, "what is left of a second, by the server's own reckoning"
    assert failure(lambda: next(call)).code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert caller.unary("Ended")(name) == b"1"


def test_call_that_is_cancelled_ends_the_work_of_the_server(caller: Caller, request: pytest.FixtureRequest) -> None:
    name = request.node.name.encode()
    call = caller.stream("Wait")(name)
    assert next(call) == b"forever"
    call.cancel()
    assert caller.unary("Ended")(name) == b"1"


def test_server_that_cancels_ends_the_call(caller: Caller) -> None:
    call = caller.stream("Crash")(b"")
    assert next(call) == b"first"
    assert failure(lambda: list(call)).code() in (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN)


def test_a_thousand_calls_at_once(caller: Caller) -> None:
    unary = caller.unary("Unary")
    calls = [unary.future(b"%d" % number) for number in range(1000)]
    assert [call.result(60) for call in calls] == [b"echo %d" % number for number in range(1000)]


# what the sidecar does itself


@pytest.fixture(scope="module")
def edge(server: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """A sidecar with all filters about gRPC: its port, and that of its admin pages."""
    port, admin, nobody = free_ports(3)

    def route(path: str, **action: Any) -> dict[str, Any]:
        return {"match": {"prefix": path}, "route": {"cluster": "up", "timeout": "0s", **action}}

    routes = [
        route(SERVICE + "Flaky", retry_policy={"retry_on": "unavailable", "num_retries": 3}),
        route(SERVICE + "Wait", max_stream_duration={"grpc_timeout_header_max": "0s"}),
        {"match": {"prefix": SERVICE + "Closed"}, "direct_response": {"status": 403, "body": {"inline_string": "no"}}},
        route(SERVICE + "Lost", cluster="nobody"),
        route(SERVICE),
    ]
    filters = [
        {
            "name": "stats",
            "typed_config": {"@type": TYPE + "grpc_stats.v3.FilterConfig", "stats_for_all_methods": True},
        },
        {"name": "bridge", "typed_config": {"@type": TYPE + "grpc_http1_bridge.v3.Config"}},
        {"name": "web", "typed_config": {"@type": TYPE + "grpc_web.v3.GrpcWeb"}},
        {"name": "router", "typed_config": {"@type": TYPE + "router.v3.Router"}},
    ]
    hcm = manager("edge", routes, http_filters=filters)
    clusters = [cluster("up", server, 2), cluster("nobody", nobody, 2)]
    config = bootstrap(admin, [listener("edge", port, hcm)], clusters)
    with proxy("plait", config, tmp_path_factory.mktemp("edge") / "edge", port, admin):
        yield port, admin


def test_calls_that_fail_with_a_status_are_retried(edge: tuple[int, int]) -> None:
    assert Caller(edge[0]).unary("Flaky")(b"retried") == b"try 3"


@pytest.mark.parametrize(
    ("method", "code"),
    [
        (SERVICE + "Closed", grpc.StatusCode.PERMISSION_DENIED),
        (SERVICE + "Lost", grpc.StatusCode.UNAVAILABLE),
        ("/nobody.has/This", grpc.StatusCode.UNIMPLEMENTED),
    ],
)
def test_answers_of_our_own_are_those_of_grpc(edge: tuple[int, int], method: str, code: grpc.StatusCode) -> None:
    call: Any = Caller(edge[0]).channel.unary_unary(method)
    assert failure(lambda: call(b"")).code() is code


def curl(*arguments: str, body: bytes) -> tuple[str, bytes]:
    """Head and body of what curl gets."""
    done = subprocess.run(
        [tool("curl"), "-sSi", "--data-binary", "@-", *arguments],
        input=body,
        capture_output=True,
        check=True,
        timeout=30,
    )
    head, _, rest = done.stdout.partition(b"\r\n\r\n")
    return head.decode().lower(), rest


def framed(message: bytes, flags: int = 0) -> bytes:
    return bytes([flags]) + len(message).to_bytes(4, "big") + message


def test_deadline_is_kept_for_a_caller_that_does_not_look_at_it(edge: tuple[int, int]) -> None:
    head, _ = curl(
        *("--http2-prior-knowledge", "-H", "content-type: application/grpc", "-H", "te: trailers"),
        *("-H", "grpc-timeout: 300m", f"http://127.0.0.1:{edge[0]}{SERVICE}Wait"),
        body=framed(b"silent, and waited for by curl"),
    )
    assert "http/2 200" in head
    assert "grpc-status: 4" in head
    assert Caller(edge[0]).unary("Ended")(b"silent, and waited for by curl") == b"1"


def test_browsers_call_with_grpc_web(edge: tuple[int, int]) -> None:
    url = f"http://127.0.0.1:{edge[0]}{SERVICE}Unary"
    head, body = curl("--http1.1", "-H", "content-type: application/grpc-web+proto", url, body=framed(b"web"))
    assert "content-type: application/grpc-web+proto" in head
    assert body.startswith(framed(b"echo web") + b"\x80")
    assert b"grpc-status:0" in body.replace(b" ", b"")
    text = base64.b64encode(framed(b"text"))
    head, body = curl("--http1.1", "-H", "content-type: application/grpc-web-text", url, body=text)
    assert body.startswith(base64.b64encode(framed(b"echo text")))


def test_callers_of_http1_call_over_the_bridge(edge: tuple[int, int]) -> None:
    url = f"http://127.0.0.1:{edge[0]}{SERVICE}"
    head, body = curl("--http1.1", "-H", "content-type: application/grpc", url + "Unary", body=framed(b"one"))
    assert head.startswith("http/1.1 200")
    assert "grpc-status: 0" in head
    assert body == framed(b"echo one")
    head, _ = curl("--http1.1", "-H", "content-type: application/grpc", url + "Fail", body=framed(b""))
    assert head.startswith("http/1.1 503")
    assert "grpc-status: 9" in head


def test_calls_are_counted_by_method(edge: tuple[int, int]) -> None:
    port, admin = edge
    caller = Caller(port)
    assert caller.join()(iter([b"a", b"b"])) == b"a,b"
    failure(lambda: caller.unary("Fail")(b""))
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/stats?filter=grpc", timeout=20) as response:
        stats = dict(line.split(": ") for line in response.read().decode().splitlines())
    prefix = "cluster.up.grpc.plait.interop.Echo."
    assert int(stats[prefix + "Join.success"]) == 1
    assert int(stats[prefix + "Join.request_message_count"]) == 2
    assert int(stats[prefix + "Fail.9"]) >= 1
