"""How the connection manager is put together."""

from typing import Any, cast

import attrs
import pytest

from plait import (
    ConfigError,
    Connection,
    Extension,
    PluginError,
    ProtocolType,
    Request,
    Response,
    Route,
    RouterFilter,
    Stream,
    StreamFilter,
    Verdict,
)
from plait.testing import FakeContext
from plait_protocol_http import EdgeSettings, HcmSettings, HttpEdge, http_connection_manager


@attrs.frozen
class Options:
    limit: int = 1


class End(RouterFilter):
    closed = False

    def on_request(self, stream: Stream) -> Verdict:
        return stream.reply(204)

    def route(self, stream: Stream) -> Route | None:
        return None

    def close(self) -> None:
        self.closed = True


def unused(*arguments: object) -> Any:
    raise NotImplementedError


class Codec:
    """Remembers the options it was made with."""

    flow_controlled = False

    def __init__(self, options: Options | None) -> None:
        self.options = options


def local_response(request: Request, status: int, body: bytes, details: str) -> Response:
    raise NotImplementedError


def protocol(name: str) -> ProtocolType:
    return ProtocolType(name, cast("Any", Codec), unused, local_response, options=Options)


ROUTER = Extension("router", "envoy.filters.http.router")
OTHER = Extension("other", "acme.other")


def make(settings: HcmSettings, *protocols: str, **objects: Any) -> Any:
    context = FakeContext(protocols={name: protocol(name) for name in protocols}, objects=objects)
    return http_connection_manager(settings, context)


def test_edge_stands_in_front_of_the_configured_filters() -> None:
    other, end = StreamFilter(), End()
    proxy = make(HcmSettings("in", http_filters=(OTHER, ROUTER)), "http1", other=other, router=end)
    first, *rest = proxy.chain.filters
    assert isinstance(first, HttpEdge)
    assert rest == [other, end]
    assert proxy.chain.on_request[0].__self__ is first
    assert proxy.chain.on_response[-1].__self__ is first
    assert proxy.chain.name_of(end.on_request) == "router"


def test_settings_reach_the_proxy() -> None:
    settings = HcmSettings(
        "in",
        http_filters=(ROUTER,),
        codec_options={"http1": Options(7)},
        idle_timeout_s=1.0,
        request_timeout_s=2.0,
        request_headers_timeout_s=3.0,
        stream_idle_timeout_s=4.0,
        max_connection_duration_s=5.0,
        max_requests_per_connection=6,
    )
    proxy = make(settings, "http1", router=End())
    limits = proxy.limits
    assert (limits.idle_timeout_s, limits.request_timeout_s, limits.request_headers_timeout_s) == (1.0, 2.0, 3.0)
    assert (limits.stream_idle_timeout_s, limits.max_connection_duration_s) == (4.0, 5.0)
    assert limits.max_requests_per_connection == 6
    assert proxy.serve(Connection(cast("Any", None)), proxy.protocols[0]).codec.options == Options(7)
    assert proxy.stats.requests["http1"].name == "http.in.downstream_rq_http1_total"


@pytest.mark.parametrize(
    ("codec", "installed", "expected"),
    [
        ("auto", ("http1",), ["http1"]),
        ("auto", ("http1", "http2"), ["http1", "http2"]),
        ("http1", ("http1", "http2"), ["http1"]),
        ("http2", ("http1", "http2"), ["http2"]),
    ],
)
def test_codec_type_says_which_protocols_are_spoken(
    codec: str, installed: tuple[str, ...], expected: list[str]
) -> None:
    proxy = make(HcmSettings("in", codec=codec, http_filters=(ROUTER,)), *installed, router=End())
    assert [one.name for one in proxy.protocols] == expected


@pytest.mark.parametrize(
    ("codec", "installed", "expected"),
    [("http2", ("http1", "http2"), "http1"), ("auto", ("http1", "http2"), "http1"), ("http2", ("http2",), "http2")],
)
def test_clusters_that_name_no_protocol_are_spoken_to_in_http1(
    codec: str, installed: tuple[str, ...], expected: str
) -> None:
    proxy = make(HcmSettings("in", codec=codec, http_filters=(ROUTER,)), *installed, router=End())
    assert proxy.upstream_name == expected


@pytest.mark.parametrize(("codec", "installed"), [("http2", ("http1",)), ("auto", ())])
def test_codec_that_is_not_there_is_named(codec: str, installed: tuple[str, ...]) -> None:
    with pytest.raises(PluginError, match="http2" if codec == "http2" else "http1"):
        make(HcmSettings("in", codec=codec, http_filters=(ROUTER,)), *installed, router=End())


def test_filters_made_are_given_back_when_the_chain_fails() -> None:
    end = End()
    with pytest.raises(PluginError):
        make(HcmSettings("in", http_filters=(ROUTER, OTHER)), "http1", router=end)
    assert end.closed


def test_chain_without_a_router_is_refused() -> None:
    with pytest.raises(ConfigError, match="without a router"):
        make(HcmSettings("in", http_filters=(OTHER,)), "http1", other=StreamFilter())


def test_contradiction_at_the_edge_is_refused() -> None:
    edge = EdgeSettings(internal_ranges=("nowhere",))
    with pytest.raises(ConfigError, match="internal_address_config"):
        make(HcmSettings("in", edge=edge, http_filters=(ROUTER,)), "http1", router=End())
