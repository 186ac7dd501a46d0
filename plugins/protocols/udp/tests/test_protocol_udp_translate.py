"""Envoy's message becomes the settings, or a message to the reader; and the README's configuration runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import asyncio_dgram
import pytest
from envoy.extensions.filters.udp.udp_proxy.v3.route_pb2 import Route
from envoy.extensions.filters.udp.udp_proxy.v3.udp_proxy_pb2 import UdpProxyConfig

from plait import ConfigError, ConfigErrors
from plait.plugins import Catalogue
from plait.testing import RunningPlane, check_plugin, on_every_loop
from plait.xds import Translator, Where
from plait.xds.positions import Positions
from plait_protocol_udp import UdpProxySettings
from plait_protocol_udp.translate import udp_proxy

HERE = Where(Positions.nowhere("x.yaml"))
README = Path(__file__).parents[1] / "README.md"


def translated(**fields: Any) -> UdpProxySettings:
    translator = Translator(Catalogue([]))
    made = udp_proxy(UdpProxyConfig(**{"stat_prefix": "s", **fields}), HERE, translator)
    translator.raise_all()
    return made


def matched(action: Any) -> dict[str, Any]:
    message = UdpProxyConfig()
    message.matcher.on_no_match.action.name = "route"
    message.matcher.on_no_match.action.typed_config.Pack(action)
    return {"matcher": message.matcher}


def test_the_plugin_keeps_what_every_plugin_must_keep_to() -> None:
    [registered] = check_plugin("protocols:udp")
    assert registered.name == "envoy.filters.udp_listener.udp_proxy"


def test_a_cluster_can_be_named_or_routed_to() -> None:
    assert translated(cluster="c") == UdpProxySettings("s", "c")
    assert translated(**matched(Route(cluster="c"))) == UdpProxySettings("s", "c")


def test_what_can_be_set_is_taken_over() -> None:
    made = translated(
        cluster="c",
        idle_timeout={"seconds": 5, "nanos": 500_000_000},
        use_per_packet_load_balancing=True,
        upstream_socket_config={"max_rx_datagram_size": {"value": 9000}},
    )
    assert made == UdpProxySettings("s", "c", idle_timeout_s=5.5, per_packet=True)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "no cluster"),
        ({"cluster": "c", "stat_prefix": ""}, "no stat_prefix"),
        ({"cluster": "c", "idle_timeout": {"seconds": 0}}, "idle_timeout is 0s"),
        ({"cluster": "c", "hash_policies": [{"source_ip": True}]}, "hash_policies"),
        ({"cluster": "c", "session_filters": [{"name": "x"}]}, "session_filters"),
        ({"cluster": "c", "tunneling_config": {"proxy_host": "x"}}, "tunneling_config"),
        ({"cluster": "c", "use_original_src_ip": True}, "use_original_src_ip"),
        (matched(Route()), "no name"),
        (matched(UdpProxyConfig()), "expected a envoy.extensions.filters.udp.udp_proxy.v3.Route"),
        ({"matcher": {}}, "no action"),
        ({"matcher": {"matcher_list": {}, "on_no_match": {"action": {}}}}, "message without a type"),
    ],
)
def test_what_is_wrong_is_said(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        translated(**fields)


def test_a_cluster_that_there_is_not_is_refused() -> None:
    text = readme().replace("cluster: resolvers", "cluster: resolver")
    with pytest.raises(ConfigErrors, match="unknown cluster 'resolver', expected"):
        RunningPlane.of(text)


def readme() -> str:
    return README.read_text().partition("```yaml\n")[2].partition("```")[0]


@on_every_loop
async def test_the_configuration_of_the_readme_runs() -> None:
    host = await asyncio_dgram.bind(("127.0.0.1", 0))
    text = re.sub(r"port_value: 530\d", f"port_value: {host.sockname[1]}", readme()).replace("5353", "0")
    async with RunningPlane.of(text) as running:
        client = await asyncio_dgram.connect(running.address("dns"))
        await client.send(b"question")
        question, peer = await host.recv()
        await host.send(b"answer", peer)
        answer, _ = await client.recv()
        assert (question, answer) == (b"question", b"answer")
        assert running.counter("udp.dns.downstream_sess_total") == 1
        client.close()
    host.close()
