"""The router's message becomes its settings, or a message to the reader."""

import pytest
from envoy.extensions.filters.http.router.v3.router_pb2 import Router

from plait import ConfigErrors
from plait.plugins import Catalogue
from plait.xds import Translator, Where
from plait.xds.positions import Positions
from plait_filter_router import RouterSettings
from plait_filter_router.translate import router

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
