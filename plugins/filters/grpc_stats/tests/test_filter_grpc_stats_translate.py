"""From FilterConfig to settings."""

from typing import Any, cast

import pytest
from envoy.extensions.filters.http.grpc_stats.v3.config_pb2 import FilterConfig
from google.protobuf.json_format import ParseDict

from plait import ConfigError
from plait.xds.positions import Positions, Where
from plait_filter_grpc_stats import GrpcStatsSettings
from plait_filter_grpc_stats.translate import grpc_stats


def translated(fields: dict[str, Any]) -> GrpcStatsSettings:
    return grpc_stats(ParseDict(fields, FilterConfig()), Where(Positions.nowhere("f.yaml")), cast("Any", None))


def test_everything_is_translated() -> None:
    assert translated(
        {
            "emit_filter_state": True,
            "individual_method_stats_allowlist": {"services": [{"name": "a.B", "method_names": ["C", "D"]}]},
            "enable_upstream_stats": True,
            "replace_dots_in_grpc_service_name": True,
        }
    ) == GrpcStatsSettings(True, frozenset({("a.B", "C"), ("a.B", "D")}), False, True, True)
    assert translated({"stats_for_all_methods": True}) == GrpcStatsSettings(all_methods=True)
    assert translated({"stats_for_all_methods": False}) == translated({}) == GrpcStatsSettings()


@pytest.mark.parametrize(
    ("service", "step", "message"),
    [
        ({"method_names": ["a"]}, "name", "the service has no name"),
        ({"name": "a"}, "method_names", "the service has no methods"),
    ],
)
def test_incomplete_service_is_refused(service: dict[str, Any], step: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        translated({"individual_method_stats_allowlist": {"services": [service]}})
    assert raised.value.path[-1] == step
