"""The plugin as a whole, by the rules for all plugins and for all stream filters."""

import pytest

from plait import DirectResponse, RedirectAction, Route, RouteConfiguration, RouteMatch, VirtualHost
from plait.testing import FakeContext, FakeStream, check_plugin, run_filter
from plait_filter_router import Router, RouterSettings


class Worker(FakeContext):
    """A worker with one route table."""

    routes = "in"

    def __init__(self, table: RouteConfiguration) -> None:
        super().__init__()
        self._table = table

    def route_configuration(self, name: str) -> RouteConfiguration:
        return self._table


def test_plugin_keeps_the_rules() -> None:
    registered = check_plugin("filters:router")
    assert [found.name for found in registered] == [
        "envoy.filters.http.router",
        "envoy.filters.generic.router",
        "envoy.filters.dubbo.router",
    ]


@pytest.mark.parametrize(
    ("path", "status", "location"),
    [("/fine", 200, None), ("/old", 301, "http://b.example/old"), ("/nowhere", 404, None)],
)
def test_what_it_answers_itself_ends_the_stream(path: str, status: int, location: str | None) -> None:
    routes = (
        Route(RouteMatch("path", "/fine"), DirectResponse(200, b"fine\n")),
        Route(RouteMatch("path", "/old"), RedirectAction(host="b.example")),
    )
    context = Worker(RouteConfiguration("in", (VirtualHost("all", ("*",), routes),)))
    router = Router(RouterSettings(), context)
    stream = run_filter(router, FakeStream(path=path, route=router.route(FakeStream(path=path))), context=context)
    assert stream.replied
    assert not stream.forwarded
    assert stream.response is not None
    assert (stream.response.status, stream.response.headers.get("location")) == (status, location)
