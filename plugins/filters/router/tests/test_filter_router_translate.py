"""The router's message becomes its settings, or a message to the reader."""

import pytest
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.dubbo_proxy.router.v3.router_pb2 import Router as DubboRouter
from envoy.extensions.filters.network.generic_proxy.router.v3.router_pb2 import Router as GenericRouter

from plait import ConfigErrors
from plait.plugins import Catalogue
from plait.xds import Translator, Where
from plait.xds.positions import Positions
from plait_filter_router import RouterSettings
from plait_filter_router.settings import RPC
from plait_filter_router.translate import dubbo_router, generic_router, router

HERE = Where(Positions.nowhere("x.yaml"))


def test_settings_are_taken_over() -> None:
    translator = Translator(Catalogue([]))
    assert router(Router(), HERE, translator) == RouterSettings()
    assert router(Router(suppress_envoy_headers=True), HERE, translator) == RouterSettings(suppress_envoy_headers=True)
    translator.raise_all()


def test_what_is_not_supported_is_refused() -> None:
    translator = Translator(Catalogue([]))
    router(Router(respect_expected_rq_timeout=True), HERE, translator)
    with pytest.raises(ConfigErrors, match="respect_expected_rq_timeout"):
        translator.raise_all()


def test_routers_of_rpc_leave_attachments_alone() -> None:
    translator = Translator(Catalogue([]))
    assert generic_router(GenericRouter(), HERE, translator) == RPC
    assert dubbo_router(DubboRouter(), HERE, translator) == RPC
    translator.raise_all()
    generic_router(GenericRouter(bind_upstream_connection=True), HERE, translator)
    with pytest.raises(ConfigErrors, match="bind_upstream_connection is not supported"):
        translator.raise_all()
