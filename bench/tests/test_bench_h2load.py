"""What h2load prints and logs becomes bursts, and the bursts of a turn one sample."""

import pytest

from bench.errors import BenchError
from bench.h2load import Burst, parse_h2load, sample
from bench.http2 import received

# h2load 1.52 with -c2 -m2 -n4; the log has start, status and time taken of each request.
PRINTED = """
finished in 1.02s, 4.00 req/s, 844.34KB/s
requests: 4 total, 4 started, 4 done, {succeeded} succeeded, {failed} failed, 0 errored, 0 timeout
status codes: {succeeded} 2xx, 0 3xx, 0 4xx, {failed} 5xx
traffic: 844.34KB (864600) total, 162.96KB (166872) headers (space savings 93.48%), 389.25KB (96) data
"""
LOG = "1000\t200\t40\n1000\t200\t30\n1010\t200\t20\n1020\t{status}\t50\n"


def test_figures_come_from_the_exact_counts_and_the_log() -> None:
    found = parse_h2load(PRINTED.format(succeeded=4, failed=0), LOG.format(status=200))
    assert (found.took_us, found.duration_us, found.bytes_read) == ([40, 30, 20, 50], 70, 96)
    assert not found.failed


def test_a_status_that_is_an_error_is_counted() -> None:
    found = parse_h2load(PRINTED.format(succeeded=3, failed=1), LOG.format(status=503))
    assert found.failed
    assert sample([found]).complaint(body_bytes=24) == "errors: failed 1, unanswered 1, status 1"


def test_bursts_of_a_turn_are_one_sample() -> None:
    found = sample([Burst([5, 7], 100, 48, {"failed": 0}), Burst([1, 9], 50, 48, {"failed": 0})])
    assert (found.requests, found.duration_us, found.bytes_read, found.p50_us, found.p99_us) == (4, 150, 96, 7, 9)
    assert found.complaint(body_bytes=24) is None


@pytest.mark.parametrize(
    ("output", "log", "message"),
    [
        ("cannot connect\n", "", "printed no figures"),
        (PRINTED.format(succeeded=4, failed=0), "1000\t200\n", "cannot be read"),
        (PRINTED.format(succeeded=4, failed=0), "1000\t200\t40\n", "counted 4 answers and logged 1"),
    ],
)
def test_figures_that_do_not_add_up_are_an_error(output: str, log: str, message: str) -> None:
    with pytest.raises(BenchError, match=message):
        parse_h2load(output, log)


def test_fields_and_trailers_are_found_in_what_nghttp_prints() -> None:
    printed = (
        b"[  0.003] recv (stream_id=13) :status: 200\n[  0.003] recv (stream_id=13) server: plait\n"
        b"[  0.003] recv HEADERS frame <length=99, flags=0x04, stream_id=13>\n\n"
        b"hello mesh[  0.003] recv DATA frame <length=17, flags=0x00, stream_id=13>\n"
        b"[  0.003] recv (stream_id=13) grpc-status: 0\n"
    )
    assert received(printed) == {":status": "200", "server": "plait", "grpc-status": "0"}
