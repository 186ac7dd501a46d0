"""What the stream proxy of an RPC protocol counts of its responses beyond what that of HTTP does."""

from plait.stream.proxy import ProxyStats
from plait.testing import FakeStats


def count(stats: ProxyStats, code: int) -> None:
    assert stats.codes is not None
    stats.codes[code].value += 1


def counted(stats: FakeStats) -> dict[str, int]:
    return {name.partition(".downstream_rq_")[2]: value for name, value in stats.values().items()}


def test_calls_are_counted_by_code_and_flag() -> None:
    stats = FakeStats()
    proxy = ProxyStats(stats, "rpc.in", ["dubbo"], rpc=True)
    for code in (20, 20, 60, 60, 503):
        count(proxy, code)
    proxy.rq_local.value += 2
    proxy.count_flags(("UT", "URX"))
    proxy.count_flags(("UT",))
    assert counted(stats) == {"local": 2, "code.20": 2, "code.60": 2, "code.503": 1, "flag.UT": 2, "flag.URX": 1}


def test_a_proxy_that_follows_another_goes_on_counting() -> None:
    stats = FakeStats()
    for _ in range(2):
        proxy = ProxyStats(stats, "rpc.in", ["dubbo"], rpc=True)
        count(proxy, 20)
        proxy.classes[2].value += 1
        proxy.requests["dubbo"].value += 1
    assert counted(stats) == {"total": 2, "dubbo_total": 2, "completed": 2, "2xx": 2, "code.20": 2}


def test_http_has_no_counters_of_codes_and_flags() -> None:
    stats = FakeStats()
    proxy = ProxyStats(stats, "http.in", ["http1"])
    proxy.count_flags(("UT",))
    proxy.rq_local.value += 1
    assert proxy.codes is None
    assert counted(stats) == {}
