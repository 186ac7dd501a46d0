"""OTLP over HTTP, in JSON (OTLP specification, OTLP/HTTP)."""

from __future__ import annotations

import time
from importlib.metadata import version

import urllib3
from opentelemetry.proto_json.collector.metrics.v1.metrics_service import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from plait import UpstreamError
from plait_telemetry_otel.exporting import Sender
from plait_telemetry_otel.settings import OtlpSettings

ANSWER_LIMIT_BYTES = 1 << 16
"""Of an answer no more is read: a longer one costs its connection."""


class HttpSender(Sender):
    """Keeps one connection."""

    def __init__(self, settings: OtlpSettings) -> None:
        self._endpoint = settings.endpoint
        self._timeout_s = settings.timeout_s
        self._headers = {
            "content-type": "application/json",
            "user-agent": f"plait/{version('plait')}",
            **{name.lower(): value for name, value in settings.headers.items()},
        }
        self._pool = urllib3.PoolManager(ca_cert_data=settings.root_certificates or None)

    def send(self, request: ExportMetricsServiceRequest) -> str:
        deadline = time.monotonic() + self._timeout_s
        try:
            answer = self._pool.request(
                "POST",
                self._endpoint,
                body=request.to_json().encode(),
                headers=self._headers,
                timeout=urllib3.Timeout(total=self._timeout_s),
                retries=False,  # the next flush is one
                preload_content=False,
            )
            body = _read(answer, deadline)
        except (urllib3.exceptions.HTTPError, TimeoutError) as error:
            raise UpstreamError(f"cannot export to {self._endpoint}: {_reason(error)}", flag="UF") from error
        if not 200 <= answer.status < 300:
            text = body[:200].decode("utf-8", "replace")
            raise UpstreamError(f"{self._endpoint} answered {answer.status}: {text}", flag="UPE")
        return _complaint(body)

    def close(self) -> None:
        self._pool.clear()


def _read(answer: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
    body = b""
    while chunk := answer.read1(4096):
        body += chunk
        if len(body) > ANSWER_LIMIT_BYTES:
            answer.close()
            return body
        if time.monotonic() > deadline:
            answer.close()
            raise TimeoutError("the answer takes too long")
    answer.release_conn()
    return body


def _reason(error: BaseException) -> str:
    """The innermost cause: what the system said, without the names of Python objects around it."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error)


def _complaint(body: bytes) -> str:
    """What a partial success says; an answer that is no JSON says nothing, since it came with a good status."""
    try:
        partial = ExportMetricsServiceResponse.from_json(body).partial_success
    except (ValueError, TypeError):
        return ""
    if partial is None or not (partial.rejected_data_points or partial.error_message):
        return ""
    return f"{partial.rejected_data_points or 0} data points, {partial.error_message or 'for no reason given'}"
