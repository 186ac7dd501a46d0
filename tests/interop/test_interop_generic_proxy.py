"""Envoy and Plait find the same route for one call of Java Dubbo, whatever the matcher of generic_proxy asks."""

from __future__ import annotations

import asyncio
import copy
import json
from pathlib import Path
from typing import Any

from tests.integration.harness import Json, Peer, Upstream, cluster, live
from tests.integration.test_dubbo_proxy import HELLO, GenericMesh, Service, configuration, frame_of
from tests.interop.peers import proxy
from tests.running import free_ports

_GENERIC = "type.googleapis.com/envoy.extensions.filters.network.generic_proxy."
_SERVICE = {"exact": "D$Greeter"}
_REQUEST = {
    "host": _SERVICE,
    "method": {"exact": "hello"},
    "properties": [{"name": "group", "string_match": {"exact": "g1"}}],
}


def looked_at(kind: str, **fields: Any) -> Json:
    return {"name": kind, "typed_config": {"@type": f"{_GENERIC}matcher.v3.{kind}MatchInput", **fields}}


def to(name: str) -> Json:
    config = {"@type": _GENERIC + "action.v3.RouteAction", "name": name, "cluster": name}
    return {"action": {"name": name, "typed_config": config}}


def single(kind: str, value: Json, **fields: Any) -> Json:
    return {"single_predicate": {"input": looked_at(kind, **fields), "value_match": value}}


def whole(**fields: Any) -> Json:
    custom = {"name": "whole", "typed_config": {"@type": _GENERIC + "matcher.v3.RequestMatcher", **fields}}
    return {"single_predicate": {"input": looked_at("Request"), "custom_match": custom}}


def listed(*entries: tuple[Json, Json], otherwise: str = "") -> Json:
    matchers = [{"predicate": predicate, "on_match": then} for predicate, then in entries]
    return {"matcher_list": {"matchers": matchers}, **({"on_no_match": to(otherwise)} if otherwise else {})}


def mapped(kind: str, entries: Json, otherwise: str = "") -> Json:
    tree = {"input": looked_at("Service"), kind: {"map": entries}}
    return {"matcher_tree": tree, **({"on_no_match": to(otherwise)} if otherwise else {})}


MISSES = {"matcher": listed((single("Method", {"exact": "bye"}), to("two")))}
HITS = {"matcher": listed((single("Method", {"exact": "hello"}), to("one")))}
CASES: dict[str, Json] = {
    "service": listed((single("Service", _SERVICE), to("one")), otherwise="two"),
    "host": listed((single("Host", _SERVICE), to("one")), otherwise="two"),
    "path is the service": listed((single("Path", _SERVICE), to("one")), otherwise="two"),
    "path is not the method": listed((single("Path", {"exact": "hello"}), to("one")), otherwise="two"),
    "method": listed((single("Method", {"exact": "hello"}), to("one")), otherwise="two"),
    "property": listed((single("Property", {"exact": "g1"}, property_name="group"), to("one")), otherwise="two"),
    "no property": listed((single("Property", {"exact": ""}, property_name="no"), to("one")), otherwise="two"),
    "not of no property": listed(
        ({"not_matcher": single("Property", {"exact": "x"}, property_name="no")}, to("one")), otherwise="two"
    ),
    "expressions match all": listed(
        (single("Service", {"safe_regex": {"google_re2": {}, "regex": "Greeter"}}), to("two")), otherwise="one"
    ),
    "both": listed(
        ({"and_matcher": {"predicate": [single("Service", _SERVICE), single("Method", {"exact": "bye"})]}}, to("one")),
        otherwise="two",
    ),
    "either": listed(
        (
            {"or_matcher": {"predicate": [single("Service", {"exact": "x"}), single("Method", {"prefix": "he"})]}},
            to("one"),
        ),
        otherwise="two",
    ),
    "nested": listed((single("Service", _SERVICE), HITS), otherwise="two"),
    "after a nested miss": listed(
        (single("Service", _SERVICE), MISSES), (single("Service", _SERVICE), to("one")), otherwise="two"
    ),
    "on_no_match after a nested miss": listed((single("Service", _SERVICE), MISSES), otherwise="one"),
    "exact": mapped("exact_match_map", {"D$Greeter": to("one"), "D$": to("two")}),
    "exact and a miss below": mapped("exact_match_map", {"D$Greeter": MISSES}, otherwise="one"),
    "longest prefix": mapped("prefix_match_map", {"D$": to("two"), "D$Gr": to("one"), "D$Greeter.": to("two")}),
    "shorter prefix": mapped("prefix_match_map", {"D$": to("one"), "D$Gr": MISSES}, otherwise="two"),
    "whole call": listed((whole(**_REQUEST), to("one")), otherwise="two"),
    "whole call, nothing asked": listed((whole(), to("one")), otherwise="two"),
    "no route": listed((single("Service", {"exact": "x"}), to("one"))),
}


def bootstrap(routes: Json, ports: tuple[int, int]) -> Json:
    codec = {"name": "dubbo", "typed_config": {"@type": _GENERIC + "codecs.dubbo.v3.DubboCodecConfig"}}
    return configuration(
        [cluster("one", ports[0]), cluster("two", ports[1])],
        "generic_proxy.v3.GenericProxy",
        codec_config=codec,
        route_config={"name": "calls", "routes": routes},
        filters=[{"name": "router", "typed_config": {"@type": _GENERIC + "router.v3.Router"}}],
    )


@live
async def test_envoy_finds_the_same_routes(tmp_path: Path) -> None:
    one, two = Service(), Service()

    async def asked(port: int) -> str:
        """Which upstream got the call, or that none did."""
        one.calls.clear()
        two.calls.clear()
        peer = Peer(*await asyncio.open_connection("127.0.0.1", port))
        await peer.send(HELLO)
        answer = await frame_of(peer)
        peer.close()
        return "one" if one.calls else "two" if two.calls else answer.split(b"\x0f")[-1].decode()[:15]

    async with Upstream(one) as first, Upstream(two) as second:
        both = first.port, second.port
        ours: dict[str, str] = {}
        whole_config = bootstrap(CASES["service"], both)
        (listener,) = whole_config["static_resources"]["listeners"]
        ports = dict(zip(CASES, free_ports(len(CASES)), strict=True))
        listeners = []
        for name, routes in CASES.items():
            async with GenericMesh(bootstrap(routes, both)) as mesh:
                ours[name] = await asked(mesh.port)
            mine = copy.deepcopy(listener)
            mine["name"] = name
            mine["address"]["socket_address"]["port_value"] = ports[name]
            mine["filter_chains"][0]["filters"][0]["typed_config"]["route_config"]["routes"] = routes
            listeners.append(mine)
        whole_config["static_resources"]["listeners"] = listeners
        with proxy("envoy", json.dumps(whole_config), tmp_path, *ports.values()):
            theirs = {name: await asked(port) for name, port in ports.items()}
    assert ours == theirs
    assert ours["no route"] == "route_not_found"
    assert set(ours.values()) == {"one", "two", "route_not_found"}
