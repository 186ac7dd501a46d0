"""From HTTPFault to settings."""

from typing import Any, cast

import pytest
from envoy.extensions.filters.http.fault.v3.fault_pb2 import HTTPFault
from google.protobuf.json_format import ParseDict

from plait import ConfigError, HeaderMatcher, StringMatcher
from plait.xds.positions import Positions, Where
from plait_filter_fault import Abort, Delay, FaultSettings, Share
from plait_filter_fault.translate import fault


def translated(fields: dict[str, Any]) -> FaultSettings:
    return fault(ParseDict(fields, HTTPFault()), Where(Positions.nowhere("f.yaml")), cast("Any", None))


def test_everything_is_translated() -> None:
    assert translated(
        {
            "delay": {"fixed_delay": "1.5s", "percentage": {"numerator": 5, "denominator": "TEN_THOUSAND"}},
            "abort": {"http_status": 503, "percentage": {"numerator": 50}},
            "upstream_cluster": "a",
            "headers": [{"name": "x", "string_match": {"exact": "y"}}],
            "downstream_nodes": ["n"],
            "max_active_faults": 3,
            "disable_downstream_cluster_stats": True,
        }
    ) == FaultSettings(
        Delay(Share(500, 100), 1.5),
        Abort(Share(500_000), 503),
        "a",
        (HeaderMatcher("x", StringMatcher("exact", "y")),),
        frozenset({"n"}),
        3,
        True,
    )


def test_headers_may_say_what_to_do() -> None:
    settings = translated(
        {
            "delay": {"header_delay": {}, "percentage": {"numerator": 100}},
            "abort": {"header_abort": {}, "percentage": {"numerator": 1, "denominator": "MILLION"}},
        }
    )
    assert settings == FaultSettings(Delay(Share(1_000_000)), Abort(Share(1, 1)))


def test_nothing_said_is_no_fault() -> None:
    assert translated({}) == FaultSettings()


@pytest.mark.parametrize(
    ("fields", "path", "message"),
    [
        ({"delay": {}}, ("delay",), "the delay has no length, expected fixed_delay or header_delay"),
        ({"delay": {"fixed_delay": "0s"}}, ("delay", "fixed_delay"), "the delay is 0 s, expected more than 0"),
        ({"abort": {}}, ("abort",), "the abort has no status, expected http_status or header_abort"),
        ({"abort": {"http_status": 199}}, ("abort", "http_status"), "the status is 199, expected 200 to 599"),
        ({"abort": {"grpc_status": 5}}, ("abort", "grpc_status"), "grpc_status is not supported, use http_status"),
        ({"response_rate_limit": {}}, ("response_rate_limit",), "response_rate_limit is not supported, leave it out"),
    ],
)
def test_what_cannot_be_done_is_refused_at_its_place(
    fields: dict[str, Any], path: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        translated(fields)
    assert str(caught.value) == message
    assert caught.value.path == path
