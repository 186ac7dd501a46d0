"""From Envoy's message to the settings. Imported where configuration is read, never in a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.xds import data_source, duration_s, wrapped
from plait_telemetry_otel.settings import OtlpSettings

if TYPE_CHECKING:
    from plait.xds import Translator, Where

_DETECTORS = "envoy.extensions.tracers.opentelemetry.resource_detectors.v3."


def sink(message: Any, where: Where, translator: Translator) -> OtlpSettings:
    """An envoy.extensions.stat_sinks.open_telemetry.v3.SinkConfig."""
    translator.only(
        message,
        where,
        handled={
            "grpc_service",
            "resource_detectors",
            "report_counters_as_deltas",
            "report_histograms_as_deltas",
            "emit_tags_as_attributes",
            "use_tag_extracted_name",
            "prefix",
        },
    )
    if not message.HasField("grpc_service"):
        raise where.error("the sink has no grpc_service", expected="grpc_service: {google_grpc: …}")
    return OtlpSettings(
        protocol="grpc",
        resource_attributes=_resource(message.resource_detectors, where / "resource_detectors"),
        report_counters_as_deltas=message.report_counters_as_deltas,
        report_histograms_as_deltas=message.report_histograms_as_deltas,
        emit_tags_as_attributes=wrapped(message, "emit_tags_as_attributes", True),
        use_tag_extracted_name=wrapped(message, "use_tag_extracted_name", True),
        prefix=message.prefix,
        **_service(message.grpc_service, where / "grpc_service", translator),
    )


def _service(service: Any, where: Where, translator: Translator) -> dict[str, Any]:
    """The settings in an envoy.config.core.v3.GrpcService."""
    kind = service.WhichOneof("target_specifier")
    if kind == "envoy_grpc":
        raise (where / kind).error(
            "envoy_grpc is not supported: statistics are sent by the supervisor, which has no clusters",
            expected="google_grpc: {target_uri: HOST:PORT, stat_prefix: NAME}",
        )
    if kind is None:
        raise where.error("the gRPC service has no target", expected="google_grpc: {target_uri: …, stat_prefix: …}")
    translator.only(service, where, handled={"google_grpc", "timeout", "initial_metadata"})
    google, at = service.google_grpc, where / "google_grpc"
    translator.only(google, at, handled={"target_uri", "stat_prefix", "channel_credentials"})
    if not google.target_uri:
        raise (at / "target_uri").error("the target is empty", expected="HOST:PORT, or another target of gRPC")
    scheme, certificates = _credentials(google, at / "channel_credentials", translator)
    timeout_s = duration_s(service, "timeout", where, 5.0, positive=True)
    if timeout_s > 300:
        raise (where / "timeout").error(f"timeout is {timeout_s:g}s", expected="at most 300s")
    return {
        "endpoint": f"{scheme}://{google.target_uri}",
        "timeout_s": timeout_s,
        "headers": {header.key: header.value for header in service.initial_metadata},
        "root_certificates": certificates,
        "stat_prefix": google.stat_prefix or "otlp",
    }


def _credentials(google: Any, where: Where, translator: Translator) -> tuple[str, str]:
    """Whether TLS is spoken, as the scheme of a URL, and the roots it trusts."""
    if not google.HasField("channel_credentials"):
        return "http", ""
    kind = google.channel_credentials.WhichOneof("credential_specifier")
    if kind != "ssl_credentials":
        raise where.error(f"{kind or 'empty'} credentials are not supported", expected="ssl_credentials, or none")
    ssl, at = google.channel_credentials.ssl_credentials, where / kind
    translator.only(ssl, at, handled={"root_certs"})
    if not ssl.HasField("root_certs"):
        return "https", ""
    try:
        return "https", data_source(ssl.root_certs, at / "root_certs").decode("ascii")
    except UnicodeDecodeError:
        raise (at / "root_certs").error("the certificates are not PEM", expected="PEM") from None


def _resource(detectors: Any, where: Where) -> dict[str, str]:
    """What resource detectors say, a later one before an earlier one."""
    found: dict[str, str] = {}
    for index, detector in enumerate(detectors):
        name = detector.typed_config.type_url.rpartition("/")[2]
        at = where / index / "typed_config"
        if name == _DETECTORS + "StaticConfigResourceDetectorConfig":
            found |= _static(detector.typed_config)
        elif name == _DETECTORS + "EnvironmentResourceDetectorConfig":
            from opentelemetry.sdk.resources import OTELResourceDetector

            found |= {key: str(value) for key, value in OTELResourceDetector().detect().attributes.items()}
        else:
            expected = "StaticConfigResourceDetectorConfig or EnvironmentResourceDetectorConfig"
            raise at.error(f"resource detector {name or 'of no type'!r} is not supported", expected=expected)
    return found


def _static(packed: Any) -> dict[str, str]:
    from envoy.extensions.tracers.opentelemetry.resource_detectors.v3 import static_config_resource_detector_pb2

    message = static_config_resource_detector_pb2.StaticConfigResourceDetectorConfig()
    packed.Unpack(message)
    return dict(message.attributes)
