"""`h2load` of nghttp2 as a load: HTTP/2 without TLS, and exact figures from the log it keeps of every request."""

import re
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from bench.errors import BenchError
from bench.load import Sample

_REQUESTS = re.compile(
    r"^requests: (\d+) total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout$", re.M
)
_STATUSES = re.compile(r"^status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx$", re.M)
_TRAFFIC = re.compile(r"^traffic: .*\((\d+)\) data$", re.M)


BURST_DEADLINE_S = 30
# The share of a turn after which no further burst begins: starting h2load takes its own time.
_ENOUGH = 0.9


@dataclass(frozen=True, slots=True)
class H2load:
    """One thread, `connections` times `streams` requests under way. With `body` they are POSTs that carry it.

    A turn is several bursts of as many requests as the time left should take, for h2load gives up what is under way
    when a time is up: hundreds of streams reset at once, which an upstream may well take for an attack.
    """

    path: str
    connections: int
    streams: int
    headers: tuple[str, ...] = ()
    body: bytes = b""

    def version(self) -> str:
        return subprocess.run([_h2load(), "--version"], capture_output=True, text=True, check=False).stdout.strip()

    def run(self, port: int, seconds: int) -> Sample:
        bursts: list[Burst] = []
        at_least = self.connections * self.streams
        count, started_s = 10 * at_least, time.monotonic()
        while True:
            bursts.append(self._burst(port, count))
            used_s = time.monotonic() - started_s
            if used_s >= seconds * _ENOUGH or bursts[-1].failed:
                return sample(bursts)
            count = max(at_least, int(sum(len(burst.took_us) for burst in bursts) / used_s * (seconds - used_s)))

    def _burst(self, port: int, count: int) -> "Burst":
        with tempfile.TemporaryDirectory(prefix="bench-h2load-") as directory:
            log, body = Path(directory) / "log", Path(directory) / "body"
            command = [_h2load(), "-t1", f"-c{self.connections}", f"-m{self.streams}", f"-n{count}"]
            command += [f"--log-file={log}", *(f"--header={header}" for header in self.headers)]
            if self.body:
                body.write_bytes(self.body)
                command.append(f"--data={body}")
            command.append(f"http://127.0.0.1:{port}{self.path}")
            try:
                ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=BURST_DEADLINE_S)
            except subprocess.TimeoutExpired as error:
                raise BenchError(f"h2load did not end within {BURST_DEADLINE_S} s: {' '.join(command)}") from error
            if ended.returncode != 0:
                raise BenchError(f"h2load ended with {ended.returncode}: {ended.stderr.strip() or ended.stdout}")
            return parse_h2load(ended.stdout, log.read_text() if log.exists() else "")


@dataclass(frozen=True, slots=True)
class Burst:
    """What one start of h2load saw: how long each request took, from the first start to the last end."""

    took_us: list[int]
    duration_us: int
    bytes_read: int
    errors: dict[str, int]

    @property
    def failed(self) -> bool:
        return any(self.errors.values())


def parse_h2load(output: str, log: str) -> Burst:
    """The figures of what h2load printed and of its log: start, status and time taken of each request, in µs."""
    requests, statuses, traffic = _REQUESTS.search(output), _STATUSES.search(output), _TRAFFIC.search(output)
    if requests is None or statuses is None or traffic is None:
        raise BenchError(f"h2load printed no figures: {output.strip()!r}")
    total, succeeded, failed, errored, timeouts = map(int, requests.groups())
    errors = {"failed": failed, "errored": errored, "timeout": timeouts, "unanswered": total - succeeded}
    errors["status"] = sum(map(int, statuses.groups()[1:]))
    try:
        lines = [tuple(map(int, line.split("\t"))) for line in log.splitlines()]
        took_us = [took for _, status, took in lines if 200 <= status < 300]
        began_us = min((start for start, _, _ in lines), default=0)
        ended_us = max((start + took for start, _, took in lines), default=0)
    except ValueError as error:
        raise BenchError(f"h2load's log cannot be read: {log[:200]!r}") from error
    if len(took_us) != succeeded:
        raise BenchError(f"h2load counted {succeeded} answers and logged {len(took_us)}")
    return Burst(took_us, ended_us - began_us, int(traffic[1]), errors)


def sample(bursts: list[Burst]) -> Sample:
    """All bursts of a turn as one; the pauses between them count as no time."""
    took_us = sorted(took for burst in bursts for took in burst.took_us)
    errors = sum((Counter(burst.errors) for burst in bursts), Counter())
    return Sample(
        requests=len(took_us),
        duration_us=max(sum(burst.duration_us for burst in bursts), 1),
        bytes_read=sum(burst.bytes_read for burst in bursts),
        p50_us=took_us[len(took_us) // 2] if took_us else 0,
        p99_us=took_us[len(took_us) * 99 // 100] if took_us else 0,
        errors=dict(errors),
    )


def _h2load() -> str:
    found = shutil.which("h2load")
    if found is None:
        raise BenchError("h2load is not installed: run `python -m bench.peers` as root, or install nghttp2-client")
    return found
