"""Requests in protobuf, made with the old messages that are installed, are those of today's OTLP."""

import pytest
from opentelemetry.proto_json.collector.metrics.v1.metrics_service import ExportMetricsServiceRequest

from plait_telemetry_otel.over_grpc import message

JSON = """
{"resourceMetrics": [{
  "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
  "scopeMetrics": [{
    "scope": {"name": "plait", "version": "1"},
    "metrics": [
      {"name": "cluster.upstream_rq", "sum": {
        "dataPoints": [{
          "attributes": [
            {"key": "envoy.response_code", "value": {"stringValue": "200"}},
            {"key": "envoy.cluster_name", "value": {"stringValue": "a"}}],
          "startTimeUnixNano": "1699999940000000000", "timeUnixNano": "1700000000000000000", "asInt": "2"}],
        "aggregationTemporality": 2, "isMonotonic": true}},
      {"name": "server.uptime", "gauge": {"dataPoints": [{"timeUnixNano": "1700000000000000000", "asInt": "60"}]}},
      {"name": "plain_ms", "histogram": {
        "dataPoints": [{
          "startTimeUnixNano": "1699999940000000000", "timeUnixNano": "1700000000000000000",
          "count": "6", "sum": 30.5, "bucketCounts": ["1", "3", "2"], "explicitBounds": [1.0, 5.0]}],
        "aggregationTemporality": 2}}]}]}]}
"""

GOLDEN = bytes.fromhex(
    "0aa5020a180a160a0c736572766963652e6e616d6512060a0473686f701288020a0a0a05706c61697412013112710a13636c75737465722e"
    "757073747265616d5f72713a5a0a541100a8e23df09c97171900002a36fe9c97173102000000000000003a1c0a13656e766f792e72657370"
    "6f6e73655f636f646512050a033230303a190a12656e766f792e636c75737465725f6e616d6512030a01611002180112250a0d7365727665"
    "722e757074696d652a140a121900002a36fe9c9717313c0000000000000012600a08706c61696e5f6d734a540a501100a8e23df09c971719"
    "00002a36fe9c9717210600000000000000290000000000803e4032180100000000000000030000000000000002000000000000003a100000"
    "00000000f03f00000000000014401002"
)
"""What the messages of opentelemetry-proto 1.45.2, by themselves in another environment, make of the JSON."""


def test_bytes_are_those_of_todays_messages() -> None:
    assert message(ExportMetricsServiceRequest.from_json(JSON)).SerializeToString(deterministic=True) == GOLDEN


@pytest.mark.parametrize("shape", ["{}", '{"resourceMetrics": [{}]}', '{"resourceMetrics": [{"scopeMetrics": [{}]}]}'])
def test_a_request_with_little_in_it_is_no_error(shape: str) -> None:
    message(ExportMetricsServiceRequest.from_json(shape))
