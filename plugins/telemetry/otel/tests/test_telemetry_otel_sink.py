"""The sink at work: over HTTP and gRPC, against a collector that fails, stalls and complains; and in `mesh run`.

The collectors are stand-ins that decode what they get with the messages of OTLP's own distributions and keep it: the
real one is a program of its own that this project does not install.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto_json.collector.metrics.v1 import metrics_service as json_messages

from plait import Snapshot, UpstreamError
from plait.testing import FakeContext, FakeStats
from plait_telemetry_otel import OtlpSettings
from plait_telemetry_otel.over_http import ANSWER_LIMIT_BYTES
from plait_telemetry_otel.sink import OtlpSink

DEADLINE_S = 20.0
SNAPSHOT = Snapshot({"cluster.a.upstream_rq_total": 3}, {"server.uptime": 1}, {})
LATER = Snapshot({"cluster.a.upstream_rq_total": 10}, {"server.uptime": 6}, {})


class Received(list[dict[str, Any]]):
    """Requests as JSON has them, with the headers or metadata that came with each."""

    def __init__(self) -> None:
        super().__init__()
        self.headers: list[dict[str, str]] = []
        self.peers: set[Any] = set()

    def value(self, metric: str, *attributes: str) -> int | None:
        """The newest value of a metric with these values of its attributes; None where it was never told."""
        for request in reversed(self):
            for point in points(request, metric):
                if [one["value"]["stringValue"] for one in point.get("attributes", ())] == list(attributes):
                    return int(point.get("asInt", point.get("count", 0)))
        return None


def points(request: dict[str, Any], metric: str) -> list[dict[str, Any]]:
    scopes = [scope for one in request["resourceMetrics"] for scope in (one.get("scopeMetrics") or oldest(one))]
    found = [one for scope in scopes for one in scope.get("metrics", ()) if one["name"] == metric]
    return [
        point
        for one in found
        for kind in ("sum", "gauge", "histogram")
        for point in one.get(kind, {"dataPoints": ()})["dataPoints"]
    ]


def oldest(resource: dict[str, Any]) -> list[dict[str, Any]]:
    scopes: list[dict[str, Any]] = resource.get("instrumentationLibraryMetrics", [])
    return scopes


class HttpStandIn:
    """Answers with ``status`` and ``body``, once ``go`` is set."""

    def __init__(self) -> None:
        self.received = Received()
        self.status = 200
        self.body = b"{}"
        self.go = threading.Event()
        self.go.set()
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                received = stand_in.received
                received.headers.append({name.lower(): value for name, value in self.headers.items()})
                received.peers.add(self.client_address)
                assert self.path == "/v1/metrics"
                received.append(json_messages.ExportMetricsServiceRequest.from_json(body).to_dict())
                stand_in.go.wait(DEADLINE_S)
                try:
                    self.send_response(stand_in.status)
                    self.send_header("content-length", str(len(stand_in.body)))
                    self.end_headers()
                    self.wfile.write(stand_in.body)
                except ConnectionError:
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}/v1/metrics"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self._thread.start()

    def stop(self) -> None:
        self.go.set()
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


class GrpcStandIn:
    """Answers well, or with ``code``."""

    def __init__(self) -> None:
        self.received = Received()
        self.code = grpc.StatusCode.OK
        handler = grpc.unary_unary_rpc_method_handler(
            self._export,
            request_deserializer=ExportMetricsServiceRequest.FromString,
            response_serializer=ExportMetricsServiceResponse.SerializeToString,
        )
        service = "opentelemetry.proto.collector.metrics.v1.MetricsService"
        self.server = grpc.server(ThreadPoolExecutor(2))
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": handler}),))
        self.target = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def _export(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.received.headers.append({str(key): str(value) for key, value in context.invocation_metadata()})
        self.received.append(MessageToDict(request))
        if self.code is not grpc.StatusCode.OK:
            context.abort(self.code, "not now")
        return ExportMetricsServiceResponse()

    def stop(self) -> None:
        self.server.stop(None).wait(DEADLINE_S)


@pytest.fixture
def over_http() -> Iterator[HttpStandIn]:
    stand_in = HttpStandIn()
    yield stand_in
    stand_in.stop()


@pytest.fixture
def over_grpc() -> Iterator[GrpcStandIn]:
    stand_in = GrpcStandIn()
    yield stand_in
    stand_in.stop()


def made(**settings: Any) -> tuple[OtlpSink, FakeStats]:
    context = FakeContext()
    assert isinstance(context.stats, FakeStats)
    return OtlpSink(OtlpSettings(**settings), context), context.stats


async def flushed(sink: OtlpSink, *snapshots: Snapshot) -> list[str]:
    """Flush each, and close; what was raised."""
    raised = []
    for snapshot in snapshots:
        try:
            await sink.flush(snapshot)
        except UpstreamError as error:
            raised.append(str(error))
    await sink.close()
    return raised


def until(condition: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, f"gave up waiting for {what}"
        time.sleep(0.02)


def test_otlp_stand_in_receives_json_over_one_connection(over_http: HttpStandIn) -> None:
    sink, stats = made(endpoint=over_http.endpoint, headers={"Authorization": "Bearer x"})
    assert asyncio.run(flushed(sink, SNAPSHOT, LATER)) == []
    assert [points(request, "cluster.upstream_rq_total")[0]["asInt"] for request in over_http.received] == ["3", "10"]
    assert len(over_http.received.peers) == 1
    headers = over_http.received.headers[0]
    assert headers["content-type"] == "application/json"
    assert headers["authorization"] == "Bearer x"
    assert headers["user-agent"].startswith("plait/")
    assert stats.values() == {"stats_sinks.otlp.export_success": 2}


def test_otlp_stand_in_receives_protobuf_over_grpc(over_grpc: GrpcStandIn) -> None:
    sink, stats = made(
        endpoint=f"http://{over_grpc.target}", protocol="grpc", headers={"X-Team": "shop"}, stat_prefix="otel"
    )
    assert asyncio.run(flushed(sink, SNAPSHOT, LATER)) == []
    assert over_grpc.received.value("cluster.upstream_rq_total", "a") == 10
    assert over_grpc.received.headers[0]["x-team"] == "shop"
    assert over_grpc.received.headers[0]["user-agent"].startswith("plait/")
    assert stats.values() == {"stats_sinks.otel.export_success": 2}


def test_a_report_that_is_refused_is_told_in_the_next_one(over_http: HttpStandIn) -> None:
    over_http.status, over_http.body = 503, b"overloaded"
    sink, stats = made(endpoint=over_http.endpoint, report_counters_as_deltas=True)

    async def scenario() -> None:
        with pytest.raises(UpstreamError) as refused:
            await sink.flush(SNAPSHOT)
        assert str(refused.value) == f"{over_http.endpoint} answered 503: overloaded"
        over_http.status, over_http.body = 200, b""
        assert await flushed(sink, LATER) == []

    asyncio.run(scenario())
    assert over_http.received.value("cluster.upstream_rq_total", "a") == 10
    assert stats.values() == {"stats_sinks.otlp.export_success": 1, "stats_sinks.otlp.export_failure": 1}


def test_a_complaint_is_raised_and_not_told_again(over_http: HttpStandIn) -> None:
    complaint = {"partialSuccess": {"rejectedDataPoints": "2", "errorMessage": "bad names"}}
    over_http.body = json.dumps(complaint).encode()
    sink, _ = made(endpoint=over_http.endpoint, report_counters_as_deltas=True)
    [one, two] = asyncio.run(flushed(sink, SNAPSHOT, LATER))
    assert one == two == f"{over_http.endpoint} refused a part of the report: 2 data points, bad names"
    assert over_http.received.value("cluster.upstream_rq_total", "a") == 7


@pytest.mark.parametrize(
    "body", [b"", b"fine", b"[]", b"{}", b'{"partialSuccess": {}}', b"x" * (ANSWER_LIMIT_BYTES + 9)]
)
def test_any_body_of_a_good_answer_will_do(body: bytes, over_http: HttpStandIn) -> None:
    over_http.body = body
    assert asyncio.run(flushed(made(endpoint=over_http.endpoint)[0], SNAPSHOT, LATER)) == []


@pytest.mark.parametrize("protocol", ["http/json", "grpc"])
def test_a_collector_that_is_gone_is_named(protocol: str) -> None:
    stand_in = HttpStandIn()
    stand_in.stop()
    endpoint = stand_in.endpoint if protocol == "http/json" else stand_in.endpoint.removesuffix("/v1/metrics")
    sink, stats = made(endpoint=endpoint, protocol=protocol)
    [raised] = asyncio.run(flushed(sink, SNAPSHOT))
    assert raised.startswith(f"cannot export to {endpoint}: ")
    assert "connection refused" in raised.lower()
    assert stats.values() == {"stats_sinks.otlp.export_failure": 1}


def test_a_collector_that_refuses_over_grpc_is_named(over_grpc: GrpcStandIn) -> None:
    over_grpc.code = grpc.StatusCode.RESOURCE_EXHAUSTED
    endpoint = f"http://{over_grpc.target}"
    [raised] = asyncio.run(flushed(made(endpoint=endpoint, protocol="grpc")[0], SNAPSHOT))
    assert raised == f"cannot export to {endpoint}: RESOURCE_EXHAUSTED: not now"


def test_a_collector_that_stalls_meets_the_deadline_and_never_the_loop(over_http: HttpStandIn) -> None:
    over_http.go.clear()
    sink, _ = made(endpoint=over_http.endpoint, timeout_s=0.3)

    async def scenario() -> None:
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            turning = group.create_task(turn())
            [raised] = await flushed(sink, SNAPSHOT)
            turning.cancel()
        assert "timed out" in raised
        assert turns > 10

    asyncio.run(scenario())


def test_a_flush_that_is_given_up_leaves_its_report_to_the_next_one(over_http: HttpStandIn) -> None:
    over_http.go.clear()
    sink, stats = made(endpoint=over_http.endpoint)

    async def scenario() -> None:
        for _ in range(3):  # one is under way, the others never start
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await sink.flush(SNAPSHOT)
        over_http.go.set()
        assert await flushed(sink, LATER) == []

    asyncio.run(scenario())
    assert [points(request, "cluster.upstream_rq_total")[0]["asInt"] for request in over_http.received] == ["3", "10"]
    assert stats.values() == {"stats_sinks.otlp.export_success": 2}


_HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_SINK = "type.googleapis.com/envoy.extensions.stat_sinks.open_telemetry.v3.SinkConfig"
_TYPED_STRUCT = "type.googleapis.com/xds.type.v3.TypedStruct"


def bootstrap(http_endpoint: str, grpc_target: str) -> dict[str, Any]:
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200}}
    manager = {
        "@type": _HCM,
        "stat_prefix": "in",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": _ROUTER}}],
    }
    listener = {
        "name": "in",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    http = {"@type": _TYPED_STRUCT, "type_url": "plait.stat_sinks.otlp", "value": {"endpoint": http_endpoint}}
    google = {"target_uri": grpc_target, "stat_prefix": "otel"}
    return {
        "node": {"id": "n1", "cluster": "shop"},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "stats_flush_interval": "0.5s",
        "stats_sinks": [
            {"name": "http", "typed_config": http},
            {
                "name": "envoy.stat_sinks.open_telemetry",
                "typed_config": {"@type": _SINK, "grpc_service": {"google_grpc": google}, "prefix": "mesh"},
            },
        ],
        "static_resources": {"listeners": [listener]},
    }


def admin(address: Path, path: str) -> Any:
    host, _, port = address.read_text().strip().rpartition(":")
    connection = HTTPConnection(host, int(port), timeout=DEADLINE_S)
    connection.request("GET", path)
    body = connection.getresponse().read()
    connection.close()
    return json.loads(body)


def test_otlp_stand_in_receives_what_mesh_run_counts(
    over_http: HttpStandIn, over_grpc: GrpcStandIn, tmp_path: Path
) -> None:
    config, address, log = (tmp_path / name for name in ("bootstrap.json", "admin", "log"))
    config.write_text(json.dumps(bootstrap(over_http.endpoint, over_grpc.target)))
    command = [sys.executable, "-m", "plait", "run", "-c", str(config), "--concurrency", "2"]
    with log.open("wb") as output:
        mesh = subprocess.Popen([*command, "--admin-address-path", str(address)], stdout=output, stderr=output)
    try:
        until(lambda: address.exists() or mesh.poll() is not None, "the admin server")
        until(lambda: b"live with" in log.read_bytes() or mesh.poll() is not None, "the listeners")
        assert mesh.poll() is None, log.read_text()
        [listener] = admin(address, "/listeners?format=json")["listener_statuses"]
        port = listener["local_address"]["socket_address"]["port_value"]
        for _ in range(20):
            connection = HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
            connection.request("GET", "/")
            assert connection.getresponse().status == 200
            connection.close()
        told = over_http.received
        until(lambda: told.value("http.downstream_rq_xx", "2", "in") == 20, "the sum over HTTP")
        told = over_grpc.received
        until(lambda: told.value("mesh.http.downstream_rq_xx", "2", "in") == 20, "the sum over gRPC")
        until(lambda: told.value("mesh.http.downstream_rq_time", "in") == 20, "the histogram over gRPC")
        over_http.status, before = 503, len(over_http.received)
        until(lambda: len(over_http.received) >= before + 3, "reports that are refused")
    finally:
        mesh.terminate()
        code = mesh.wait(DEADLINE_S)
    assert code == 0, log.read_text()
    assert log.read_text().count("/v1/metrics answered 503") == 1, "a streak of failures is logged once"
    resource = over_http.received[-1]["resourceMetrics"][0]["resource"]
    assert {one["key"]: one["value"]["stringValue"] for one in resource["attributes"]} == {
        "service.name": "shop",
        "service.instance.id": "n1",
    }
