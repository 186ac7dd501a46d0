"""The framed protocol with services, as a plugin: ``service/method;name=value`` where a method was.

``configuration`` writes a bootstrap of generic_proxy that speaks it.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

import plait
from plait import Event, Headers, PoolMode, ProtocolType, Request, Response
from plait.plugins import Catalogue, PluginInfo, discover
from tests.integration.framed import FramedClient, FramedServer, local_response
from tests.integration.harness import LISTENER, Json

MODULE = "plait_test_framed_rpc"
GENERIC = "type.googleapis.com/envoy.extensions.filters.network.generic_proxy."
_ROUTER = {"name": "router", "typed_config": {"@type": GENERIC + "router.v3.Router"}}


@attrs.frozen
class RpcOptions:
    """``shout`` says the names of services in upper case."""

    shout: bool = False


class RpcServer(FramedServer):
    """Reads services, methods and attachments."""

    def __init__(self, options: RpcOptions | None = None) -> None:
        super().__init__()
        self._shout = options is not None and options.shout

    def _request(self, id: int, flags: int, payload: bytes) -> Event:
        request = super()._request(id, flags, payload)
        if isinstance(request, Request):
            called, *fields = request.raw_path.split(b";")
            request.raw_authority, _, request.raw_path = called.rpartition(b"/")
            pairs = [field.partition(b"=") for field in fields]
            request.headers = Headers([(name, value) for name, _, value in pairs])
            if self._shout:
                request.raw_authority = request.raw_authority.upper()
        return request


class RpcClient(FramedClient):
    """Writes them."""

    def encode_request(self, request: Request, id: int) -> bytes:
        called = b"%b/%b" % (request.raw_authority, request.raw_path)
        written = Request(request.headers, id)
        written.raw_path = b";".join([called, *(b"%b=%b" % field for field in request.headers.raw)])
        written.body, written.end, written.trailers = request.body, request.end, request.trailers
        return super().encode_request(written, id)


def answer(request: Request, status: int, body: bytes, details: str) -> Response:
    """An answer of Plait's own, with a code of the protocol's own."""
    response = local_response(request, status, body, details)
    response.code = status + 1000
    return response


RPC = ProtocolType("framed", RpcServer, RpcClient, answer, PoolMode.MULTIPLEXED, options=RpcOptions)


@plait.hookimpl
def plait_protocols() -> list[ProtocolType]:
    """The protocol."""
    return [RPC]


def installed() -> Iterator[Catalogue]:
    """What is installed, and this plugin, for a fixture to give."""
    module = types.ModuleType(MODULE)
    module.plait_protocols = plait_protocols  # type: ignore[attr-defined]
    sys.modules[MODULE] = module
    try:
        yield Catalogue([*discover(), PluginInfo("framed", "protocols", "test", "1", MODULE, registers=("framed",))])
    finally:
        del sys.modules[MODULE]


# configurations


def typed(name: str, **fields: Any) -> Json:
    """A TypedExtensionConfig of one of generic_proxy's messages, or of any that is named in full."""
    kind = name if "." in name.removesuffix(".v3") and name.startswith("envoy") else GENERIC.rpartition("/")[2] + name
    return {"name": name, "typed_config": {"@type": f"type.googleapis.com/{kind}", **fields}}


def to(cluster: str, **fields: Any) -> Json:
    """An OnMatch that leads to a cluster."""
    return {"action": typed("action.v3.RouteAction", cluster=cluster, **fields)}


def by_service(entries: Mapping[str, Json], otherwise: Json | None = None) -> Json:
    """A matcher that looks the service up."""
    tree = {"input": typed("matcher.v3.ServiceMatchInput"), "exact_match_map": {"map": dict(entries)}}
    return {"matcher_tree": tree, **({} if otherwise is None else {"on_no_match": otherwise})}


def when(kind: str, value: Json, then: Json, **fields: Any) -> Json:
    """A FieldMatcher over one input (``Service``, ``Method``, ``Property`` …)."""
    single = {"input": typed(f"matcher.v3.{kind}MatchInput", **fields), "value_match": value}
    return {"predicate": {"single_predicate": single}, "on_match": then}


def configuration(
    routes: Json, clusters: Sequence[Json], filters: Sequence[Json] = (), options: Json | None = None, **more: Any
) -> Json:
    """A bootstrap whose listener speaks the protocol; ``more`` are fields of GenericProxy."""
    value = {"type_url": "plait.generic_proxy.codecs.framed", "value": options or {}}
    proxy = {
        "@type": GENERIC + "v3.GenericProxy",
        "stat_prefix": "test",
        "codec_config": {
            "name": "framed",
            "typed_config": {"@type": "type.googleapis.com/xds.type.v3.TypedStruct", **value},
        },
        "route_config": {"name": "calls", "routes": routes},
        "filters": [*filters, _ROUTER],
        **more,
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}
    chain = {"filters": [{"name": "rpc", "typed_config": proxy}]}
    listener = {"name": LISTENER, "address": address, "filter_chains": [chain]}
    return {"static_resources": {"listeners": [listener], "clusters": list(clusters)}}
