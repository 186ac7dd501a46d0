"""Envoy's message becomes the settings, or a message to the reader; and the README's configuration runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy

from plait import ConfigError, ConfigErrors
from plait.plugins import Catalogue
from plait.testing import RunningPlane, check_plugin, on_every_loop
from plait.testing.peers import Client, Server, echo
from plait.xds import Translator, Where
from plait.xds.positions import Positions
from plait_protocol_tcp import TcpProxySettings
from plait_protocol_tcp.translate import tcp_proxy

HERE = Where(Positions.nowhere("x.yaml"))
README = Path(__file__).parents[1] / "README.md"


def translated(**fields: Any) -> TcpProxySettings:
    translator = Translator(Catalogue([]))
    made = tcp_proxy(TcpProxy(**{"stat_prefix": "s", **fields}), HERE, translator)
    translator.raise_all()
    return made


def weighted(*clusters: dict[str, Any]) -> dict[str, Any]:
    return {"weighted_clusters": {"clusters": list(clusters)}}


def test_the_plugin_keeps_what_every_plugin_must_keep_to() -> None:
    [registered] = check_plugin("protocols:tcp")
    assert registered.name == "envoy.filters.network.tcp_proxy"


def test_one_cluster_has_all_the_weight() -> None:
    assert translated(cluster="c") == TcpProxySettings("s", (("c", 1),))


def test_weighted_clusters_keep_their_weights() -> None:
    made = translated(**weighted({"name": "a", "weight": 3}, {"name": "b", "weight": 1}))
    assert made.clusters == (("a", 3), ("b", 1))


def test_what_can_be_set_is_taken_over() -> None:
    made = translated(
        cluster="c",
        idle_timeout={"seconds": 5},
        max_connect_attempts={"value": 3},
        max_downstream_connection_duration={"seconds": 60},
    )
    assert made == TcpProxySettings("s", (("c", 1),), 5.0, 3, 60.0)


def test_no_idle_timeout_can_be_asked_for() -> None:
    assert translated(cluster="c", idle_timeout={"seconds": 0}).idle_timeout_s == 0.0


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "no cluster"),
        ({"cluster": "c", "stat_prefix": ""}, "no stat_prefix"),
        (weighted(), "no cluster"),
        (weighted({"name": "a"}), "the weight is 0"),
        ({"cluster": "c", "max_connect_attempts": {"value": 0}}, "max_connect_attempts is 0"),
        ({"cluster": "c", "idle_timeout": {"seconds": -1}}, "idle_timeout is -1s"),
        ({"cluster": "c", "max_downstream_connection_duration": {}}, "max_downstream_connection_duration is 0s"),
        ({"cluster": "c", "tunneling_config": {"hostname": "x"}}, "tunneling_config"),
        ({"cluster": "c", "hash_policy": [{"source_ip": {}}]}, "hash_policy"),
    ],
)
def test_what_is_wrong_is_said(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        translated(**fields)


def test_a_cluster_that_there_is_not_is_refused() -> None:
    with pytest.raises(ConfigErrors, match="unknown cluster 'canari', expected"):
        RunningPlane.of(readme().replace("{name: canary", "{name: canari"))


def readme() -> str:
    return README.read_text().partition("```yaml\n")[2].partition("```")[0]


@on_every_loop
async def test_the_configuration_of_the_readme_runs(tmp_path: Path) -> None:
    path = str(tmp_path / "database.sock")
    async with Server(echo) as server, Server(echo, path) as local:
        text = re.sub(r"port_value: 543[34]", f"port_value: {server.port}", readme()).replace("5432", "0")
        async with RunningPlane.of(text.replace("/run/database.sock", path)) as running:
            while not (server.accepted and local.accepted):
                async with Client(running.address("database")) as client:
                    client.send(b"select 1")
                    assert await client.exactly(8) == b"select 1"
            assert running.counter("tcp.database.downstream_cx_total") == server.accepted + local.accepted
