"""From Envoy's SinkConfig to settings."""

from pathlib import Path
from typing import Any

import pytest
from envoy.extensions.stat_sinks.open_telemetry.v3.open_telemetry_pb2 import SinkConfig
from envoy.extensions.tracers.opentelemetry.resource_detectors.v3 import (
    environment_resource_detector_pb2,
    static_config_resource_detector_pb2,
)
from google.protobuf.json_format import ParseDict

from plait import ConfigError, ConfigErrors
from plait.plugins import Catalogue, discover
from plait.xds import Positions, Translator, Where
from plait_telemetry_otel import OtlpSettings
from plait_telemetry_otel.translate import sink

HERE = Where(Positions.nowhere("bootstrap.yaml"))
TARGET = {"target_uri": "collector:4317", "stat_prefix": "otel"}
ENVIRONMENT = environment_resource_detector_pb2.EnvironmentResourceDetectorConfig.DESCRIPTOR.full_name
STATIC = static_config_resource_detector_pb2.StaticConfigResourceDetectorConfig.DESCRIPTOR.full_name


def translated(**fields: Any) -> OtlpSettings:
    translator = Translator(Catalogue(discover()))
    settings = sink(ParseDict(fields, SinkConfig()), HERE, translator)
    translator.raise_all()
    return settings


def over(service: dict[str, Any] | None = None, **google: Any) -> dict[str, Any]:
    return {"grpc_service": {"google_grpc": {**TARGET, **google}, **(service or {})}}


def test_a_target_is_enough() -> None:
    expected = OtlpSettings(endpoint="http://collector:4317", protocol="grpc", stat_prefix="otel")
    assert translated(**over()) == expected


def test_every_field_is_translated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "team=shop,site=a%20b")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "orders")
    settings = translated(
        **over({"timeout": "2.5s", "initial_metadata": [{"key": "Authorization", "value": "Bearer x"}]}),
        resource_detectors=[
            {"name": "environment", "typed_config": {"@type": "t/" + ENVIRONMENT}},
            {"name": "static", "typed_config": {"@type": "t/" + STATIC, "attributes": {"team": "cart"}}},
        ],
        report_counters_as_deltas=True,
        report_histograms_as_deltas=True,
        emit_tags_as_attributes=False,
        use_tag_extracted_name=False,
        prefix="mesh",
    )
    assert settings == OtlpSettings(
        endpoint="http://collector:4317",
        protocol="grpc",
        timeout_s=2.5,
        headers={"Authorization": "Bearer x"},
        resource_attributes={"team": "cart", "site": "a b", "service.name": "orders"},
        report_counters_as_deltas=True,
        report_histograms_as_deltas=True,
        emit_tags_as_attributes=False,
        use_tag_extracted_name=False,
        prefix="mesh",
        stat_prefix="otel",
    )


def test_credentials_mean_tls(tmp_path: Path) -> None:
    roots = tmp_path / "roots.pem"
    roots.write_text("PEM")
    settings = translated(**over(channel_credentials={"ssl_credentials": {}}))
    assert (settings.endpoint, settings.root_certificates) == ("https://collector:4317", "")
    credentials = {"ssl_credentials": {"root_certs": {"filename": str(roots)}}}
    assert translated(**over(channel_credentials=credentials)).root_certificates == "PEM"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "the sink has no grpc_service"),
        ({"grpc_service": {}}, "the gRPC service has no target"),
        ({"grpc_service": {"envoy_grpc": {"cluster_name": "c"}}}, "the supervisor, which has no clusters"),
        (over(target_uri=""), "the target is empty"),
        (over({"timeout": "301s"}), "timeout is 301s, expected at most 300s"),
        (over({"timeout": "0s"}), "timeout is 0s"),
        (over({"retry_policy": {"num_retries": 2}}), "field 'retry_policy' is not supported"),
        (over(credentials_factory_name="x"), "field 'credentials_factory_name' is not supported"),
        (over(channel_credentials={"google_default": {}}), "google_default credentials are not supported"),
        (over(channel_credentials={}), "empty credentials are not supported"),
        (
            over(channel_credentials={"ssl_credentials": {"private_key": {"inline_string": "k"}}}),
            "field 'private_key' is not supported",
        ),
        (
            over(channel_credentials={"ssl_credentials": {"root_certs": {"inline_bytes": "/w=="}}}),
            "the certificates are not PEM",
        ),
        ({**over(), "custom_metric_conversions": {"matcher_list": {}}}, "'custom_metric_conversions' is not supported"),
        ({**over(), "resource_detectors": [{"name": "x"}]}, "resource detector 'of no type' is not supported"),
    ],
)
def test_what_is_wrong_or_not_supported_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises((ConfigError, ConfigErrors)) as refused:
        translated(**fields)
    assert says in str(refused.value)
