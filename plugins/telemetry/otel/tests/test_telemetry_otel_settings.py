"""What settings may be."""

from typing import Any

import pytest

from plait_telemetry_otel import OtlpSettings


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://127.0.0.1:4318/v1/metrics",
        "https://collector.example/otlp/v1/metrics",
        "http://dns:///collector:4317",
        "http://unix:/run/collector.sock",
        "http://[::1]:4317",
    ],
)
def test_urls_and_targets_are_endpoints(endpoint: str) -> None:
    assert OtlpSettings(endpoint=endpoint).endpoint == endpoint


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"endpoint": "127.0.0.1:4318"}, "endpoint is '127.0.0.1:4318', expected http://"),
        ({"endpoint": "http://"}, "expected http://"),
        ({"endpoint": "http://[::1"}, "expected http://"),
        ({"timeout_s": 0.0}, "timeout_s is 0, expected more than 0"),
        ({"timeout_s": 301.0}, "timeout_s is 301"),
    ],
)
def test_other_values_are_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError) as refused:
        OtlpSettings(**fields)
    assert says in str(refused.value)
