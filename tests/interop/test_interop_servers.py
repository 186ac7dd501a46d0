"""Servers that others wrote, behind a sidecar of Plait's; and Envoy's sidecar on either side of it."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.interop.conftest import LARGE, Sidecar
from tests.interop.peers import exchange, telling_service, tool
from tests.running import free_ports, running

PROGRAMS = Path(__file__).parent / "programs"
pytestmark = pytest.mark.timeout(180)  # Go compiles its libraries the first time


@pytest.fixture(scope="module", params=["node", "go"])
def server(
    request: pytest.FixtureRequest,
    sidecar: Sidecar,
    go_program: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[str, int]]:
    """The name of the server, and the port of the sidecar in front of it."""
    (port,) = free_ports(1)
    node = request.param == "node"
    command = [tool("node"), PROGRAMS / "server.js"] if node else [go_program("server")]
    with running([*command, str(port)], tmp_path_factory.mktemp("server"), port):
        yield request.param, sidecar("plait", port)


def test_small_answers_come_through(server: tuple[str, int]) -> None:
    name, port = server
    for _ in range(5):
        assert exchange(port, "/small", "any.test").body == f"small from {name}".encode()


def test_answers_without_a_length_come_through(server: tuple[str, int]) -> None:
    answer = exchange(server[1], "/chunks", "any.test")
    assert (answer.status, answer.body) == (200, b"one two three")


def test_answers_that_end_with_the_connection_come_through(server: tuple[str, int]) -> None:
    answers = [exchange(server[1], "/close", "any.test") for _ in range(3)]
    assert [(answer.status, answer.body) for answer in answers] == [(200, b"closed")] * 3


def test_head_has_no_body(server: tuple[str, int]) -> None:
    assert exchange(server[1], "/small", "any.test", "HEAD").body == b""


def test_large_bodies_are_echoed(server: tuple[str, int]) -> None:
    body = LARGE
    answer = exchange(server[1], "/echo", "any.test", "POST", body=body)
    assert answer.status == 200
    assert answer.body == body


def test_bodies_are_echoed_while_they_come(server: tuple[str, int]) -> None:
    with socket.create_connection(("127.0.0.1", server[1]), 20) as connection:
        connection.sendall(b"POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        seen = b""
        while b"first" not in seen:
            piece = connection.recv(65536)
            assert piece, seen
            seen += piece
        connection.sendall(b"4\r\nlast\r\n0\r\n\r\n")
        while not seen.endswith(b"0\r\n\r\n"):
            piece = connection.recv(65536)
            assert piece, seen
            seen += piece
        assert b"last" in seen


def test_answers_before_the_body_was_sent_come_through(server: tuple[str, int]) -> None:
    with socket.create_connection(("127.0.0.1", server[1]), 20) as connection:
        connection.sendall(b"POST /early HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n" + b"x" * 1000)
        assert connection.recv(65536).startswith(b"HTTP/1.1 403 ")


def test_early_hints_come_ahead_of_the_answer(server: tuple[str, int]) -> None:
    with socket.create_connection(("127.0.0.1", server[1]), 20) as connection:
        connection.sendall(b"GET /interim HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        seen = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b"after the hints" in seen
    assert seen.count(b"HTTP/1.1 200 OK") == 1


def test_expectations_are_met(server: tuple[str, int]) -> None:
    with socket.create_connection(("127.0.0.1", server[1]), 20) as connection:
        connection.sendall(b"POST /echo HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.sendall(b"body")
        assert b"200 OK" in connection.recv(65536)


def test_python_server_of_http_1_0_is_spoken_to(sidecar: Sidecar, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(LARGE)
    (port,) = free_ports(1)
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "http.server",
        str(port),
        "--bind",
        "127.0.0.1",
        "--directory",
        tmp_path,
    ]
    with running(command, tmp_path, port):
        proxy = sidecar("plait", port)
        connection = HTTPConnection("127.0.0.1", proxy, timeout=20)
        for _ in range(3):  # each on a connection of its own upstream, all on one downstream
            connection.request("GET", "/large")
            response = connection.getresponse()
            assert (response.status, response.version) == (200, 11)
            assert response.read() == LARGE
        connection.request("GET", "/missing")
        missing = connection.getresponse()
        assert (missing.status, missing.read()[:9]) == (404, b"<!DOCTYPE")
        connection.request("POST", "/large", body=b"x" * 100)
        assert connection.getresponse().status == 501
        connection.close()


def test_nginx_serves_conditions_and_ranges(sidecar: Sidecar, nginx: int) -> None:
    port = sidecar("plait", nginx)
    full = exchange(port, "/files/large", "any.test")
    assert full.body == LARGE
    tag = full.header("etag") or ""
    unchanged = exchange(port, "/files/large", "any.test", headers=[("if-none-match", tag)])
    assert (unchanged.status, unchanged.body, unchanged.header("etag")) == (304, b"", tag)
    part = exchange(port, "/files/large", "any.test", headers=[("range", "bytes=10-19")])
    assert (part.status, part.body) == (206, LARGE[10:20])
    assert exchange(port, "/files/none", "any.test").status == 404


@pytest.fixture(scope="module", params=["plait then envoy", "envoy then plait", "plait then plait"])
def two_hops(request: pytest.FixtureRequest, sidecar: Sidecar, nginx: int) -> int:
    """The port of the first sidecar; the second is in front of nginx."""
    first, second = request.param.split(" then ")
    return sidecar(first, sidecar(second, nginx))


def test_two_hops_carry_answers(two_hops: int) -> None:
    connection = HTTPConnection("127.0.0.1", two_hops, timeout=20)
    for number in range(50):
        connection.request("GET", f"/small?{number}")
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b"small from nginx\n")
    connection.close()
    assert exchange(two_hops, "/files/large", "any.test").body == LARGE
    assert exchange(two_hops, "/small", "any.test", "HEAD").body == b""


def test_two_hops_tell_what_they_added(two_hops: int) -> None:
    told = exchange(two_hops, "/seen", "some.test").body.decode()
    assert told.startswith("host=some.test method=GET for=")
    assert told.split("for=")[1].count(",") == 1  # one address from each
    assert told.endswith("proto=http\n")


@pytest.mark.parametrize("order", ["plait then envoy", "envoy then plait"])
def test_two_hops_carry_bodies_and_failures(sidecar: Sidecar, order: str) -> None:
    first, second = order.split(" then ")
    with telling_service("teller") as upstream:
        port = sidecar(first, sidecar(second, upstream))
        assert exchange(port, "/", "a.test", "POST", body=LARGE).body.endswith(b'"body": %d}' % len(LARGE))
        assert exchange(port, "/", "a.test", headers=[("x-answer", "503")]).status == 503
        assert exchange(port, "/", "a.test", headers=[("x-close", f"{order[0]} 1")]).status == 503
        assert exchange(port, "/", "a.test").status == 200
