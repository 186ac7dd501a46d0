"""The scenarios of HTTP/2 without TLS on both sides: small bodies, and unary gRPC. `h2load` asks nghttpd."""

import subprocess
import tempfile
from pathlib import Path

from bench import peers
from bench.errors import BenchError
from bench.h2load import H2load
from bench.http1 import SMALL
from bench.process import Process
from bench.scenario import Scenario

# Plait's CPU time per request over Envoy's, as plain Python.
CPU_TARGET = 1.3
COMMANDS = frozenset({"h2load", "nghttp", "nghttpd"})
# A method of a service, as nghttpd can answer it: a file, whose ending has the content type of gRPC.
UNARY_PATH = "/demo.Greeter/Hello.unary"
# One message each: five bytes of gRPC (not compressed, length), then protobuf's field 1 with a string.
UNARY_REQUEST = b"\x00\x00\x00\x00\x06\x0a\x04mesh"
UNARY_RESPONSE = b"\x00\x00\x00\x00\x0c\x0a\x0ahello mesh"
UNARY_HEADERS = ("content-type: application/grpc", "te: trailers", "grpc-timeout: 5S", "user-agent: grpc-bench/1")


def scenarios() -> list[Scenario]:
    found: list[Scenario] = []
    for connections, streams in ((64, 1), (8, 32)):
        shape = f"{connections} connections, {streams} streams each"
        load = H2load("/small", connections, streams)
        found.append(_h2(f"h2-{connections}x{streams}", f"HTTP/2, {shape}, small body", load, SMALL))
    load = H2load(UNARY_PATH, 8, 32, UNARY_HEADERS, UNARY_REQUEST)
    found.append(_h2("grpc-unary", "unary gRPC, 8 connections, 32 calls under way on each", load, UNARY_RESPONSE))
    return found


def _h2(name: str, title: str, load: H2load, body: bytes) -> Scenario:
    def probe(port: int) -> dict[str, str]:
        return ask(load, port, body)

    return Scenario(name, title, "http2", body, load, start_nghttpd, probe, (), CPU_TARGET, COMMANDS)


def start_nghttpd(port: int, core: int, directory: Path) -> Process:
    """nghttpd with one thread: /small, and a unary method, which answers with the trailer `grpc-status: 0`."""
    bodies = directory / "bodies"
    unary = bodies / UNARY_PATH.removeprefix("/")
    unary.parent.mkdir(parents=True)
    unary.write_bytes(UNARY_RESPONSE)
    (bodies / "small").write_bytes(SMALL)
    types = directory / "mime.types"
    types.write_text("application/grpc unary\n")
    command = [peers.command("nghttpd"), "--no-tls", "--address=127.0.0.1", "--workers=1"]
    # A proxy that has not read the settings yet may send all calls at once, which is no fault to be measured.
    command += ["--max-concurrent-streams=1000", f"--htdocs={bodies}", f"--mime-types-file={types}"]
    command += ["--trailer=grpc-status: 0", str(port)]
    upstream = Process("upstream nghttpd", command, core, directory)
    try:
        upstream.wait_until(lambda: ask(H2load("/small", 1, 1), port, SMALL))
    except BaseException:
        upstream.stop()
        raise
    return upstream


def ask(load: H2load, port: int, body: bytes) -> dict[str, str]:
    """Sends one request of this load with `nghttp`; what came back with it. Raises BenchError unless all of it did."""
    command = [peers.command("nghttp"), "--verbose", "--no-dep", "--timeout=2"]
    command += [f"--header={header}" for header in load.headers]
    with tempfile.NamedTemporaryFile() as file:  # nghttp asks for the size of what it sends
        if load.body:
            file.write(load.body)
            file.flush()
            command.append(f"--data={file.name}")
        command.append(f"http://127.0.0.1:{port}{load.path}")
        ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=10)
    fields = received(ended.stdout)
    if fields.get(":status") != "200" or body not in ended.stdout:
        raise BenchError(f"HTTP/2 {load.path} was answered with {fields.get(':status', 'nothing')}: {ended.stderr!r}")
    if load.body and fields.get("grpc-status") != "0":
        raise BenchError(f"the trailer grpc-status of {load.path} did not come back")
    return {f"response {name}": fields[name] for name in ("server", "x-envoy-upstream-service-time") if name in fields}


def received(output: bytes) -> dict[str, str]:
    """The fields of headers and trailers in what `nghttp --verbose` prints: `recv (stream_id=1) name: value`."""
    found: dict[str, str] = {}
    for line in output.decode("latin-1").splitlines():
        _, marker, field = line.partition("recv (stream_id=")
        name, _, value = field.partition(") ")[2].lstrip(":").partition(": ")
        if marker and name:
            found[f":{name}" if ") :" in field else name] = value
    return found
