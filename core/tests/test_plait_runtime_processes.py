"""Real processes: a supervisor, its workers, a plugin that echoes; signals, deaths, refusals."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Self

import pytest

from plait.runtime.options import RunOptions

DEADLINE_S = 25.0

ECHO = '''
"""Greets with the process id, echoes what it gets; settings and input can make it misbehave."""
import asyncio, os
import attrs
import plait

@attrs.frozen
class Echo:
    greeting: str = ""

class Talk(asyncio.Protocol):
    def __init__(self, owner, connection):
        self.owner, self.connection = owner, connection
    def connection_made(self, transport):
        self.transport = transport
        transport.write(f"{self.owner.settings.greeting} {os.getpid()}\\n".encode())
    def data_received(self, data):
        if data == b"die":
            os._exit(7)
        self.owner.requests.value += 1
        self.transport.write(data)
    def connection_lost(self, error):
        self.connection.ended()

class EchoFilter(plait.TerminalFilter):
    def __init__(self, settings, context):
        if settings.greeting == "refused-everywhere":
            raise ValueError("no such greeting")
        if settings.greeting == "refused-by-one" and context.worker == 1:
            raise ValueError("worker 1 dislikes it")
        self.settings = settings
        self.requests = context.stats.counter("echo.requests")
    def protocol(self, connection):
        return Talk(self, connection)

@plait.hookimpl
def plait_protocols():
    return [plait.NetworkFilterType("test.echo", Echo, EchoFilter, terminal=True)]

@attrs.frozen
class Lines:
    path: str = ""

class LinesRegistry(plait.Registry):
    """Every line of a file is a port of the service."""
    def __init__(self, settings):
        self.path = settings.path
    async def watch(self, sink):
        before = None
        while True:
            text = open(self.path).read()
            if text != before:
                before = text
                ports = [int(line) for line in text.split()]
                instances = [plait.Instance(plait.Address("127.0.0.1", port)) for port in ports]
                sink.update(plait.Service("orders"), instances)
            await asyncio.sleep(0.02)

@plait.hookimpl
def plait_registries():
    return [plait.RegistryType("test.lines", Lines, LinesRegistry)]
'''

RUN = """
import pickle, sys
from plait import runtime
from plait.api import PlaitError
try:
    sys.exit(runtime.run(pickle.loads(bytes.fromhex(sys.argv[1]))))
except PlaitError as error:
    print(error, file=sys.stderr)
    sys.exit(78)
"""


def until(condition: Callable[[], Any], what: str) -> Any:
    """The first true value of ``condition``; fails after the deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    pytest.fail(f"gave up waiting for {what}")


def configuration(
    greeting: str, address: str = "socket_address: {address: 127.0.0.1, port_value: 0}", registry: str = ""
) -> str:
    return f"""
bootstrap_extensions: [{registry}]
node: {{id: here, cluster: tests}}
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}}}
static_resources:
  listeners:
  - name: in
    address: {{{address}}}
    filter_chains:
    - filters:
      - name: echo
        typed_config:
          "@type": type.googleapis.com/xds.type.v3.TypedStruct
          type_url: type.googleapis.com/test.echo
          value: {{greeting: {greeting}}}
  clusters:
  - name: backend
    type: STATIC
    load_assignment:
      cluster_name: backend
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: 9}}}}}}
"""


class Talker:
    """A connection to the echo."""

    def __init__(self, address: str) -> None:
        if address.startswith("unix:"):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(DEADLINE_S)
            self.sock.connect(address.removeprefix("unix:"))
        else:
            host, _, port = address.rpartition(":")
            self.sock = socket.create_connection((host, int(port)), timeout=DEADLINE_S)
        greeting = b""
        while not greeting.endswith(b"\n"):
            try:
                piece = self.sock.recv(100)
            except OSError:
                self.sock.close()
                raise
            if not piece:
                self.sock.close()
                raise ConnectionError(f"closed after {greeting!r}")
            greeting += piece
        self.greeting, _, pid = greeting.decode().strip().rpartition(" ")
        self.pid = int(pid)

    def echoes(self) -> bool:
        self.sock.sendall(b"ping")
        return self.sock.recv(4) == b"ping"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()


class Sidecar:
    """A running supervisor."""

    def __init__(self, folder: Path, greeting: str, concurrency: int, **more: Any) -> None:
        self.config = folder / "bootstrap.yaml"
        self.address_path = folder / "admin"
        self.log_path = folder / "log"
        self.config.write_text(configuration(greeting, **more))
        options = RunOptions(
            str(self.config),
            concurrency=concurrency,
            drain_time_s=20.0,
            admin_address_path=str(self.address_path),
        )
        import pickle

        site = folder / "site"
        paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
        with self.log_path.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", RUN, pickle.dumps(options).hex()],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                stderr=log,
                stdout=log,
            )

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def get(self, path: str) -> tuple[int, str]:
        host, _, port = self.address_path.read_text().strip().rpartition(":")
        connection = HTTPConnection(host, int(port), timeout=DEADLINE_S)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def live(self) -> "Sidecar":
        def ready() -> bool:
            if self.process.poll() is not None:
                pytest.fail(f"ended with {self.process.returncode}:\n{self.log}")
            if not self.address_path.exists() or not self.address_path.read_text().endswith("\n"):
                return False
            try:
                return self.get("/ready") == (200, "LIVE\n")
            except ConnectionError:
                return False

        until(ready, "LIVE")
        return self

    def info(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.get("/server_info")[1])
        return found

    def stat(self, name: str) -> int:
        text = self.get(f"/stats?filter=^{name}$")[1]
        return int(text.rpartition(": ")[2] or 0)

    def talk(self) -> Talker:
        return Talker(self.get("/listeners")[1].strip().removeprefix("in::"))

    def talk_to(self, pid: int) -> Talker:
        """A connection to one worker: the kernel chooses, so try."""

        def attempt() -> Talker | None:
            talker = self.talk()
            if talker.pid == pid:
                return talker
            talker.sock.close()
            return None

        found: Talker = until(attempt, f"a connection to process {pid}")
        return found

    def wait(self) -> int:
        return self.process.wait(DEADLINE_S)

    def reload(self, text: str) -> None:
        self.config.write_text(text)
        self.process.send_signal(signal.SIGHUP)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Sidecar]]:
    site = tmp_path / "site"
    info = site / "test_echo-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: test-echo\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[plait.protocols]\ntest_echo = test_echo_plugin\n[plait.registries]\ntest_lines = test_echo_plugin\n"
    )
    (site / "test_echo_plugin.py").write_text(ECHO)
    running: list[Sidecar] = []

    def begin(greeting: str = "hello", concurrency: int = 2, **more: Any) -> Sidecar:
        folder = tmp_path / f"sidecar-{len(running)}"
        folder.mkdir()
        (folder / "site").symlink_to(site)
        sidecar = Sidecar(folder, greeting, concurrency, **more)
        running.append(sidecar)
        return sidecar

    yield begin
    for sidecar in running:
        if sidecar.process.poll() is None:
            sidecar.process.kill()
        sidecar.process.wait(DEADLINE_S)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"


def test_every_worker_serves_and_their_counts_come_together(start: Callable[..., Sidecar]) -> None:
    sidecar = start().live()
    pids = sidecar.info()["worker_pids"]
    assert len(pids) == 2
    for pid in pids:
        with sidecar.talk_to(pid) as talker:
            assert talker.echoes()
    assert sidecar.stat("echo.requests") == 2
    assert sidecar.stat("server.workers_live") == 2
    assert "backend::127.0.0.1:9::cx_active::0" in sidecar.get("/clusters")[1]
    assert sidecar.get("/nothing")[0] == 404


def test_killed_worker_is_replaced_and_the_others_never_notice(start: Callable[..., Sidecar]) -> None:
    sidecar = start().live()
    first, second = sidecar.info()["worker_pids"]
    with sidecar.talk_to(second) as survivor:
        os.kill(first, signal.SIGKILL)
        for _ in range(30):
            with sidecar.talk() as talker:
                assert talker.pid != first
                assert talker.echoes()
        until(lambda: sidecar.stat("server.workers_live") == 2, "the new worker")
        assert survivor.echoes()
    replaced, other = sidecar.info()["worker_pids"]
    assert other == second
    assert replaced not in (first, second)
    with sidecar.talk_to(replaced) as talker:
        assert talker.greeting == "hello"
    assert sidecar.stat("server.worker_deaths") == 1
    assert "ended by signal SIGKILL" in sidecar.log


def test_worker_that_crashes_under_its_caller_is_replaced(start: Callable[..., Sidecar]) -> None:
    sidecar = start(concurrency=1).live()
    for _ in range(3):
        with sidecar.talk() as talker:
            talker.sock.sendall(b"die")
            assert talker.sock.recv(1) == b""
    with sidecar.talk() as talker:
        assert talker.echoes()
    assert sidecar.log.count("ended by exit code 7") == 3


@pytest.mark.parametrize("concurrency", [0, 2])
def test_sigterm_drains_and_ends_cleanly(start: Callable[..., Sidecar], concurrency: int) -> None:
    sidecar = start(concurrency=concurrency).live()
    address = sidecar.get("/listeners")[1].strip().removeprefix("in::")
    pids = sidecar.info()["worker_pids"]
    with sidecar.talk() as talker:
        sidecar.process.send_signal(signal.SIGTERM)
        until(lambda: sidecar.get("/ready") == (503, "DRAINING\n"), "DRAINING")

        def refused() -> bool:
            try:
                Talker(address).sock.close()
            except ConnectionError:
                return True
            return False

        until(refused, "new connections to be refused")
        assert talker.echoes()
        assert sidecar.process.poll() is None
    assert sidecar.wait() == 0
    assert not any(alive(pid) for pid in pids)
    assert "stopped" in sidecar.log


def test_second_signal_ends_at_once(start: Callable[..., Sidecar]) -> None:
    sidecar = start().live()
    with sidecar.talk() as talker:
        sidecar.process.send_signal(signal.SIGINT)
        until(lambda: sidecar.get("/ready")[0] == 503, "DRAINING")
        sidecar.process.send_signal(signal.SIGTERM)
        assert sidecar.wait() == 0
        assert not alive(talker.pid)


def test_signals_to_workers_are_the_supervisors_to_handle(start: Callable[..., Sidecar]) -> None:
    sidecar = start(concurrency=1).live()
    (pid,) = sidecar.info()["worker_pids"]
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(pid, number)
    with sidecar.talk() as talker:
        assert talker.pid == pid
        assert talker.echoes()


@pytest.mark.parametrize("concurrency", [0, 2])
def test_sighup_applies_a_changed_file_and_old_connections_go_on(
    start: Callable[..., Sidecar], concurrency: int
) -> None:
    sidecar = start(concurrency=concurrency).live()
    with sidecar.talk() as talker:
        sidecar.reload(configuration("bonjour"))
        until(lambda: sidecar.stat("server.config_reload_success") == 1, "the reload")
        for pid in sidecar.info()["worker_pids"]:
            with sidecar.talk_to(pid) as other:
                assert other.greeting == "bonjour"
        assert talker.greeting == "hello"
        assert talker.echoes()


@pytest.mark.parametrize("concurrency", [0, 2])
def test_sighup_with_a_broken_file_says_where_and_keeps_the_old(
    start: Callable[..., Sidecar], concurrency: int
) -> None:
    sidecar = start(concurrency=concurrency).live()
    sidecar.reload(configuration("bonjour") + "nonsense: [\n")
    until(lambda: sidecar.stat("server.config_reload_failure") == 1, "the refusal")
    assert f"{sidecar.config}:" in sidecar.log
    with sidecar.talk() as talker:
        assert talker.greeting == "hello"
    refused = json.loads(sidecar.get("/config_dump")[1])["refused"]
    assert refused[0]["source"] == "bootstrap"
    sidecar.reload(configuration("bonjour"))
    until(lambda: sidecar.stat("server.config_reload_success") == 1, "the reload")
    with sidecar.talk() as talker:
        assert talker.greeting == "bonjour"
    assert "refused" not in json.loads(sidecar.get("/config_dump")[1])


def test_filter_that_cannot_be_built_is_refused_before_workers_see_it(start: Callable[..., Sidecar]) -> None:
    sidecar = start().live()
    sidecar.reload(configuration("refused-everywhere"))
    until(lambda: sidecar.stat("server.config_reload_failure") == 1, "the refusal")
    assert "no such greeting" in sidecar.log
    assert sidecar.stat("server.config_update_rejected") == 0
    with sidecar.talk() as talker:
        assert talker.greeting == "hello"


def test_update_that_one_worker_refuses_is_rolled_back_in_all(start: Callable[..., Sidecar]) -> None:
    sidecar = start().live()
    sidecar.reload(configuration("refused-by-one"))
    until(lambda: sidecar.stat("server.config_reload_failure") == 1, "the refusal")
    assert "worker 1 dislikes it" in sidecar.log
    for pid in sidecar.info()["worker_pids"]:
        with sidecar.talk_to(pid) as talker:
            assert talker.greeting == "hello"
    dump = json.loads(sidecar.get("/config_dump?resource=static_listeners")[1])["configs"]
    assert dump[0]["listener"]["filter_chains"][0]["filters"][0]["settings"] == {"greeting": "hello"}
    assert "worker 1 dislikes it" in dump[0]["error_state"]["details"]


def test_start_with_what_one_worker_refuses_ends_with_the_reason(start: Callable[..., Sidecar]) -> None:
    sidecar = start("refused-by-one")
    assert sidecar.wait() == 78
    assert "worker 1 dislikes it" in sidecar.log


def test_port_that_is_taken_ends_the_start_with_the_reason(start: Callable[..., Sidecar]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        sidecar = start(address=f"socket_address: {{address: 127.0.0.1, port_value: {port}}}")
        assert sidecar.wait() == 78
    assert f"listener 'in': cannot listen on 127.0.0.1:{port}: address already in use" in sidecar.log


def test_workers_end_with_a_supervisor_that_was_killed(start: Callable[..., Sidecar]) -> None:
    sidecar = start().live()
    pids = sidecar.info()["worker_pids"]
    sidecar.process.kill()
    sidecar.wait()
    until(lambda: not any(alive(pid) for pid in pids), "the workers to end")


def test_unix_listener_is_served_by_all_workers_and_removed_at_the_end(
    start: Callable[..., Sidecar], tmp_path: Path
) -> None:
    path = tmp_path / "in.sock"
    sidecar = start(address=f"pipe: {{path: {path}}}").live()
    for pid in sidecar.info()["worker_pids"]:
        with sidecar.talk_to(pid) as talker:
            assert talker.echoes()
    sidecar.process.terminate()
    assert sidecar.wait() == 0
    assert not path.exists()


@pytest.mark.parametrize("concurrency", [0, 2])
def test_registry_becomes_clusters_in_every_worker_and_follows_changes(
    start: Callable[..., Sidecar], tmp_path: Path, concurrency: int
) -> None:
    ports = tmp_path / "ports"
    ports.write_text("1001\n")
    struct = "type.googleapis.com/xds.type.v3.TypedStruct"
    typed = f"{{'@type': {struct}, type_url: type.googleapis.com/test.lines, value: {{path: {ports}}}}}"
    registry = f"{{name: lines, typed_config: {typed}}}"
    sidecar = start(concurrency=concurrency, registry=registry).live()

    def hosts() -> list[str]:
        lines = sidecar.get("/clusters")[1].splitlines()
        return sorted(line.split("::")[1] for line in lines if line.startswith("orders::") and "::rq_total::" in line)

    assert hosts() == ["127.0.0.1:1001"]
    assert "orders::added_via_api::true" in sidecar.get("/clusters")[1]
    ports.write_text("1001\n1002\n")
    until(lambda: hosts() == ["127.0.0.1:1001", "127.0.0.1:1002"], "the second instance")
    sidecar.reload(configuration("hello"))
    until(lambda: hosts() == [], "the registry to be forgotten")
    with sidecar.talk() as talker:
        assert talker.echoes()


def test_listener_that_moves_frees_its_old_port_and_one_that_goes_too(
    start: Callable[..., Sidecar],
) -> None:
    sidecar = start().live()
    old = sidecar.get("/listeners")[1].strip().removeprefix("in::")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    sidecar.reload(configuration("moved", address=f"socket_address: {{address: 127.0.0.1, port_value: {port}}}"))
    until(lambda: sidecar.stat("server.config_reload_success") == 1, "the reload")
    with Talker(f"127.0.0.1:{port}") as talker:
        assert talker.greeting == "moved"

    def freed() -> bool:
        try:
            Talker(old).sock.close()
        except ConnectionError:
            return True
        return False

    until(freed, "the old port to be free")


@pytest.mark.parametrize("module", ["worker", "supervisor"])
def test_what_stays_running_imports_no_protobuf_and_no_yaml(module: str) -> None:
    code = f"import sys, plait.runtime.{module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=DEADLINE_S, check=True)
    heavy = {"google.protobuf", "grpc", "yaml", "cattrs", "envoy", "xds", "re2", "importlib.metadata", "email"}
    assert not heavy & set(done.stdout.split())
