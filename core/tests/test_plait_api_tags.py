"""Which parts of a statistic's name are tags."""

import re

import pytest

from plait import extract_tags
from plait.api.tags import RULES


@pytest.mark.parametrize(
    ("name", "left", "tags"),
    [
        ("cluster.x.upstream_rq_total", "cluster.upstream_rq_total", {"envoy.cluster_name": "x"}),
        (
            "cluster.shop:1.0.upstream_rq_503",
            "cluster.upstream_rq",
            {"envoy.response_code": "503", "envoy.cluster_name": "shop:1.0"},
        ),
        (
            "http.in.downstream_rq_2xx",
            "http.downstream_rq_xx",
            {"envoy.response_code_class": "2", "envoy.http_conn_manager_prefix": "in"},
        ),
        (
            "generic_proxy.in.v2.downstream_rq_total",
            "generic_proxy.downstream_rq_total",
            {"plait.generic_proxy_prefix": "in.v2"},
        ),
        (
            "generic_proxy.in.downstream_rq_code.18",
            "generic_proxy.downstream_rq_code",
            {"envoy.response_code": "18", "plait.generic_proxy_prefix": "in"},
        ),
        (
            "generic_proxy.in.downstream_rq_flag.NR",
            "generic_proxy.downstream_rq_flag",
            {"plait.response_flag": "NR", "plait.generic_proxy_prefix": "in"},
        ),
        (
            "listener.127.0.0.1_443.ssl.ciphers.TLS_AES_256_GCM_SHA384",
            "listener.ssl.ciphers",
            {"envoy.ssl_cipher": "TLS_AES_256_GCM_SHA384", "envoy.listener_address": "127.0.0.1_443"},
        ),
        (
            "cluster.shop:1.0.ssl.versions.TLSv1.3",
            "cluster.ssl.versions",
            {"envoy.ssl_version": "TLSv1.3", "envoy.cluster_name": "shop:1.0"},
        ),
        ("server.live", "server.live", {}),
        ("", "", {}),
    ],
)
def test_tags_leave_the_name(name: str, left: str, tags: dict[str, str]) -> None:
    assert extract_tags(name) == (left, tuple(tags.items()))


def test_every_rule_says_which_part_is_the_value_and_which_part_goes() -> None:
    for tag, pattern in RULES:
        compiled = re.compile(pattern)
        assert compiled.groups == 2, tag
        assert dict(compiled.groupindex) == {"drop": 1}, tag
