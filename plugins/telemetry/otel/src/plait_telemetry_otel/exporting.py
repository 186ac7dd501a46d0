"""Reports to one collector, in a thread of the sink's: a snapshot in, a request out, an answer awaited.

The request is made by OpenTelemetry's own encoder (``encode_metrics``) and sent here, in place of its exporter. That
one tries again inside of ``export`` for as long as its timeout lasts, and says of a failure only that it was one; here
the next flush tries again, and the reason is in the log.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod

from opentelemetry.exporter.otlp.json.common.metrics_encoder import encode_metrics
from opentelemetry.proto_json.collector.metrics.v1.metrics_service import ExportMetricsServiceRequest

from plait import Node, Snapshot, UpstreamError
from plait_telemetry_otel.reports import Reports
from plait_telemetry_otel.settings import OtlpSettings


class Sender(ABC):
    """One way to a collector."""

    @abstractmethod
    def send(self, request: ExportMetricsServiceRequest) -> str:
        """Deliver a request; what the collector complains of in it, if anything. Raises UpstreamError."""

    @abstractmethod
    def close(self) -> None:
        """Let go of connections."""


class Exporter:
    """Makes and sends reports; blocks, for about ``settings.timeout_s`` at most."""

    def __init__(self, settings: OtlpSettings, node: Node, built_ns: int) -> None:
        self._endpoint = settings.endpoint
        self._reports = Reports(settings, node, built_ns)
        self._sender = _sender(settings)

    def export(self, snapshot: Snapshot) -> None:
        """Raises UpstreamError when the report is not delivered, or refused in part."""
        metrics = self._reports.make(snapshot, time.time_ns())
        complaint = self._sender.send(encode_metrics(metrics))
        self._reports.delivered()
        if complaint:
            raise UpstreamError(f"{self._endpoint} refused a part of the report: {complaint}", flag="UPE")

    def close(self) -> None:
        """Let go of connections."""
        self._sender.close()


def _sender(settings: OtlpSettings) -> Sender:
    if settings.protocol == "grpc":
        from plait_telemetry_otel.over_grpc import GrpcSender

        return GrpcSender(settings)
    from plait_telemetry_otel.over_http import HttpSender

    return HttpSender(settings)
