"""`mesh demo`: played for real, with its own files; ended early; and its configurations by themselves."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
FILES = ROOT / "examples" / "demo"
BOOTSTRAPS = sorted(path for path in FILES.glob("*.yaml") if "static_resources:" in path.read_text())
MESH = (sys.executable, "-m", "plait")
DEADLINE_S = 110.0


@pytest.fixture(scope="module")
def played() -> dict[str, Any]:
    """The result of one run."""
    done = subprocess.run(
        [*MESH, "demo", "--json", "--requests", "1600", "--free-ports"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert "killed hello-v2a" in done.stderr, "progress is told on standard error"
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def shares(played: dict[str, Any], name: str) -> dict[str, float]:
    """Who answered which part of the requests of a phase."""
    phase = next(phase for phase in played["phases"] if phase["name"] == name)
    whole = sum(phase["answered"].values())
    return {who: count / whole for who, count in phase["answered"].items()}


@pytest.mark.timeout(120)
def test_no_request_fails_whatever_happens_on_the_way(played: dict[str, Any]) -> None:
    assert played["ok"] is True
    assert played["problems"] == []
    assert played["total"]["requests"] >= 1600
    assert played["total"]["failures"] == 0
    assert played["total"]["requests"] == sum(phase["requests"] for phase in played["phases"])
    assert played["total"]["p50_ms"] > 0
    assert played["total"]["p99_ms"] >= played["total"]["p50_ms"]


@pytest.mark.timeout(120)
def test_changed_weight_moves_traffic_and_loses_no_connection(played: dict[str, Any]) -> None:
    before = shares(played, "weights hello-v1 90, hello-v2 10")
    after = shares(played, "weights hello-v1 20, hello-v2 80")
    assert before["v1"] > 0.75
    assert before["v2a"] > 0
    assert before["v2b"] > 0
    assert after["v1"] < 0.4
    assert after["v2a"] > 0.2
    assert after["v2b"] > 0.2
    assert played["connections"]["opened"] == played["connections"]["used"]


@pytest.mark.timeout(120)
def test_killed_instance_is_made_up_for_by_retries_and_comes_back(played: dict[str, Any]) -> None:
    without, back = shares(played, "without hello-v2a"), shares(played, "hello-v2a is back")
    assert without.get("v2a", 0) < 0.1, "only what was under way when it was killed"
    assert without["v2b"] > 0.5
    assert back["v2a"] > 0
    assert played["retries"]["succeeded"] > 0


@pytest.mark.timeout(120)
def test_policy_refuses_with_a_status_and_a_reason(played: dict[str, Any]) -> None:
    refusals = played["refusals"]
    assert refusals["let_pass"] == 1
    assert refusals["refused"] == refusals["asked"] - 1 > 10
    assert refusals["counted_by_sidecars"] == refusals["refused"]
    assert "mallory at /: 403 refuse.nothing:mallory is not welcome" in refusals["answers"]
    assert "bob at /admin: 403 admins.user:bob is not whitelisted" in refusals["answers"]


@pytest.mark.timeout(120)
def test_tcp_goes_through_both_sidecars(played: dict[str, Any]) -> None:
    assert played["tcp"]["failures"] == 0
    assert played["tcp"]["requests"] > 20


@pytest.mark.timeout(120)
def test_calls_by_rpc_go_where_their_method_is(played: dict[str, Any]) -> None:
    sofarpc, dubbo = played["rpc"]["sofarpc"], played["rpc"]["dubbo"]
    assert sofarpc["failures"] == dubbo["failures"] == 0
    assert sofarpc["requests"] >= 100
    assert dubbo["requests"] >= 100
    assert sofarpc["answered"].keys() == {"sofarpc-v1", "sofarpc-v2"}
    assert abs(sofarpc["answered"]["sofarpc-v1"] - sofarpc["answered"]["sofarpc-v2"]) <= 4, "two methods in turn"
    assert dubbo["answered"].keys() == {"dubbo-v1"}
    assert sofarpc["p99_ms"] >= sofarpc["p50_ms"] > 0


@pytest.mark.timeout(120)
def test_policy_refuses_calls_by_rpc_with_the_error_of_the_protocol(played: dict[str, Any]) -> None:
    refusals = played["rpc_refusals"]
    assert refusals["refused"] == refusals["counted_by_sidecars"] == 16
    assert refusals["answers"] == ["Bolt status 2: refuse.nothing:mallory is not welcome"]


@pytest.mark.timeout(120)
def test_calls_of_a_killed_service_get_the_error_of_the_protocol(played: dict[str, Any]) -> None:
    """Those that come after it returned are answered, or the demo would not have ended well."""
    assert played["rpc_outage"]["errors"] >= 10
    assert all(answer.startswith("Dubbo status ") for answer in played["rpc_outage"]["answers"])


@pytest.mark.timeout(120)
def test_nothing_of_a_finished_demo_runs_on(played: dict[str, Any]) -> None:
    assert len(played["pids"]) == 17
    assert [name for name, pid in played["pids"].items() if exists(pid)] == []


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A demo that is told to keep everything, its progress to be read line by line."""
    demo = subprocess.Popen(
        [*MESH, "demo", "--keep", "--requests", "400", "--free-ports"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    yield demo
    demo.kill()
    demo.wait()


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("moment", "code"), [("starting 7 services", 130), ("is ready", 130), ("sending requests", 130)]
)
def test_interrupted_demo_ends_every_process_and_removes_its_files(
    kept: subprocess.Popen[str], tmp_path: Path, moment: str, code: int
) -> None:
    read_until(kept, moment)
    kept.send_signal(signal.SIGINT)
    rest, _ = kept.communicate(timeout=DEADLINE_S)
    assert kept.returncode == code, rest
    assert "Traceback" not in rest
    assert processes_in(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(120)
def test_kept_demo_runs_until_it_is_told_to_end(kept: subprocess.Popen[str], tmp_path: Path) -> None:
    said = read_until(kept, "Ctrl-C ends it")
    command = next(line for line in said if "curl -i 127" in line)
    port = int(command.split("127.0.0.1:")[1].split("/")[0])
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", "/", headers={"x-user": "mallory"})
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (403, b"refuse.nothing:mallory is not welcome")
    connection.close()
    [command] = [line for line in said if "--app mallory" in line]
    call = subprocess.run(command.partition("#")[0].split(), capture_output=True, text=True, timeout=20, check=False)
    assert json.loads(call.stdout)["error"] == "Bolt status 2: refuse.nothing:mallory is not welcome", call.stderr
    kept.send_signal(signal.SIGTERM)
    kept.communicate(timeout=DEADLINE_S)
    assert kept.returncode == 0
    assert processes_in(tmp_path) == []


@pytest.mark.timeout(120)
def test_demo_without_retries_fails_and_keeps_its_files(tmp_path: Path) -> None:
    files, kept = tmp_path / "files", tmp_path / "kept"
    shutil.copytree(FILES, files)
    kept.mkdir()
    client = files / "client.yaml"
    text = client.read_text()
    assert "num_retries: 3" in text
    client.write_text(text.replace("num_retries: 3", "num_retries: 0"))
    done = subprocess.run(
        [*MESH, "demo", "--requests", "400", "--free-ports", "--files", str(files)],
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": str(kept)},
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "mesh: a request failed: status 503" in done.stderr
    [left] = kept.iterdir()
    assert f"the files and logs of the demo are in {left}" in done.stderr
    assert (left / "client.log").is_file()
    assert processes_in(kept) == []


@pytest.mark.timeout(120)
def test_demo_whose_calls_go_to_the_wrong_version_fails(tmp_path: Path) -> None:
    files, kept = tmp_path / "files", tmp_path / "kept"
    shutil.copytree(FILES, files)
    kept.mkdir()
    client = files / "rpc-client.yaml"
    text = client.read_text()
    assert "cluster: sofarpc-v2" in text
    client.write_text(text.replace("cluster: sofarpc-v2", "cluster: sofarpc-v1", 1))
    done = subprocess.run(
        [*MESH, "demo", "--requests", "400", "--free-ports", "--files", str(files)],
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": str(kept)},
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "mesh: a call of sofarpc failed: sayGoodbye: SOFARPC: sofarpc-v1 has no method sayGoodbye" in done.stderr
    assert processes_in(kept) == []


@pytest.mark.parametrize("file", BOOTSTRAPS, ids=lambda path: path.name)
def test_configuration_of_the_demo_is_valid(file: Path) -> None:
    done = subprocess.run([*MESH, "validate", "-c", file.name], cwd=FILES, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "it warns of nothing"


def test_there_is_a_configuration_for_every_sidecar() -> None:
    procfile = (FILES / "Procfile").read_text()
    assert len(BOOTSTRAPS) == 7
    assert [path.name for path in BOOTSTRAPS if f"mesh run -c {path.name}" not in procfile] == []


def test_instances_of_hello_have_the_same_policies() -> None:
    """They differ in their ports and in the first line, and nowhere else."""
    first = (FILES / "hello-v1.yaml").read_text().partition("\n")[2]
    for name, ports in (("hello-v2a", "1502"), ("hello-v2b", "1503")):
        assert (FILES / f"{name}.yaml").read_text().partition("\n")[2] == first.replace("1501", ports)


def read_until(demo: subprocess.Popen[str], words: str) -> list[str]:
    """What it says, up to the line with these words."""
    assert demo.stdout is not None
    said = []
    for line in demo.stdout:
        said.append(line)
        if words in line:
            return said
    pytest.fail(f"it ended before it said {words!r}: {''.join(said)}")


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def processes_in(folder: Path) -> list[int]:
    """Processes that work in a folder below this one; a dying one gets a moment to be gone."""
    deadline = time.monotonic() + 10
    while True:
        found = []
        for cwd in Path("/proc").glob("[0-9]*/cwd"):
            try:
                if cwd.readlink().is_relative_to(folder):
                    found.append(int(cwd.parent.name))
            except OSError:
                pass  # another user's, or it ended
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.05)
