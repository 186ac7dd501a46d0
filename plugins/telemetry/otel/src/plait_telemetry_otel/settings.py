"""What the sink is told, frozen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

import attrs


def _is_url(_: object, field: attrs.Attribute[Any], value: str) -> None:
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(value.partition("://")[2])
    except ValueError:
        good = False
    if not good:
        raise ValueError(f"{field.name} is {value!r}, expected http://HOST:PORT/PATH, or https://")


def _is_positive(_: object, field: attrs.Attribute[Any], value: float) -> None:
    if not 0 < value <= 300:
        raise ValueError(f"{field.name} is {value:g}, expected more than 0 and at most 300 seconds")


@attrs.frozen
class OtlpSettings:
    """Settings of ``plait.stat_sinks.otlp``, and what Envoy's SinkConfig becomes.

    For gRPC the ``endpoint`` is ``http://`` or ``https://`` (TLS) and a target as gRPC writes it, with no path behind
    it. ``root_certificates`` are PEM; the system's where empty. ``resource_attributes`` go before what Plait says
    about itself. ``stat_prefix`` is in the names of the sink's own statistics.
    """

    endpoint: str = attrs.field(default="http://127.0.0.1:4318/v1/metrics", validator=_is_url)
    protocol: Literal["http/json", "grpc"] = "http/json"
    timeout_s: float = attrs.field(default=5.0, validator=_is_positive)
    headers: Mapping[str, str] = attrs.field(factory=dict, hash=False)
    root_certificates: str = ""
    resource_attributes: Mapping[str, str] = attrs.field(factory=dict, hash=False)
    report_counters_as_deltas: bool = False
    report_histograms_as_deltas: bool = False
    emit_tags_as_attributes: bool = True
    use_tag_extracted_name: bool = True
    prefix: str = ""
    stat_prefix: str = "otlp"
