"""What wrk prints becomes a sample, and a sample that must not be reported says why."""

import pytest

from bench.errors import BenchError
from bench.load import Sample, parse_wrk

PRINTED = """Running 1s test @ http://127.0.0.1:28500/small
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.60ms  380.01us   8.65ms   85.38%
    Req/Sec    39.62k     2.71k   43.21k    60.00%
  39420 requests in 1.00s, 6.99MB read
Requests/sec:  39409.23
Transfer/sec:      6.99MB
wrk-json {"requests": 39420, "duration_us": 1000273, "bytes": 7331934, "p50_us": 1550, "p99_us": 2890, \
"errors": {"connect": 0, "read": 0, "write": 0, "timeout": 0, "status": 0}}
"""


def test_figures_are_taken_from_the_exact_line() -> None:
    sample = parse_wrk(PRINTED)
    assert (sample.requests, sample.bytes_read, sample.p50_us, sample.p99_us) == (39420, 7331934, 1550, 2890)
    assert sample.requests_per_s == pytest.approx(39409.24, abs=0.01)
    assert sample.complaint(body_bytes=24) is None


def test_output_without_figures_is_an_error() -> None:
    with pytest.raises(BenchError, match="unable to connect"):
        parse_wrk("unable to connect to 127.0.0.1:1 Connection refused\n")


@pytest.mark.parametrize("line", ["wrk-json {", "wrk-json []", 'wrk-json {"requests": 1}'])
def test_figures_that_cannot_be_read_are_an_error(line: str) -> None:
    with pytest.raises(BenchError, match="cannot be read"):
        parse_wrk(line)


@pytest.mark.parametrize(
    ("sample", "complaint"),
    [
        (Sample(10, 1, 1000, 1, 1, {"read": 2, "status": 0, "timeout": 1}), "errors: read 2, timeout 1"),
        (Sample(0, 1, 0, 1, 1), "no request was answered"),
        (Sample(10, 1, 990, 1, 1), "99 bytes per answer, expected at least 100"),
        (Sample(10, 1, 1000, 1, 1, {"read": 0}), None),
    ],
)
def test_failed_and_short_answers_are_refused(sample: Sample, complaint: str | None) -> None:
    assert sample.complaint(body_bytes=100) == complaint
