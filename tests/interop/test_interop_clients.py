"""Clients that others wrote, through a sidecar of Plait's."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from collections.abc import Callable, Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.interop.conftest import LARGE, Sidecar
from tests.interop.peers import telling_service, tool

PROGRAMS = Path(__file__).parent / "programs"


@pytest.fixture(scope="module")
def port(sidecar: Sidecar) -> Any:
    """The sidecar's, in front of a service that tells what it was asked."""
    with telling_service("teller") as upstream:
        yield sidecar("plait", upstream)


@pytest.fixture(scope="module")
def files(sidecar: Sidecar, nginx: int) -> int:
    """The sidecar's in front of nginx."""
    return sidecar("plait", nginx)


def run(command: Sequence[str | Path], stdin: bytes = b"") -> bytes:
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=50, check=False)
    assert done.returncode == 0, f"{command} ended with {done.returncode}: {done.stderr.decode(errors='replace')}"
    return done.stdout


def curl(*arguments: str | Path, stdin: bytes = b"") -> bytes:
    return run([tool("curl"), "--silent", "--show-error", "--max-time", "40", *arguments], stdin)


def told(answer: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer)
    found["headers"] = dict(found["headers"])
    return found


def test_curl_reuses_its_connection(port: int) -> None:
    url = f"http://127.0.0.1:{port}/[1-20]"
    output = curl("-o", "/dev/null", "--write-out", "%{num_connects} %{http_code} %{http_version}\n", url).decode()
    assert output.split("\n")[:-1] == ["1 200 1.1", *["0 200 1.1"] * 19]


def test_curl_uploads_in_chunks(port: int) -> None:
    answer = told(curl("-T", "-", f"http://127.0.0.1:{port}/up", stdin=b"c" * 500_000))
    assert (answer["line"], answer["body"]) == ("PUT /up HTTP/1.1", 500_000)
    assert answer["headers"]["transfer-encoding"] == "chunked"


def test_curl_expects_100_continue(port: int, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"b" * 3_000_000)
    verbose = tmp_path / "verbose"
    arguments: list[str | Path] = [
        "--verbose",
        "--stderr",
        verbose,
        "--expect100-timeout",
        "30",
        "-H",
        "Expect: 100-continue",
    ]
    answer = told(curl(*arguments, "--data-binary", f"@{tmp_path}/body", f"http://127.0.0.1:{port}/"))
    assert answer["body"] == 3_000_000
    lines = verbose.read_text(errors="replace")
    assert lines.index("< HTTP/1.1 100 Continue") < lines.index("< HTTP/1.1 200 OK")


def test_curl_asks_for_the_head_alone(port: int) -> None:
    lines = curl("--head", f"http://127.0.0.1:{port}/").decode().lower()
    assert lines.startswith("http/1.1 200 ok\r\n")
    assert re.search(r"^content-length: [1-9]", lines, re.MULTILINE)


def test_curl_with_http_1_0_is_told_to_upgrade_as_by_envoy(port: int) -> None:
    output = curl("--http1.0", "-o", "/dev/null", "--write-out", "%{http_code}", f"http://127.0.0.1:{port}/")
    assert output == b"426"  # accept_http_10 is off unless configured


def test_curl_path_arrives_as_it_is(port: int) -> None:
    answer = told(curl("--path-as-is", f"http://127.0.0.1:{port}/a/../b/./c//d%2f?e=../f"))
    assert answer["line"] == "GET /a/../b/./c//d%2f?e=../f HTTP/1.1"


def test_curl_downloads_and_resumes(files: int, tmp_path: Path) -> None:
    target = tmp_path / "large"
    url = f"http://127.0.0.1:{files}/files/large"
    curl("-o", target, "--range", "0-999999", url)
    curl("-o", target, "--continue-at", "-", url)
    assert target.read_bytes() == LARGE


def test_curl_asks_for_many_at_once(files: int) -> None:
    url = f"http://127.0.0.1:{files}/small?[1-200]"
    output = curl("--parallel", "--parallel-max", "20", "-o", "/dev/null", "--write-out", "%{http_code}\n", url)
    assert output == b"200\n" * 200


def test_wrk_sees_no_error(files: int) -> None:
    output = run([tool("wrk"), "-t1", "-c32", "-d2s", f"http://127.0.0.1:{files}/small"]).decode()
    requests = re.search(r"([0-9]+) requests in", output)
    assert requests
    assert int(requests[1]) > 100
    assert "Socket errors" not in output
    assert "Non-2xx" not in output


def test_python_http_client_is_served_on_one_connection(port: int) -> None:
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    connection.connect()
    first = connection.sock
    for number in range(10):
        connection.request("POST", f"/{number}", body=iter([b"one ", b"two"]), encode_chunked=True)
        answer = told(connection.getresponse().read())
        assert (answer["line"], answer["body"]) == (f"POST /{number} HTTP/1.1", "one two")
        assert connection.sock is first
    connection.close()


def check_answers(answers: list[dict[str, Any]]) -> None:
    assert [answer["status"] for answer in answers] == [200] * 4
    assert answers[3]["body"] == ""
    asked = [told(answer["body"].encode()) for answer in answers[:3]]
    assert [(each["line"], each["body"]) for each in asked] == [
        ("GET /first?a=1 HTTP/1.1", ""),
        ("POST /second HTTP/1.1", "body"),
        ("PUT /third HTTP/1.1", "chunk after chunk"),
    ]
    assert asked[1]["headers"]["content-length"] == "4"


def test_node_client_is_served_on_one_connection(port: int) -> None:
    output = json.loads(run([tool("node"), PROGRAMS / "client.js", str(port)]))
    check_answers(output["answers"])
    assert output["connections"] == 1


@pytest.mark.timeout(180)  # Go compiles its libraries the first time
def test_go_client_is_served_on_one_connection(port: int, go_program: Callable[[str], Path]) -> None:
    output = json.loads(run([go_program("client"), str(port)]))
    check_answers(output["answers"])
    assert output["connections"] == 1


def test_java_client_is_served(port: int) -> None:
    lines = run([tool("java"), "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", PROGRAMS / "Client.java", str(port)])
    answers = [line.split(" ") for line in lines.decode().strip("\n").split("\n")]
    check_answers([{"status": int(each[0]), "body": base64.b64decode(each[1]).decode()} for each in answers])
