"""What a stream proxy counts of its responses, by class of status, code, flag and origin."""

from plait.stream.proxy import ProxyStats
from plait.testing import FakeStats


def counted(stats: FakeStats) -> dict[str, int]:
    return {name.partition(".downstream_rq_")[2]: value for name, value in stats.values().items()}


def test_responses_are_counted_by_class_of_their_status() -> None:
    stats = FakeStats()
    proxy = ProxyStats(stats, "http.in", "http1")
    proxy.rq_total.value = 9
    for status, times in ((200, 3), (204, 1), (404, 2), (503, 1), (700, 1)):
        proxy.answer(0, status).value += times
    assert counted(stats) == {
        "total": 9, "http1_total": 9, "completed": 8, "active": 1, "2xx": 4, "4xx": 2, "5xx": 1, "unusual": 1
    }  # fmt: skip


def test_calls_are_counted_by_the_code_of_their_protocol_too() -> None:
    stats = FakeStats()
    proxy = ProxyStats(stats, "rpc.in", "dubbo", rpc=True)
    proxy.rq_total.value = 5
    proxy.answer(20, 200).value += 2
    proxy.answer(60, 404).value += 1
    proxy.answer(60, 405).value += 1
    proxy.answer(0, 503).value += 1
    proxy.rq_local.value += 2
    proxy.flagged(("UT", "URX"))
    proxy.flagged(("UT",))
    assert counted(stats) == {
        "total": 5, "dubbo_total": 5, "completed": 5, "2xx": 2, "4xx": 2, "5xx": 1, "local": 2,
        "code.20": 2, "code.60": 2, "code.503": 1, "flag.UT": 2, "flag.URX": 1,
    }  # fmt: skip


def test_http_has_no_counters_of_codes_and_flags() -> None:
    stats = FakeStats()
    proxy = ProxyStats(stats, "http.in", "http1")
    proxy.answer(0, 200).value += 1
    proxy.flagged(("UT",))
    proxy.rq_local.value += 1
    assert not [name for name in counted(stats) if "code" in name or "flag" in name or "local" in name]
