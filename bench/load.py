"""Load generators, and the exact figures of what they sent.

A `Load` speaks one protocol to one port for some seconds and answers with a `Sample`. `Wrk` is the one for HTTP/1.1;
a protocol that wrk does not speak brings its own class with the same two methods. Nothing here knows of proxies.
"""

import json
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bench.errors import BenchError

WRK_SCRIPT = Path(__file__).parent / "configs" / "wrk.lua"
WRK_PREFIX = "wrk-json "


@dataclass(frozen=True, slots=True)
class Sample:
    """What one burst of load saw: times in microseconds, `errors` counted by kind."""

    requests: int
    duration_us: int
    bytes_read: int
    p50_us: int
    p99_us: int
    errors: dict[str, int] = field(default_factory=dict)

    @property
    def requests_per_s(self) -> float:
        return self.requests * 1e6 / self.duration_us

    def complaint(self, body_bytes: int) -> str | None:
        """Why this burst must not be reported, or None if every request got its whole answer."""
        failed = {kind: count for kind, count in self.errors.items() if count}
        if failed:
            return "errors: " + ", ".join(f"{kind} {count}" for kind, count in failed.items())
        if self.requests == 0:
            return "no request was answered"
        if self.bytes_read < self.requests * body_bytes:
            return f"{self.bytes_read / self.requests:.0f} bytes per answer, expected at least {body_bytes}"
        return None


class Load(Protocol):
    """Sends requests to a port of the loopback interface and counts the answers."""

    def version(self) -> str: ...

    def run(self, port: int, seconds: int) -> Sample:
        """Raises BenchError if the generator itself fails; errors of the peer are counted in the sample."""
        ...


@dataclass(frozen=True, slots=True)
class Wrk:
    """`wrk` with one thread and keep-alive connections that each wait for their answer."""

    path: str
    connections: int = 64
    varied: bool = False  # no two requests alike, with ten header fields

    def version(self) -> str:
        text = subprocess.run([_wrk(), "-v"], capture_output=True, text=True, check=False).stdout
        return " ".join(text.split()[:2])

    def run(self, port: int, seconds: int) -> Sample:
        command = [_wrk(), "-t1", f"-c{self.connections}", f"-d{seconds}s", "-s", str(WRK_SCRIPT)]
        command.append(f"http://127.0.0.1:{port}{self.path}")
        if self.varied:
            command += ["--", "varied"]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 20)
        except subprocess.TimeoutExpired as error:
            raise BenchError(f"wrk did not end within {seconds + 20} s: {' '.join(command)}") from error
        if ended.returncode != 0:
            raise BenchError(f"wrk ended with {ended.returncode}: {ended.stderr.strip() or ended.stdout.strip()}")
        return parse_wrk(ended.stdout)


def parse_wrk(output: str) -> Sample:
    """The figures in what wrk printed with `configs/wrk.lua`."""
    for line in output.splitlines():
        if line.startswith(WRK_PREFIX):
            break
    else:
        raise BenchError(f"wrk printed no figures, expected a line with {WRK_PREFIX.strip()}: {output.strip()!r}")
    try:
        found = json.loads(line.removeprefix(WRK_PREFIX))
        return Sample(
            requests=int(found["requests"]),
            duration_us=int(found["duration_us"]),
            bytes_read=int(found["bytes"]),
            p50_us=int(found["p50_us"]),
            p99_us=int(found["p99_us"]),
            errors={str(kind): int(count) for kind, count in found["errors"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BenchError(f"wrk printed figures that cannot be read: {line!r}") from error


def _wrk() -> str:
    found = shutil.which("wrk")
    if found is None:
        raise BenchError("wrk is not installed: run `python -m bench.peers` as root, or apt-get install wrk")
    return found
