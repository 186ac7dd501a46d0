"""How the proxy of an RPC protocol is put together."""

from __future__ import annotations

from typing import Any, cast

import attrs
import pytest

from plait import (
    ConfigError,
    Extension,
    PluginError,
    PoolMode,
    ProtocolType,
    Route,
    RouterFilter,
    Stream,
    StreamFilter,
    Verdict,
)
from plait.testing import FakeContext
from plait_protocol_generic import RpcProxySettings, rpc_proxy

ROUTER, OTHER = Extension("router", "router"), Extension("other", "other")


class End(RouterFilter):
    closed = False

    def on_request(self, stream: Stream) -> Verdict:
        return stream.reply(204)

    def route(self, stream: Stream) -> Route | None:
        return None

    def close(self) -> None:
        self.closed = True


@attrs.frozen
class Options:
    limit: int = 1


def unused(*arguments: object) -> Any:
    raise NotImplementedError


RPC = ProtocolType("rpc", unused, unused, unused, PoolMode.MULTIPLEXED, options=Options)


def make(settings: RpcProxySettings, **objects: Any) -> tuple[Any, FakeContext]:
    context = FakeContext(protocols={"rpc": RPC}, objects=objects)
    return rpc_proxy(settings, context), context


def test_filters_stand_in_order() -> None:
    other, end = StreamFilter(), End()
    proxy, _ = make(RpcProxySettings("rpc.in", "rpc", filters=(OTHER, ROUTER)), other=other, router=end)
    assert proxy.chain.filters == (other, end)


def test_limits_are_those_of_the_settings() -> None:
    settings = RpcProxySettings("rpc.in", "rpc", filters=(ROUTER,), idle_timeout_s=7.0, stream_idle_timeout_s=3.0)
    proxy, _ = make(settings, router=End())
    assert (proxy.limits.idle_timeout_s, proxy.limits.stream_idle_timeout_s) == (7.0, 3.0)
    proxy, _ = make(RpcProxySettings("rpc.in", "rpc", filters=(ROUTER,)), router=End())
    assert proxy.limits.stream_idle_timeout_s == 0.0


def test_a_protocol_that_is_not_there_is_refused() -> None:
    with pytest.raises(PluginError, match="nope"):
        make(RpcProxySettings("rpc.in", "nope", filters=(ROUTER,)), router=End())


def test_what_was_made_is_given_back_when_the_chain_cannot_be() -> None:
    end = End()
    with pytest.raises(PluginError):
        make(RpcProxySettings("rpc.in", "rpc", filters=(ROUTER, OTHER)), router=end)
    assert end.closed
    with pytest.raises(ConfigError, match="without a router"):
        make(RpcProxySettings("rpc.in", "rpc", filters=(OTHER,)), other=StreamFilter())


def test_envoy_s_names_follow_what_the_stream_proxy_counts() -> None:
    proxy, context = make(RpcProxySettings("rpc.in", "rpc", filters=(ROUTER,)), router=End())
    proxy.stats.classes[4].value += 2
    proxy.stats.classes[5].value += 1
    proxy.stats.rq_rx_reset.value += 1
    proxy.stats.rq_tx_reset.value += 3
    proxy.stats.cx_protocol_error.value += 5
    values = cast("Any", context).fake_stats.values()
    names = ("error", "reset", "decoding_error")
    assert [values[f"rpc.in.downstream_rq_{name}"] for name in names] == [3, 4, 5]
