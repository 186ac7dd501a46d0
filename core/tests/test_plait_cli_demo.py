"""The parts of `mesh demo` that need no processes: its files, its figures, its flags."""

import argparse
import asyncio
import socket
import sys
from pathlib import Path

import pytest

from plait.api.errors import PlaitError
from plait.cli.demo import COMMAND
from plait.cli.demo.files import claim_ports, copy, find, set_weights, weights
from plait.cli.demo.load import HttpClient, Tally, total
from plait.cli.demo.processes import Children, get
from plait.cli.demo.rpc import Caller

BOOTSTRAP = """\
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {admin}}}}}}}
static_resources:
  listeners:
  - name: http  # {listener} again
    address: {{socket_address: {{address: 127.0.0.1, port_value: {listener}}}}}
"""
PROCFILE = """\
# a service, and its sidecar
web: python web.py {service}

sidecar: mesh run -c side.yaml
"""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    admin, listener, service = free_port(), free_port(), free_port()
    (folder / "side.yaml").write_text(BOOTSTRAP.format(admin=admin, listener=listener))
    (folder / "services.yaml").write_text(f"services: [{{name: web, instances: [{{address: 127.0.0.1:{service}}}]}}]\n")
    (folder / "Procfile").write_text(PROCFILE.format(service=service))
    (folder / "old.log").write_text("of an earlier run")
    return folder


def test_free_ports_of_the_files_are_kept(source: Path, tmp_path: Path) -> None:
    files = copy(source, tmp_path / "copy")
    assert all(port == new for port, new in files.ports.items())
    assert len(files.ports) == 3
    assert (files.folder / "side.yaml").read_text() == (source / "side.yaml").read_text()
    assert not (files.folder / "old.log").exists()


def test_taken_port_is_replaced_in_every_file(source: Path, tmp_path: Path) -> None:
    service = int((source / "Procfile").read_text().split("web.py ")[1].split()[0])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", service))
        files = copy(source, tmp_path / "copy")
    assert [port for port, new in files.ports.items() if port != new] == [service]
    new = str(files.ports[service])
    assert files.services["web"][1:] == ("web.py", new)
    assert f":{new}}}" in (files.folder / "services.yaml").read_text()
    assert str(service) not in (files.folder / "services.yaml").read_text()


def test_free_ports_are_taken_for_all_when_asked_to(source: Path, tmp_path: Path) -> None:
    files = copy(source, tmp_path / "copy", free_ports=True)
    assert not set(files.ports) & set(files.ports.values())
    sidecar = files.sidecars["sidecar"]
    assert {sidecar.admin, sidecar.listeners["http"]} < set(files.ports.values())
    assert f"# {sidecar.listeners['http']} again" in sidecar.file.read_text(), "comments say what is"


def test_ports_of_the_files_are_claimed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plait.cli.demo.files._CLAIM", free_port())
    claim = claim_ports()
    assert claim is not None
    assert claim_ports() is None
    claim.close()
    again = claim_ports()
    assert again is not None
    again.close()


@pytest.mark.parametrize(
    ("procfile", "message"),
    [
        ("web python web.py", "Procfile:1: expected `name: command`"),
        ("a: python a.py\na: python a.py", "Procfile:2: expected `name: command`, each name once"),
        ("side: mesh run", "Procfile: side: expected `mesh run -c FILE`"),
        ("side: mesh run -c missing.yaml", "missing.yaml"),
        ("side: mesh run -c services.yaml", "ports of admin and listeners"),
    ],
)
def test_procfile_that_makes_no_sense_is_refused(source: Path, tmp_path: Path, procfile: str, message: str) -> None:
    (source / "Procfile").write_text(procfile)
    with pytest.raises(PlaitError, match=message.replace("(", r"\(")):
        copy(source, tmp_path / "copy")


def test_folder_without_a_demo_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(PlaitError, match="name their folder with --files"):
        find(tmp_path)


def test_demo_of_the_checkout_is_found() -> None:
    assert (find(None) / "client.yaml").is_file()


def test_weights_change_and_the_rest_of_the_file_does_not(tmp_path: Path) -> None:
    file = tmp_path / "client.yaml"
    file.write_text("# weight: 5\n- {name: v1, weight: 90}  # most\n- {name: v2,  weight:  10}\n- name: v1\n")
    assert weights(file) == {"v1": 90, "v2": 10}
    set_weights(file, {"v1": 1, "v2": 2})
    assert file.read_text() == "# weight: 5\n- {name: v1, weight: 1}  # most\n- {name: v2,  weight:  2}\n- name: v1\n"


def test_weight_that_is_not_there_cannot_be_changed(tmp_path: Path) -> None:
    file = tmp_path / "client.yaml"
    file.write_text("- {name: v1, weight: 90}\n")
    with pytest.raises(PlaitError, match=r"client.yaml has 0 weights of v2: keep one line"):
        set_weights(file, {"v2": 2})
    assert weights(file) == {"v1": 90}


def test_figures_of_phases_add_up() -> None:
    first, second = Tally("first"), Tally("second")
    for milliseconds in range(1, 101):
        first.took(milliseconds / 1000, "a")
    second.took(0.2, "b")
    second.failed("it broke")
    whole = total([first, second])
    assert (whole.requests, whole.failures, whole.reasons) == (102, 1, ["it broke"])
    assert whole.answered == {"a": 100, "b": 1}
    assert first.quantile_ms(0.5) == pytest.approx(51)
    assert first.quantile_ms(0.99) == pytest.approx(100)
    assert Tally("empty").quantile_ms(0.5) == 0


@pytest.mark.parametrize("number", ["399", "-1", "many", ""])
def test_number_of_requests_is_checked(number: str) -> None:
    parser = argparse.ArgumentParser(exit_on_error=False)
    COMMAND.configure(parser)
    with pytest.raises(argparse.ArgumentError):
        parser.parse_args(["--requests", number])


async def answering(data: bytes) -> asyncio.Server:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        await writer.drain()
        writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", 0)


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 200 OK\r\n", b"nonsense\r\n\r\n", b"x" * 100_000])
def test_answer_that_is_none_raises_what_the_caller_expects(data: bytes) -> None:
    async def ask() -> None:
        async with await answering(data) as server:
            client = HttpClient(server.sockets[0].getsockname()[1])
            with pytest.raises((OSError, EOFError, ValueError)):
                await client.get("/")

    asyncio.run(ask())


def test_admin_server_that_is_not_there_is_named() -> None:
    port = free_port()
    with pytest.raises(PlaitError, match=f"no answer from the admin server on {port}"):
        asyncio.run(get(port, "/ready"))


def test_child_that_ends_at_once_is_reported_with_its_log(tmp_path: Path) -> None:
    async def start() -> None:
        children = Children(tmp_path)
        try:
            await children.start("sorry", ["sh", "-c", "echo cannot start; exit 4"])
            await children.until_listening("sorry", free_port())
        finally:
            await children.end()

    with pytest.raises(PlaitError, match=r"sorry ended with exit code 4; its log ends with\n  cannot start"):
        asyncio.run(start())


def test_child_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plait.cli.demo.processes.END_TIMEOUT_S", 0.2)

    async def start_and_end() -> int:
        children = Children(tmp_path)
        port = free_port()
        code = (
            "import signal, socket, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
            f"s = socket.create_server(('127.0.0.1', {port})); [s.accept() for _ in iter(int, 1)]"
        )
        await children.start("stubborn", ["python3", "-c", code])
        await children.until_listening("stubborn", port)
        await children.end()
        return children.pids["stubborn"]

    pid = asyncio.run(start_and_end())
    assert not Path(f"/proc/{pid}").exists()


GOOD = b'{"method": "sayHello", "answer": "hello mesh, from sofarpc-v1", "ms": 2.0}\n'
BAD = b'{"method": "sayHello", "error": "Bolt status 2: no", "ms": 2.0}\n'


def test_call_by_rpc_counts_for_who_answered_it() -> None:
    caller = Caller("sofarpc")
    caller.heard(GOOD)
    assert (caller.tally.requests, caller.tally.failures, caller.in_a_row) == (1, 0, 1)
    assert caller.tally.answered == {"sofarpc-v1": 1}
    assert caller.tally.latencies == [0.002]


def test_error_of_a_call_is_a_failure_unless_it_is_expected() -> None:
    caller = Caller("sofarpc")
    caller.heard(GOOD)
    caller.expects_errors = True
    caller.heard(BAD)
    assert (caller.tally.requests, caller.errors, caller.in_a_row) == (1, {"Bolt status 2: no": 1}, 0)
    caller.expects_errors = False
    caller.heard(BAD)
    assert (caller.tally.requests, caller.tally.reasons) == (2, ["sayHello: Bolt status 2: no"])


@pytest.mark.parametrize("line", [GOOD.replace(b"v1", b"v2"), GOOD.replace(b"sayHello", b"sayGoodbye")])
def test_answer_of_the_wrong_version_is_a_failure(line: bytes) -> None:
    caller = Caller("sofarpc")
    caller.heard(line)
    assert caller.tally.failures == 1
    assert "was answered by the wrong one" in caller.tally.reasons[0]


@pytest.mark.parametrize("line", [b"Traceback\n", b"[]\n", b"{}\n", b'{"method": "sayHello", "ms": "2"}\n', b"\xff\n"])
def test_line_that_no_caller_says_is_refused(line: bytes) -> None:
    with pytest.raises(PlaitError, match="said what no caller of the demo says"):
        Caller("sofarpc").heard(line)


def test_program_whose_lines_are_read_ends_well_or_is_told_of(tmp_path: Path) -> None:
    async def run(code: int) -> bytes:
        children = Children(tmp_path)
        program = f"print('a line'); import sys; sys.stderr.write('why'); sys.exit({code})"
        lines = await children.start_to_read("caller", (sys.executable, "-c", program))
        said = await lines.read()
        await children.until_done("caller")
        children.check()
        return said

    assert asyncio.run(run(0)) == b"a line\n"
    with pytest.raises(PlaitError, match=r"caller ended with exit code 3(.|\n)*why"):
        asyncio.run(run(3))
