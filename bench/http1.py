"""The scenarios of HTTP/1.1 and TCP: `wrk` asks nginx for small and for long bodies."""

import http.client
from pathlib import Path

from bench import peers
from bench.errors import BenchError
from bench.load import Wrk
from bench.process import Process
from bench.proxies import CONFIGS, Ports, nginx_command, with_ports
from bench.scenario import Scenario

BODY_64K = bytes(range(256)) * 256
SMALL = b"hello from the upstream\n"
# Every proxy has to do these in the HTTP scenarios, or it does less work than the others.
HTTP_FEATURES = ("x-forwarded-for", "x-request-id")


def scenarios() -> list[Scenario]:
    http, tcp = "HTTP/1.1, 64 keep-alive connections", "TCP proxying, 64 connections that carry HTTP/1.1"
    return [
        _http("http-small", f"{http}, small body", "http", "/small", SMALL, HTTP_FEATURES, 0.65),
        _http(
            "http-varied", f"{http}, no two requests alike", "http", "/small", SMALL, HTTP_FEATURES, 0.65, varied=True
        ),
        _http("http-64k", f"{http}, 64 KiB body", "http", "/64k", BODY_64K, HTTP_FEATURES, 0.65),
        _http("tcp-small", f"{tcp}, small body", "tcp", "/small", SMALL, (), 1.2),
        _http("tcp-64k", f"{tcp}, 64 KiB body", "tcp", "/64k", BODY_64K, (), 1.2),
    ]


def _http(
    name: str,
    title: str,
    config: str,
    path: str,
    body: bytes,
    required: tuple[str, ...],
    cpu_target: float,
    varied: bool = False,
) -> Scenario:
    def probe(port: int) -> dict[str, str]:
        if get(port, path)[1] != body:
            raise BenchError(f"the body of {path} came back changed")
        return seen_features(port)

    load = Wrk(path, varied=varied)
    return Scenario(name, title, config, body, load, start_nginx, probe, required, cpu_target, frozenset({"wrk"}))


def start_nginx(port: int, core: int, directory: Path) -> Process:
    """nginx with one worker, which answers /small, /64k and /seen."""
    peers.ensure_debian({"nginx"})
    bodies = directory / "bodies"
    bodies.mkdir()
    (bodies / "64k").write_bytes(BODY_64K)
    source = CONFIGS / "upstream.nginx.conf"
    config = directory / source.name
    config.write_text(with_ports(source.read_text(), Ports(0, 0, port)))
    upstream = Process("upstream nginx", nginx_command(peers.command("nginx"), config, directory), core, directory)
    try:
        upstream.wait_until(lambda: get(port, "/small"))
    except BaseException:
        upstream.stop()
        raise
    return upstream


def get(port: int, path: str) -> tuple[dict[str, str], bytes]:
    """The headers and body of one answer with status 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
    except http.client.HTTPException as error:
        raise BenchError(f"GET {path} failed: {error!r}") from error
    finally:
        connection.close()
    if response.status != 200:
        raise BenchError(f"GET {path} was answered with {response.status}")
    return {name.lower(): value for name, value in response.getheaders()}, body


def seen_features(port: int) -> dict[str, str]:
    """Which request headers the upstream saw and which response headers came back, beyond those of a bare nginx."""
    headers, body = get(port, "/seen")
    seen = dict(line.split("=", 1) for line in body.decode("latin-1").splitlines() if "=" in line)
    features = {name: value for name, value in seen.items() if value}
    for name in ("server", "x-envoy-upstream-service-time"):
        if name in headers:
            features[f"response {name}"] = headers[name]
    return features
