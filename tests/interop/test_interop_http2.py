"""HTTP/2 with what others wrote, through one sidecar and two: nghttp2's programs, curl, grpc-js."""

from __future__ import annotations

import filecmp
import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.interop.http2_sidecars import Ways
from tests.interop.peers import ROOT, proxy, tool
from tests.running import free_ports, running

PROGRAMS = Path(__file__).parent / "programs"
LARGE_BYTES = 100_000_000
pytestmark = pytest.mark.timeout(120)

# A way is the versions of HTTP in which the sidecars on it speak upstream: the last one is that of the server.
WAYS = ["1", "2", "1-1", "1-2", "2-1", "2-2"]


class Place(NamedTuple):
    """Where the ways begin, and a file that the servers have as ``/large``."""

    ports: dict[str, int]
    large: Path


def node_modules() -> Path:
    """Where the npm packages are, else the test is skipped."""
    modules = ROOT / ".peers" / "node" / "node_modules"
    if not (modules / "@grpc" / "grpc-js").exists():
        pytest.skip("@grpc/grpc-js is not in .peers/node: `make interop` says why")
    return modules


def start_ways(stack: ExitStack, directory: Path, servers: dict[str, int]) -> dict[str, int]:
    """Two sidecars, and every way through one or both of them to servers of HTTP/1.1 and HTTP/2."""
    near, far = Ways(), Ways()
    ports: dict[str, int] = {}
    inner: dict[str, int] = {}
    for version, upstream in servers.items():
        inner[version], ports[version] = free_ports(2)
        far.add(f"in-{version}", inner[version], upstream, int(version))
        near.add(f"way-{version}", ports[version], upstream, int(version))
    for version in servers:
        for between in ("1", "2"):
            way = f"{between}-{version}"
            (ports[way],) = free_ports(1)
            near.add(f"way-{way}", ports[way], inner[version], int(between))
    for name, sidecar in (("far", far), ("near", near)):
        (admin,) = free_ports(1)
        stack.enter_context(proxy("plait", sidecar.config(admin), directory / name, *sidecar.ports))
    return ports


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    directory = tmp_path_factory.mktemp("http2")
    files = directory / "files"
    files.mkdir()
    large = files / "large"
    block = bytes(range(251)) * 4000
    with large.open("wb") as file:
        for start in range(0, LARGE_BYTES, len(block)):
            file.write(block[: LARGE_BYTES - start])
    (files / "small").write_bytes(b"small from nghttpd")
    http1, http2 = free_ports(2)
    nghttpd: list[str | Path] = [
        tool("nghttpd"),
        "--no-tls",
        "-a",
        "127.0.0.1",
        "-d",
        files,
        "--echo-upload",
        "--trailer",
        "x-end: 1",
    ]
    with ExitStack() as stack:
        stack.enter_context(running([tool("node"), PROGRAMS / "server.js", str(http1)], directory, http1))
        stack.enter_context(running([*nghttpd, str(http2)], directory, http2))
        yield Place(start_ways(stack, directory, {"1": http1, "2": http2}), large)


def run(*command: str | Path) -> bytes:
    """What a command prints; AssertionError with its errors when it fails."""
    done = subprocess.run(list(command), capture_output=True, check=False, timeout=100)
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}: {done.stderr.decode()[-2000:]}"
    return done.stdout


# curl


@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
@pytest.mark.parametrize("way", WAYS)
def test_curl_gets_small_answers(place: Place, way: str, version: str) -> None:
    url = f"http://127.0.0.1:{place.ports[way]}/small"
    told = run(tool("curl"), "-sS", version, "-w", " %{http_version} %{http_code}", url).decode()
    assert re.fullmatch(rf"small from \w+ {'1.1' if version == '--http1.1' else '2'} 200", told)


@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
@pytest.mark.parametrize("way", WAYS)
def test_curl_sends_and_gets_a_hundred_megabytes(place: Place, way: str, version: str, tmp_path: Path) -> None:
    answer = tmp_path / "answer"
    url = f"http://127.0.0.1:{place.ports[way]}/echo"
    code = run(
        *(tool("curl"), "-sS", version, "-H", "expect:", "-X", "POST", "-T", place.large),
        *("-o", answer, "-w", "%{http_code}", url),
    )
    assert code == b"200"
    assert filecmp.cmp(answer, place.large, shallow=False)
    answer.unlink()


@pytest.mark.parametrize("way", ["1", "2", "2-2"])
def test_curl_goes_on_in_http2_after_an_offer(place: Place, way: str) -> None:
    small, echo = (f"http://127.0.0.1:{place.ports[way]}/{name}" for name in ("small", "echo"))
    form = " %{http_version} %{http_code} %{num_connects}\n"
    told = run(tool("curl"), "-sSi", "--http2", "-w", form, small, small).decode()
    assert told.count("HTTP/1.1 101 Switching Protocols") == 1
    assert re.findall(r"small from \w+ (2 200 \d)", told) == ["2 200 1", "2 200 0"]
    # an offer with a body is not taken up
    told = run(tool("curl"), "-sS", "--http2", "-d", "body", "-w", " %{http_version}", echo).decode()
    assert told == "body 1.1"


@pytest.mark.parametrize("way", ["2", "2-2", "1-2"])
def test_curl_downloads_a_hundred_megabytes(place: Place, way: str, tmp_path: Path) -> None:
    answer = tmp_path / "answer"
    run(tool("curl"), "-sS", "--http2-prior-knowledge", "-o", answer, f"http://127.0.0.1:{place.ports[way]}/large")
    assert filecmp.cmp(answer, place.large, shallow=False)
    answer.unlink()


# nghttp


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--no-dep",),
        ("--padding=200",),
        ("--window-bits=10", "--connection-window-bits=16"),
        ("--header-table-size=0",),
        ("--encoder-header-table-size=0",),
        ("--weight=1",),
        ("--max-concurrent-streams=1",),
        ("--no-rfc7540-pri",),
    ],
)
@pytest.mark.parametrize("way", ["1", "2", "2-2"])
def test_nghttp_gets_answers_however_it_speaks(place: Place, way: str, arguments: tuple[str, ...]) -> None:
    url = f"http://127.0.0.1:{place.ports[way]}/small"
    assert run(tool("nghttp"), *arguments, url) in (b"small from node", b"small from nghttpd")


@pytest.mark.parametrize(
    "arguments",
    [(), ("--trailer=x-sum: 1",), ("--no-content-length",), ("--expect-continue",), ("--padding=99",)],
)
@pytest.mark.parametrize("way", WAYS)
def test_nghttp_sends_bodies_however_it_speaks(
    place: Place, way: str, arguments: tuple[str, ...], tmp_path: Path
) -> None:
    assert echoed(place.ports[way], tmp_path, *arguments)


@pytest.mark.parametrize("way", ["2", "1-2", "2-2"])
def test_nghttp_sends_heads_in_several_frames(place: Place, way: str, tmp_path: Path) -> None:
    assert echoed(place.ports[way], tmp_path, "--continuation")  # 24 kB of fields, more than Node takes


def echoed(port: int, directory: Path, *arguments: str) -> bool:
    """Whether nghttp gets back what it sends."""
    body = directory / "body"
    body.write_bytes(bytes(range(256)) * 2000)
    return run(tool("nghttp"), "--data", body, *arguments, f"http://127.0.0.1:{port}/echo") == body.read_bytes()


@pytest.mark.parametrize("way", ["2", "2-2"])
def test_nghttp_sees_the_trailers_of_nghttpd(place: Place, way: str) -> None:
    told = run(tool("nghttp"), "-nv", f"http://127.0.0.1:{place.ports[way]}/small").decode()
    assert re.search(r"recv \(stream_id=\d+\) x-end: 1", told)


@pytest.mark.parametrize("way", ["1", "2", "2-2"])
def test_nghttp_goes_on_in_http2_after_an_offer(place: Place, way: str) -> None:
    url = f"http://127.0.0.1:{place.ports[way]}/small"
    told = run(tool("nghttp"), "-nuv", "-m", "5", url).decode()
    assert "HTTP Upgrade success" in told
    assert len(re.findall(r"recv \(stream_id=\d+\) :status: 200", told)) == 5
    assert run(tool("nghttp"), "-u", url) in (b"small from node", b"small from nghttpd")


@pytest.mark.parametrize("way", ["1", "2", "2-2"])
def test_nghttp_multiplies_its_requests(place: Place, way: str) -> None:
    told = run(tool("nghttp"), "-ns", "-m", "90", f"http://127.0.0.1:{place.ports[way]}/small").decode()
    assert len(re.findall(r" 200 +\d+ +/small", told)) == 90


# h2load


@pytest.mark.parametrize("connections", [1, 10])
@pytest.mark.parametrize("way", WAYS)
def test_a_thousand_streams_at_once(place: Place, way: str, connections: int) -> None:
    url = f"http://127.0.0.1:{place.ports[way]}/small"
    told = run(tool("h2load"), "-n", "5000", "-c", str(connections), "-m", str(1000 // connections), url).decode()
    assert "5000 succeeded, 0 failed, 0 errored, 0 timeout" in told
    assert "status codes: 5000 2xx" in told


# grpc-js


@pytest.fixture(scope="module")
def grpc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """The ways to a server of grpc-js in which all speak HTTP/2."""
    directory = tmp_path_factory.mktemp("grpc-js")
    environment = {"NODE_PATH": str(node_modules())}
    (port,) = free_ports(1)
    with ExitStack() as stack:
        command: list[str | Path] = [tool("node"), PROGRAMS / "grpc.js", "server", str(port)]
        stack.enter_context(running(command, directory, port, env=environment))
        yield start_ways(stack, directory, {"2": port})


@pytest.mark.parametrize("way", ["2", "2-2"])
def test_grpc_js_calls_pass_in_all_four_forms(grpc: dict[str, int], way: str) -> None:
    command: list[str | Path] = [tool("node"), PROGRAMS / "grpc.js", "client", str(grpc[way])]
    environment = {"NODE_PATH": str(node_modules()), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, capture_output=True, check=True, timeout=100, env=environment)
    told = {case.pop("case"): case for case in map(json.loads, done.stdout.splitlines())}
    large = 3_000_000
    assert told == {
        "unary": {"code": 0, "got": ["echo one"], "head": "seen", "trailer": "seen"},
        "empty": {"code": 0, "got": ["echo "]},
        "large": {"code": 0, "got": [large + 5]},
        "client streaming": {"code": 0, "got": ["a,b,c"]},
        "server streaming": {"code": 0, "got": [f"{number}" for number in range(100)], "trailer": "seen"},
        "bidirectional": {"code": 0, "got": ["echo 0", "echo 1", "echo 2"]},
        "error": {"code": 9, "got": [], "details": "not now: ü", "trailer": "seen"},
        "error in a stream": {"code": 9, "got": ["first"], "details": "not now: ü"},
        "unknown method": {"code": 12, "got": []},
        "deadline": {"code": 4, "got": []},
        "cancelled": {"code": 1, "got": ["0"]},
        "cancellation seen": {"code": 0, "got": ["1"]},
        "concurrent": {"code": 0, "got": [1000]},
    }
