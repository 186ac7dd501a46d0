"""Codes, flags and answers of our own, as Envoy's generic_proxy counts them."""

from plait import Headers, Response
from plait.testing import FakeContext, FakeStream
from plait_protocol_generic import RpcStatistics


def test_streams_are_counted_as_they_end() -> None:
    context = FakeContext()
    statistics = RpcStatistics(context, "rpc.in")
    for status, code, details, flags in (
        (200, 20, "via_upstream", ()),
        (200, 20, "via_upstream", ()),
        (503, 0, "via_upstream", ()),
        (404, 60, "route_not_found", ("NR",)),
        (504, 31, "response_timeout", ("UT", "URX")),
    ):
        stream = FakeStream()
        stream.response = Response(status, Headers([]))
        stream.response.code, stream.details, stream.flags = code, details, flags
        statistics.on_end(stream)
    values = {name.removeprefix("rpc.in.downstream_rq_"): value for name, value in context.fake_stats.values().items()}
    assert values == {
        "local": 2, "code.20": 2, "code.503": 1, "code.60": 1, "code.31": 1, "flag.NR": 1, "flag.UT": 1, "flag.URX": 1
    }  # fmt: skip


def test_a_stream_without_a_response_has_no_code() -> None:
    context = FakeContext()
    statistics = RpcStatistics(context, "rpc.in")
    stream = FakeStream()
    stream.flags = ("DC",)
    statistics.on_end(stream)
    assert context.fake_stats.values() == {"rpc.in.downstream_rq_flag.DC": 1}
