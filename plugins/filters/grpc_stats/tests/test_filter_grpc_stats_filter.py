"""What the filter counts, and under which names."""

from __future__ import annotations

from typing import cast

import pytest

from plait import Headers, Response
from plait.testing import FakeContext, FakeStream, run_filter
from plait_filter_grpc_stats import GrpcStatsFilter, GrpcStatsSettings

MESSAGE = b"\0\0\0\0\x02hi"
ALL = GrpcStatsSettings(all_methods=True)


class Routed(FakeStream):
    """Reaches a cluster before the response."""

    async def settled(self, verdict: object, phase: str, context: FakeContext | None = None) -> None:
        await super().settled(verdict, phase, context)
        if phase == "on_request":
            self.upstream_cluster, self.upstream_host, self.request_ended = "shop", "192.0.2.9:80", 1.0


class Unrouted(FakeStream):
    """Never reaches one."""


def counted(
    settings: GrpcStatsSettings,
    *pieces: bytes,
    path: str = "/shop.Catalogue/Get",
    status: bytes | None = b"0",
    in_head: bool = False,
    content_type: str = "application/grpc",
    made: type[FakeStream] = Routed,
) -> dict[str, int]:
    context = cast("FakeContext", FakeContext().for_chain("http.in"))
    fields = [(b"content-type", b"application/grpc")]
    response = Response(200, Headers(fields))
    if status is not None:
        target = [(b"grpc-status", status)]
        if in_head:
            response.headers = Headers([*fields, *target])
        else:
            response.trailers = Headers(target)
    stream = made("POST", path, headers={"content-type": content_type}, body=[MESSAGE[:3], MESSAGE[3:] + MESSAGE])
    run_filter(GrpcStatsFilter(settings, context), stream, response, pieces, context=context)
    assert stream.forwarded_body == MESSAGE * 2
    assert stream.returned_body == b"".join(pieces)
    found = {name: value for name, value in context.fake_stats.values().items() if value}
    if settings.emit_filter_state:
        counts = stream.attributes["envoy.filters.http.grpc_stats"]
        assert counts == {"request_message_count": 2, "response_message_count": len(pieces)}
    return found


def test_call_is_counted_under_its_method() -> None:
    prefix = "cluster.shop.grpc.shop.Catalogue.Get."
    assert counted(ALL, MESSAGE, MESSAGE, MESSAGE) == {
        f"{prefix}request_message_count": 2,
        f"{prefix}response_message_count": 3,
        f"{prefix}0": 1,
        f"{prefix}success": 1,
        f"{prefix}total": 1,
    }


@pytest.mark.parametrize("in_head", [True, False])
def test_status_other_than_0_is_a_failure(in_head: bool) -> None:
    prefix = "cluster.shop.grpc.shop.Catalogue.Get."
    assert counted(ALL, status=b"14", in_head=in_head) == {
        f"{prefix}request_message_count": 2,
        f"{prefix}14": 1,
        f"{prefix}failure": 1,
        f"{prefix}total": 1,
    }


def test_status_that_nobody_defined_has_no_counter_of_its_own() -> None:
    found = counted(GrpcStatsSettings(), status=b"4711")
    assert found == {
        "cluster.shop.grpc.request_message_count": 2,
        "cluster.shop.grpc.failure": 1,
        "cluster.shop.grpc.total": 1,
    }


def test_only_listed_methods_have_statistics_of_their_own() -> None:
    listed = GrpcStatsSettings(allowlist=frozenset({("shop.Catalogue", "Get")}))
    assert "cluster.shop.grpc.shop.Catalogue.Get.total" in counted(listed)
    assert "cluster.shop.grpc.total" in counted(listed, path="/shop.Catalogue/List")
    assert "cluster.shop.grpc.total" in counted(GrpcStatsSettings())


@pytest.mark.parametrize("path", ["/", "/a", "/a/b/c", "//b", "/a/", "a/b"])
def test_path_that_is_no_method_is_counted_for_the_cluster(path: str) -> None:
    assert "cluster.shop.grpc.total" in counted(ALL, path=path)


def test_dots_of_the_service_can_be_replaced() -> None:
    settings = GrpcStatsSettings(all_methods=True, replace_dots=True)
    assert "cluster.shop.grpc.shop_Catalogue.Get.total" in counted(settings)


def test_counts_can_become_an_attribute() -> None:
    counted(GrpcStatsSettings(emit_filter_state=True), MESSAGE)


def test_response_without_status_has_no_outcome() -> None:
    assert "cluster.shop.grpc.total" not in counted(GrpcStatsSettings(), status=None)


def test_other_requests_are_not_counted() -> None:
    assert counted(ALL, MESSAGE, content_type="application/json") == {}


def test_call_that_reached_no_cluster_is_not_counted() -> None:
    assert counted(ALL, made=Unrouted) == {}


def test_upstream_time_is_kept_where_it_is_wanted() -> None:
    context = cast("FakeContext", FakeContext().for_chain("http.in"))
    response = Response(200, Headers([(b"content-type", b"application/grpc"), (b"grpc-status", b"0")]))
    stream = Routed("POST", "/a/b", headers={"content-type": "application/grpc"})
    run_filter(GrpcStatsFilter(GrpcStatsSettings(upstream_stats=True), context), stream, response, context=context)
    assert len(context.stats.histogram("cluster.shop.grpc.upstream_rq_time").values) == 1
