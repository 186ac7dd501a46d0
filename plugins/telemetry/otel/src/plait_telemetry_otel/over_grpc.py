"""OTLP over gRPC (OTLP specification, OTLP/gRPC).

The messages are those of the ``opentelemetry.proto`` that is installed, which xds-protos brings: an old copy whose
fields have other names than today's (``instrumentation_library_metrics``) and the same numbers and types. So fields
that were renamed are named by their numbers, and those that it does not know are left out. See docs/adr/0005.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import grpc
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import ResourceMetrics
from opentelemetry.proto_json.collector.metrics.v1 import metrics_service as json_messages

from plait import UpstreamError
from plait_telemetry_otel.exporting import Sender
from plait_telemetry_otel.settings import OtlpSettings

METHOD = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"

RECONNECT_MS = 5000
"""A collector that is back is found within this time."""

_SCOPE_METRICS = ResourceMetrics.DESCRIPTOR.fields_by_number[2]
_SCOPE = _SCOPE_METRICS.message_type.fields_by_number[1]


class GrpcSender(Sender):
    """One channel; it connects with the first report, and again by itself."""

    def __init__(self, settings: OtlpSettings) -> None:
        self._endpoint = settings.endpoint
        self._timeout_s = settings.timeout_s
        self._metadata = tuple((name.lower(), value) for name, value in settings.headers.items())
        scheme, _, target = settings.endpoint.partition("://")
        options = [
            ("grpc.primary_user_agent", f"plait/{version('plait')}"),
            ("grpc.max_reconnect_backoff_ms", RECONNECT_MS),
        ]
        if scheme == "https":
            credentials = grpc.ssl_channel_credentials(settings.root_certificates.encode() or None)
            self._channel = grpc.secure_channel(target, credentials, options)
        else:
            self._channel = grpc.insecure_channel(target, options)
        self._call: Any = self._channel.unary_unary(
            METHOD,
            request_serializer=ExportMetricsServiceRequest.SerializeToString,
            response_deserializer=ExportMetricsServiceResponse.FromString,
        )

    def send(self, request: json_messages.ExportMetricsServiceRequest) -> str:
        try:
            answer = self._call(message(request), timeout=self._timeout_s, metadata=self._metadata)
        except grpc.RpcError as error:
            call: Any = error  # what is raised is the call that failed
            reason = f"{call.code().name}: {call.details()}"
            raise UpstreamError(f"cannot export to {self._endpoint}: {reason}", flag="UF") from error
        partial = getattr(answer, "partial_success", None)  # the old copy has none
        if partial is None or not (partial.rejected_data_points or partial.error_message):
            return ""
        return f"{partial.rejected_data_points} data points, {partial.error_message}"

    def close(self) -> None:
        self._channel.close()


def message(request: json_messages.ExportMetricsServiceRequest) -> ExportMetricsServiceRequest:
    """The request in protobuf."""
    shape = request.to_dict()
    for resource in shape.get("resourceMetrics", ()):
        scopes = resource.pop("scopeMetrics", ())
        for scope in scopes:
            if "scope" in scope:
                scope[_SCOPE.json_name] = scope.pop("scope")
        resource[_SCOPE_METRICS.json_name] = scopes
    return ParseDict(shape, ExportMetricsServiceRequest(), ignore_unknown_fields=True)
